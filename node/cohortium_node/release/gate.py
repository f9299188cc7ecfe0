"""The one door out of a node.

``release`` takes the exact integers of one declared round, and nothing else can make an answer with numbers:

0. the ledger is at or after every anchor that witnesses hold of it (``anchors``);
1. the vectors are exactly the declared ones: names, order, dimension, 64-bit integers;
2. the ledger reserves the round's charge, if the round is declared exactly as it was when its study was opened, and
   returns when the charge is durable;
3. noise is drawn;
4. the signed answer, with a statement about the ledger that commits to it, is stored under the request's digest,
   and the storing is durable;
5. the stored bytes are returned.

``mask`` is the same door for a secure sum: between 3 and 4, noised vectors (each node adds its share of the noise) are
put under masks that only come off the sum of all nodes. What is stored and returned is the masked vector, together
with the state that made it. Every attempt is reserved and freshly noised by itself.

The same request again gets the same bytes: no new noise, no new charge. If the machine stops between 2 and 4,
the request is completed later under the same reservation: nothing had left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cohortium_node.accounts import Charge, price
from cohortium_node.anchors import Anchors
from cohortium_node.attempts import Attempt
from cohortium_node.ledger import Ledger
from cohortium_node.release.noise import whole, with_noise
from cohortium_protocols.canonical import digest, pack_integers
from cohortium_protocols.errors import PolicyRefusal
from cohortium_protocols.heads import released, statement
from cohortium_protocols.messages import Head, Message, RoundAnswer, RoundRequest, read
from cohortium_protocols.secure_rounds import joined
from cohortium_protocols.secure_sum import Participant
from cohortium_protocols.secure_sum.messages import Deliveries, MaskedVector
from cohortium_protocols.signing import Envelope, SigningKey
from cohortium_protocols.statistics import RoundSpec, VectorSpec

FAULT_POINTS = ("after_reserve", "after_noise", "before_store", "after_store")
"""Where a test may stop the process."""

Vectors = Mapping[str, NDArray[np.int64]]


@dataclass(frozen=True)
class Turn:
    """A node's turn to mask.

    Attributes:
        step: the verified message that asked for it.
        attempt: as it was kept last.
        participant: the state machine with the attempt's secrets.
        deliveries: the shares that peers entrusted to this node.
        share: declared sigma -> what this node adds.
    """

    step: Envelope
    attempt: Attempt
    participant: Participant
    deliveries: Deliveries
    share: Callable[[float], float]


def no_fault(point: str) -> None:
    """Called at every fault point outside tests."""


class Gate:
    """The door of one node: its ledger, its name and its key."""

    def __init__(
        self,
        ledger: Ledger,
        key: SigningKey,
        *,
        anchors: Anchors | None = None,
        simulation: bool = False,
        faults: Callable[[str], None] = no_fault,
    ) -> None:
        self._ledger = ledger
        self._key = key
        self._anchors = anchors or Anchors()
        self._simulation = simulation
        self._faults = faults

    def stored(self, request: Envelope) -> bytes | None:
        """Returns the answer that was stored for a request, or None."""
        return self._ledger.answer(digest(request.body))

    def release(self, request: Envelope, spec: RoundSpec, exact: Vectors) -> bytes:
        """Returns the signed answer to a verified request, stored before it is returned.

        Args:
            request: the verified envelope of a round request.
            spec: the round, from the schedule of the approved plan.
            exact: the round's vectors before noise, in the declared order; shapes (dimension,), dtype int64.

        Raises:
            PolicyRefusal: the vectors are not the declared ones, or the round is not open as declared here.
            BudgetRefusal: a cap does not cover it.
            ReplayError: the round was released before, for another request.
            LedgerError: the ledger is behind an anchor, or cannot be written durably.
        """
        stored = self.stored(request)
        if stored is not None:
            return stored
        self.check_anchors()
        self._check(spec, exact)
        noised = self._charged_and_noised(request, spec, exact, whole)
        return self._stored_answer(request, read(request, RoundRequest), noised)

    def check(self, request: Envelope, spec: RoundSpec) -> None:
        """Refuses a verified request that ``mask`` would refuse in the end, before its group is formed.

        Raises:
            PolicyRefusal: the round is not open as declared here.
            BudgetRefusal: a cap does not cover it.
            ReplayError: the attempt was charged before, for another request.
            LedgerError: the ledger is behind an anchor.
        """
        self.check_anchors()
        self._ledger.check(_charge(request, spec))

    def check_anchors(self) -> None:
        """Refuses to go on with a ledger that is behind an anchor.

        Raises:
            LedgerError: it is.
        """
        self._anchors.check(self._ledger)

    def mask(self, turn: Turn, spec: RoundSpec, exact: Vectors) -> bytes:
        """Returns the signed masked vector of one attempt at a secure sum, stored before it is returned.

        Args:
            turn: the attempt, and what peers entrusted to this node.
            spec: the round, from the schedule of the approved plan.
            exact: the round's vectors before noise, in the declared order; shapes (dimension,), dtype int64.

        Raises:
            RefusedError: as ``release``, or the shares are not as they must be; then nothing is charged.
            ReplayError: the attempt's vector was masked before, for another message.
            LedgerError: the ledger is behind an anchor, or cannot be written durably.
        """
        stored = self.stored(turn.step)
        if stored is not None:
            return stored
        self.check_anchors()
        self._check(spec, exact)
        turn.participant.check(turn.deliveries)
        noised = self._charged_and_noised(Envelope.from_bytes(turn.attempt.request), spec, exact, turn.share)
        return self._stored_mask(turn, joined(spec, noised))

    def _stored_mask(self, turn: Turn, noised: NDArray[np.int64]) -> bytes:
        def state(masked: MaskedVector) -> str:
            return self._statement(turn.step, masked)

        message = turn.participant.mask(turn.deliveries, noised, state)
        self._faults("before_store")
        attempt = replace(turn.attempt, secrets=turn.participant.secrets.to_bytes())
        self._ledger.store_masked(digest(turn.step.body), attempt, message)
        self._faults("after_store")
        return message

    def _charged_and_noised(
        self, request: Envelope, spec: RoundSpec, exact: Vectors, share: Callable[[float], float]
    ) -> Vectors:
        self._ledger.reserve(_charge(request, spec))
        self._faults("after_reserve")
        noised = {vector.name: self._noised(exact[vector.name], vector, share) for vector in spec.vectors}
        self._faults("after_noise")
        return noised

    def _stored_answer(self, request: Envelope, body: RoundRequest, noised: Vectors) -> bytes:
        answer = RoundAnswer(
            plan_digest=body.plan_digest,
            round=body.round,
            request_digest=digest(request.body),
            vectors={name: pack_integers(values) for name, values in noised.items()},
        )
        stated = answer.model_copy(update={"head": self._statement(request, answer)})
        envelope = Envelope.sign(
            "answer", request.study, request.recipient, request.sender, stated.body(), self._key
        ).to_bytes()
        self._faults("before_store")
        self._ledger.store_answer(digest(request.body), envelope)
        self._faults("after_store")
        return envelope

    def _statement(self, request: Envelope, answer: Message) -> str:
        head = Head(
            sequence=self._ledger.sequence,
            hash=self._ledger.head,
            request=digest(request.body),
            released=released(answer.body()),
        )
        return statement(head, request.study, request.recipient, request.sender, self._key)

    def _check(self, spec: RoundSpec, exact: Vectors) -> None:
        if tuple(exact) != tuple(vector.name for vector in spec.vectors):
            raise _undeclared(f"the vectors of round '{spec.name}' are not the declared ones")
        for vector in spec.vectors:
            values = exact[vector.name]
            if values.shape != (vector.dimension,) or values.dtype != np.int64:
                raise _undeclared(f"'{vector.name}' is not {vector.dimension} whole numbers of 64 bits")
            if vector.sigma <= 0 and not self._simulation:
                raise _undeclared(f"'{vector.name}' has no noise")

    def _noised(
        self, values: NDArray[np.int64], spec: VectorSpec, share: Callable[[float], float]
    ) -> NDArray[np.int64]:
        if spec.sigma <= 0 and self._simulation:
            return values
        return with_noise(values, spec, share)


def _charge(request: Envelope, spec: RoundSpec) -> Charge:
    body = read(request, RoundRequest)
    return Charge(digest(request.body), request.study, body.plan_digest, spec.name, price(spec), body.attempt)


def _undeclared(why: str) -> PolicyRefusal:
    return PolicyRefusal("Only declared vectors, with their declared noise, can leave this node.", why=why)
