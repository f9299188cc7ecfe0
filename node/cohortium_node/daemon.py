"""The daemon: fetch, handle, hand over, remember; for days, through broken networks and restarts.

The sequence number of a message is remembered after its answers were handed over, so that a stop at any
moment only means that the message comes again; handling it again gives the same answers. Log lines name
studies and states, never a value.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from types import FrameType

from cohortium_node.approvals import Desk
from cohortium_node.service import NodeService
from cohortium_protocols.channel import Channel
from cohortium_protocols.errors import ChannelError

log = logging.getLogger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0  # seconds between attempts to reach the relay


class _WokenUp(BaseException):
    """A signal came while the daemon had nothing to do but wait."""


class Daemon:
    """One node at work."""

    def __init__(self, service: NodeService, desk: Desk, channel: Channel, *, poll: float) -> None:
        """Prepares the daemon.

        Args:
            service: handles the messages.
            desk: remembers the place in the mailbox.
            channel: the way to the coordinator.
            poll: seconds that one call waits for a message.
        """
        self._service = service
        self._desk = desk
        self._channel = channel
        self._poll = poll
        self._stopping = False
        self._waiting = False
        self._reached = True
        self._asked = False
        self._recollected = desk.position

    def stop(self) -> None:
        """Ends ``run`` after the message or the wait at hand."""
        self._stopping = True

    def run(self) -> None:
        """Works until ``stop``; waits longer and longer while the other side cannot be reached.

        Raises:
            StorageError: this node's own records cannot be written.
        """
        pause = _FIRST_PAUSE
        with suppress(_WokenUp):
            while not self._stopping:
                try:
                    self.step()
                    pause = _FIRST_PAUSE
                except ChannelError as error:
                    self._lost(error, pause)
                    pause = min(2 * pause, _LONGEST_PAUSE)

    def step(self) -> None:
        """Does what the custodian asked for, then handles what has arrived, waiting for it if need be.

        Raises:
            ChannelError: the other side could not be reached; nothing is lost.
            StorageError: this node's own records cannot be written.
        """
        if not self._service.recalled:
            return self._recall()
        for study, envelope in self._service.decisions(datetime.now(UTC)):
            self._channel.submit(envelope)
            self._service.delivered(study)
            log.info("study %s: the operator was told that it is %s", study.study, study.state)
        for sequence, data in self._arrivals(self._desk.position):
            if self._stopping:
                return
            for answer in self._service.handle(data, datetime.now(UTC)):
                self._channel.submit(answer)
            self._desk.remember(sequence)
        return None

    def _recall(self) -> None:
        """Asks the witnesses for the newest head they hold, and looks through the mailbox for what they say.

        Nothing is handled before the answer is there: a round that waits could be one that was answered before a
        backup was put back.
        """
        if not self._asked:
            for question in self._service.recalls():
                self._channel.submit(question)
            self._asked = True
        for sequence, data in self._arrivals(self._recollected):
            self._service.recollect(data)
            self._recollected = sequence
        if self._service.recalled:
            log.info("the ledger is at or after every head that witnesses hold")

    def _arrivals(self, after: int) -> Sequence[tuple[int, bytes]]:
        started = time.monotonic()
        with self._idle():
            messages = self._channel.fetch(after, self._poll)
            if not messages:  # whether or not the other side waited
                time.sleep(max(0.0, self._poll - (time.monotonic() - started)))
        if not self._reached:
            log.info("the relay can be reached again")
            self._reached = True
        return messages

    def _lost(self, error: ChannelError, seconds: float) -> None:
        state = error.what  # of the connection: a channel knows no rows
        log.warning("%s Trying again in %.1f s.", state, seconds)
        self._reached = False
        with self._idle():
            time.sleep(seconds)

    @contextmanager
    def _idle(self) -> Iterator[None]:
        self._waiting = True
        try:
            yield
        finally:
            self._waiting = False

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """Stops the daemon: at once if it only waits, otherwise after the message at hand."""
        self._stopping = True
        if self._waiting:
            raise _WokenUp


@contextmanager
def stopping_on_signals(daemon: Daemon) -> Iterator[list[int]]:
    """Stops the daemon on SIGTERM and SIGINT; yields the list of the signals that came."""
    came: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        came.append(number)
        daemon.on_signal(number, frame)

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
