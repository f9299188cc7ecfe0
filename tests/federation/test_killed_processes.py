"""Kill the coordinator or any node, at any moment, and start it again: the study ends as if nothing had happened.

Real processes, SIGKILL. Moments are found in what the processes themselves write, and drawn at random.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import count
from time import sleep

import numpy as np
import pytest
from small_federation import EPSILON, Answers, Federation
from small_site import command

from cohortium_node.accounts import prices, whole
from cohortium_protocols.privacy.accounting import mu_from_epsilon
from cohortium_protocols.secure_sum.messages import FROM_NODES, STAGES, MaskedVector
from cohortium_simulations.installation import OPERATOR

pytestmark = pytest.mark.process

NUMBERS = count(1)
ROUNDS = ("profile", "model_1", "model_2", "residuals", "model_3", "model_4", "levels", "outcome")
LONGEST = 4.0
"""Seconds from submission after which a study has usually ended."""


@dataclass(frozen=True)
class Kept:
    """The masked vectors that were stored at one moment: in the nodes' ledgers, and in the coordinator's records."""

    released: Answers
    received: Answers


def kept(federation: Federation, study: str) -> Kept:
    return Kept(federation.released(study), federation.received(study))


def killed(federation: Federation, moment: Callable[[str], object], *victims: str) -> None:
    """Runs a study, kills when the moment has come, starts again, and holds the end against what was there before."""
    study = f"study-{next(NUMBERS)}"
    federation.submit(study)
    federation.until(lambda: moment(study))
    federation.processes.kill(*victims)
    before = kept(federation, study)
    federation.processes.start(*victims)
    _ended_well(federation, study, before)


def _ended_well(federation: Federation, study: str, before: Kept) -> None:
    status, nodes = federation.ended(study), federation.here.nodes
    assert status["phase"] in ("published", "not published")  # so few people may be too few for a headline
    assert (status["faults"], status["trouble"]) == ([], "")
    assert [node["rounds_answered"] for node in status["nodes"]] == [len(ROUNDS)] * len(nodes)
    after = kept(federation, study)
    assert before.released <= after.released, "a masked vector that was stored has changed"
    assert before.received <= after.received == after.released
    for name in nodes:
        _charged_once(federation, name, study)
    _carried_once(federation, study, after.released)


def _charged_once(federation: Federation, node: str, study: str) -> None:
    """One reservation, masked vector and list of survivors a round, and the approved price; the chain holds."""
    entries = federation.entries(node, study)
    every_round = dict.fromkeys(("reserved", "answered", "acknowledged"), len(ROUNDS))
    once = Counter({"opened": 1, "closed": 1, **every_round})
    assert Counter(entry["kind"] for entry in entries) == once
    assert [entry["round"] for entry in entries if entry["kind"] == "reserved"] == list(ROUNDS)
    assert command("-c", federation.here.node(node) / "node.toml", "ledger", "verify") == 0
    with federation.ledger(node) as ledger:
        account = ledger.accounts.studies[study]
    price = whole(prices(federation.schedule(study)))
    assert account.charged == account.committed == price
    assert price <= Fraction(mu_from_epsilon(EPSILON, 1e-6) ** 2)


def _carried_once(federation: Federation, study: str, released: Answers) -> None:
    """The relay holds one envelope for each thing that was said, and the masked vectors are those of the ledgers."""
    carried = [each for each in federation.mailed(study) if each.kind != "anchor"]
    steps = dict.fromkeys(FROM_NODES, len(ROUNDS))
    for name in federation.here.nodes:
        to, by = ([each for each in carried if getattr(each, side) == name] for side in ("recipient", "sender"))
        asked = {"round": len(ROUNDS), "secure_step": (len(STAGES) - 1) * len(ROUNDS)}
        assert Counter(each.kind for each in to) == {"plan": 1, "close": 1, **asked}
        assert Counter(each.kind for each in by) == {"decision": 1, "receipt": 1, **steps}
    assert {each.to_bytes() for each in carried if each.kind == MaskedVector.kind} == {data for _, data in released}


# Moments: functions of the study that are true once it has come.


def submitted(_federation: Federation, _study: str) -> bool:
    return True


def logged(words: str) -> Callable[[Federation, str], bool]:
    return lambda federation, study: federation.said(study, words)


def entered(kind: str, rounds: int, node: str = "south") -> Callable[[Federation, str], bool]:
    """The node's ledger has so many entries of a kind."""

    def look(federation: Federation, study: str) -> bool:
        return sum(entry["kind"] == kind for entry in federation.entries(node, study)) >= rounds

    return look


COORDINATOR = {
    "as soon as the plan is submitted": submitted,
    "while nodes approve": entered("opened", 1),
    "when the first round is asked": logged("round profile asked"),
    "when nodes have announced their keys": logged("round model_1, step announce closed"),
    "when secrets are shared": logged("round model_2, step share closed"),
    "in a middle round": logged("round residuals asked"),
    "when a node has masked its vector": entered("answered", 5),
    "when the survivors are listed": logged("round model_3, step mask closed"),
    "when a node has acknowledged the list": entered("acknowledged", 6),
    "when the list is acknowledged": logged("round model_4, step acknowledge closed"),
    "when the masks are off": logged("round levels, step reveal closed"),
    "in the last round": logged("round outcome asked"),
    "while combining": logged("rounds finished"),
    "when the report is written": logged("report written"),
}
NODE = {
    "before the plan is read": submitted,
    "when the study is opened": entered("opened", 1),
    "when the first round is charged": entered("reserved", 1),
    "when a middle round is asked": logged("round model_3 asked"),
    "when it is asked for its secrets": logged("round model_1, step announce closed"),
    "when a middle round is charged": entered("reserved", 5),
    "when its vector is masked": entered("answered", 3),
    "when it has acknowledged the survivors": entered("acknowledged", 4),
    "when it is asked to reveal": logged("round model_4, step acknowledge closed"),
    "when the last round is asked": logged("round outcome asked"),
    "when the last round is charged": entered("reserved", len(ROUNDS)),
    "while closing": logged("rounds finished"),
}


@pytest.mark.parametrize("moment", COORDINATOR)
def test_the_coordinator_is_killed(federation: Federation, moment: str) -> None:
    killed(federation, lambda study: COORDINATOR[moment](federation, study), OPERATOR)


@pytest.mark.parametrize("moment", NODE)
def test_a_node_is_killed(federation: Federation, moment: str) -> None:
    killed(federation, lambda study: NODE[moment](federation, study), "south")


@pytest.mark.parametrize("seed", range(6))
def test_anybody_is_killed_at_any_moment(federation: Federation, seed: int) -> None:
    draw = np.random.default_rng(seed)
    victim, delay = draw.choice([OPERATOR, *federation.here.nodes]), draw.uniform(0, LONGEST)
    killed(federation, lambda _: sleep(delay) or True, str(victim))


@pytest.mark.parametrize("seed", range(2))
def test_everybody_is_killed_at_once(federation: Federation, seed: int) -> None:
    delay = np.random.default_rng([seed, 1]).uniform(0, LONGEST)
    killed(federation, lambda _: sleep(delay) or True, OPERATOR, *federation.here.nodes)


def test_a_plan_that_was_submitted_while_a_node_was_down_waits_for_it(federation: Federation) -> None:
    federation.processes.kill("east")
    federation.submit("patient")
    federation.until(lambda: [node["state"] for node in federation.status("patient")["nodes"]].count("approved") == 2)
    before = kept(federation, "patient")
    federation.processes.start("east")
    _ended_well(federation, "patient", before)
