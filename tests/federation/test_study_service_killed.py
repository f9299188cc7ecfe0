"""The real service behind real gRPC is killed in the middle of its work, and the study still ends."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cohortium_coordinator.cli import run
from cohortium_coordinator.config import load_config
from cohortium_coordinator.relay.mailbox import Mailbox
from cohortium_coordinator.store import SqliteStore
from cohortium_node.channels.grpc import GrpcChannel
from cohortium_protocols.errors import ChannelError
from cohortium_protocols.signing import Envelope
from cohortium_protocols.tls import make_request

ROSTER = ("east", "north", "west")
KILLED_IN = (0, 2, 5)  # numbers of rounds; 0 is while nodes decide
SERVE = [sys.executable, "-c", "from cohortium_coordinator.cli import main; main()", "serve", "--config"]


class Node:
    """A custodian with its channel; it remembers what it read."""

    def __init__(self, custodian: Any, config: Path, folder: Path) -> None:
        csr = folder / f"{custodian.name}.csr"
        csr.write_bytes(make_request(folder / f"{custodian.name}.key", custodian.name))
        assert run(["enrol", custodian.name, "--request", str(csr), "--key", custodian.key.public.text,
                    "--config", str(config)]) == 0  # fmt: skip
        tls = config.parent / "tls" / "authority.pem"
        certificate = config.parent / "enrolled" / f"{custodian.name}.pem"
        address = load_config(config).address
        self.channel = GrpcChannel(address, tls, certificate, folder / f"{custodian.name}.key", timeout=5)
        self.custodian, self.read = custodian, 0

    def turn(self) -> None:
        """Answers what is there; a service that is away is asked again in the next turn."""
        try:
            for sequence, data in self.channel.fetch(self.read):
                if answer := self.custodian.handle(data):
                    self.channel.submit(answer)
                self.read = sequence
        except ChannelError:
            time.sleep(0.02)


@pytest.mark.process
def test_killed_in_any_round_it_goes_on_and_repeats_nothing(
    tmp_path: Path, custodian: Callable[..., Any], plan_text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config, plan = tmp_path / "lab" / "cohortium.toml", tmp_path / "plan.yaml"
    plan.write_text(plan_text)
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{found.getsockname()[1]}"
    assert run(["init", str(config.parent), "--listen", address]) == 0
    nodes = [Node(custodian(name), config, tmp_path) for name in ROSTER]
    status: dict[str, Any] = {}
    for goal in (*KILLED_IN, None):
        with subprocess.Popen([*SERVE, str(config)], stderr=subprocess.DEVNULL) as service:
            while run(["study", "submit", str(plan), "--config", str(config)]) != 0:
                assert service.poll() is None
            while not _reached(status := _status(config, capsys), goal):
                for node in nodes:
                    node.turn()
            service.kill()
    for node in nodes:
        node.channel.close()
    assert status["phase"] == "published"
    assert status["faults"] == []
    _said_once(config)


def _status(config: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    run(["study", "status", "weights", "--json", "--config", str(config)])
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def _reached(status: dict[str, Any], goal: int | None) -> bool:
    """Whether the study is in the goal's round, or, without a goal, at its end."""
    if goal is not None:
        assert not status["ended"]
        return bool(status["round"] >= goal)
    return bool(status["ended"]) and all(node["closed"] for node in status["nodes"])


def _said_once(config: Path) -> None:
    """Every node was sent one plan, one request a round and one closing message, whatever was killed."""
    data = load_config(config).studies.data_dir
    mailbox, store = Mailbox(data / "mailbox.sqlite"), SqliteStore(data / "studies.sqlite")
    records = store.records("weights")
    assert records is not None
    for name in ROSTER:
        sent = [Envelope.from_bytes(envelope) for _, envelope in mailbox.fetch(name, 0)]
        rounds = {stored.round for stored in records.sent if stored.kind == "round"}
        kinds = Counter(envelope.kind for envelope in sent if envelope.kind != "anchor")
        assert kinds == {"plan": 1, "round": len(rounds), "close": 1}
    mailbox.close()
    store.close()
