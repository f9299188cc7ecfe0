"""A study's state follows from its records and a clock: the rules, one by one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from cohortium_coordinator.study.records import Ending, Received, Records, Reported, Sent
from cohortium_coordinator.study.state import (
    AskRound,
    Clock,
    Combine,
    Fail,
    Finish,
    TellClosed,
    Terms,
    counted,
    next_action,
    outstanding,
)
from cohortium_coordinator.study.status import study_status

START = datetime(2026, 1, 1, tzinfo=UTC)
TERMS = Terms(
    ("a", "b", "c"), 2, ("one", "two"), START + timedelta(days=100), timedelta(days=10), timedelta(days=1)
)
STRICT = replace(TERMS, required=3)


def at(days: float, since: float = 0) -> Clock:
    return Clock(START + timedelta(days=days), START + timedelta(days=since))


def study(*facts: Sent | Received | Ending | Reported) -> Records:
    kind = {
        kind: tuple(fact for fact in facts if isinstance(fact, kind))
        for kind in (Sent, Received, Ending, Reported)
    }
    return Records("s", "digest", START, (*asked("plan", "", "abc"), *kind[Sent]), kind[Received],
                   next(iter(kind[Ending]), None), next(iter(kind[Reported]), None))  # fmt: skip


def asked(kind: str, round_name: str, nodes: str, days: float = 0) -> list[Sent]:
    return [
        Sent(kind, round_name, node, f"{kind} {round_name} {node}", START + timedelta(days=days))
        for node in nodes
    ]


def approved(nodes: str) -> list[Received]:
    return [Received("decision", "", node, "approved", "", START) for node in nodes]


def answered(round_name: str, nodes: str, code: str = "") -> list[Received]:
    return [
        Received("answer", round_name, node, "refused" if code else "approved", code, START) for node in nodes
    ]


def waiting(node: str) -> Received:
    return Received("decision", "", node, "waiting", "", START)


def refused(node: str, code: str = "refused") -> Received:
    return Received("decision", "", node, "refused", code, START)


def carried(records: Records) -> list[tuple[str, str, str]]:
    return [(sent.kind, sent.round, sent.node) for sent in outstanding(records)]


FAILED = Ending("failed", (), "refused", "Why.", START)
FIRST = [*approved("abc"), *asked("round", "one", "abc", 1)]


@pytest.mark.parametrize(
    ("rule", "facts", "clock", "action"),
    [
        ("waits for decisions", approved("ab"), at(1), None),
        ("waits for one who said wait", [*approved("ab"), waiting("c")], at(1), None),
        ("starts when all approved", approved("abc"), at(1), AskRound("one", ("a", "b", "c"))),
        ("starts when all decided", [*approved("ab"), refused("c")], at(1), AskRound("one", ("a", "b"))),
        ("starts without the late", approved("ab"), at(10), AskRound("one", ("a", "b"))),
        ("waits for answers", [*FIRST, *answered("one", "ab")], at(1.5), None),
        ("goes on when all answered", [*FIRST, *answered("one", "abc")], at(1.5),
         AskRound("two", ("a", "b", "c"))),
        ("goes on without the late", [*FIRST, *answered("one", "bc")], at(2), AskRound("two", ("b", "c"))),
        ("goes on without a refuser", [*FIRST, *answered("one", "bc"), *answered("one", "a", "over_budget")],
         at(1.1), AskRound("two", ("b", "c"))),
        ("a late answer does not bring back", [*FIRST, *asked("round", "two", "bc", 2),
         *answered("one", "abc"), *answered("two", "bc")], at(2.5), Finish(("b", "c"))),
        ("finishes after the last round", [*FIRST, *asked("round", "two", "abc", 2), *answered("one", "abc"),
         *answered("two", "abc")], at(2.5), Finish(("a", "b", "c"))),
        ("counts time from when it listens", [*FIRST, *answered("one", "ab")], at(30, since=29.5), None),
        ("combines what is finished", [Ending("finished", ("a", "b"), "", "", START)], at(3),
         Combine(("a", "b"), START)),
        ("closes at all nodes", [FAILED], at(3), TellClosed(("a", "b", "c"), "Why.")),
        ("closes after the report", [Ending("finished", ("a",), "", "", START), Reported(True, "", START)],
         at(3), TellClosed(("a", "b", "c"), "The study is finished.")),
        ("rests at last", [FAILED, *asked("close", "", "abc")], at(3), None),
    ],
)  # fmt: skip
def test_the_next_action(rule: str, facts: list, clock: Clock, action: object) -> None:
    assert next_action(TERMS, study(*facts), clock) == action, rule


@pytest.mark.parametrize(
    ("facts", "clock", "code", "sentence"),
    [
        ([*approved("ab"), refused("c", "over_budget")], at(0), "refused",
         "2 of 3 nodes can still take part; the plan needs 3. Refused: c (over_budget)."),
        (approved("ab"), at(10), "channel",
         "2 of 3 nodes decided about the plan in time; the plan needs 3. No answer from: c."),
        ([*FIRST, *answered("one", "a")], at(2), "channel",
         "1 of 3 nodes answered round 'one' in time; the plan needs 3. No answer from: b, c."),
        ([*FIRST, *answered("one", "a", "data_changed")], at(1), "refused",
         "2 of 3 nodes can still take part; the plan needs 3. Refused: a (data_changed)."),
        (approved("abc"), at(100), "expired",
         "The plan expired on 11 April 2026, before the round 'one' could be asked."),
    ],
)  # fmt: skip
def test_too_few_nodes_end_a_study_with_a_sentence(
    facts: list, clock: Clock, code: str, sentence: str
) -> None:
    assert next_action(STRICT, study(*facts), clock) == Fail(code, sentence)


def test_the_answers_that_count_are_those_of_nodes_asked_again() -> None:
    records = study(*FIRST, *asked("round", "two", "bc", 2))
    assert counted(TERMS, records, ("c",)) == {"one": ("b", "c"), "two": ("c",)}


def test_what_was_not_answered_in_the_present_step_is_carried_and_after_the_end_only_the_closing_message() -> None:
    deciding = study(*approved("a"), waiting("b"))
    assert carried(deciding) == [("plan", "", "b"), ("plan", "", "c")]
    first = study(*approved("ab"), waiting("c"), *asked("round", "one", "ab"), *answered("one", "a"))
    assert carried(first) == [("round", "one", "b")]
    second = study(*FIRST, *answered("one", "ab"), *asked("round", "two", "ab", 2), *answered("two", "b"))
    assert carried(second) == [("round", "two", "a")]
    assert carried(study(*FIRST, FAILED)) == []
    receipt = Received("receipt", "", "a", "approved", "", START)
    ended = study(
        *approved("ab"), Ending("failed", (), "refused", "", START), *asked("close", "", "abc"), receipt
    )
    assert carried(ended) == [("close", "", "b"), ("close", "", "c")]


@pytest.mark.parametrize(
    ("facts", "phase", "nodes"),
    [
        (approved("a"), "waiting for approval", ["approved", "waiting", "waiting"]),
        ([*approved("a"), refused("b", "over_budget")], "waiting for approval",
         ["approved", "refused", "waiting"]),
        ([*FIRST, *answered("one", "a")], "round 1 of 2 (one)", ["answered", "approved", "approved"]),
        ([*approved("ab"), *asked("round", "one", "ab")], "round 1 of 2 (one)",
         ["approved", "approved", "offline"]),
        ([*FIRST, *answered("one", "ab"), *asked("round", "two", "ab")], "round 2 of 2 (two)",
         ["answered", "answered", "offline"]),
        ([*FIRST, *answered("one", "abc"), Ending("finished", ("a", "b", "c"), "", "", START)], "combining",
         ["answered"] * 3),
        ([*FIRST, *answered("one", "a"), Ending("failed", (), "channel", "", START)], "failed",
         ["answered", "offline", "offline"]),
        ([Ending("closed", (), "", "No longer needed.", START)], "closed", ["waiting"] * 3),
        ([*FIRST, *answered("one", "abc"), Ending("finished", ("a", "b", "c"), "", "", START),
          Reported(False, "Too few people.", START)], "not published", ["answered"] * 3),
    ],
)  # fmt: skip
def test_the_status_for_people(facts: list, phase: str, nodes: list[str]) -> None:
    status = study_status(TERMS, study(*facts), at(1))
    assert (status.phase_text, [node.state for node in status.nodes]) == (phase, nodes)


def test_a_status_says_until_when_it_waits_and_why_it_ended() -> None:
    assert study_status(TERMS, study(*FIRST), at(1)).waiting_until == START + timedelta(days=2)
    assert study_status(TERMS, study(*FIRST), at(40, since=30)).waiting_until == START + timedelta(days=31)
    reported = Reported(False, "Too few people.", START)
    ended = study_status(TERMS, study(Ending("finished", ("a",), "", "", START), reported), at(1))
    assert (ended.waiting_until, ended.reason, ended.ended) == (None, "Too few people.", True)
