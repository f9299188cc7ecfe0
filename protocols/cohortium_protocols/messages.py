"""What the two sides say to each other: the bodies of signed envelopes, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from cohortium_protocols.errors import TrustError
from cohortium_protocols.plan import Plan
from cohortium_protocols.signing import Envelope

M = TypeVar("M", bound="Message")

SecureStage = Literal["share", "mask", "acknowledge", "reveal"]
"""Steps of a secure sum that the operator asks for; the first, the announcement, answers the round's request."""

KINDS = (
    *("plan", "round", "secure_step", "close"),
    *("decision", "answer", "receipt"),
    *("secure_announcement", "secure_shares", "secure_masked", "secure_acknowledgement", "secure_reveal"),
    *("anchor", "recall"),
)
"""Every kind of envelope: plan, round, secure_step and close go to nodes; the next two lines come back.

Witnesses send anchors to nodes; a node that starts sends a recall to its witnesses.
"""


class Message(BaseModel):
    """A frozen body with no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def body(self) -> dict[str, Any]:
        """Returns the body as a plain JSON value, ready to be signed."""
        return self.model_dump(mode="json", by_alias=True)


class PlanMessage(Message):
    """A plan, resolved into every vector it would release: what is signed, shown and approved."""

    plan: Plan
    schedule: tuple[Mapping[str, Any], ...]
    created: str
    expires: str


class Decision(Message):
    """What a custodian decided about a plan; ``code`` is a word of the closed vocabulary of ``errors``."""

    plan_digest: str
    decision: Literal["approved", "waiting", "refused"]
    code: str = ""


class RoundRequest(Message):
    """A request for one round: only numbers that change no declared dimension, bound, noise or price.

    ``attempt`` counts from 1; a round that each node answers by itself has one attempt only.
    """

    plan_digest: str
    round: str
    attempt: int
    parameters: Mapping[str, Any]


class RoundAnswer(Message):
    """A node's answer: every declared vector of the round as packed integers, or the code of a refusal.

    In a secure sum only refusals are said so.

    Attributes:
        plan_digest: of the plan.
        round: name of the round.
        request_digest: SHA-256 of the body of the message that it answers: a round's request, or a refused step.
        code: a word of the closed vocabulary of ``errors``; empty in an answer with vectors.
        vectors: name -> packed integers; none in a refusal.
        attempt: number of the attempt, as in the request.
        stage: the step of a secure sum that is refused; empty when it is the request itself.
        head: the node's statement about its ledger (``heads``); empty in a refusal.
    """

    plan_digest: str
    round: str
    request_digest: str
    code: str = ""
    vectors: Mapping[str, str]
    attempt: int = 1
    stage: str = ""
    head: str = ""


class Head(Message):
    """What a node states about its privacy ledger when it answers.

    Attributes:
        sequence: number of the newest entry; the reservation for this answer is in it or before it.
        hash: of that entry, which commits to all before it.
        request: digest of the request that is answered.
        released: digest of the answer without this statement.
    """

    sequence: int
    hash: str
    request: str
    released: str


class Anchor(Message):
    """A witness's word: the newest statement that it holds of a node; empty when it holds none.

    ``nonce`` is that of the recall it answers; empty when nobody asked.
    """

    node: str
    head: str
    nonce: str = ""


class Recall(Message):
    """A node that starts asks a witness for the newest statement that it holds of it."""

    nonce: str


class SecureStep(Message):
    """What a node needs for the next step of a secure sum.

    Attributes:
        plan_digest: of the plan.
        round: name of the round.
        attempt: number of the attempt, from 1.
        stage: the step to take.
        content: what closing the step before gave for this node (``secure_sum.messages``), as a plain JSON value.
    """

    plan_digest: str
    round: str
    attempt: int
    stage: SecureStage
    content: Mapping[str, Any]


class Close(Message):
    """The study has ended: the node destroys what it kept of the cohort."""

    plan_digest: str
    reason: str


class Receipt(Message):
    """The node has closed the study; ``ledger_head`` commits it to its privacy ledger, empty if it never opened it."""

    plan_digest: str
    ledger_head: str


def read(envelope: Envelope, kind: type[M]) -> M:
    """Returns the typed body of an envelope that was verified.

    Raises:
        TrustError: the body is not of that kind.
    """
    try:
        return kind.model_validate(envelope.content())
    except ValidationError as error:
        raise TrustError(
            f"A {envelope.kind} message from '{envelope.sender}' has a body this version does not understand.",
            why=f"{error.error_count()} faults, the first at {'.'.join(map(str, error.errors()[0]['loc']))}",
            do="compare the versions of Cohortium on both sides",
        ) from error
