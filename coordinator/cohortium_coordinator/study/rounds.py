"""What the coordinator says to nodes, and what their messages must be before they count."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cohortium_coordinator.combine.sums import Answers, Separate, Vectors
from cohortium_coordinator.config import StudySettings
from cohortium_coordinator.store import Message
from cohortium_coordinator.study.records import Received, ReceivedKind, Records, Sent, SentKind
from cohortium_coordinator.study.state import Terms
from cohortium_protocols.canonical import canonical_bytes, digest, unpack_integers
from cohortium_protocols.errors import BY_CODE, ExpiredError, PlanError, TrustError
from cohortium_protocols.messages import (
    Close,
    Decision,
    PlanMessage,
    Receipt,
    RoundAnswer,
    RoundRequest,
    SecureStep,
    read,
)
from cohortium_protocols.messages import Message as Body
from cohortium_protocols.plan import Plan, plan_digest
from cohortium_protocols.schedules import schedule
from cohortium_protocols.secure_rounds import check_shares, rules_of
from cohortium_protocols.signing import Envelope, SigningKey
from cohortium_protocols.statistics import RoundSpec, Schedule

LARGEST = 2**61
"""Bound on a released integer, of a node or of a total: exact sums stay far below it, noise included."""


class OpenStudy:
    """A signed plan with all that follows from it.

    Args:
        message: the plan as it was signed.
        settings: the operator's time-outs.
    """

    def __init__(self, message: PlanMessage, settings: StudySettings) -> None:
        self.message = message
        self.plan = message.plan
        self.digest = plan_digest(message.plan)
        self.terms = Terms(
            roster=self.plan.nodes.roster,
            required=len(self.plan.nodes.roster) - self.plan.privacy.tolerate_lost_nodes,
            rounds=tuple(str(declared["round"]) for declared in message.schedule),
            expires=datetime.fromisoformat(message.expires),
            time_to_decide=settings.time_to_decide,
            time_to_answer=settings.time_to_answer,
            rules=rules_of(self.plan) if self.plan.privacy.aggregation == "secure" else None,
        )

    @cached_property
    def schedule(self) -> Schedule:
        """Every vector that may leave a node, as it was signed.

        Raises:
            PlanError: this version would ask for other statistics.
        """
        return signed_schedule(self.message)


def signed_schedule(message: PlanMessage) -> Schedule:
    """Returns every vector that may leave a node under a signed plan.

    Raises:
        PlanError: the plan was signed with other statistics than this version would ask for.
    """
    found = schedule(message.plan)
    if canonical_bytes([*message.schedule]) != canonical_bytes(found.declaration()):
        raise PlanError(
            f"The signed plan of the study '{message.plan.study}' declares other statistics than now.",
            why="it was signed with another version of Cohortium",
            do="use the version it was signed with, or sign and submit it again under another name",
        )
    return found


def expiry(plan: Plan) -> datetime:
    """Returns when a plan ends: at the end of its deadline's day, UTC."""
    return datetime.combine(plan.nodes.deadline, time(), UTC) + timedelta(days=1)


def check_current(plan: Plan, now: datetime) -> None:
    """Refuses a plan that is past its deadline.

    Raises:
        ExpiredError: the deadline has passed.
    """
    if now >= expiry(plan):
        raise ExpiredError(
            f"The plan of the study '{plan.study}' has expired.",
            why=f"its deadline was {plan.nodes.deadline}, and today is {now.date()}",
            do="set a later `deadline` under `nodes` in the plan, then sign and submit it again",
        )


def plan_text(plan: Plan) -> str:
    """Returns a plan as text that :func:`load_plan` reads: its canonical JSON, which is YAML."""
    return canonical_bytes(plan.model_dump(mode="json", by_alias=True)).decode()


def plan_message(plan: Plan, now: datetime) -> PlanMessage:
    """Returns what is signed of a plan: with every vector that it would release, and until when.

    Raises:
        PlanError: nodes that share the noise would each add too little.
    """
    resolved = schedule(plan)
    if plan.privacy.aggregation == "secure":
        check_shares(plan, resolved)
    return PlanMessage(
        plan=plan,
        schedule=tuple(resolved.declaration()),
        created=now.isoformat(timespec="seconds"),
        expires=expiry(plan).isoformat(),
    )


# What the coordinator says


@dataclass(frozen=True)
class Writer:
    """Signs the operator's messages about one study."""

    operator: str
    study: str
    key: SigningKey

    def plan(self, body: PlanMessage, at: datetime) -> list[Message]:
        """Returns the plan for each node of its roster."""
        return [sent_message(envelope, at) for envelope in self._sign("plan", body, body.plan.nodes.roster)]

    def request(self, body: RoundRequest, nodes: Iterable[str], at: datetime, stage: str = "") -> list[Message]:
        """Returns the requests for a round; a stage is the first step of its secure sum."""
        return [sent_message(envelope, at, body.round, stage) for envelope in self._sign("round", body, nodes)]

    def steps(self, bodies: Mapping[str, SecureStep], at: datetime) -> list[Message]:
        """Returns what each node needs for the next step of a secure sum."""
        return [
            sent_message(envelope, at, body.round, body.stage)
            for node, body in bodies.items()
            for envelope in self._sign("secure_step", body, [node])
        ]

    def closing(self, body: Close, nodes: Iterable[str], at: datetime) -> list[Message]:
        """Returns the messages that end a study."""
        return [sent_message(envelope, at) for envelope in self._sign("close", body, nodes)]

    def _sign(self, kind: str, body: Body, nodes: Iterable[str]) -> list[Envelope]:
        return [Envelope.sign(kind, self.study, self.operator, node, body.body(), self.key) for node in nodes]


