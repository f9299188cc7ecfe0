"""A node's side of a secure sum, without input or output: a step takes messages and returns the node's own.

The coordinator is not trusted with anything but delivery. Each step checks for itself that

- everybody in it is pinned by this node's custodian, and this node is among them;
- at least n - t_d nodes take part;
- announcements and acknowledgements are signed by those who are said to have made them;
- a list of survivors names every node that shared exactly once, alive or dead, and it is the only list ever put
  forward in this attempt;
- T distinct survivors acknowledged exactly that list before anything is revealed;
- of each peer one secret is revealed: its own mask when it is alive, its pairwise masks when it is dead.

A refused step leaves everything as it was, except that a second list ends the attempt for good. The same input again
gets the same bytes; other input to a step that was taken is refused. The caller stores ``secrets`` durably after
every step, also a refused one, and only then lets the message go.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cohortium_protocols.canonical import canonical_bytes, digest, pack_integers
from cohortium_protocols.errors import ReplayError, SecureSumRefused
from cohortium_protocols.secure_sum.keys import KeyPair
from cohortium_protocols.secure_sum.masks import mask_keys, own_mask, pairwise_mask
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
    check_session,
    commitment,
    opened,
    signed,
)
from cohortium_protocols.secure_sum.secrets import Held, Secrets, Uttered
from cohortium_protocols.secure_sum.session import Session
from cohortium_protocols.secure_sum.shares import Parcel, seal, split, unseal
from cohortium_protocols.signing import SigningKey, VerifyKey


def _nothing(masked: MaskedVector) -> str:
    """Stated where there is no ledger."""
    return ""


@dataclass(frozen=True)
class Identity:
    """Who a node is, and whom it knows.

    Attributes:
        node: its name on the roster.
        key: signs what it says.
        pinned: keys of the peers that its custodian pinned; names off the roster do no harm.
    """

    node: str
    key: SigningKey
    pinned: Mapping[str, VerifyKey]

    def known(self, roster: Collection[str]) -> dict[str, VerifyKey]:
        """Returns the keys of those on a roster whom this node knows, itself included."""
        keys = {**self.pinned, self.node: self.key.public}
        return {node: keys[node] for node in roster if node in keys}


class Participant:
    """One node in one session.

    Args:
        session: as this node worked it out from the plan and the request.
        identity: the node.
        secrets: what was stored of this session; new ones when there is nothing.

    Raises:
        SecureSumRefused: the node is not on the roster, two nodes of the roster are pinned to one key, or the secrets
            are of another session.
    """

    def __init__(self, session: Session, identity: Identity, secrets: Secrets | None = None) -> None:
        if identity.node not in session.roster:
            raise SecureSumRefused(f"'{identity.node}' is not on the roster of this secure sum.")
        keys = identity.known(session.roster)
        if len(set(keys.values())) < len(keys):
            raise SecureSumRefused("Two nodes of the roster are pinned to the same key.", why="they would be one")
        self.session = session
        self.secrets = secrets or Secrets.fresh(session, identity.node)
        self._key = identity.key
        self._keys = keys
        self._node = identity.node
        if (self.secrets.session, self.secrets.node) != (session.digest, self._node):
            raise SecureSumRefused("The stored secrets belong to another secure sum.")

    def said(self, stage: Stage) -> bytes | None:
        """Returns what this node said at a step; None when it has not taken it."""
        uttered = self.secrets.uttered.get(stage)
        return uttered.message.encode() if uttered else None

    def announce(self) -> bytes:
        """Returns this node's signed public keys."""
        return self._step("announce", b"", self._announcement)

    def share(self, announcements: Announcements) -> bytes:
        """Returns this node's secrets, split and sealed for every peer that announced itself.

        Raises:
            SignatureError: an announcement is not from a pinned node.
            SecureSumRefused: there are too few, somebody is there twice, or this node is not there as it was.
        """
        return self._step("share", self._heard(announcements), lambda: self._shares(announcements))

    def check(self, deliveries: Deliveries) -> None:
        """Refuses what :meth:`mask` would refuse, before a vector is made and charged; changes nothing.

        Raises:
            SecureSumRefused: too few peers shared, a share was altered, or it is not the step's turn.
            ReplayError: a vector was masked before.
        """
        check_session(self.session, deliveries)
        if self.said("mask") is not None:
            raise _taken_otherwise("mask")
        if self.said("share") is None:
            raise _too_early("mask")
        self._opened(deliveries)

    def mask(
        self, deliveries: Deliveries, vector: NDArray[np.int64], state: Callable[[MaskedVector], str] = _nothing
    ) -> bytes:
        """Returns the vector under this node's masks.

        Args:
            deliveries: shares from every peer that goes on.
            vector: integers with this attempt's own fresh noise, shape (session.dimension,). A vector that was masked
                before, in any attempt, must never be given again: the difference of two sums would be this vector.
            state: returns what the node states about its ledger beside the masked vector.

        Raises:
            SecureSumRefused: too few peers shared, a share was altered, or the vector is not the declared one.
        """
        heard = self._heard(deliveries) + digest(np.asarray(vector, dtype="<i8").tobytes()).encode()

        def body() -> MaskedVector:
            masked = self._masked(deliveries, vector)
            return masked.model_copy(update={"head": state(masked)})

        return self._step("mask", heard, body)

    def acknowledge(self, survivors: SurvivorList) -> bytes:
        """Returns this node's word that this is the one list it helps to open.

        Raises:
            SecureSumRefused: the list is not as it must be.
            ReplayError: another list was acknowledged; from now on nothing is revealed.
        """
        check_session(self.session, survivors)
        if self.secrets.survivors is not None and survivors.digest != self.secrets.survivors.digest:
            self._learn(equivocated=True)
        return self._step("acknowledge", survivors.digest.encode(), lambda: self._acknowledgement(survivors))

    def reveal(self, acknowledgements: Acknowledgements) -> bytes:
        """Returns what takes the masks off the sum of the list that this node acknowledged.

        Raises:
            SignatureError: an acknowledgement is not from a pinned node.
            SecureSumRefused: fewer than T distinct survivors acknowledged exactly this list.
        """
        if self.secrets.equivocated:
            raise SecureSumRefused(
                "Nothing is revealed: two lists of survivors were put forward in one attempt.",
                do="start another attempt; an operator that does this again should be asked why",
            )
        return self._step("reveal", self._heard(acknowledgements), lambda: self._revealed(acknowledgements))

    # What each step says, once its input has passed

    def _announcement(self) -> Announcement:
        return Announcement(
            session=self.session.digest,
            mask_key=self._mask_keys.public.hex(),
            share_key=self._share_keys.public.hex(),
            commitment=commitment(self.session, self._node, bytes.fromhex(self.secrets.own_seed)),
        )

    def _shares(self, announcements: Announcements) -> SealedShares:
        found = self._verified(announcements.envelopes, Announcement)
        self._enough(found, self.session.rules.floor, "announced themselves")
        if found.pop(self._node, None) != self._announcement():
            raise SecureSumRefused("This node's own announcement is missing, or is not the one it made.")
        sealed = self._sealed(found)
        self._learn(peers=found)
        return SealedShares(session=self.session.digest, sealed=sealed)

    def _sealed(self, peers: Mapping[str, Announcement]) -> dict[str, str]:
        own = split(self.session, bytes.fromhex(self.secrets.own_seed))
        key = split(self.session, bytes.fromhex(self.secrets.mask_seed))
        return {
            peer: seal(
                self.session, self._node, peer, self._share_keys, _raw(said.share_key), Parcel(own[peer], key[peer])
            ).hex()
            for peer, said in peers.items()
        }

    def _masked(self, deliveries: Deliveries, vector: NDArray[np.int64]) -> MaskedVector:
        if vector.shape != (self.session.dimension,) or vector.dtype != np.int64:
            raise SecureSumRefused(f"The vector is not {self.session.dimension} whole numbers of 64 bits.")
        held = self._opened(deliveries)
        peers = [(peer, _raw(self.secrets.peers[peer].mask_key)) for peer in held]
        masks = pairwise_mask(self.session, self._node, self._mask_keys, peers)
        masks = masks + own_mask(self.session, self._node, bytes.fromhex(self.secrets.own_seed))
        self._learn(held=held)
        values = pack_integers((vector.view(np.uint64) + masks).view(np.int64))
        return MaskedVector(session=self.session.digest, values=values)

    def _opened(self, deliveries: Deliveries) -> dict[str, Held]:
        self._enough({self._node, *deliveries.sealed}, self.session.rules.floor, "shared their secrets")
        return {sender: self._unsealed(sender, sealed) for sender, sealed in deliveries.sealed.items()}

    def _unsealed(self, sender: str, sealed: str) -> Held:
        if sender not in self.secrets.peers:
            raise SecureSumRefused(f"Shares came from '{sender}', who had not announced itself to this node.")
        peer = _raw(self.secrets.peers[sender].share_key)
        parcel = unseal(self.session, sender, self._node, self._share_keys, peer, bytes.fromhex(sealed))
        return Held(own=parcel.own.hex(), key=parcel.key.hex())

    def _acknowledgement(self, survivors: SurvivorList) -> Acknowledgement:
        self._check_survivors(survivors)
        self._learn(survivors=survivors)
        return Acknowledgement(session=self.session.digest, survivors=survivors.digest)

    def _check_survivors(self, survivors: SurvivorList) -> None:
        listed = [*survivors.alive, *survivors.dead]
        if len(set(listed)) != len(listed):
            raise SecureSumRefused("The list of survivors names a node twice.", why="it would lose both its masks")
        if set(listed) != {self._node, *self.secrets.held}:
            raise SecureSumRefused("The list of survivors does not name exactly the nodes that shared their secrets.")
        if self._node not in survivors.alive:
            raise SecureSumRefused("The list of survivors gives this node up for lost, and it is not.")
        self._enough(survivors.alive, self.session.rules.floor, "are alive")

    def _revealed(self, acknowledgements: Acknowledgements) -> Reveal:
        survivors = self.secrets.survivors
        if survivors is None:
            raise _too_early("reveal")
        found = self._verified(acknowledgements.envelopes, Acknowledgement)
        if not found.keys() <= set(survivors.alive) or {said.survivors for said in found.values()} != {
            survivors.digest
        }:
            raise SecureSumRefused("Not every acknowledgement is a survivor's, of the list that this node knows.")
        self._enough(found, self.session.rules.threshold, "acknowledged the list of survivors")
        held = self.secrets.held
        return Reveal(
            session=self.session.digest,
            survivors=survivors.digest,
            own=self.secrets.own_seed,
            shares_of_own={peer: held[peer].own for peer in survivors.alive if peer != self._node},
            shares_of_key={peer: held[peer].key for peer in survivors.dead},
        )

    # What every step has in common

    def _step(self, stage: Stage, heard: bytes, body: Callable[[], FromNode]) -> bytes:
        uttered = self.secrets.uttered.get(stage)
        if uttered is not None:
            return _repeated(uttered, stage, heard)
        if len(self.secrets.uttered) != STAGES.index(stage):
            raise _too_early(stage)
        message = signed(self.session, self._node, body(), self._key)
        taken = Uttered(heard=digest(heard), message=message.decode())
        self._learn(uttered={**self.secrets.uttered, stage: taken})
        return message

    def _heard(self, body: Said) -> bytes:
        check_session(self.session, body)
        return canonical_bytes(body.body())

    def _learn(self, **facts: Any) -> None:
        self.secrets = self.secrets.model_copy(update=facts)

    def _verified(self, envelopes: Collection[str], kind: type[B]) -> dict[str, B]:
        found = dict(opened(self.session, each.encode(), kind, self._keys) for each in envelopes)
        if len(found) != len(envelopes):
            raise SecureSumRefused("A node is there twice.", why="each node counts once")
        return found

    def _enough(self, nodes: Collection[str], needed: int, what: str) -> None:
        if len(nodes) < needed:
            raise SecureSumRefused(f"Only {len(nodes)} nodes {what}; this secure sum needs {needed}.")

    @cached_property
    def _mask_keys(self) -> KeyPair:
        return mask_keys(self.session, self._node, bytes.fromhex(self.secrets.mask_seed))

    @cached_property
    def _share_keys(self) -> KeyPair:
        label = self.session.label("share key", self._node)
        return KeyPair.from_seed(bytes.fromhex(self.secrets.share_seed), label)


def _raw(key: str) -> bytes:
    return bytes.fromhex(key)


def _repeated(uttered: Uttered, stage: Stage, heard: bytes) -> bytes:
    if uttered.heard != digest(heard):
        raise _taken_otherwise(stage)
    return uttered.message.encode()


def _taken_otherwise(stage: Stage) -> ReplayError:
    return ReplayError(
        f"The step '{stage}' of this secure sum was taken before, with other input.",
        why="each attempt takes each step once",
        do="send the same message again, or start another attempt",
    )


def _too_early(stage: Stage) -> SecureSumRefused:
    return SecureSumRefused(f"The step '{stage}' of this secure sum came before the step it follows.")
