"""The one door out of a node.

``release`` takes the exact integers of one declared round, and nothing else can make an answer with numbers:

1. the vectors are exactly the declared ones: names, order, dimension, 64-bit integers;
2. the ledger reserves the round's charge, and returns when the charge is durable;
3. noise is drawn;
4. the signed answer is stored under the request's digest, and the storing is durable;
5. the stored bytes are returned.

The same request again gets the same bytes: no new noise, no new charge. If the machine stops between 2 and 4,
the request is completed later under the same reservation: nothing had left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from cohortium_node.accounts import Charge, cost
from cohortium_node.ledger import Ledger
from cohortium_node.release.noise import with_noise
from cohortium_protocols.canonical import digest, pack_integers
from cohortium_protocols.errors import PolicyRefusal
from cohortium_protocols.messages import RoundAnswer, RoundRequest, read
from cohortium_protocols.signing import Envelope, SigningKey
from cohortium_protocols.statistics import RoundSpec, VectorSpec

FAULT_POINTS = ("after_reserve", "after_noise", "before_store", "after_store")
"""Where a test may stop the process."""

Vectors = Mapping[str, NDArray[np.int64]]


def no_fault(point: str) -> None:
    """Called at every fault point outside tests."""


class Gate:
    """The door of one node: its ledger, its name and its key."""

    def __init__(
        self,
        ledger: Ledger,
        key: SigningKey,
        *,
        simulation: bool = False,
        faults: Callable[[str], None] = no_fault,
    ) -> None:
        self._ledger = ledger
        self._key = key
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
            PolicyRefusal: the vectors are not the declared ones, or the round is not open at this price.
            BudgetRefusal: a cap does not cover it.
            ReplayError: the round was released before, for another request.
            LedgerError: the ledger cannot be written durably.
        """
        stored = self.stored(request)
        if stored is not None:
            return stored
        self._check(spec, exact)
        body = read(request, RoundRequest)
        charge = Charge(digest(request.body), request.study, body.plan_digest, spec.name, cost(spec))
        self._ledger.reserve(charge)
        self._faults("after_reserve")
        released = {vector.name: self._noised(exact[vector.name], vector) for vector in spec.vectors}
        self._faults("after_noise")
        return self._stored_answer(request, body, released)

    def _stored_answer(self, request: Envelope, body: RoundRequest, released: Vectors) -> bytes:
        answer = RoundAnswer(
            plan_digest=body.plan_digest,
            round=body.round,
            request_digest=digest(request.body),
            vectors={name: pack_integers(values) for name, values in released.items()},
        )
        envelope = Envelope.sign(
            "answer", request.study, request.recipient, request.sender, answer.body(), self._key
        ).to_bytes()
        self._faults("before_store")
        self._ledger.store_answer(digest(request.body), envelope)
        self._faults("after_store")
        return envelope

    def _check(self, spec: RoundSpec, exact: Vectors) -> None:
        if tuple(exact) != tuple(vector.name for vector in spec.vectors):
            raise _undeclared(f"the vectors of round '{spec.name}' are not the declared ones")
        for vector in spec.vectors:
            values = exact[vector.name]
            if values.shape != (vector.dimension,) or values.dtype != np.int64:
                raise _undeclared(f"'{vector.name}' is not {vector.dimension} whole numbers of 64 bits")
            if vector.sigma <= 0 and not self._simulation:
                raise _undeclared(f"'{vector.name}' has no noise")

    def _noised(self, values: NDArray[np.int64], spec: VectorSpec) -> NDArray[np.int64]:
        if spec.sigma <= 0 and self._simulation:
            return values
        return with_noise(values, spec)


def _undeclared(why: str) -> PolicyRefusal:
    return PolicyRefusal("Only declared vectors, with their declared noise, can leave this node.", why=why)
