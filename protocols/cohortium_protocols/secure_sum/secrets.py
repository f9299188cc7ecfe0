"""What a node must keep until a secure sum is over: enough to go on after a crash, saying the same bytes again."""

from __future__ import annotations

from collections.abc import Mapping
from secrets import token_hex
from typing import Annotated

from pydantic import Field, StringConstraints, ValidationError

from cohortium_protocols.canonical import canonical_bytes, parse_canonical
from cohortium_protocols.errors import StorageError
from cohortium_protocols.messages import Message
from cohortium_protocols.secure_sum.keys import SEED_BYTES
from cohortium_protocols.secure_sum.messages import Announcement, Key, Seed, Stage, SurvivorList
from cohortium_protocols.secure_sum.session import Session

Hidden = Annotated[Seed, Field(repr=False)]


class Uttered(Message):
    """A step that was taken: digest of what it answered, and the bytes that were said."""

    heard: Key
    message: Annotated[str, Field(repr=False)]


class Held(Message):
    """A peer's two shares, kept for it. At most one of them is ever revealed."""

    own: Hidden
    key: Hidden


class Secrets(Message):
    """Everything one node knows in one session.

    It is stored, durably, before the message that was made from it leaves, and destroyed when the round is over.

    Attributes:
        session: digest of the session.
        node: whose secrets they are.
        own_seed: seed of the node's own mask.
        mask_seed: seed of its key pair for pairwise masks.
        share_seed: seed of its key pair for shares on their way.
        peers: announcements of the other nodes, from the share step on.
        held: peers' shares, from the mask step on.
        survivors: the one list that was acknowledged.
        equivocated: a second list was put forward: nothing will be revealed.
        uttered: every step taken so far.
    """

    session: Key
    node: Annotated[str, StringConstraints(min_length=1)]
    own_seed: Hidden
    mask_seed: Hidden
    share_seed: Hidden
    peers: Mapping[str, Announcement] = Field(default_factory=dict)
    held: Mapping[str, Held] = Field(default_factory=dict, repr=False)
    survivors: SurvivorList | None = None
    equivocated: bool = False
    uttered: Mapping[Stage, Uttered] = Field(default_factory=dict)

    @classmethod
    def fresh(cls, session: Session, node: str) -> Secrets:
        """Returns new secrets from the operating system's randomness."""
        own, mask, share = (token_hex(SEED_BYTES) for _ in range(3))
        return cls(session=session.digest, node=node, own_seed=own, mask_seed=mask, share_seed=share)

    @classmethod
    def from_bytes(cls, data: bytes) -> Secrets:
        """Returns the secrets that :meth:`to_bytes` wrote.

        Raises:
            StorageError: the bytes are something else.
        """
        try:
            return cls.model_validate(parse_canonical(data))
        except (ValidationError, ValueError) as error:
            # the faults are not shown or chained: they would quote secrets
            raise StorageError("The secrets of a secure sum cannot be read back.") from _without_values(error)

    def to_bytes(self) -> bytes:
        """Returns the secrets as they are kept; never as they travel."""
        return canonical_bytes(self.body())


def _without_values(error: ValueError) -> ValueError:
    return ValueError(type(error).__name__)
