"""The relay and its network: restarts, crashes, a port in use, a proxy, a name that does not exist."""

from __future__ import annotations

import os
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar

import pytest

from cohortium_protocols.errors import ChannelError, UsageFault
from cohortium_protocols.signing import Envelope, SigningKey

RELAY = """
import sys, time
from pathlib import Path
from cohortium_coordinator.relay.mailbox import Mailbox
from cohortium_coordinator.relay.server import RelayServer
from cohortium_protocols.tls import TlsFiles, load_credentials
folder = Path(sys.argv[1])
tls = load_credentials(TlsFiles(folder / "ca.pem", folder / "server.pem", folder / "server.key"))
mailbox = Mailbox(folder / "mailbox.sqlite")
relay = RelayServer(f"127.0.0.1:{sys.argv[2]}", tls, mailbox, lambda verb, study, body: body)
print(relay.start(), flush=True)
time.sleep(600)
"""


@contextmanager
def relay_process(folder, port: int = 0) -> Iterator[tuple[subprocess.Popen[str], int]]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", RELAY, str(folder), str(port)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


def eventually(call: Callable[[], list], seconds: float = 10) -> list:
    """The call's first result; a daemon tries again after a ChannelError just so."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return call()
        except ChannelError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@pytest.mark.process
def test_a_killed_relay_loses_nothing_and_its_clients_recover(lab, connect) -> None:
    answer = Envelope.sign("answer", "study", "north", "north", 0, SigningKey.generate()).to_bytes()
    files = lab.party("north")
    with relay_process(lab.folder) as (process, port):
        north = connect(f"127.0.0.1:{port}", files)
        north.submit(answer)
        threading.Timer(0.2, process.kill).start()
        began = time.monotonic()
        with pytest.raises(ChannelError, match="cannot be reached"):
            north.fetch(1, wait=30)
        assert time.monotonic() - began < 5
    with relay_process(lab.folder, port):
        assert eventually(lambda: north.fetch(0)) == [(1, answer)]


@pytest.mark.process
def test_a_relay_that_hangs_is_given_up_after_the_timeout(lab, connect) -> None:
    with relay_process(lab.folder) as (process, port):
        north = connect(f"127.0.0.1:{port}", lab.party("north"), timeout=0.5)
        assert north.fetch(0) == []
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(ChannelError, match=r"did not answer within 0\.5 seconds"):
            north.fetch(0)


def test_stopping_answers_who_waits_at_once_and_a_restart_on_the_port_serves_again(lab, connect) -> None:
    north = connect(lab.start(), lab.party("north"))
    threading.Timer(0.2, lab.stop).start()
    began = time.monotonic()
    assert north.fetch(0, wait=30) == []
    assert time.monotonic() - began < 5
    lab.start()
    lab.mailbox.post("north", b"later")
    assert eventually(lambda: north.fetch(0)) == [(1, b"later")]


def test_a_client_that_leaves_frees_its_place(lab, connect) -> None:
    north = connect(lab.start(), lab.party("north"))
    threading.Timer(0.2, north.close).start()
    with pytest.raises(ChannelError, match="closed on this side"):
        north.fetch(0, wait=30)
    with pytest.raises(ChannelError, match="closed on this side"):
        north.fetch(0)
    began = time.monotonic()
    lab.stop()
    assert time.monotonic() - began < 0.9      # nobody waits any more


def test_a_port_in_use_is_an_error_that_says_so(lab) -> None:
    second = lab.prepare(lab.start())
    with pytest.raises(ChannelError, match="cannot listen") as caught:
        second.start()
    assert caught.value.why == "Address already in use"
    assert "another coordinator" in caught.value.do


def test_a_relay_that_is_down_or_nowhere_is_an_error_that_says_so(lab, connect) -> None:
    files = lab.party("north")
    for address, why in (("127.0.0.1:1", "Connection refused"), ("nowhere.invalid:8443", "not known")):
        with pytest.raises(ChannelError, match="cannot be reached") as caught:
            connect(address, files).fetch(0)
        assert why in caught.value.why


def test_something_else_at_the_address_is_an_error_that_says_so(lab, connect) -> None:
    with _listener(_Web) as port, pytest.raises(ChannelError, match="does not speak TLS as a relay does"):
        connect(f"127.0.0.1:{port}", lab.party("north")).fetch(0)


@pytest.mark.parametrize("address", ["relay", "relay:", ":8443", "relay:https", "relay:99999"])
def test_an_address_is_a_host_and_a_port(lab, connect, address: str) -> None:
    with pytest.raises(UsageFault, match="is not an address"):
        connect(address, lab.party("north"))


def test_a_configured_proxy_is_used(lab, connect, monkeypatch) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    address = lab.start()
    with _listener(_Proxy) as port:
        lab.mailbox.post("north", b"through")
        assert connect(address, lab.party("north"), proxy=f"127.0.0.1:{port}").fetch(0) == [(1, b"through")]
    assert _Proxy.asked[-1] == f"CONNECT {address}"


def test_a_proxy_that_refuses_is_named(lab, connect, monkeypatch) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    address = lab.start()
    with _listener(_Web) as port, pytest.raises(ChannelError, match="through the proxy 127") as caught:
        connect(address, lab.party("north"), proxy=f"127.0.0.1:{port}").fetch(0)
    assert "400" in caught.value.why


def test_a_proxy_named_in_the_environment_is_not_used(lab, connect, monkeypatch) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    assert connect(lab.start(), lab.party("north")).fetch(0) == []


@contextmanager
def _listener(handler: type[socketserver.BaseRequestHandler]) -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}).start()
        yield server.server_address[1]
        server.shutdown()


class _Web(socketserver.BaseRequestHandler):
    """A web server: anything it is asked is a bad request."""

    def handle(self) -> None:
        self.request.recv(4096)
        self.request.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


class _Proxy(socketserver.BaseRequestHandler):
    """A proxy that connects whoever asks."""

    asked: ClassVar[list[str]] = []

    def handle(self) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            request += self.request.recv(4096)
        method, target, _ = request.decode().split(" ", 2)
        self.asked.append(f"{method} {target}")
        host, port = target.split(":")
        with socket.create_connection((host, int(port))) as onward:
            self.request.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            threading.Thread(target=_pump, args=(onward, self.request), daemon=True).start()
            _pump(self.request, onward)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        return
