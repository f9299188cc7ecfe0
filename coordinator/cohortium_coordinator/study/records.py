"""What is stored about a study: facts, added and never changed. All the rest is worked out from them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

SentKind = Literal["plan", "round", "close"]
ReceivedKind = Literal["decision", "answer", "receipt"]
Standing = Literal["approved", "waiting", "refused"]
Outcome = Literal["finished", "failed", "closed"]

RECEIVED_KINDS: tuple[ReceivedKind, ...] = ("decision", "answer", "receipt")


@dataclass(frozen=True)
class Sent:
    """An envelope for a node, stored before it was posted.

    Attributes:
        kind: plan, round or close.
        round: name of the round; empty for the other kinds.
        node: whom it is for.
        digest: SHA-256 of the envelope's body, which the node's answer quotes.
        at: when it was stored.
    """

    kind: SentKind
    round: str
    node: str
    digest: str
    at: datetime


@dataclass(frozen=True)
class Received:
    """A verified message from a node: the first of its slot. Later ones that differ are faults.

    Attributes:
        kind: decision, answer or receipt.
        round: name of the round for an answer; empty for the other kinds.
        node: who said it.
        standing: what a decision says; an answer is approved or refused; a receipt is approved.
        code: why it was refused, a word of the closed vocabulary of errors.
        at: when it was stored.
    """

    kind: ReceivedKind
    round: str
    node: str
    standing: Standing
    code: str
    at: datetime

    @property
    def slot(self) -> str:
        """What there can be only one of: a final decision, an answer to a round, a receipt."""
        return "waiting" if self.standing == "waiting" else f"{self.kind} {self.round}".strip()


@dataclass(frozen=True)
class Ending:
    """The rounds are over.

    Attributes:
        outcome: finished (there are sums to combine), failed, or closed by the operator.
        nodes: who answered every round; empty unless finished.
        code: why it failed, a word of the closed vocabulary of errors; empty otherwise.
        reason: a sentence for people; empty when finished.
        at: when it was decided; also the date of the report.
    """

    outcome: Outcome
    nodes: tuple[str, ...]
    code: str
    reason: str
    at: datetime


@dataclass(frozen=True)
class Reported:
    """The report was written."""

    published: bool
    reason: str
    at: datetime


@dataclass(frozen=True)
class Fault:
    """Something that arrived and was not accepted."""

    node: str
    what: str
    at: datetime


@dataclass(frozen=True)
class Records:
    """All that is stored about one study, in the order in which it was stored."""

    study: str
    plan_digest: str
    submitted: datetime
    sent: tuple[Sent, ...] = ()
    received: tuple[Received, ...] = ()
    ending: Ending | None = None
    reported: Reported | None = None
    faults: tuple[Fault, ...] = ()

    def asked(self, round_name: str) -> tuple[str, ...]:
        """Returns the nodes that were asked for a round."""
        return tuple(sent.node for sent in self.sent if sent.kind == "round" and sent.round == round_name)

    def sent_at(self, kind: SentKind, round_name: str = "") -> datetime | None:
        """Returns when the messages of a step were stored; None before that."""
        return next((sent.at for sent in self.sent if (sent.kind, sent.round) == (kind, round_name)), None)

    def said(self, kind: ReceivedKind, round_name: str = "") -> dict[str, Received]:
        """Returns what each node finally said at a step."""
        return {
            received.node: received
            for received in self.received
            if (received.kind, received.round) == (kind, round_name) and received.standing != "waiting"
        }
