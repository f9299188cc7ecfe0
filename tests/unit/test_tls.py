"""Certificates of the transport: who gets one, how files are written, and what loading refuses."""

from __future__ import annotations

import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cohortium_protocols.errors import CohortiumError, InputError, StorageError, TrustError
from cohortium_protocols.tls import (
    Authority,
    Party,
    TlsFiles,
    load_credentials,
    make_request,
    party_of,
    write_certificate,
)

NORTH = Party("north", "node")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.make(tmp_path / "ca.pem", tmp_path / "ca.key", "lab")


@pytest.fixture
def files(tmp_path: Path, authority: Authority) -> TlsFiles:
    made = TlsFiles(tmp_path / "ca.pem", tmp_path / "north.pem", tmp_path / "north.key")
    write_certificate(made.certificate, authority.issue_client(make_request(made.key, "north"), NORTH))
    return made


def test_a_certificate_names_its_party(files: TlsFiles) -> None:
    assert load_credentials(files).party == NORTH


def test_the_key_never_shows_when_credentials_are_printed(files: TlsFiles) -> None:
    assert "PRIVATE" not in repr(load_credentials(files))


def test_private_keys_are_readable_by_their_owner_only(tmp_path: Path, files: TlsFiles) -> None:
    for key in (files.key, tmp_path / "ca.key"):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_no_file_is_ever_written_over_another(tmp_path: Path, authority: Authority, files: TlsFiles) -> None:
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for write in (
        lambda: Authority.make(tmp_path / "ca2.pem", tmp_path / "ca.key", "lab"),
        lambda: authority.issue_server(tmp_path / "server.pem", files.key, ["localhost"]),
        lambda: make_request(files.key, "north"),
        lambda: write_certificate(files.certificate, b""),
    ):
        with pytest.raises(StorageError, match="never overwritten"):
            write()
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_an_authority_can_be_loaded_again_and_issues(tmp_path: Path, files: TlsFiles) -> None:
    again = Authority.load(tmp_path / "ca.pem", tmp_path / "ca.key")
    request = make_request(tmp_path / "south.key", "south")
    write_certificate(tmp_path / "south.pem", again.issue_client(request, Party("south", "operator")))
    loaded = load_credentials(TlsFiles(files.authority, tmp_path / "south.pem", tmp_path / "south.key"))
    assert loaded.party == Party("south", "operator")


def test_a_server_certificate_is_for_its_hosts_and_for_no_party(tmp_path: Path, authority: Authority) -> None:
    authority.issue_server(tmp_path / "s.pem", tmp_path / "s.key", ["relay.example.org", "127.0.0.1", "::1"])
    certificate = x509.load_pem_x509_certificate((tmp_path / "s.pem").read_bytes())
    hosts = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(host.value) for host in hosts] == ["relay.example.org", "127.0.0.1", "::1"]
    assert party_of(certificate) is None


def test_a_server_needs_a_host(tmp_path: Path, authority: Authority) -> None:
    with pytest.raises(InputError, match="at least one host"):
        authority.issue_server(tmp_path / "s.pem", tmp_path / "s.key", [])


@pytest.mark.parametrize(
    "name", ["", "North", "north south", "north/../south", "-north", "a--b", "a" * 65, "nörth", "north\n"]
)
def test_a_name_that_no_party_can_have(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="cannot be the name of a party"):
        make_request(tmp_path / "x.key", name)


def test_a_request_for_one_name_gets_no_certificate_for_another(tmp_path: Path, authority: Authority) -> None:
    request = make_request(tmp_path / "south.key", "south")
    with pytest.raises(InputError, match="not for 'north'") as caught:
        authority.issue_client(request, NORTH)
    assert "it is for 'south'" in caught.value.why


def test_an_altered_request_gets_no_certificate(tmp_path: Path, authority: Authority) -> None:
    request = x509.load_pem_x509_csr(make_request(tmp_path / "n.key", "north"))
    other = x509.load_pem_x509_csr(make_request(tmp_path / "o.key", "north"))
    der = request.public_bytes(Encoding.DER)
    spki = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    swapped = der.replace(request.public_key().public_bytes(*spki), other.public_key().public_bytes(*spki))
    pem = ssl.DER_cert_to_PEM_cert(swapped).replace("CERTIFICATE", "CERTIFICATE REQUEST").encode()
    with pytest.raises(InputError, match="altered"):
        authority.issue_client(pem, NORTH)


@pytest.mark.parametrize("which", ["authority", "certificate", "key"])
def test_a_missing_file_is_named(files: TlsFiles, which: str) -> None:
    path: Path = getattr(files, which)
    path.unlink()
    assert_error(files, StorageError, f"{path} cannot be read", "No such file")


@pytest.mark.parametrize("which", ["authority", "certificate", "key"])
def test_a_file_with_other_content_is_named(files: TlsFiles, which: str) -> None:
    path: Path = getattr(files, which)
    path.write_text("hello")
    assert_error(files, StorageError, f"{path} is not a", "")


def test_a_key_that_does_not_match_its_certificate(tmp_path: Path, files: TlsFiles) -> None:
    make_request(tmp_path / "other.key", "north")
    swapped = TlsFiles(files.authority, files.certificate, tmp_path / "other.key")
    assert_error(swapped, StorageError, "other.key does not belong to the certificate", "")


def test_a_certificate_of_another_authority(tmp_path: Path, files: TlsFiles) -> None:
    Authority.make(tmp_path / "other.pem", tmp_path / "other.key", "lab")
    swapped = TlsFiles(tmp_path / "other.pem", files.certificate, files.key)
    assert_error(swapped, TrustError, "was not issued by the authority", "different labs")


def test_a_certificate_is_good_for_its_time_only(files: TlsFiles) -> None:
    now = datetime.now(UTC)
    assert load_credentials(files, now + timedelta(days=364)).party == NORTH
    later, earlier = now + timedelta(days=366), now - timedelta(hours=2)
    assert_error(files, TrustError, f"{files.certificate} has expired", "valid until", later)
    assert_error(files, TrustError, f"{files.authority} is not valid yet", "clock", earlier)


def assert_error(
    files: TlsFiles, kind: type[CohortiumError], what: str, why: str, now: datetime | None = None
) -> None:
    with pytest.raises(kind) as caught:
        load_credentials(files, now)
    assert what in caught.value.what
    assert why in caught.value.why