def sent_message(envelope: Envelope, at: datetime, round_name: str = "", stage: str = "") -> Message:
    """Returns the record of a signed envelope that is about to be sent."""
    kinds: dict[str, SentKind] = {"plan": "plan", "round": "round", "secure_step": "round", "close": "close"}
    sent = Sent(kinds[envelope.kind], round_name, envelope.recipient, digest(envelope.body), at, stage)
    return Message(sent, envelope.to_bytes())


# What nodes say


def accepted(envelope: Envelope, study: OpenStudy, records: Records, at: datetime) -> Received:
    """Returns the record of a message whose signature was verified.

    Raises:
        TrustError: it is not an answer to what this study asked of that node.
    """
    if envelope.sender not in study.terms.roster:
        raise TrustError(f"'{envelope.sender}' is not in the roster of this study.")
    if envelope.kind == "decision":
        return _decision(read(envelope, Decision), envelope.sender, study, at)
    if envelope.kind == "answer":
        return _answer(read(envelope, RoundAnswer), envelope.sender, study, records, at)
    if envelope.kind == "receipt":
        _same_plan(read(envelope, Receipt).plan_digest, envelope.sender, study)
        _was_sent(records, "close", "", envelope.sender)
        return Received("receipt", "", envelope.sender, "approved", "", at)
    raise TrustError(
        f"'{envelope.sender}' sent a message of the kind '{envelope.kind[:20]}', which nodes do not send."
    )


def _decision(decision: Decision, node: str, study: OpenStudy, at: datetime) -> Received:
    _same_plan(decision.plan_digest, node, study)
    return _record("decision", "", node, decision.decision == "refused", decision.code, at,
                   waiting=decision.decision == "waiting")  # fmt: skip


def _answer(answer: RoundAnswer, node: str, study: OpenStudy, records: Records, at: datetime) -> Received:
    _same_plan(answer.plan_digest, node, study)
    stage = answer.stage or study.terms.first_stage
    request = _was_sent(records, "round", answer.round, node, stage)
    if answer.request_digest != request.digest:
        raise TrustError(
            f"'{node}' answered another request for round '{answer.round}' than the one it was sent."
        )
    if answer.code and answer.vectors:
        raise TrustError(f"'{node}' refused round '{answer.round}' and sent vectors with the refusal.")
    if not answer.code and stage:
        raise TrustError(f"'{node}' answered round '{answer.round}' in the open, and it is a secure sum.")
    if not answer.code:
        unpacked(answer, study.schedule.round(answer.round), node)
    return _record("answer", answer.round, node, bool(answer.code), answer.code, at, stage=stage)


def _record(kind: ReceivedKind, round_name: str, node: str, refused: bool, code: str, at: datetime, *,
            waiting: bool = False, stage: str = "") -> Received:  # fmt: skip
    if code not in BY_CODE if refused else code:
        raise TrustError(f"'{node}' sent a {kind} with a code that does not belong to it.")
    standing = Received(kind, round_name, node, "refused" if refused else "approved", code, at, stage)
    return replace(standing, standing="waiting") if waiting else standing


def _same_plan(found: str, node: str, study: OpenStudy) -> None:
    if found != study.digest:
        raise TrustError(f"'{node}' spoke about another plan than the one of this study.")


def _was_sent(records: Records, kind: SentKind, round_name: str, node: str, stage: str = "") -> Sent:
    for sent in records.sent:
        if (sent.kind, sent.round, sent.node, sent.stage) == (kind, round_name, node, stage):
            return sent
    raise TrustError(f"'{node}' answered something that it was not asked.")


def unpacked(answer: RoundAnswer, spec: RoundSpec, node: str) -> Vectors:
    """Returns the vectors of an answer.

    Raises:
        TrustError: they are not exactly the declared ones.
    """
    if set(answer.vectors) != {vector.name for vector in spec.vectors}:
        raise TrustError(f"'{node}' answered round '{spec.name}' with other vectors than declared.")
    return {vector.name: _vector(answer, vector.name, vector.dimension, node) for vector in spec.vectors}


def _vector(answer: RoundAnswer, name: str, dimension: int, node: str) -> NDArray[np.int64]:
    try:
        values = unpack_integers(answer.vectors[name])
    except ValueError as error:
        raise TrustError(f"'{node}' sent a vector '{name}' that is not packed integers.") from error
    if values.shape != (dimension,):
        raise TrustError(
            f"'{node}' sent a vector '{name}' of {values.size} integers; {dimension} are declared."
        )
    if dimension and not -LARGEST < values.min() <= values.max() < LARGEST:
        raise TrustError(f"'{node}' sent a vector '{name}' with integers that no sum can reach.")
    return values


def gathered(envelopes: Sequence[bytes], study: OpenStudy, counted: Mapping[str, Sequence[str]]) -> Answers:
    """Returns what was released in each round, from stored answers.

    Args:
        envelopes: answers as received.
        study: whose answers they are.
        counted: round -> the nodes whose answers count for it, in order; other rounds are left out.
    """
    found: dict[tuple[str, str], Vectors] = {}
    for envelope in map(Envelope.from_bytes, envelopes):
        answer = read(envelope, RoundAnswer)
        if envelope.sender in counted.get(answer.round, ()):
            spec = study.schedule.round(answer.round)
            found[answer.round, envelope.sender] = unpacked(answer, spec, envelope.sender)
    return {name: Separate({node: found[name, node] for node in nodes}) for name, nodes in counted.items()}
