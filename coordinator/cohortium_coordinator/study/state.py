"""A study's state, worked out from its records and a clock: no input or output, no flag that could disagree.

    waiting for approval ──> round 1 of n ──> ... ──> round n of n ──> combining ──> published | not published
             │                     │                        │
             └─────────────────────┴────────────────────────┴──> failed, or closed by the operator

- The rounds start when every node of the roster has decided, or when the time to decide is over and enough
  approved.
- A round ends when everyone asked has answered, or when its time is over and enough answered. Those who
  refused or did not answer take no part in later rounds: only nodes that answered every round are asked.
- Enough means the roster less the nodes that the plan tolerates to lose. With fewer, the study fails.

Who took part in a round is a record (the requests that were stored), never a guess from the time: an answer
that comes late changes nothing. Time counts from when a request was stored or, if that is later, from when
this service last started to listen, so that a coordinator that was down does not blame the nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from cohortium_coordinator.study.records import Received, Records, SentKind
from cohortium_protocols.errors import ChannelError, ExpiredError, RefusedError


@dataclass(frozen=True)
class Terms:
    """What the plan and the operator's configuration fix before a study starts.

    Attributes:
        roster: every node asked, in the plan's order.
        required: fewest nodes that must take part.
        rounds: names of the rounds, in order.
        expires: end of the plan.
        time_to_decide: how long a node has to approve or refuse.
        time_to_answer: how long a node has to answer one round.
    """

    roster: tuple[str, ...]
    required: int
    rounds: tuple[str, ...]
    expires: datetime
    time_to_decide: timedelta
    time_to_answer: timedelta


@dataclass(frozen=True)
class Clock:
    """The time, and since when this service has been listening."""

    now: datetime
    listening_since: datetime


@dataclass(frozen=True)
class AskRound:
    """Ask these nodes for a round."""

    round: str
    nodes: tuple[str, ...]


@dataclass(frozen=True)
class Finish:
    """Every round was answered by these nodes."""

    nodes: tuple[str, ...]


@dataclass(frozen=True)
class Fail:
    """The study cannot go on."""

    code: str
    reason: str


@dataclass(frozen=True)
class Combine:
    """Work out the result from these nodes' answers and write the report, dated when the rounds ended."""

    nodes: tuple[str, ...]
    at: datetime


@dataclass(frozen=True)
class TellClosed:
    """Tell these nodes that the study is over, and why."""

    nodes: tuple[str, ...]
    reason: str


Action = AskRound | Finish | Fail | Combine | TellClosed


def next_action(terms: Terms, records: Records, clock: Clock) -> Action | None:
    """Returns the one thing to do now; None when there is nothing but to wait."""
    if records.ending is None:
        return _unless_expired(_towards_the_end(terms, records, clock), terms, clock)
    if records.ending.outcome == "finished" and records.reported is None:
        return Combine(records.ending.nodes, records.ending.at)
    reason = records.ending.reason or "The study is finished."
    return TellClosed(terms.roster, reason) if records.sent_at("close") is None else None


def current_round(terms: Terms, records: Records) -> str | None:
    """Returns the latest round that was asked; None before the first."""
    asked = [name for name in terms.rounds if records.sent_at("round", name) is not None]
    return asked[-1] if asked else None


def counted(terms: Terms, records: Records, nodes: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Returns for every round asked the nodes whose answers count: those that were asked for the next round.

    Args:
        terms: the study's terms.
        records: what is stored.
        nodes: who goes on from the latest round.
    """
    asked = [name for name in terms.rounds if records.sent_at("round", name) is not None]
    goes_on = [*(records.asked(name) for name in asked[1:]), nodes]
    return dict(zip(asked, goes_on, strict=False))


def waiting_until(terms: Terms, records: Records, clock: Clock) -> datetime | None:
    """Returns when the present wait for nodes is over; None when nobody is waited for."""
    if records.ending is not None:
        return None
    current = current_round(terms, records)
    asked_at = None if current is None else records.sent_at("round", current)
    allowed = terms.time_to_decide if current is None else terms.time_to_answer
    return min(max(asked_at or records.submitted, clock.listening_since) + allowed, terms.expires)


def outstanding(records: Records) -> tuple[tuple[SentKind, str, str], ...]:
    """Returns kind, round and node of every message that its node should still get, oldest first.

    A message that was answered needs no carrying. Once the rounds are over, only the closing message matters.
    """
    replies = {"plan": "decision", "round": "answer", "close": "receipt"}
    kinds = ("plan", "round") if records.ending is None else ("close",)
    done = {(said.kind, said.round, said.node) for said in records.received if said.standing != "waiting"}
    return tuple(
        (sent.kind, sent.round, sent.node)
        for sent in records.sent
        if sent.kind in kinds and (replies[sent.kind], sent.round, sent.node) not in done
    )


@dataclass(frozen=True)
class _Tally:
    """Who of the nodes asked agreed, who refused and why, and who has said nothing."""

    agreed: tuple[str, ...]
    refused: dict[str, str]
    silent: tuple[str, ...]

    @classmethod
    def of(cls, asked: tuple[str, ...], said: dict[str, Received]) -> _Tally:
        standing = {node: said[node].standing if node in said else "" for node in asked}
        return cls(
            tuple(node for node in asked if standing[node] == "approved"),
            {node: said[node].code for node in asked if standing[node] == "refused"},
            tuple(node for node in asked if not standing[node]),
        )


def _towards_the_end(terms: Terms, records: Records, clock: Clock) -> Action | None:
    current = current_round(terms, records)
    asked = terms.roster if current is None else records.asked(current)
    said = records.said("decision") if current is None else records.said("answer", current)
    tally = _Tally.of(asked, said)
    if len(asked) - len(tally.refused) < terms.required:
        return _refused(terms, asked, tally)
    until = waiting_until(terms, records, clock)
    if tally.silent and until is not None and clock.now < until:
        return None
    if len(tally.agreed) < terms.required:
        return _silent(
            terms, "decided about the plan" if current is None else f"answered round '{current}'", tally
        )
    following = terms.rounds if current is None else terms.rounds[terms.rounds.index(current) + 1 :]
    return AskRound(following[0], tally.agreed) if following else Finish(tally.agreed)


def _unless_expired(action: Action | None, terms: Terms, clock: Clock) -> Action | None:
    if clock.now < terms.expires or not isinstance(action, AskRound):
        return action
    reason = (
        f"The plan expired on {terms.expires:%d %B %Y}, before the round '{action.round}' could be asked."
    )
    return Fail(ExpiredError.code, reason)


def _refused(terms: Terms, asked: tuple[str, ...], tally: _Tally) -> Fail:
    left = len(asked) - len(tally.refused)
    who = ", ".join(f"{node} ({code})" for node, code in tally.refused.items())
    number = f"{left} of {len(terms.roster)} nodes can still take part; the plan needs {terms.required}."
    return Fail(RefusedError.code, f"{number} Refused: {who}.")


def _silent(terms: Terms, did: str, tally: _Tally) -> Fail:
    reason = (
        f"{len(tally.agreed)} of {len(terms.roster)} nodes {did} in time; the plan needs {terms.required}. "
        f"No answer from: {', '.join(tally.silent)}."
    )
    return Fail(ChannelError.code, reason)
