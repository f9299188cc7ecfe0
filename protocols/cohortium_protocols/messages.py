"""What the two sides say to each other: the bodies of signed envelopes, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from cohortium_protocols.errors import TrustError
from cohortium_protocols.plan import Plan
from cohortium_protocols.signing import Envelope

M = TypeVar("M", bound="Message")

KINDS = ("plan", "decision", "round", "answer", "close", "receipt")
"""Every kind of envelope: plan, round and close go to nodes; decision, answer and receipt come back."""


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
    """A request for one round: only numbers that change no declared dimension, bound, noise or price."""

    plan_digest: str
    round: str
    attempt: int
    parameters: Mapping[str, Any]


class RoundAnswer(Message):
    """A node's answer: every declared vector of the round as packed integers, or the code of a refusal."""

    plan_digest: str
    round: str
    request_digest: str
    code: str = ""
    vectors: Mapping[str, str]


class Close(Message):
    """The study has ended: the node destroys what it kept of the cohort."""

    plan_digest: str
    reason: str


class Receipt(Message):
    """The node has closed the study; ``ledger_head`` commits it to its privacy ledger."""

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
