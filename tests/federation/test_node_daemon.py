"""The daemon: at work for days, through broken networks, kills and restarts."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from node_parts import NOW, content, make_plan, open_node, plan_message, round_message, send
from small_site import canonical_plan, make_site, write_cohort

from cohortium_coordinator.relay.mailbox import Mailbox
from cohortium_coordinator.relay.server import RelayServer
from cohortium_node.daemon import Daemon
from cohortium_node.ledger import Ledger
from cohortium_node.service import NodeService
from cohortium_protocols.errors import ChannelError, SignatureError
from cohortium_protocols.schedules import schedule
from cohortium_protocols.signing import Envelope, SigningKey, VerifyKey
from cohortium_protocols.tls import Authority, Party, TlsFiles, load_credentials, write_certificate
from cohortium_simulations.memory_channel import Faults, MemoryRelay

PLAN = make_plan()
ROUNDS = [spec.name for spec in schedule(PLAN).rounds]


def daemon_on(relay: MemoryRelay, node, poll: float = 0.0) -> Daemon:
    return Daemon(NodeService(node), node.desk, relay.channel("north"), poll=poll)


def turns(daemon: Daemon, relay: MemoryRelay, heard: set[bytes], kind: str, enough: int) -> bool:
    """Lets the daemon work until the lab has heard so many honest messages of a kind; false after ten turns."""
    for _ in range(10):
        with suppress(ChannelError):
            daemon.step()
        heard.update(data for _, data in relay.fetch("lab", 0) if honest(data))
        if sum(Envelope.from_bytes(data).kind == kind for data in heard) >= enough:
            return True
    return False


def honest(data: bytes) -> bool:
    try:
        return bool(content(data))
    except SignatureError:
        return False


# In memory.


def test_a_hostile_network_and_restarts_leave_one_charge_and_one_answer_a_round(tmp_path: Path) -> None:
    faults = Faults(drop=0.2, delay=0.2, duplicate=0.2, reorder=0.2, tamper=0.2, replay=0.2)
    relay, heard = MemoryRelay(faults, np.random.default_rng(5)), set()
    messages = [(plan_message(PLAN), "decision"), *((round_message(PLAN, name), "answer") for name in ROUNDS)]
    for number, (message, kind) in enumerate(messages):
        relay.post("north", message)
        for _ in range(10):  # each time a restart
            with open_node(tmp_path) as node:
                if turns(daemon_on(relay, node), relay, heard, kind, max(number, 1)):
                    break
    with open_node(tmp_path) as node:
        kinds = [entry.body["kind"] for entry in node.ledger.entries()]
        assert kinds.count("reserved") == kinds.count("answered") == len(ROUNDS)
        stored = {node.ledger.answer(request) for request in node.ledger.accounts.answers}
    assert {data for data in heard if Envelope.from_bytes(data).kind == "answer"} == stored


def test_what_was_handled_but_not_handed_over_is_handed_over_after_a_restart(tmp_path: Path) -> None:
    class Broken(MemoryRelay):
        def fate(self) -> str:
            return "request lost" if self.breaks else "answered"

    relay = Broken()
    relay.breaks = False
    relay.post("north", plan_message(PLAN))
    with open_node(tmp_path) as node:
        daemon_on(relay, node).step()
        relay.post("north", round_message(PLAN, "profile"))
        daemon = daemon_on(relay, node)
        fetched = relay.channel("north").fetch(node.desk.position)
        (stored,) = NodeService(node).handle(fetched[0][1], NOW)
        relay.breaks = True
        with pytest.raises(ChannelError):
            daemon.step()
    relay.breaks = False
    with open_node(tmp_path) as node:
        daemon_on(relay, node).step()
    assert stored in [data for _, data in relay.fetch("lab", 0)]


def test_the_daemon_waits_longer_and_longer_for_a_relay_that_is_away(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay = MemoryRelay(Faults(drop=1.0), np.random.default_rng(0))
    pauses: list[float] = []
    with open_node(tmp_path) as node:
        daemon = daemon_on(relay, node)

        def sleep(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 9:
                daemon.stop()

        monkeypatch.setattr("cohortium_node.daemon.time.sleep", sleep)
        daemon.run()
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert "Trying again in 0.5 s." in caplog.text


# As processes, over gRPC.


@dataclass
class Site:
    """A lab with a relay, and one node's files with a certificate for it."""

    config: Path
    mailbox: Mailbox
    key: VerifyKey
    holds: str = ""

    def start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", "from cohortium_node.cli import main; main()", "-c", str(self.config), "run"]
        return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    def heard(self, count: int) -> list[Envelope]:
        """The first messages from the node but its recalls, which are answered; signatures checked."""
        deadline = time.monotonic() + 30
        while len(found := self._said()) < count:
            assert time.monotonic() < deadline, "the node did not answer"
            time.sleep(0.05)
        return found

    def _said(self) -> list[Envelope]:
        said = [Envelope.from_bytes(data).verified({"north": self.key}) for _, data in self.mailbox.fetch("lab", 0)]
        heads = ["", *(each.content()["head"] for each in said if each.kind == "answer")]
        for recall in (each for each in said if each.kind == "recall"):
            anchor = {"node": "north", "head": self.holds or heads[-1], "nonce": recall.content()["nonce"]}
            self.mailbox.post("north", send("anchor", "", anchor))
        return [each for each in said if each.kind != "recall"]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    authority = Authority.make(tmp_path / "ca.pem", tmp_path / "ca.key", "lab")
    server = TlsFiles(tmp_path / "ca.pem", tmp_path / "server.pem", tmp_path / "server.key")
    authority.issue_server(server.certificate, server.key, ["127.0.0.1"])
    mailbox = Mailbox(tmp_path / "mailbox.sqlite")

    relay = RelayServer("127.0.0.1:0", load_credentials(server), mailbox, lambda *_: b"")
    config = make_site(tmp_path, f"127.0.0.1:{relay.start()}")
    tls = config.parent / "tls"
    (tls / "ca.pem").write_bytes((tmp_path / "ca.pem").read_bytes())
    write_certificate(
        tls / "north.pem", authority.issue_client((tls / "north.csr").read_bytes(), Party("north", "node"))
    )
    with (config.parent / "policy.toml").open("a") as policy:
        policy.write(STANDING_RULE)
    write_cohort(tmp_path)
    yield Site(config, mailbox, SigningKey.load(config.parent / "state/keys/signing.pem").public)
    relay.stop(grace=0)
    mailbox.close()


