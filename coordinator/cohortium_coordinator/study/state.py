"""A study's state, worked out from its records and a clock: no input or output, no flag that could disagree.

    waiting for approval ──> round 1 of n ──> ... ──> round n of n ──> combining ──> published | not published
             │                     │                        │
             └─────────────────────┴────────────────────────┴──> failed, or closed by the operator

- The rounds start when every node of the roster has decided, or when the time to decide is over and enough
  approved.
- A round ends when everyone asked has answered, or when its time is over and enough answered. Those who
  refused or did not answer take no part in later rounds: only nodes that answered every round are asked.
- Enough means the roster less the nodes that the plan tolerates to lose. With fewer, the study fails.
- A round that is a secure sum has five steps, each with the time of a round. A step ends when everyone asked has
  taken or refused it, or when its time is over; who took it is asked for the next one. The last step gives the
  total, and whose vectors are in it. They are asked for the next round, late at a step or not: their vectors count.

Who took part in a round is a record (the requests that were stored), never a guess from the time: an answer
that comes late changes nothing. Time counts from when a request was stored or, if that is later, from when
this service last started to listen, so that a coordinator that was down does not blame the nodes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from cohortium_coordinator.study.records import Received, Records, Sent, Step
from cohortium_protocols.errors import ChannelError, ExpiredError, RefusedError
from cohortium_protocols.secure_rules import Rules
from cohortium_protocols.secure_sum.messages import STAGES


@dataclass(frozen=True)
class Terms:
    """What the plan and the operator's configuration fix before a study starts.

    Attributes:
        roster: every node asked, in the plan's order.
        required: fewest nodes that must take part.
        rounds: names of the rounds, in order.
        expires: end of the plan.
        time_to_decide: how long a node has to approve or refuse.
        time_to_answer: how long a node has to answer one round, or one step of its secure sum.
        rules: of the plan's secure sums; None when every node answers by itself.
    """

    roster: tuple[str, ...]
    required: int
    rounds: tuple[str, ...]
    expires: datetime
    time_to_decide: timedelta
    time_to_answer: timedelta
    rules: Rules | None = None

    @property
    def first_stage(self) -> str:
        """The step of a round that its request asks for; empty when every node answers by itself."""
        return STAGES[0] if self.rules else ""

    def needed(self, stage: str) -> int:
        """Returns the fewest nodes that must take a step."""
        return self.rules.threshold if self.rules and stage in STAGES[3:] else self.required


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
class CloseStep:
    """End a step of a secure sum with those who took it."""

    step: Step


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


Action = AskRound | CloseStep | Finish | Fail | Combine | TellClosed


def next_action(terms: Terms, records: Records, clock: Clock) -> Action | None:
    """Returns the one thing to do now; None when there is nothing but to wait."""
    if records.ending is None:
        action = _unless_expired(_towards_the_end(terms, records, clock), terms, clock)
        return replace(action, reason=action.reason + charged(terms, records)) if isinstance(action, Fail) else action
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
    asked_at = None if current is None else records.step(current).at
    allowed = terms.time_to_decide if current is None else terms.time_to_answer
    return min(max(asked_at or records.submitted, clock.listening_since) + allowed, terms.expires)


def outstanding(records: Records) -> tuple[Sent, ...]:
    """Returns the messages of the latest step that their nodes have not answered, oldest first.

    Nobody waits for an answer to those of an earlier step, nor, once the rounds are over, to any but the closing one.
    """
    replies = {"plan": "decision", "round": "answer", "close": "receipt"}
    kinds = ("plan", "round") if records.ending is None else ("close",)
    latest = _place(records.sent[-1])
    asked = [sent for sent in records.sent if sent.kind in kinds and _place(sent) == latest]
    done = {(said.kind, _place(said), said.node) for said in records.received if said.standing != "waiting"}
    return tuple(sent for sent in asked if (replies[sent.kind], latest, sent.node) not in done)


def _place(message: Sent | Received) -> tuple[str, str, int]:
    return message.round, message.stage, message.attempt


def charged(terms: Terms, records: Records) -> str:
    """Returns sentences on what nodes have charged to their privacy budgets; empty before the first secure sum.

    The one under way may have been charged by the nodes that were given what they need to mask their vectors.
    """
    current = current_round(terms, records)
    if terms.rules is None or current is None:
        return ""
    ended = [summed.round for summed in records.sums]
    before = f" Rounds that stay charged: {', '.join(ended)}." if ended else ""
    return before if current in ended else _charged_now(current, records) + before


def _charged_now(current: str, records: Records) -> str:
    nodes = records.told(current, "mask")
    who = f"These nodes may have charged round '{current}'" if nodes else f"Nobody has charged round '{current}'"
    return f" {who} to their privacy budget{': ' * bool(nodes)}{', '.join(nodes)}."


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
    step = None if current is None or records.summed(current) else records.step(current)
    asked, tally = _tally(terms, records, current)
    needed = terms.needed(step.stage if step else "")
    if len(asked) - len(tally.refused) < needed:
        return _refused(terms, asked, tally, needed)
    until = waiting_until(terms, records, clock)
    if tally.silent and until is not None and clock.now < until:
        return None
    if step is not None and step.stage:
        return CloseStep(step)
    if len(tally.agreed) < needed:
        did = "decided about the plan" if current is None else f"answered round '{current}'"
        return _silent(terms, did, tally)
    following = terms.rounds if current is None else terms.rounds[terms.rounds.index(current) + 1 :]
    return AskRound(following[0], tally.agreed) if following else Finish(tally.agreed)


def _tally(terms: Terms, records: Records, current: str | None) -> tuple[tuple[str, ...], _Tally]:
    """Returns who was asked last, and what they said; of a secure sum that has ended, those who are in it."""
    if current is None:
        return terms.roster, _Tally.of(terms.roster, records.said("decision"))
    if (summed := records.summed(current)) is not None:
        codes = {node: records.refusal(node) for node in summed.nodes}
        refused = {node: code for node, code in codes.items() if code}
        return summed.nodes, _Tally(tuple(node for node in codes if node not in refused), refused, ())
    step = records.step(current)
    return step.nodes, _Tally.of(step.nodes, records.said("answer", current, step.stage))


def _unless_expired(action: Action | None, terms: Terms, clock: Clock) -> Action | None:
    if clock.now < terms.expires:
        return action
    if isinstance(action, AskRound):
        return _expired(terms, f"the round '{action.round}' could be asked")
    if isinstance(action, CloseStep) and action.step.stage != STAGES[-1]:
        return _expired(terms, f"the round '{action.step.round}' was over")
    return action


def _expired(terms: Terms, before: str) -> Fail:
    return Fail(ExpiredError.code, f"The plan expired on {terms.expires:%d %B %Y}, before {before}.")


def _refused(terms: Terms, asked: tuple[str, ...], tally: _Tally, needed: int) -> Fail:
    left = len(asked) - len(tally.refused)
    who = ", ".join(f"{node} ({code})" for node, code in tally.refused.items())
    number = f"{left} of {len(terms.roster)} nodes can still take part; the plan needs {needed}."
    return Fail(RefusedError.code, f"{number} Refused: {who}.")


def _silent(terms: Terms, did: str, tally: _Tally) -> Fail:
    reason = (
        f"{len(tally.agreed)} of {len(terms.roster)} nodes {did} in time; the plan needs {terms.required}. "
        f"No answer from: {', '.join(tally.silent)}."
    )
    return Fail(ChannelError.code, reason)
