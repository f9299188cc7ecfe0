"""Daemons that are lost for good: up to the tolerated number the sums stay exact; beyond it the study ends and says so.

Real processes, gRPC with mutual TLS, SIGKILL; who was lost does not come back before the study is over. It happens in
the second round, at every step of its secure sum. Without noise every total can be held against the integers that the
nodes' own people give; with noise, every charge against the price.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from losing_daemon import MOMENTS, ROUND
from losing_federation import End, LosingFederation, Loss, losing_federation
from node_group import ROSTER, TABLES, exact_sum

from cohortium_coordinator.cli import run
from cohortium_node.accounts import prices, whole
from cohortium_protocols.errors import InputError, TooFewNodes
from cohortium_protocols.plan_check import load_plan
from cohortium_protocols.schedules import schedule
from cohortium_protocols.secure_sum.messages import STAGES

pytestmark = pytest.mark.process

ROUNDS = ("profile", "model_1", "model_2", "model_3", "model_4", "outcome")
VICTIMS = ("south", "west")
COUNTS = ("acknowledge asked", "reveal asked")
"""Who is lost then has its vector in the total of the round."""
CHARGED = ("mask taken", *COUNTS)
"""Who is lost then has charged the round."""

NOBODY = Loss((), "never", tolerated=1, noise=False)
EXACT, NOISY = (
    [Loss(VICTIMS[:number], moment, number, noise) for number in (1, 2) for moment in MOMENTS]
    for noise in (False, True)
)
TOO_MANY = [Loss(VICTIMS, moment, tolerated=1, noise=True) for moment in MOMENTS]


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LosingFederation]:
    """An operator and five nodes at work, every one a real process."""
    with losing_federation(tmp_path_factory.mktemp("losing")) as made:
        yield made


@pytest.fixture(scope="module")
def ends(federation: LosingFederation) -> Mapping[Loss, End]:
    """How all studies ended, first those without a loss, then those that lost one daemon, then those that lost two."""
    found: dict[Loss, End] = {}
    for victims in ((), VICTIMS[:1], VICTIMS):
        studies = [loss for loss in (NOBODY, *EXACT, *NOISY, *TOO_MANY) if loss.victims == victims]
        found |= federation.run(victims, studies)
    return found


@pytest.fixture
def end(ends: Mapping[Loss, End], loss: Loss) -> End:
    return ends[loss]


def for_each(*losses: Loss) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("loss", losses, ids=lambda loss: loss.study)


def rounds_charged(loss: Loss, node: str) -> tuple[str, ...]:
    """The rounds that a node takes part in up to its masked vector."""
    tolerated = len(loss.victims) <= loss.tolerated
    at_the_loss = ROUNDS.index(ROUND)
    if node in loss.victims:
        return ROUNDS[: at_the_loss + (loss.moment in CHARGED)]
    masked = loss.moment not in ("announce asked", "share asked")
    return ROUNDS if tolerated else ROUNDS[: at_the_loss + masked]


# As many as the plan tolerates.


@for_each(NOBODY, *EXACT)
def test_every_total_is_the_exact_sum_of_the_integers_of_the_nodes_in_it(loss: Loss, end: End) -> None:
    assert tuple(end.sums) == ROUNDS
    plan = load_plan(loss.plan)
    for name, recovered in end.sums.items():
        assert recovered.total == exact_sum(plan, recovered.nodes, name, recovered.given).tolist(), name


@for_each(NOBODY, *EXACT, *NOISY)
def test_the_lost_are_in_no_total_after_the_last_vector_that_arrived(loss: Loss, end: End) -> None:
    everybody = ROUNDS[: ROUNDS.index(ROUND) + (loss.moment in COUNTS)]
    assert {name: recovered.nodes for name, recovered in end.sums.items()} == {
        name: ROSTER if name in everybody else loss.survivors for name in ROUNDS
    }


@for_each(NOBODY, *EXACT, *NOISY)
def test_the_study_ends_with_a_report_that_names_who_was_lost(
    federation: LosingFederation, loss: Loss, end: End
) -> None:
    assert end.status["phase"] in ("published", "not published")[: 1 + loss.noise]  # noise may hide so few people
    assert (end.status["faults"], end.status["trouble"]) == ([], "")
    report = report_of(federation, loss)
    states = {node["name"]: node["status"] for node in report["nodes"]}
    assert states == dict.fromkeys(ROSTER, "answered") | dict.fromkeys(loss.victims, "offline")
    named = [check["meaning"] for check in report["checks"] if check["name"] == "same_nodes"]
    assert [all(victim in meaning for victim in loss.victims) for meaning in named] == [True] * bool(loss.victims)


@for_each(NOBODY, *EXACT)
def test_the_result_is_about_the_people_of_the_nodes_that_answered_the_last_round(
    federation: LosingFederation, loss: Loss, end: End
) -> None:
    (outcome,) = report_of(federation, loss)["outcomes"]
    assert outcome["n_treated"] == sum(TABLES[name].treated.sum() for name in loss.survivors)


@for_each(*NOISY, *TOO_MANY)
def test_each_ledger_holds_one_reservation_for_each_attempt_at_its_planned_price(loss: Loss, end: End) -> None:
    price = prices(schedule(load_plan(loss.plan)))
    for node in ROSTER:
        rounds = rounds_charged(loss, node)
        assert end.reserved(node) == [(name, 1) for name in rounds], node
        assert end.accounts[node].charged == whole({name: price[name] for name in rounds}) > 0
        assert bool(end.accounts[node].closed) == (node not in loss.victims)


# More than it tolerates.


@for_each(*TOO_MANY)
def test_one_more_ends_the_study_and_says_at_which_step_and_what_was_charged(loss: Loss, end: End) -> None:
    step = loss.moment.split()[0]
    assert (end.status["phase"], end.status["code"]) == ("failed", TooFewNodes.code)
    assert (end.status["faults"], tuple(end.sums)) == ([], ("profile",))
    charge = (
        "Nobody has charged round 'model_1' to their privacy budget."
        if STAGES.index(step) < STAGES.index("mask")
        else f"These nodes may have charged round 'model_1' to their privacy budget: {', '.join(ROSTER)}."
    )
    assert end.status["reason"] == (
        f"3 nodes took the step '{step}' of a secure sum in time; it needs 4. Nothing came from: south, west. "
        f"{charge} Rounds that stay charged: profile."
    )


@for_each(*TOO_MANY)
def test_a_study_that_failed_publishes_nothing_and_its_command_ends_with_the_code_of_the_error(
    federation: LosingFederation, loss: Loss, end: End, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match="There is no report"):
        report_of(federation, loss)
    followed = ("study", "follow", loss.study, "--config", str(federation.here.operator))
    assert run(followed) == TooFewNodes.exit_code == 7
    assert f"failed: {end.status['reason']}" in capsys.readouterr().err


def report_of(federation: LosingFederation, loss: Loss) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(federation.client.operate("report", loss.study, b"json"))
    return found
