"""Secure sums through real nodes: every attempt charged and freshly noised, every step durable before it is said."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from node_group import (
    NodeGroup,
    Sum,
    charged,
    content,
    deviations,
    exact_total,
    kinds,
    node_group,
    policy_of,
    request_for,
    secure_plan,
)
from node_parts import (
    POLICY,
    caps,
)

from cohortium_node.accounts import prices, whole
from cohortium_node.release.gate import FAULT_POINTS
from cohortium_node.secure_rounds import KEEP_POINTS
from cohortium_protocols.canonical import digest, unpack_integers
from cohortium_protocols.schedules import schedule
from cohortium_protocols.secure_sum import Secrets
from cohortium_protocols.secure_sum.messages import STAGES, Stage
from cohortium_protocols.signing import Envelope

PLAN = secure_plan()
PROFILE = schedule(PLAN).round("profile")
PROCESS = Path(__file__).parents[1] / "support" / "member_process.py"
NORTH, SOUTH, EAST, WEST = PLAN.nodes.roster


# The sum.


@pytest.mark.parametrize("lost", [(), (EAST,)])
def test_the_sum_is_that_of_the_survivors_with_their_shares_of_the_noise(group: NodeGroup, lost: tuple[str]) -> None:
    led = Sum(group)
    led.until("mask")
    led.until(None, without=lost)
    total = led.aggregator.total
    assert total is not None
    assert total.survivors == tuple(node for node in PLAN.nodes.roster if node not in lost)
    scores = (total.values - exact_total(PLAN, total.survivors)) / deviations(PLAN, PROFILE, len(total.survivors))
    assert np.all(np.abs(scores) < 6)
    assert 0.5 < (scores**2).mean() < 2  # 70 numbers: a chi-squared outside this has p < 1e-3 on the one side


@pytest.mark.parametrize(("nodes", "lost", "colluding"), [(3, 0, 1), (5, 1, 1), (5, 1, 2)])
def test_groups_of_other_sizes_add_up(tmp_path: Path, nodes: int, lost: int, colluding: int) -> None:
    plan = secure_plan(nodes, lost, colluding)
    with node_group(tmp_path, plan) as group:
        total = Sum(group).total()
    spec = schedule(plan).round("profile")
    error = np.abs(total - exact_total(plan, plan.nodes.roster))
    assert np.all(error < 6 * max(vector.sigma for vector in spec.vectors) * np.sqrt(nodes))


def test_later_rounds_are_added_up_for_their_own_parameters(group: NodeGroup) -> None:
    Sum(group).total()
    spec = schedule(PLAN).round("model_1")
    total = Sum(group, "model_1", value=0.25).total()
    exact = exact_total(PLAN, PLAN.nodes.roster, "model_1", 0.25)
    assert np.all(np.abs(total - exact) < 6 * deviations(PLAN, spec, 4))


def test_masked_numbers_say_nothing_of_the_order_of_the_sum(group: NodeGroup) -> None:
    led = Sum(group)
    led.until("mask")
    numbers = unpack_integers(content(led.take(NORTH))["values"]).astype(float)
    assert np.abs(numbers).mean() > 2**60


# Charges: one for each attempt that came to the mask.


def test_an_attempt_is_charged_once_when_it_is_masked(group: NodeGroup) -> None:
    led = Sum(group)
    led.until("mask")
    assert (charged(group), kinds(group)) == (0, ["opened"])
    led.until(None)
    price = PROFILE.cost("treated"), PROFILE.cost("comparator")
    assert charged(group) == pytest.approx(max(price))
    assert kinds(group) == ["opened", "reserved", "answered", "acknowledged"]
    account = group.ledger(NORTH).accounts.studies["weights"]
    assert account.rounds == {"profile": {1: led.aggregator.session.request_digest}}


def test_a_second_attempt_is_charged_and_noised_afresh(group: NodeGroup) -> None:
    first = Sum(group).total()
    once = charged(group)
    second = Sum(group, attempt=2).total()
    assert charged(group) == pytest.approx(2 * once)
    difference = (second - first) / deviations(PLAN, PROFILE, 4) / np.sqrt(2)
    assert np.all(np.abs(difference) < 6)
    assert (difference**2).mean() > 0.5
    account = group.ledger(NORTH).accounts.studies["weights"]
    assert list(account.rounds["profile"]) == [1, 2]
    assert float(account.committed) > float(whole(prices(schedule(PLAN))))


def test_the_first_charged_attempt_is_in_the_price_whatever_its_number(group: NodeGroup) -> None:
    Sum(group).until("mask")
    Sum(group, attempt=2).total()
    account = group.ledger(NORTH).accounts.studies["weights"]
    assert list(account.rounds["profile"]) == [2]
    assert account.committed == whole(prices(schedule(PLAN)))


def test_a_second_attempt_needs_budget_that_is_left(tmp_path: Path) -> None:
    tight = {NORTH: policy_of(NORTH, PLAN, policy=replace(POLICY, caps=caps(study=1.0)))}
    with node_group(tmp_path, PLAN, tight) as group:
        Sum(group).total()
        before = charged(group)
        assert group.code(NORTH, request_for(PLAN, NORTH, attempt=2)) == ("over_budget", "")
        assert charged(group) == before
        led = Sum(group, attempt=2)
        led.until(None, without=(NORTH,))
        assert led.aggregator.total is not None


# The same message, the same bytes.


def test_after_a_restart_at_any_step_the_same_message_gets_the_same_bytes(group: NodeGroup) -> None:
    led = Sum(group)
    for stage in STAGES:
        assert led.aggregator.stage == stage
        for node in list(led.messages):
            said = led.take(node)
            group.restart(node)
            assert group.ask(node, led.messages[node]) == said
        led.close()
    assert led.aggregator.total is not None
    assert kinds(group) == ["opened", "reserved", "answered", "acknowledged"]
    assert group.ledger(NORTH).verify() == 4


def killed_at(group: NodeGroup, node: str, message: bytes, point: str) -> subprocess.CompletedProcess[bytes]:
    group.stop(node)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(PROCESS.parent), *filter(None, sys.path)])}
    command = [sys.executable, str(PROCESS), str(group.folder), node, "4", point]
    killed = subprocess.run(command, env=environment, input=message, capture_output=True, check=False)
    group.start(node)
    return killed


@pytest.mark.process
@pytest.mark.parametrize(
    ("stage", "point"),
    [
        *(("mask", point) for point in FAULT_POINTS),
        *((stage, point) for stage in STAGES if stage != "mask" for point in KEEP_POINTS),
    ],
)
def test_after_a_kill_the_step_is_completed_and_said_once(group: NodeGroup, stage: Stage, point: str) -> None:
    led = Sum(group)
    led.until(stage)
    message = led.messages[NORTH]
    killed = killed_at(group, NORTH, message, point)
    assert (killed.returncode, killed.stdout) == (-signal.SIGKILL, b""), killed.stderr.decode()
    stored = group.ledger(NORTH).answer(digest(Envelope.from_bytes(message).body))
    assert (stored is not None) == ((stage, point) == ("mask", "after_store"))
    said = led.take(NORTH)
    assert stored in (None, said)
    group.restart(NORTH)
    assert group.ask(NORTH, message) == said
    scores = (led.total() - exact_total(PLAN, PLAN.nodes.roster)) / deviations(PLAN, PROFILE, 4)
    assert np.all(np.abs(scores) < 6)
    assert kinds(group) == ["opened", "reserved", "answered", "acknowledged"]
    assert charged(group) == pytest.approx(max(PROFILE.cost("treated"), PROFILE.cost("comparator")))


def test_a_ledger_entry_and_the_secrets_are_written_together(group: NodeGroup) -> None:
    led = Sum(group)
    led.until("mask")
    led.take(NORTH)
    kept = group.ledger(NORTH).attempt("weights", "profile", 1)
    assert kept is not None
    assert list(Secrets.from_bytes(kept.secrets).uttered) == ["announce", "mask", "share"]
    assert "secrets" not in repr(kept)
