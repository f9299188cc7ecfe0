"""A lab with a relay of its own, for tests of what the relay lets in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from node_group import NodeGroup, node_group, secure_plan

from cohortium_coordinator.relay.mailbox import Mailbox
from cohortium_coordinator.relay.server import RelayServer
from cohortium_node.channels.grpc import GrpcChannel
from cohortium_protocols.errors import BudgetRefusal
from cohortium_protocols.tls import (
    Authority,
    Party,
    Role,
    TlsFiles,
    load_credentials,
    make_request,
    write_certificate,
)


class Lab:
    """An authority, its server's certificate, certificates for whom it lets in, and one relay at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority.make(folder / "ca.pem", folder / "ca.key", "lab")
        self.server = self._files("server")
        self.authority.issue_server(self.server.certificate, self.server.key, ["127.0.0.1", "localhost"])
        self.mailbox = Mailbox(folder / "mailbox.sqlite")
        self.relay: RelayServer | None = None
        self.port = 0

    def _files(self, name: str) -> TlsFiles:
        return TlsFiles(self.folder / "ca.pem", self.folder / f"{name}.pem", self.folder / f"{name}.key")

    def party(self, name: str, role: Role = "node", **options: int) -> TlsFiles:
        files = self._files(name)
        issued = self.authority.issue_client(make_request(files.key, name), Party(name, role), **options)
        write_certificate(files.certificate, issued)
        return files

    def start(self) -> str:
        self.relay = self.prepare(f"127.0.0.1:{self.port}")
        self.port = self.relay.start()
        return self.address

    def prepare(self, address: str) -> RelayServer:
        return RelayServer(address, load_credentials(self.server), self.mailbox, operate)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def stop(self) -> None:
        if self.relay is not None:
            self.relay.stop(grace=1)
            self.relay = None

    def close(self) -> None:
        self.stop()
        self.mailbox.close()


def operate(verb: str, study: str, body: bytes) -> bytes:
    if verb == "refuse":
        raise BudgetRefusal("There is too little budget.", why="it was spent", do="ask for less")
    if verb == "break":
        raise RuntimeError("a detail that belongs in the log")
    return f"{verb} {study} ".encode() + body


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path / "lab")
    yield made
    made.close()


@pytest.fixture
def other_lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path / "other")
    yield made
    made.close()


@pytest.fixture
def connect() -> Iterator[Callable[..., GrpcChannel]]:
    """Opens a node's channel; closed at the end of the test."""
    opened: list[GrpcChannel] = []

    def channel(address: str, files: TlsFiles, **options: object) -> GrpcChannel:
        opened.append(GrpcChannel(address, files.authority, files.certificate, files.key, **options))
        return opened[-1]

    yield channel
    for made in opened:
        made.close()


@pytest.fixture
def group(tmp_path: Path) -> Iterator[NodeGroup]:
    """Four nodes that have approved a plan with secure sums."""
    with node_group(tmp_path, secure_plan()) as opened:
        yield opened
