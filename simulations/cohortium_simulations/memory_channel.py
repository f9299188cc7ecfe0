"""The relay's counterpart in memory, honest or hostile: for tests, attacks and simulations.

It keeps the promise of :class:`cohortium_protocols.channel.Post` as the real relay does. With faults it does
what a failing network or a dishonest relay can do: lose a call, hold an envelope back, deliver it twice, in
another order, altered, or again after others. What it took, and was not withdrawn, it delivers unharmed at last, so
that a study can still end; the altered and repeated ones come beside it.
"""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass
from itertools import count
from threading import Condition
from typing import Literal

import numpy as np

from cohortium_protocols.errors import ChannelError
from cohortium_protocols.relay.wire import ENVELOPE_LIMIT, Refusal, addressee, refused

Fate = Literal["answered", "request lost", "reply lost"]


@dataclass(frozen=True)
class Faults:
    """How often each fault happens; every figure is a probability, and 0 means never."""

    drop: float = 0.0  # a call by a channel fails; half of the failed submissions were stored all the same
    delay: float = 0.0  # an envelope is held back, decided anew at each fetch
    duplicate: float = 0.0  # an envelope comes twice
    reorder: float = 0.0  # what waits is delivered in another order
    tamper: float = 0.0  # a copy with one altered byte comes before an envelope
    replay: float = 0.0  # an envelope delivered before comes again


class MemoryRelay:
    """Mailboxes of every party in memory; with faults, between posting and fetching."""

    def __init__(self, faults: Faults | None = None, generator: np.random.Generator | None = None) -> None:
        """Makes an empty relay.

        Args:
            faults: how often what goes wrong; nothing does when not given.
            generator: decides about faults; needed only for them.
        """
        self._faults = faults or Faults()
        self._generator = generator or np.random.default_rng(0)
        self._changed = Condition()
        self._numbers = count(1)
        self._accepted: dict[bytes, int] = {}
        self._waiting: dict[str, list[bytes]] = defaultdict(list)
        self._delivered: dict[str, list[tuple[int, bytes]]] = defaultdict(list)

    def post(self, recipient: str, envelope: bytes) -> int:
        """Takes an envelope; returns its number, the same one for the same bytes.

        Raises:
            ChannelError: the envelope is larger than a channel carries.
        """
        if len(envelope) > ENVELOPE_LIMIT:
            raise refused(Refusal.SIZE)
        with self._changed:
            if envelope not in self._accepted:
                self._accepted[envelope] = next(self._numbers)
                self._waiting[recipient].append(envelope)
                self._changed.notify_all()
            return self._accepted[envelope]

    def withdraw(self, envelope: bytes) -> None:
        """Removes an envelope and its copies, fetched or not; one that is not there changes nothing."""
        with self._changed:
            self._accepted.pop(envelope, None)
            for waiting in self._waiting.values():
                waiting[:] = [each for each in waiting if each != envelope]
            for delivered in self._delivered.values():
                delivered[:] = [each for each in delivered if each[1] != envelope]

    def fetch(self, recipient: str, after: int, wait: float = 0.0) -> list[tuple[int, bytes]]:
        """Returns what was delivered to a party after a sequence number, oldest first.

        Args:
            recipient: whose envelopes.
            after: only those with a greater sequence number; 0 asks for all.
            wait: seconds to wait for one when there is none.
        """
        deadline = time.monotonic() + wait
        with self._changed:
            while True:
                self._deliver(recipient)
                found = [each for each in self._delivered[recipient] if each[0] > after]
                left = deadline - time.monotonic()
                if found or left <= 0:
                    return found
                self._changed.wait(left)

    def channel(self, name: str) -> MemoryChannel:
        """Returns the channel of one party."""
        return MemoryChannel(self, name)

    def fate(self) -> Fate:
        """Returns what happens to the next call by a channel."""
        if not self._happens(self._faults.drop):
            return "answered"
        return "request lost" if self._happens(0.5) else "reply lost"

    def _happens(self, probability: float) -> bool:
        return probability > 0 and bool(self._generator.random() < probability)

    def _deliver(self, recipient: str) -> None:
        waiting, delivered = self._waiting[recipient], self._delivered[recipient]
        arriving: list[bytes] = []
        held = [envelope for envelope in waiting if self._happens(self._faults.delay)]
        going = [envelope for envelope in waiting if envelope not in held]
        if self._happens(self._faults.reorder):
            going = [going[i] for i in self._generator.permutation(len(going))]
        if delivered and self._happens(self._faults.replay):
            arriving.append(delivered[self._generator.integers(len(delivered))][1])
        for envelope in going:
            arriving.extend(self._copies(envelope))
        delivered.extend((next(self._numbers), data) for data in arriving)
        self._waiting[recipient] = held

    def _copies(self, envelope: bytes) -> list[bytes]:
        altered = [self._altered(envelope)] if self._happens(self._faults.tamper) else []
        return [*altered, envelope, *[envelope] * self._happens(self._faults.duplicate)]

    def _altered(self, envelope: bytes) -> bytes:
        place = int(self._generator.integers(len(envelope)))
        byte = envelope[place] ^ int(self._generator.integers(1, 256))
        return envelope[:place] + bytes([byte]) + envelope[place + 1 :]


class MemoryChannel:
    """One party's :class:`cohortium_protocols.channel.Channel` to a relay in memory."""

    def __init__(self, relay: MemoryRelay, name: str) -> None:
        self._relay = relay
        self._name = name

    def fetch(self, after: int, wait: float = 0.0) -> list[tuple[int, bytes]]:
        """Returns envelopes for this party, oldest first.

        Raises:
            ChannelError: the call was lost.
        """
        if (fate := self._relay.fate()) != "answered":
            raise _lost(fate)
        return self._relay.fetch(self._name, after, wait)

    def submit(self, envelope: bytes) -> None:
        """Hands an envelope over.

        Raises:
            ChannelError: the call or its reply was lost, or the relay refused the envelope.
        """
        recipient = addressee(envelope, self._name)
        if isinstance(recipient, Refusal):
            raise refused(recipient)
        fate = self._relay.fate()
        if fate != "request lost":
            self._relay.post(recipient, envelope)
        if fate != "answered":
            raise _lost(fate)


def _lost(fate: Fate) -> ChannelError:
    return ChannelError("The call was lost.", why=f"{fate}, as this channel was told to", do="try again")
