"""Whom the relay lets in, and to what; each refusal tells a person what to do."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from cohortium_coordinator.channel import OperatorClient
from cohortium_coordinator.relay.server import RelayServer
from cohortium_protocols.errors import BudgetRefusal, ChannelError, CohortiumError, TrustError
from cohortium_protocols.proto import relay_pb2 as wire
from cohortium_protocols.proto.relay_pb2_grpc import RelayStub
from cohortium_protocols.signing import Envelope, SigningKey
from cohortium_protocols.tls import load_credentials, write_certificate

KEY = SigningKey.generate()


def operate(verb: str, study: str, body: bytes) -> bytes:
    return body


def raw(address: str, files, *, named: bool = True) -> RelayStub:
    """A stub without our client's own checks, as a stranger would have it."""
    pair = (files.key.read_bytes(), files.certificate.read_bytes()) if named else (None, None)
    secrets = grpc.ssl_channel_credentials(files.authority.read_bytes(), *pair)
    return RelayStub(grpc.secure_channel(address, secrets, options=[("grpc.use_local_subchannel_pool", 1)]))


def status(stub: RelayStub, method: str = "Fetch", request: object = None) -> str:
    with pytest.raises(grpc.RpcError) as caught:
        getattr(stub, method)(request or wire.FetchRequest(), timeout=5)
    return caught.value.code().name


def test_a_node_fetches_its_own_mailbox_whatever_it_asks(lab, connect) -> None:
    address, north = lab.start(), lab.party("north")
    lab.mailbox.post("south", b"for south")
    lab.mailbox.post("north", b"for north")
    assert connect(address, north).fetch(0) == [(2, b"for north")]
    assert [field.name for field in wire.FetchRequest.DESCRIPTOR.fields] == ["after", "wait_seconds"]


def test_a_node_submits_in_its_own_name_only(lab, connect) -> None:
    address, north = lab.start(), lab.party("north")
    forged = Envelope.sign("answer", "study", "south", "lab", 0, KEY).to_bytes()
    assert status(raw(address, north), "Submit", wire.SubmitRequest(envelope=forged)) == "PERMISSION_DENIED"
    with pytest.raises(ChannelError, match="its sender is not the name in the certificate"):
        connect(address, north).submit(forged)
    assert lab.mailbox.fetch("lab", 0) == []


def test_a_caller_without_a_certificate_is_refused(lab) -> None:
    address, north = lab.start(), lab.party("north")
    assert status(raw(address, north, named=False)) == "UNAVAILABLE"


def test_a_caller_without_tls_is_refused(lab) -> None:
    assert status(RelayStub(grpc.insecure_channel(lab.start()))) == "UNAVAILABLE"


def test_a_certificate_of_another_lab_is_refused(lab, other_lab, connect) -> None:
    address, stranger = lab.start(), other_lab.party("north")
    mixed = replace(stranger, authority=lab.server.authority)
    assert status(raw(address, mixed)) == "UNAVAILABLE"
    with pytest.raises(TrustError, match="was not issued by the authority"):
        connect(address, mixed)


def test_a_relay_of_another_lab_is_refused_by_the_node(lab, other_lab, connect) -> None:
    with pytest.raises(ChannelError, match="is not the one expected") as caught:
        connect(other_lab.start(), lab.party("north")).fetch(0)
    assert "was not issued by the authority in" in caught.value.why
    assert "exempt this address" in caught.value.do


def test_a_relay_under_a_name_that_its_certificate_does_not_hold_is_refused(lab, connect) -> None:
    lab.start()
    north = lab.party("north")
    elsewhere = lab.folder / "elsewhere"
    lab.authority.issue_server(elsewhere / "s.pem", elsewhere / "s.key", ["relay.example.org"])
    lab.stop()
    lab.server = replace(lab.server, certificate=elsewhere / "s.pem", key=elsewhere / "s.key")
    with pytest.raises(ChannelError, match="is for another host"):
        connect(lab.start(), north).fetch(0)


def test_a_node_cannot_play_the_relay_with_its_own_certificate(lab, connect) -> None:
    north = lab.party("north")
    lab.server = lab.party("localhost")
    with pytest.raises(ChannelError, match=r"is not the one expected|is for another host"):
        connect(lab.start().replace("127.0.0.1", "localhost"), north).fetch(0)


def test_the_servers_certificate_is_no_key_to_the_mailboxes(lab) -> None:
    assert status(raw(lab.start(), lab.server)) == "UNAVAILABLE"


