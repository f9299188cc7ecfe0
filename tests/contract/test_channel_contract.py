"""What every channel promises, whatever carries the envelopes. One suite, each channel passes it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cohortium_coordinator.relay.mailbox import Mailbox
from cohortium_coordinator.relay.server import RelayServer
from cohortium_node.channels.grpc import GrpcChannel
from cohortium_protocols.channel import Channel, Post
from cohortium_protocols.errors import ChannelError
from cohortium_protocols.relay.wire import ENVELOPE_LIMIT
from cohortium_protocols.signing import Envelope, SigningKey
from cohortium_protocols.tls import (
    Authority,
    Party,
    TlsFiles,
    load_credentials,
    make_request,
    write_certificate,
)
from cohortium_simulations.memory_channel import MemoryRelay

KEY = SigningKey.generate()


@dataclass(frozen=True)
class Network:
    """A relay, and a way to open each party's channel to it."""

    post: Post
    channel: Callable[[str], Channel]


def envelope(sender: str, recipient: str, content: Any = 0) -> bytes:
    return Envelope.sign("answer", "study", sender, recipient, content, KEY).to_bytes()


def to_north(content: Any = 0) -> bytes:
    return envelope("lab", "north", content)


@pytest.fixture
def memory() -> Network:
    relay = MemoryRelay()
    return Network(relay, relay.channel)


@pytest.fixture
def grpc_relay(tmp_path: Path) -> Iterator[Network]:
    authority = Authority.make(tmp_path / "ca.pem", tmp_path / "ca.key", "lab")
    server = TlsFiles(tmp_path / "ca.pem", tmp_path / "server.pem", tmp_path / "server.key")
    authority.issue_server(server.certificate, server.key, ["127.0.0.1"])
    mailbox = Mailbox(tmp_path / "mailbox.sqlite")
    relay = RelayServer("127.0.0.1:0", load_credentials(server), mailbox, lambda verb, study, body: body)
    port = relay.start()
    opened: list[GrpcChannel] = []

    def channel(name: str) -> GrpcChannel:
        certificate, key = tmp_path / f"{name}.pem", tmp_path / f"{name}.key"
        write_certificate(certificate, authority.issue_client(make_request(key, name), Party(name, "node")))
        opened.append(GrpcChannel(f"127.0.0.1:{port}", server.authority, certificate, key))
        return opened[-1]

    yield Network(mailbox, channel)
    for made in opened:
        made.close()
    relay.stop(grace=1)
    mailbox.close()


@pytest.fixture(params=["memory", "grpc_relay"])
def network(request: pytest.FixtureRequest) -> Network:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Network)
    return found


def test_envelopes_come_oldest_first_with_rising_numbers(network: Network) -> None:
    sent = [to_north(i) for i in range(5)]
    for data in sent:
        network.post.post("north", data)
    numbers, received = zip(*network.channel("north").fetch(0), strict=True)
    assert list(received) == sent
    assert list(numbers) == sorted(set(numbers))


def test_only_envelopes_after_the_given_number_come(network: Network) -> None:
    north = network.channel("north")
    network.post.post("north", to_north("first"))
    ((number, _),) = north.fetch(0)
    assert north.fetch(number) == []
    network.post.post("north", to_north("second"))
    assert [data for _, data in north.fetch(number)] == [to_north("second")]


def test_what_was_fetched_can_be_fetched_again(network: Network) -> None:
    north = network.channel("north")
    network.post.post("north", to_north())
    assert north.fetch(0) == north.fetch(0) != []


def test_what_was_withdrawn_does_not_come_fetched_before_or_not(network: Network) -> None:
    north, sent = network.channel("north"), [to_north(i) for i in range(4)]
    for data in sent[:3]:
        network.post.post("north", data)
    (first, _), *_ = north.fetch(0)
    network.post.post("north", sent[3])
    for data in (sent[1], sent[3], sent[1]):
        network.post.withdraw(data)
    assert [data for _, data in north.fetch(0)] == [sent[0], sent[2]]
    assert [data for _, data in north.fetch(first)] == [sent[2]]


