"""What is said in a secure sum: five steps, in this order.

    step         a node sends                          and gets, once the coordinator closed the step
    announce     Announcement                          Announcements: everybody's, with their signatures
    share        SealedShares                          Deliveries: the shares entrusted to it
    mask         MaskedVector                          SurvivorList: whose vector arrived, and whose did not
    acknowledge  Acknowledgement of that list          Acknowledgements: everybody's, with their signatures
    reveal       Reveal                                nothing: the coordinator takes the masks off

A node's messages are envelopes to the operator, signed with the node's identity key. The coordinator can pass on the
ones that peers must see (announcements and acknowledgements) but cannot make one. Bytes are written in hexadecimal.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, ClassVar, Literal, TypeVar, get_args

from pydantic import StringConstraints

from cohortium_protocols.canonical import canonical_bytes, digest
from cohortium_protocols.errors import SignatureError, TrustError
from cohortium_protocols.messages import Message, read
from cohortium_protocols.secure_sum.session import Session
from cohortium_protocols.signing import Envelope, SigningKey, VerifyKey

Stage = Literal["announce", "share", "mask", "acknowledge", "reveal"]
STAGES: tuple[Stage, ...] = get_args(Stage)

Seed = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
Key = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Sealed = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{120}$")]


class Said(Message):
    """What belongs to one session.

    Attributes:
        session: digest of the session.
    """

    session: Key


class FromNode(Said):
    """What a node sends; ``kind`` is the kind of its envelope, ``stage`` the step it takes."""

    kind: ClassVar[str]
    stage: ClassVar[Stage]


B = TypeVar("B", bound=FromNode)


class Announcement(FromNode):
    """A node's public keys for one session.

    Attributes:
        mask_key: X25519, for pairwise masks.
        share_key: X25519, for shares on their way.
        commitment: SHA-256 over the seed of its own mask, so that a wrong seed is noticed.
    """

    kind = "secure_announcement"
    stage = "announce"
    mask_key: Key
    share_key: Key
    commitment: Key


class SealedShares(FromNode):
    """A node's shares: recipient -> what only the recipient can open."""

    kind = "secure_shares"
    stage = "share"
    sealed: Mapping[str, Sealed]


class MaskedVector(FromNode):
    """A node's noised vector under its masks: ``values`` are packed integers.

    ``head`` is the node's statement about its ledger (``heads``), as in an answer of its own.
    """

    kind = "secure_masked"
    stage = "mask"
    values: str
    head: str = ""


class Acknowledgement(FromNode):
    """A node's word that this is the one list of survivors it will ever help to open: ``survivors`` is its digest."""

    kind = "secure_acknowledgement"
    stage = "acknowledge"
    survivors: Key


class Reveal(FromNode):
    """What takes the masks off the sum of one list, and of no other.

    Attributes:
        survivors: digest of the list.
        own: seed of the node's own mask.
        shares_of_own: survivor -> share of the seed of its own mask.
        shares_of_key: lost node -> share of the seed of its mask key.
    """

    kind = "secure_reveal"
    stage = "reveal"
    survivors: Key
    own: Seed
    shares_of_own: Mapping[str, Seed]
    shares_of_key: Mapping[str, Seed]


FROM_NODES: Mapping[str, type[FromNode]] = {
    body.kind: body for body in (Announcement, SealedShares, MaskedVector, Acknowledgement, Reveal)
}
"""Kind of envelope -> what it carries."""


class Announcements(Said):
    """Everybody's announcements: whole signed envelopes."""

    envelopes: tuple[str, ...]


class Deliveries(Said):
    """The shares entrusted to one node: sender -> what only this node can open."""

    sealed: Mapping[str, Sealed]


class SurvivorList(Said):
    """Whose vectors are added up, and whose masks must be taken off because their vectors did not arrive."""

    alive: tuple[str, ...]
    dead: tuple[str, ...]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the list, whatever order its names are in."""
        return digest(canonical_bytes([self.session, sorted(self.alive), sorted(self.dead)]))


class Acknowledgements(Said):
    """Everybody's acknowledgements of the list: whole signed envelopes."""

    envelopes: tuple[str, ...]


def signed(session: Session, node: str, body: FromNode, key: SigningKey) -> bytes:
    """Returns a node's message as it travels."""
    return Envelope.sign(body.kind, session.study, node, session.operator, body.body(), key).to_bytes()


def kind_of(data: bytes) -> type[FromNode]:
    """Returns what an envelope claims to carry.

    Raises:
        TrustError: nothing that nodes say in a secure sum.
    """
    kind = Envelope.from_bytes(data).kind
    if kind not in FROM_NODES:
        raise TrustError(f"A message of the kind '{kind[:30]}' is none that nodes send in a secure sum.")
    return FROM_NODES[kind]


def opened(session: Session, data: bytes, kind: type[B], keys: Mapping[str, VerifyKey]) -> tuple[str, B]:
    """Returns who sent a message, and its body.

    Args:
        session: what it must belong to.
        data: the envelope as it travelled.
        kind: what it must be.
        keys: the keys pinned here, by node.

    Raises:
        SignatureError: it is not from a pinned node of the roster, or was altered.
        TrustError: it is something else, or belongs to another session.
    """
    envelope = Envelope.from_bytes(data)
    if envelope.sender not in session.roster:
        raise SignatureError(f"A message of a secure sum is from '{envelope.sender}', who is not on the roster.")
    envelope.verified(keys)
    if (envelope.kind, envelope.study, envelope.recipient) != (kind.kind, session.study, session.operator):
        raise TrustError(f"'{envelope.sender}' sent something else than the {kind.kind} message expected.")
    body = read(envelope, kind)
    check_session(session, body)
    return envelope.sender, body


def check_session(session: Session, body: Said) -> None:
    """Refuses what belongs to another session.

    Raises:
        TrustError: it does.
    """
    if body.session != session.digest:
        raise TrustError(
            "A message belongs to another secure sum than the one under way.",
            why="it is for another plan, round, attempt, roster or request",
        )


def commitment(session: Session, node: str, seed: bytes) -> str:
    """Returns what a node announces about the seed of its own mask."""
    return digest(session.label("commitment", node, seed.hex()))