STANDING_RULE = """
[[standing_approvals]]
operator = "lab"
study = "*"
epsilon = 1.0
outcomes = ["death"]
until = 2999-12-31
"""


@pytest.mark.process
def test_a_daemon_that_is_killed_again_and_again_finishes_its_study(site: Site) -> None:
    plan = canonical_plan()
    names = [spec.name for spec in schedule(plan).rounds][:3]
    site.mailbox.post("north", plan_message(plan))
    first = site.start()
    assert site.heard(1)[0].kind == "decision"
    for number, name in enumerate(names, start=2):
        site.mailbox.post("north", round_message(plan, name))
        site.heard(number)
        first.kill()
        assert first.wait() == -signal.SIGKILL
        first.stderr.close()
        first = site.start()
    messages = site.heard(len(names) + 1)
    assert [message.kind for message in messages] == ["decision", *["answer"] * len(names)]
    assert [message.content()["code"] for message in messages] == [""] * len(messages)
    first.terminate()
    first.communicate()
    with closing(Ledger.read(site.config.parent / "state/ledger.sqlite")) as ledger:
        ledger.verify()
        stored = {ledger.answer(request) for request in ledger.accounts.answers}
        kinds = [entry.body["kind"] for entry in ledger.entries()]
    assert stored == {message.to_bytes() for message in messages[1:]}
    assert kinds == ["opened", *["reserved", "answered"] * len(names)]


@pytest.mark.process
@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_ends_the_daemon_cleanly_and_soon(site: Site, number: int, exit_code: int) -> None:
    site.mailbox.post("north", plan_message(canonical_plan()))
    daemon = site.start()
    site.heard(1)
    second = site.start()
    _, talk = second.communicate(timeout=30)
    assert (second.returncode, talk.splitlines()[0].split(" in ")[0]) == (8, "Another daemon is at work")
    started = time.monotonic()
    daemon.send_signal(number)
    _, talk = daemon.communicate(timeout=10)
    assert (daemon.returncode, time.monotonic() - started < 3) == (exit_code, True)
    assert "Traceback" not in talk
    assert "Node north is at work." in talk
