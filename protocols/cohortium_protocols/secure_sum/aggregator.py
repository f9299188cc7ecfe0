"""The coordinator's side of a secure sum, without input or output.

It is a function of what it is told, in order: ``take`` a node's message, ``close`` the step under way. Replaying the
same messages and closings after a restart gives the same state. Nothing private rests on it: it can end a sum without
a result, and it learns the sum of one list of survivors, no more.

What is late, from somebody who is no longer part of it, or a repetition, is not taken; what is false is an error and
changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cohortium_protocols.canonical import unpack_integers
from cohortium_protocols.errors import ReplayError, SumNotRecovered, TooFewNodes, TrustError
from cohortium_protocols.secure_sum.messages import (
    STAGES,
    Acknowledgement,
    Acknowledgements,
    Announcement,
    Announcements,
    B,
    Deliveries,
    FromNode,
    MaskedVector,
    Reveal,
    Said,
    SealedShares,
    Stage,
    SurvivorList,
    commitment,
    kind_of,
    opened,
)
from cohortium_protocols.secure_sum.session import Session
from cohortium_protocols.secure_sum.unmask import Collected, unmasked
from cohortium_protocols.signing import VerifyKey

Requests = dict[str, Said]
"""Node -> what it gets at the start of the next step."""


@dataclass(frozen=True)
class Total:
    """The end of a secure sum.

    Attributes:
        survivors: whose vectors were added up, in the order of the roster.
        values: the exact sum modulo 2**64 as signed integers, shape (dimension,).
    """

    survivors: tuple[str, ...]
    values: NDArray[np.int64]


class Aggregator:
    """Collects one step after another.

    Args:
        session: what it is for.
        keys: the nodes' keys as pinned by the operator.
    """

    def __init__(self, session: Session, keys: Mapping[str, VerifyKey]) -> None:
        self.session = session
        self.survivors: SurvivorList | None = None
        self.total: Total | None = None
        self._keys = keys
        self._stage = 0
        self._expected: tuple[str, ...] = session.roster
        self._messages: dict[Stage, dict[str, tuple[bytes, FromNode]]] = {stage: {} for stage in STAGES}

    @property
    def stage(self) -> Stage | None:
        """The step under way; None when all are closed."""
        return STAGES[self._stage] if self._stage < len(STAGES) else None

    @property
    def waiting_for(self) -> tuple[str, ...]:
        """Nodes that may still take the step under way."""
        return tuple(node for node in self._expected if self.stage and node not in self._messages[self.stage])

    @property
    def charged(self) -> tuple[str, ...]:
        """Nodes that may have charged this attempt: those that were given what they need to mask."""
        return self._order(self._messages["share"]) if self._stage >= STAGES.index("mask") else ()

    def take(self, message: bytes) -> bool:
        """Returns whether a node's message counts for the step under way.

        Raises:
            TrustError: it is not from a pinned node, does not belong here, or says what cannot be.
            ReplayError: the node said something else at this step before.
        """
        stage = self.stage
        if stage is None:
            return False
        kind = kind_of(message)
        node, body = opened(self.session, message, kind, self._keys)
        if kind.stage != stage or node not in self._expected:
            return False
        return self._file(stage, node, message, body)

    def close(self) -> Requests:
        """Ends the step under way; returns what each node that goes on gets, nothing after the last.

        After the last step, ``total`` is the result.

        Raises:
            TooFewNodes: fewer took the step than the rules need.
            SumNotRecovered: the masks could not be taken off.
        """
        stage = self.stage
        if stage is None:
            return {}
        took = self._order(self._messages[stage])
        needed = self._needed(stage)
        if len(took) < needed:
            raise self._too_few(stage, took, needed)
        requests = _CLOSING[stage](self, took)
        self._stage, self._expected = self._stage + 1, tuple(requests)
        return requests

    # What is taken

    def _file(self, stage: Stage, node: str, message: bytes, body: FromNode) -> bool:
        filed = self._messages[stage].get(node)
        if filed is not None:
            if filed[0] != message:
                raise ReplayError(f"'{node}' took the step '{stage}' of a secure sum twice, differently.")
            return False
        if not self._plausible(node, body):
            raise TrustError(f"'{node}' took the step '{stage}' of a secure sum with content that cannot be right.")
        self._messages[stage][node] = (message, body)
        return True

    def _plausible(self, node: str, body: FromNode) -> bool:
        if isinstance(body, SealedShares):
            return body.sealed.keys() == set(self._expected) - {node}
        if isinstance(body, MaskedVector):
            return self._is_vector(body.values)
        if isinstance(body, Acknowledgement):
            return body.survivors == self._list.digest
        if isinstance(body, Reveal):
            return self._is_reveal(node, body)
        return True

    def _is_vector(self, packed: str) -> bool:
        try:
            return unpack_integers(packed).shape == (self.session.dimension,)
        except ValueError:
            return False

    def _is_reveal(self, node: str, body: Reveal) -> bool:
        survivors = self._list
        return (
            body.survivors == survivors.digest
            and body.shares_of_own.keys() == set(survivors.alive) - {node}
            and body.shares_of_key.keys() == set(survivors.dead)
            and commitment(self.session, node, bytes.fromhex(body.own)) == self._announced[node].commitment
        )

    # What follows from a step

    def _announcements(self, took: tuple[str, ...]) -> Requests:
        everybody = Announcements(session=self.session.digest, envelopes=self._envelopes("announce", took))
        return dict.fromkeys(took, everybody)

    def _deliveries(self, took: tuple[str, ...]) -> Requests:
        shares = self._bodies("share", SealedShares)
        return {
            node: Deliveries(
                session=self.session.digest,
                sealed={sender: shares[sender].sealed[node] for sender in took if sender != node},
            )
            for node in took
        }

    def _survivor_list(self, took: tuple[str, ...]) -> Requests:
        dead = tuple(node for node in self._expected if node not in took)
        self.survivors = SurvivorList(session=self.session.digest, alive=took, dead=dead)
        return dict.fromkeys(took, self.survivors)

    def _acknowledgements(self, took: tuple[str, ...]) -> Requests:
        everybody = Acknowledgements(session=self.session.digest, envelopes=self._envelopes("acknowledge", took))
        return dict.fromkeys(took, everybody)

    def _sum(self, took: tuple[str, ...]) -> Requests:
        masked, revealed = self._bodies("mask", MaskedVector), self._bodies("reveal", Reveal)
        try:
            values = unmasked(self.session, self._list, Collected(self._announced, masked, revealed))
        except SumNotRecovered as error:
            error.charged = self.charged
            raise
        self.total = Total(self._list.alive, values)
        return {}

    # Helpers of the above

    @property
    def _list(self) -> SurvivorList:
        if self.survivors is None:
            raise TrustError("There is no list of survivors yet.")
        return self.survivors

    @property
    def _announced(self) -> dict[str, Announcement]:
        return self._bodies("announce", Announcement)

    def _bodies(self, stage: Stage, kind: type[B]) -> dict[str, B]:
        return {node: body for node, (_, body) in self._messages[stage].items() if isinstance(body, kind)}

    def _envelopes(self, stage: Stage, nodes: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(self._messages[stage][node][0].decode() for node in nodes)

    def _order(self, nodes: Collection[str]) -> tuple[str, ...]:
        return tuple(node for node in self.session.roster if node in nodes)

    def _needed(self, stage: Stage) -> int:
        rules = self.session.rules
        return rules.threshold if stage in ("acknowledge", "reveal") else rules.floor

    def _too_few(self, stage: Stage, took: tuple[str, ...], needed: int) -> TooFewNodes:
        missing = ", ".join(node for node in self._expected if node not in took)
        return TooFewNodes(
            f"{len(took)} nodes took the step '{stage}' of a secure sum in time; it needs {needed}.",
            stage=stage,
            charged=self.charged,
            why=f"nothing came from: {missing}",
            do="start another attempt when they are back; nodes that masked a vector have charged this one"
            if self.charged
            else "start another attempt when they are back; nobody has charged this one",
        )


_CLOSING: Mapping[Stage, Callable[[Aggregator, tuple[str, ...]], Requests]] = {
    "announce": Aggregator._announcements,
    "share": Aggregator._deliveries,
    "mask": Aggregator._survivor_list,
    "acknowledge": Aggregator._acknowledgements,
    "reveal": Aggregator._sum,
}
