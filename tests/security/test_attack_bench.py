"""Nothing on the attack bench gets through the real node; and the bench notices when something does."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from cohortium_protocols.canonical import digest
from cohortium_protocols.schedules import schedule
from cohortium_protocols.secure_sum import Participant
from cohortium_protocols.secure_sum.messages import Deliveries, FromNode, Stage, signed
from cohortium_protocols.secure_sum.secrets import Uttered
from cohortium_protocols.signing import Envelope
from cohortium_simulations import checks_cli
from cohortium_simulations.attacks import ATTACKS
from cohortium_simulations.attacks.false_groups import false_roster, substituted_mask_keys, two_groups
from cohortium_simulations.attacks.finding import Finding
from cohortium_simulations.attacks.group import HONEST, ROSTER, Sum, group
from cohortium_simulations.attacks.rollback import ledger_rollback
from cohortium_simulations.attacks.small_counts import MINIMUM, submitted
from cohortium_simulations.attacks.survivors import inconsistent_survivor_lists, resumming
from cohortium_simulations.attacks.target import Tables, approved, caps, node, plan, whole_study
from cohortium_simulations.cli import commands
from cohortium_simulations.neighbours import WORST, people


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_no_attack_gets_through(attack) -> None:
    finding = attack(40)
    assert not finding.broken, finding.how
    assert 0 <= finding.score <= 1
    assert 0 <= finding.bound <= 1
    assert len(finding.how) > 40


def test_every_attack_has_a_name_of_its_own() -> None:
    assert len({attack.__name__ for attack in ATTACKS}) == len(ATTACKS)


def test_the_node_under_attack_does_answer() -> None:
    """An attack on a node that refuses everything would prove nothing."""
    with node(Tables({"any": people(WORST, helped=True)}), caps()) as service:
        assert set(whole_study(service, plan())) == {spec.name for spec in schedule(plan()).rounds}
        assert not approved(service, plan("dear", epsilon=10.0, delta=1e-4))


def test_the_group_under_attack_does_add_up() -> None:
    with group() as nodes:
        assert Sum(nodes).total().survivors == ROSTER
        assert Sum(nodes, attempt=2).total(without=HONEST[0]).survivors == ROSTER[1:]


def test_nodes_that_forget_which_steps_they_took_are_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that these attacks fail because a node takes each step once, and of nothing else."""

    def taken_again(node: Participant, stage: Stage, heard: bytes, body: Callable[[], FromNode]) -> bytes:
        message = signed(node.session, node._node, body(), node._key)
        node._learn(uttered={**node.secrets.uttered, stage: Uttered(heard=digest(heard), message=message.decode())})
        return message

    monkeypatch.setattr(Participant, "_step", taken_again)
    assert all(attack(20).broken for attack in (inconsistent_survivor_lists, two_groups))


def test_nodes_that_check_no_signature_are_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Envelope, "verified", lambda envelope, keys: envelope)
    assert all(attack(20).broken for attack in (false_roster, substituted_mask_keys))


def test_nodes_that_mask_with_the_noise_of_the_attempt_before_are_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: dict[str, np.ndarray] = {}

    def noised_once(node: Participant, deliveries: Deliveries, vector: np.ndarray, *state: object) -> bytes:
        return mask(node, deliveries, drawn.setdefault(node._key.public.text, vector), *state)

    mask = Participant.mask
    monkeypatch.setattr(Participant, "mask", noised_once)
    assert resumming(20).broken


def test_the_minimum_is_about_rows_submitted(tmp_path) -> None:
    """The two sizes of cohort do look different; the people found behind them do not."""
    (decided, *answers), refused = submitted(tmp_path, MINIMUM, 0), submitted(tmp_path, MINIMUM - 1, MINIMUM - 1)
    assert decided[:3] == ("decision", "approved", "")
    assert [code for _, _, code, _ in answers].count("") == len(schedule(plan()).rounds) + 1
    assert refused[0][:2] == ("decision", "waiting")


def test_a_ledger_put_back_gives_a_second_answer_where_nobody_is_a_witness() -> None:
    """So that the attack above fails because of the witness, and of nothing else."""
    assert "0 answers; without any witness it would have been 1" in ledger_rollback(20).how


def test_more_than_is_allowed_is_broken_and_less_is_not() -> None:
    sure = Finding("sure", 0.1, 0.0, "how")
    guessed = Finding("guessed", 0.5, 0.4, "how", chance_free=0.3)
    assert [sure.broken, guessed.broken, replace(guessed, chance_free=0.41).broken] == [True, False, True]
    assert [each.plain()["outcome"] for each in (sure, guessed)] == ["broken", "defended"]


# The commands.


def test_the_bench_prints_every_finding_as_json() -> None:
    run = CliRunner().invoke(commands, ["attack", "--trials", "20", "--json", "-"])
    said = json.loads(run.stdout)["attacks"]
    assert run.exit_code == 0
    assert len(said) == len(ATTACKS)
    assert all({"name", "outcome", "score", "at_least", "bound", "how"} == set(each) for each in said)
    assert {each["outcome"] for each in said} == {"defended"}


def test_the_audit_prints_every_check_as_json() -> None:
    run = CliRunner().invoke(commands, ["audit", "--trials", "30", "--json", "-"])
    said = json.loads(run.stdout)
    assert (run.exit_code, said["passed"], said["trials"]) == (0, True, 30)
    assert {"name", "what", "figure", "low", "high", "passed"} == set(said["checks"][0])


def test_an_audit_of_a_seeded_bug_ends_with_a_fault() -> None:
    run = CliRunner().invoke(commands, ["audit", "--trials", "60", "--bug", "repeated-noise"])
    assert run.exit_code == checks_cli.FAULT
    assert "FAILED  repetition" in run.output