def test_numbers_are_not_used_again_and_what_was_withdrawn_can_be_posted_again(network: Network) -> None:
    north = network.channel("north")
    network.post.post("north", to_north())
    ((number, _),) = north.fetch(0)
    network.post.withdraw(to_north())
    network.post.post("north", to_north())
    ((again, data),) = north.fetch(number)
    assert (again > number, data) == (True, to_north())


def test_withdrawing_what_is_not_there_changes_nothing(network: Network) -> None:
    network.post.post("north", to_north())
    network.post.post("south", envelope("lab", "south"))
    network.post.withdraw(to_north("never posted"))
    network.post.withdraw(envelope("lab", "south"))
    assert [data for _, data in network.channel("north").fetch(0)] == [to_north()]
    assert network.channel("south").fetch(0) == []


def test_a_party_sees_only_its_own_envelopes(network: Network) -> None:
    network.post.post("north", to_north())
    assert network.channel("south").fetch(0) == []


def test_a_submitted_envelope_arrives_unchanged_at_its_recipient(network: Network) -> None:
    answer = envelope("north", "lab", {"vectors": {"profile": "AAAA"}})
    network.channel("north").submit(answer)
    assert [data for _, data in network.post.fetch("lab", 0)] == [answer]


def test_the_same_bytes_submitted_again_arrive_once(network: Network) -> None:
    north, answer = network.channel("north"), envelope("north", "lab")
    for _ in range(3):
        north.submit(answer)
    assert [data for _, data in network.post.fetch("lab", 0)] == [answer]
    assert network.post.post("lab", answer) == network.post.post("lab", answer)


def test_a_wait_ends_when_an_envelope_comes(network: Network) -> None:
    north = network.channel("north")
    later = threading.Timer(0.2, network.post.post, ("north", to_north()))
    later.start()
    began = time.monotonic()
    assert [data for _, data in north.fetch(0, wait=20)] == [to_north()]
    assert 0.1 < time.monotonic() - began < 5
    later.join()


def test_a_wait_ends_without_an_envelope_when_its_time_is_over(network: Network) -> None:
    network.post.post("south", envelope("lab", "south"))
    began = time.monotonic()
    assert network.channel("north").fetch(0, wait=0.3) == []
    assert 0.25 < time.monotonic() - began < 5


def test_an_envelope_in_another_partys_name_is_refused(network: Network) -> None:
    with pytest.raises(ChannelError, match="its sender is not the name"):
        network.channel("north").submit(envelope("south", "lab"))
    assert network.post.fetch("lab", 0) == []


def test_bytes_that_are_no_envelope_are_refused(network: Network) -> None:
    with pytest.raises(ChannelError, match="not a signed envelope"):
        network.channel("north").submit(b"{}")


def test_an_envelope_above_the_limit_is_refused_and_one_below_it_arrives(network: Network) -> None:
    north = network.channel("north")
    with pytest.raises(ChannelError, match="at most 16 MiB"):
        north.submit(bytes(ENVELOPE_LIMIT + 1))
    with pytest.raises(ChannelError, match="at most 16 MiB"):
        network.post.post("north", bytes(ENVELOPE_LIMIT + 1))
    network.post.post("north", bytes(ENVELOPE_LIMIT))
    assert [len(data) for _, data in north.fetch(0)] == [ENVELOPE_LIMIT]


def test_everything_comes_however_much_waits(network: Network) -> None:
    north, part = network.channel("north"), ENVELOPE_LIMIT // 3
    for i in range(7):
        network.post.post("north", bytes([i]) * part)
    received: list[bytes] = []
    after = 0
    while batch := north.fetch(after):
        received += [data for _, data in batch]
        after = batch[-1][0]
    assert [data[0] for data in received] == list(range(7))