def test_an_expired_certificate_is_refused_on_both_sides(lab, connect) -> None:
    address, old = lab.start(), lab.party("old", days=0)
    time.sleep(1.1)    # certificates count in seconds
    assert status(raw(address, old)) == "UNAVAILABLE"
    with pytest.raises(TrustError, match="has expired"):
        connect(address, old)


def test_a_certificate_that_expires_while_a_daemon_runs_is_an_error_that_says_so(lab, connect) -> None:
    channel = connect(lab.start(), lab.party("north"))
    relay = channel._relay
    relay.credentials = replace(relay.credentials, expires=datetime.now(UTC) - timedelta(minutes=1))
    with pytest.raises(ChannelError, match="has expired") as caught:
        channel.fetch(0)
    assert "ask the operator for a new certificate" in caught.value.do


def test_a_certificate_refused_by_the_relay_is_an_error_that_says_so(lab, other_lab, connect) -> None:
    """The lab has a new authority: the relay shows a certificate of the old one, and admits only the new."""
    new = other_lab.server.authority.read_bytes()
    changed = replace(load_credentials(lab.server), authority=new)
    relay = RelayServer("127.0.0.1:0", changed, lab.mailbox, operate)
    port = relay.start()
    with pytest.raises(ChannelError, match="refused this party's certificate"):
        connect(f"127.0.0.1:{port}", lab.party("north")).fetch(0)
    relay.stop(grace=1)


def test_an_expired_certificate_of_the_relay_is_an_error_that_says_so(lab, connect) -> None:
    place = lab.folder / "short"
    lab.authority.issue_server(place / "s.pem", place / "s.key", ["127.0.0.1"], days=0)
    short = replace(lab.server, certificate=place / "s.pem", key=place / "s.key")
    before = load_credentials(short, datetime.now(UTC) - timedelta(minutes=1))
    time.sleep(1.1)    # certificates count in seconds
    with pytest.raises(TrustError, match="has expired"):
        load_credentials(short)
    relay = RelayServer("127.0.0.1:0", before, lab.mailbox, operate)
    port = relay.start()
    with pytest.raises(ChannelError, match=r"certificate of the relay at .* has expired"):
        connect(f"127.0.0.1:{port}", lab.party("north")).fetch(0)
    relay.stop(grace=1)


@pytest.mark.parametrize("name", ["North", "north/south"])
def test_a_certificate_that_names_no_party_is_refused(lab, name: str) -> None:
    address, north = lab.start(), lab.party("north")
    assert status(raw(address, _renamed(lab, north, name))) == "UNAUTHENTICATED"


def test_a_role_opens_only_its_own_door(lab, connect) -> None:
    address, north, operator = lab.start(), lab.party("north"), lab.party("lab", "operator")
    with pytest.raises(ChannelError, match="has the other role"):
        connect(address, operator).fetch(0)
    with OperatorClient(address, north) as client, pytest.raises(ChannelError, match="has the other role"):
        client.operate("studies")


def test_the_operator_operates(lab) -> None:
    with OperatorClient(lab.start(), lab.party("lab", "operator")) as client:
        assert client.operate("report", "befriending", b"json") == b"report befriending json"


def test_the_operator_hears_a_refusal_as_it_was_raised(lab) -> None:
    operator = OperatorClient(lab.start(), lab.party("lab", "operator"))
    with operator, pytest.raises(BudgetRefusal) as caught:
        operator.operate("refuse")
    heard = (caught.value.what, caught.value.why, caught.value.do)
    assert heard == ("There is too little budget.", "it was spent", "ask for less")


def test_a_fault_of_the_coordinator_goes_to_its_log_and_not_over_the_wire(lab, caplog) -> None:
    operator = OperatorClient(lab.start(), lab.party("lab", "operator"))
    with operator, pytest.raises(CohortiumError, match="a fault of its own") as caught:
        operator.operate("break")
    assert "a detail" not in str(caught.value)
    assert "a detail" in caplog.text


def _renamed(lab, files, name: str):
    """The party's certificate with a subject that our own authority would not write."""
    real = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    subject = x509.Name.from_rfc4514_string(f"CN={name},OU=node")
    builder = x509.CertificateBuilder(real.issuer, subject, real.public_key(), real.serial_number)
    builder = builder.not_valid_before(real.not_valid_before_utc).not_valid_after(real.not_valid_after_utc)
    for extension in real.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    signer = load_pem_private_key((lab.folder / "ca.key").read_bytes(), None)
    path = lab.folder / "renamed.pem"
    write_certificate(path, builder.sign(signer, hashes.SHA256()).public_bytes(Encoding.PEM))
    return replace(files, certificate=path)
