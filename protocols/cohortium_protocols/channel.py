"""How envelopes travel: one small interface, whatever carries them.

A channel belongs to one party. Delivery is at least once and in no promised order of arrival across senders:
an envelope may come again, late, or altered. Trust therefore never rests on a channel; it rests on the
signatures of the envelopes, and on receivers that answer the same envelope with the same stored bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Channel(Protocol):
    """One party's way to the other side."""

    def fetch(self, after: int, wait: float = 0.0) -> Sequence[tuple[int, bytes]]:
        """Returns envelopes addressed to this party, oldest first, each with its sequence number.

        When much waits, only the first part comes: ask again from the last number on until nothing comes.

        Args:
            after: only envelopes with a greater sequence number are returned; 0 asks for all of them.
            wait: seconds to wait for one to arrive when there is none yet.

        Raises:
            ChannelError: the other side could not be reached, or refused.
        """
        ...

    def submit(self, envelope: bytes) -> None:
        """Hands an envelope over; returns once the other side has stored it durably.

        Submitting the same bytes again does no harm: they are stored once.

        Raises:
            ChannelError: the other side could not be reached, or refused.
        """
        ...


class Post(Protocol):
    """What channels lead to: a mailbox for every party; the coordinator holds it."""

    def post(self, recipient: str, envelope: bytes) -> int:
        """Stores an envelope for a party durably; returns its number, the same one for the same bytes."""
        ...

    def withdraw(self, envelope: bytes) -> None:
        """Removes an envelope durably, fetched or not; one that is not there changes nothing.

        Posted once more, it comes again, under a new number.
        """
        ...

    def fetch(self, recipient: str, after: int, wait: float = 0.0) -> Sequence[tuple[int, bytes]]:
        """Returns a party's envelopes after a sequence number, oldest first; see :meth:`Channel.fetch`."""
        ...
