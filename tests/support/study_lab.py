"""A coordinator with nodes in one process, and the clock in the test's hands."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cohortium_coordinator.config import StudySettings
from cohortium_coordinator.service import StudyService
from cohortium_coordinator.store import SqliteStore
from cohortium_coordinator.study.status import StudyStatus
from cohortium_protocols.errors import ChannelError, SignatureError
from cohortium_protocols.signing import Envelope, SigningKey
from cohortium_simulations.memory_channel import MemoryRelay

START = datetime(2026, 1, 1, tzinfo=UTC)
KEY = SigningKey.generate()


class Lab:
    """A coordinator with its nodes, in one process; every turn is a minute."""

    def __init__(
        self, folder: Path, roster: Sequence[str], make: Callable[..., Any], relay: MemoryRelay | None = None,
        **nodes: Any,
    ) -> None:  # fmt: skip
        self.relay = relay or MemoryRelay()
        self.nodes = {name: make(name, **nodes.get(name, {})) for name in roster}
        self.channels = {name: self.relay.channel(name) for name in roster}
        self.read = dict.fromkeys(roster, 0)
        keys = {name: node.key.public for name, node in self.nodes.items()}
        for node in self.nodes.values():
            node.pinned.update(keys)
        self.settings = StudySettings("lab", folder, keys, timedelta(days=2), timedelta(hours=1))
        self.store = SqliteStore(":memory:")
        self.now = START
        self.restart()

    def restart(self) -> None:
        self.service = StudyService(self.settings, self.store, self.relay, KEY)

    def turn(self, minutes: float = 1) -> StudyStatus:
        self.service.advance(self.now)
        self.now += timedelta(minutes=minutes)
        for node in self.nodes.values():
            self._answer(node)
        return self.service.status("weights", self.now)

    def run(self, turns: int = 400) -> StudyStatus:
        for _ in range(turns):
            status = self.turn()
            if status.ended and all(node.closed for node in status.nodes):
                break
        return status

    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.service.report("weights", "json"))
        return found

    def _answer(self, node: Any) -> None:
        try:
            for sequence, data in self.channels[node.name].fetch(self.read[node.name]):
                if _genuine(data) and (answer := node.handle(data)):
                    self.channels[node.name].submit(answer)
                self.read[node.name] = sequence
        except ChannelError:
            pass  # this turn's call was lost; the next one starts where this one began


def _genuine(data: bytes) -> bool:
    try:
        Envelope.from_bytes(data).verified({"lab": KEY.public})
    except SignatureError:
        return False
    return True
