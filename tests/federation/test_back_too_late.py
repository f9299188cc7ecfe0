"""A daemon that comes back after a step was closed without it finds nothing of that step, and is charged nothing.

Real daemons, ledgers and coordinator in one process. The daemon is lost with the request in its hands: fetched, and
not handled yet.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from away_group import TIME_TO_ANSWER, TIME_TO_DECIDE, AwayGroup, away_group
from node_group import secure_plan
from node_parts import PLAN

from cohortium_coordinator.study.state import outstanding
from cohortium_coordinator.study.status import StudyStatus
from cohortium_node.accounts import prices, whole
from cohortium_protocols.errors import StorageError
from cohortium_protocols.plan_check import load_plan
from cohortium_protocols.schedules import schedule

LOCAL, SECURE = (
    load_plan(PLAN.format(study="weights", epsilon=1.0).replace("local", "local, tolerate_lost_nodes: 1")),
    secure_plan(),
)
ROUNDS = tuple(spec.name for spec in schedule(SECURE).rounds)
LOST, ROUND, NEXT = "south", "model_1", "model_2"


def lost_when_asked_to(*steps: str) -> pytest.MarkDecorator:
    """At each of these steps of a secure sum, or, when it is empty, in a round that every node answers by itself."""
    return pytest.mark.parametrize("step", steps)



@pytest.fixture
def group(tmp_path: Path, step: str) -> Iterator[AwayGroup]:
    """Nodes that add up securely, or, where there are no steps, answer by themselves."""
    with away_group(tmp_path, SECURE if step else LOCAL) as made:
        yield made


def lost_at(group: AwayGroup, step: str) -> None:
    """Goes on until a step is asked for, and loses a daemon that has fetched the request."""
    group.until(lambda status: (status.round_name, status.step) == (ROUND, step))
    assert group.relay.fetch(LOST, 0)
    group.lose(LOST)


def time_is_over(group: AwayGroup) -> None:
    """The others take the step, the lab hears of it, and the time of the step ends."""
    group.turn()
    group.service.advance(group.now)
    group.now += TIME_TO_ANSWER


def come_back(group: AwayGroup) -> StudyStatus:
    group.start(LOST)
    return group.closed_by(group.plan.nodes.roster)


def check_charged(group: AwayGroup, name: str, rounds: tuple[str, ...]) -> None:
    price, account = prices(schedule(group.plan)), group.account(name)
    assert account is not None
    assert group.reserved(name) == list(rounds)
    assert account.charged == whole({each: price[each] for each in rounds}) > 0


def survivors(group: AwayGroup) -> list[str]:
    return [name for name in group.plan.nodes.roster if name != LOST]


@lost_when_asked_to("", "share", "mask", "reveal")
def test_back_after_the_end_it_hears_only_that_the_study_is_closed(group: AwayGroup, step: str) -> None:
    lost_at(group, step)
    time_is_over(group)
    masked = step == "reveal"
    if masked:  # it is in the total, and therefore asked for the next round too
        group.until(lambda status: status.round_name == NEXT)
        time_is_over(group)
    group.closed_by(survivors(group))
    assert group.waiting_for(LOST) == ["close"]
    status = come_back(group)
    assert (status.ended, status.faults, status.code) == (True, (), "")
    check_charged(group, LOST, ROUNDS[: ROUNDS.index(ROUND) + masked])
    for name in survivors(group):
        check_charged(group, name, ROUNDS)


@lost_when_asked_to("", "mask")
def test_back_after_a_round_was_closed_without_it_it_is_not_charged_for_that_round(
    group: AwayGroup, step: str
) -> None:
    lost_at(group, step)
    time_is_over(group)
    group.until(lambda status: status.round_name == NEXT)
    assert group.waiting_for(LOST) == []
    group.start(LOST)
    group.turn()
    check_charged(group, LOST, ("profile",))
    assert group.closed_by(group.plan.nodes.roster).faults == ()
    check_charged(group, LOST, ("profile",))


@lost_when_asked_to("mask")
def test_a_study_that_the_operator_closes_charges_nobody_any_more(group: AwayGroup, step: str) -> None:
    lost_at(group, step)
    group.service.close(group.plan.study, "The provider withdrew.", group.now)
    assert group.waiting_for(LOST) == []
    come_back(group)
    for name in group.plan.nodes.roster:
        check_charged(group, name, ("profile",))


@lost_when_asked_to("mask")
def test_back_after_the_rounds_began_without_its_decision_it_does_not_open_the_study(
    group: AwayGroup, step: str
) -> None:
    group.lose(LOST)
    group.turn()
    group.turn()
    group.now += TIME_TO_DECIDE
    group.until(lambda status: status.round == 1)
    assert group.waiting_for(LOST) == []
    group.start(LOST)
    status = group.closed_by(group.plan.nodes.roster)
    assert (status.faults, {node.name: node.state for node in status.nodes}[LOST]) == ((), "offline")
    assert group.account(LOST) is None


@lost_when_asked_to("mask")
def test_a_node_that_never_saw_the_plan_says_that_the_study_is_closed_here_too(group: AwayGroup, step: str) -> None:
    group.lose(LOST)
    group.service.close(group.plan.study, "The provider withdrew.", group.now)
    group.closed_by(survivors(group))
    assert group.waiting_for(LOST) == ["close"]
    assert come_back(group).faults == ()
    assert group.account(LOST) is None
    records = group.store.records(group.plan.study)
    assert records is not None
    assert outstanding(records) == ()  # nothing is left that the lab would send, or look for, again


class Killed(StorageError):
    """The lab's process ends here."""


def _end(*_: object) -> None:
    raise Killed("killed")


def killed_when_time_is_over(group: AwayGroup, part: object, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kills the lab as it calls this of a part of it, once the step's time is over, and starts it again."""
    time_is_over(group)
    with monkeypatch.context() as patch:
        patch.setattr(part, call, _end)
        with pytest.raises(Killed):
            group.service.advance(group.now)
    assert group.waiting_for(LOST) == []
    group.start_lab()


@lost_when_asked_to("mask")
def test_a_lab_killed_before_the_end_of_a_step_is_stored_asks_for_it_again(
    group: AwayGroup, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost_at(group, step)
    killed_when_time_is_over(group, group.store, "add_messages", monkeypatch)
    group.start(LOST)
    assert {node.state for node in group.closed_by(group.plan.nodes.roster).nodes} == {"answered"}
    check_charged(group, LOST, ROUNDS)


@lost_when_asked_to("mask")
def test_a_lab_killed_after_the_end_of_a_step_is_stored_does_not_ask_for_it_again(
    group: AwayGroup, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost_at(group, step)
    killed_when_time_is_over(group, group.relay, "post", monkeypatch)
    group.service.advance(group.now)
    assert group.waiting_for(LOST) == []
    come_back(group)
    check_charged(group, LOST, ("profile",))
