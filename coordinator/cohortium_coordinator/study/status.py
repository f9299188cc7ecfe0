"""Where a study stands, for people: worked out from its records and never stored."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from cohortium_coordinator import result
from cohortium_coordinator.study.records import Records
from cohortium_coordinator.study.state import Clock, Terms, current_round, waiting_until
from cohortium_protocols.errors import BudgetRefusal, ChannelError, TooFewNodes

Phase = Literal[
    "waiting for approval", "round", "combining", "published", "not published", "failed", "closed"
]
NodeState = Literal["waiting", "approved", "answered", "refused", "offline"]

ENDED: tuple[Phase, ...] = ("published", "not published", "failed", "closed")
"""Phases after which no result will change."""


@dataclass(frozen=True)
class NodeProgress:
    """How far one node is.

    Attributes:
        name: the node.
        state: waiting (has not decided), approved, answered (at least one round), refused, or offline (did
            not decide or answer in time, and takes no further part).
        rounds_answered: how many rounds it answered.
        code: why it refused; empty otherwise.
        closed: whether its receipt for the end of the study has come.
    """

    name: str
    state: NodeState
    rounds_answered: int
    code: str
    closed: bool


@dataclass(frozen=True)
class StudyStatus:
    """Where a study stands.

    Attributes:
        study: its name.
        plan_digest: SHA-256 of its plan's canonical bytes.
        phase: see the picture in ``state``.
        round: number of the round being asked, from 1; 0 before the first.
        rounds: how many rounds there are.
        round_name: name of that round; empty before the first.
        step: the step of its secure sum that is being taken; empty when every node answers by itself.
        nodes: every node of the roster.
        code: why it failed, a word of the closed vocabulary of errors; empty otherwise.
        reason: why it failed, was closed or was not published, for people; empty otherwise.
        submitted: when the plan was submitted.
        waiting_until: when the present wait for nodes is over; None when nobody is waited for.
        faults: what arrived and was not accepted, in sentences.
    """

    study: str
    plan_digest: str
    phase: Phase
    round: int
    rounds: int
    round_name: str
    step: str
    nodes: tuple[NodeProgress, ...]
    code: str
    reason: str
    submitted: datetime
    waiting_until: datetime | None
    faults: tuple[str, ...]

    @property
    def ended(self) -> bool:
        """Whether the outcome is known."""
        return self.phase in ENDED

    @property
    def phase_text(self) -> str:
        """The phase as people read it."""
        return (
            f"round {self.round} of {self.rounds} ({self.round_name})"
            if self.phase == "round"
            else self.phase
        )

    def to_json(self) -> dict[str, Any]:
        """Returns a plain JSON value; times are ISO 8601 in UTC."""
        times = {"submitted": self.submitted, "waiting_until": self.waiting_until}
        texts = {name: time.isoformat() if time else None for name, time in times.items()}
        return asdict(self) | texts | {"ended": self.ended, "phase_text": self.phase_text}


def study_status(terms: Terms, records: Records, clock: Clock) -> StudyStatus:
    """Returns where the study stands."""
    current = current_round(terms, records)
    ending, reported = records.ending, records.reported
    return StudyStatus(
        study=records.study,
        plan_digest=records.plan_digest,
        phase=_phase(records, current),
        round=terms.rounds.index(current) + 1 if current else 0,
        rounds=len(terms.rounds),
        round_name=current or "",
        step=records.step(current).stage if current else "",
        nodes=tuple(node_progress(terms, records, node) for node in terms.roster),
        code=ending.code if ending else "",
        reason=reported.reason if reported else ending.reason if ending else "",
        submitted=records.submitted,
        waiting_until=waiting_until(terms, records, clock),
        faults=tuple(fault.what for fault in records.faults),
    )


def node_progress(terms: Terms, records: Records, node: str) -> NodeProgress:
    """Returns how far one node is."""
    answered = _rounds_answered(terms, records, node)
    refusal = records.refusal(node)
    state = "refused" if refusal else _state(terms, records, node, answered)
    closed = node in records.said("receipt")
    return NodeProgress(node, state, answered, refusal, closed)


def node_statuses(terms: Terms, records: Records) -> tuple[result.NodeStatus, ...]:
    """Returns what became of every node, as the report says it."""
    return tuple(_status(node_progress(terms, records, node)) for node in terms.roster)


def _status(node: NodeProgress) -> result.NodeStatus:
    state: result.NodeState = "answered" if node.state == "answered" else "offline"
    if node.state == "refused":
        state = "over budget" if node.code == BudgetRefusal.code else "refused"
    return result.NodeStatus(name=node.name, status=state, rounds_answered=node.rounds_answered)


def _rounds_answered(terms: Terms, records: Records, node: str) -> int:
    """Returns in how many rounds a node's vectors count, or may count when every node answers by itself."""
    if terms.rules is not None:
        return sum(node in summed.nodes for summed in records.sums)
    said = [received for received in records.received if received.node == node]
    return sum(received.kind == "answer" and received.standing == "approved" for received in said)


def _phase(records: Records, current: str | None) -> Phase:
    if records.reported:
        return "published" if records.reported.published else "not published"
    if records.ending is None:
        return "round" if current else "waiting for approval"
    return "combining" if records.ending.outcome == "finished" else records.ending.outcome


def _state(terms: Terms, records: Records, node: str, answered: int) -> NodeState:
    if node not in _taking_part(terms, records):
        return "offline"
    if answered:
        return "answered"
    return "approved" if node in records.said("decision") else "waiting"


def _taking_part(terms: Terms, records: Records) -> tuple[str, ...]:
    """Returns the nodes not yet given up: after the others were silent, those that spoke."""
    if records.ending is not None and records.ending.nodes:
        return records.ending.nodes
    current = current_round(terms, records)
    step = None if current is None else records.step(current)
    asked = step.nodes if step else terms.roster
    if records.ending is None or records.ending.code not in (ChannelError.code, TooFewNodes.code):
        return asked
    said = records.said("answer", step.round, step.stage) if step else records.said("decision")
    return tuple(node for node in asked if node in said)
