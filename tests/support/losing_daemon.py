"""A node's daemon as a process of its own, which can be cut off from a study at a step of one of its secure sums.

`losing_daemon.py NODE.toml CUTS`: the daemon of `cohortium-node run`, but that it lets plans without noise in, that
its people are those of ``node_group``, and that a ``CutOff`` stands between it and the relay. A daemon that is killed
after it was cut off was lost, for good, at exactly that step.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from node_group import TABLES

from cohortium_node import workplace
from cohortium_node.config import read_config
from cohortium_node.daemon import Daemon
from cohortium_node.readiness import relay_channel
from cohortium_node.service import NodeService
from cohortium_protocols.channel import Channel
from cohortium_protocols.secure_sum.messages import STAGES
from cohortium_protocols.signing import Envelope
from cohortium_simulations.federation import TableSource
from cohortium_simulations.processes import Program

ROUND = "model_1"
"""The round in which daemons are lost."""
MOMENTS = (*(f"{stage} asked" for stage in STAGES), "mask taken")
"""Asked: the node never learns that it was. Taken: its vector was charged and masked, and never left."""


def program(config: Path, cuts: Path) -> Program:
    """The daemon of a node, as a federation's processes start it."""
    return Program("losing_daemon", (str(config), str(cuts)), "is at work")


def write_cuts(cuts: Path, moments: Mapping[str, str]) -> None:
    """Tells a daemon at which moment it is cut off from each study."""
    new = cuts.with_suffix(".new")
    new.write_text(json.dumps(dict(moments)))
    new.replace(cuts)


class CutOff:
    """A channel that carries nothing more about a study once its moment has come."""

    def __init__(self, channel: Channel, cuts: Path) -> None:
        self._channel = channel
        self._cuts = cuts
        self._off: set[str] = set()
        self._asked: dict[str, tuple[str, str]] = {}  # study -> round and step
        self._passed = 0

    def fetch(self, after: int, wait: float = 0.0) -> Sequence[tuple[int, bytes]]:
        while found := self._channel.fetch(max(after, self._passed), wait):
            if heard := [each for each in found if self._is_heard(Envelope.from_bytes(each[1]))]:
                return heard
            self._passed = found[-1][0]
        return []

    def submit(self, envelope: bytes) -> None:
        study = Envelope.from_bytes(envelope).study
        self._come(study, "taken")
        if study not in self._off:
            self._channel.submit(envelope)

    def _is_heard(self, envelope: Envelope) -> bool:
        if envelope.kind in ("round", "secure_step"):
            content = envelope.content()
            self._asked[envelope.study] = content["round"], content.get("stage", STAGES[0])
            self._come(envelope.study, "asked")
        return envelope.study not in self._off

    def _come(self, study: str, side: str) -> None:
        """Cuts the node off from a study whose moment is now."""
        asked_for, stage = self._asked.get(study, ("", ""))
        moment = json.loads(self._cuts.read_text()).get(study)
        if (asked_for, f"{stage} {side}") == (ROUND, moment) and study not in self._off:
            self._off.add(study)
            print(f"study {study}: cut off", file=sys.stderr, flush=True)


def main() -> None:
    """Runs the daemon until it is stopped or killed."""
    _, path, cuts = sys.argv
    logging.basicConfig(stream=sys.stderr, level=logging.INFO)
    config = read_config(Path(path))
    with workplace.opened(config) as made, relay_channel(config) as channel:
        node = replace(made, source=TableSource(TABLES[made.name]), simulation=True)
        daemon = Daemon(NodeService(node), node.desk, CutOff(channel, Path(cuts)), poll=config.relay.poll)
        print(f"Node {node.name} is at work.", file=sys.stderr, flush=True)
        daemon.run()
