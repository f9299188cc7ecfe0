"""What is stored about a study: facts, added and never changed. All the rest is worked out from them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

SentKind = Literal["plan", "round", "close"]
ReceivedKind = Literal["decision", "answer", "receipt"]
Standing = Literal["approved", "waiting", "refused"]
Outcome = Literal["finished", "failed", "closed"]

FIRST_ATTEMPT = 1
"""A round is attempted once: nodes that were charged for a secure sum that fails would be charged again."""


@dataclass(frozen=True)
class Sent:
    """An envelope for a node, stored before it was posted.

    Attributes:
        kind: plan, round or close.
        round: name of the round; empty for the other kinds.
        node: whom it is for.
        digest: SHA-256 of the envelope's body, which the node's answer quotes.
        at: when it was stored.
        stage: in a secure sum, the step of the round that the node is asked to take; empty otherwise.
        attempt: number of the attempt at the round.
    """

    kind: SentKind
    round: str
    node: str
    digest: str
    at: datetime
    stage: str = ""
    attempt: int = FIRST_ATTEMPT


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
        stage: in a secure sum, the step that was taken or refused; empty otherwise.
        attempt: number of the attempt at the round.
    """

    kind: ReceivedKind
    round: str
    node: str
    standing: Standing
    code: str
    at: datetime
    stage: str = ""
    attempt: int = FIRST_ATTEMPT

    @property
    def slot(self) -> str:
        """What there can be only one of: a final decision, an answer to a round or to a step of it, a receipt."""
        if self.standing == "waiting":
            return "waiting"
        attempt = "" if self.attempt == FIRST_ATTEMPT else f"attempt {self.attempt}"
        return " ".join(filter(None, (self.kind, self.round, self.stage, attempt)))


@dataclass(frozen=True)
class Step:
    """What nodes are doing now: a round, or one step of its secure sum.

    Attributes:
        round: name of the round.
        stage: the step; empty where every node answers by itself.
        attempt: number of the attempt at the round.
        nodes: who was asked for it.
        at: since when.
    """

    round: str
    stage: str
    attempt: int
    nodes: tuple[str, ...]
    at: datetime


@dataclass(frozen=True)
class Summed:
    """A secure sum has ended: its masks are off.

    Attributes:
        round: name of the round.
        attempt: number of the attempt.
        nodes: whose vectors are in the total.
        at: when it was stored.
    """

    round: str
    attempt: int
    nodes: tuple[str, ...]
    at: datetime


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
    sums: tuple[Summed, ...] = ()

    def asked(self, round_name: str) -> tuple[str, ...]:
        """Returns the nodes that were asked for a round."""
        return tuple(dict.fromkeys(sent.node for sent in self._asked(round_name)))

    def step(self, round_name: str) -> Step:
        """Returns the latest step of a round that was asked."""
        last = self._asked(round_name)[-1]
        nodes = self.told(round_name, last.stage, last.attempt)
        return Step(round_name, last.stage, last.attempt, nodes, last.at)

    def told(self, round_name: str, stage: str, attempt: int = FIRST_ATTEMPT) -> tuple[str, ...]:
        """Returns the nodes that were asked for a step of a round."""
        wanted = (stage, attempt)
        return tuple(sent.node for sent in self._asked(round_name) if (sent.stage, sent.attempt) == wanted)

    def summed(self, round_name: str) -> Summed | None:
        """Returns the end of a round's secure sum; None before that."""
        return next((summed for summed in self.sums if summed.round == round_name), None)

    def request_of(self, received: Received) -> str:
        """Returns the digest of the message that a node answered."""
        slot = (received.round, received.node, received.stage, received.attempt)
        asked = (each for each in self.sent if (each.round, each.node, each.stage, each.attempt) == slot)
        return next(each.digest for each in asked if each.kind == "round")

    def sent_at(self, kind: SentKind, round_name: str = "") -> datetime | None:
        """Returns when the messages of a step were stored; None before that."""
        return next((sent.at for sent in self.sent if (sent.kind, sent.round) == (kind, round_name)), None)

    def said(self, kind: ReceivedKind, round_name: str = "", stage: str = "") -> dict[str, Received]:
        """Returns what each node finally said at a step."""
        wanted = (kind, round_name, stage)
        return {
            received.node: received
            for received in self.received
            if (received.kind, received.round, received.stage) == wanted and received.standing != "waiting"
        }

    def refusal(self, node: str) -> str:
        """Returns why a node refused the plan, a round or a step; empty when it refused nothing."""
        return next((said.code for said in self.received if said.node == node and said.standing == "refused"), "")

    def _asked(self, round_name: str) -> list[Sent]:
        return [sent for sent in self.sent if sent.kind == "round" and sent.round == round_name]
