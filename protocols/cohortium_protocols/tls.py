"""Certificates of the transport: a lab's own authority, its server, and the parties that call it.

A party makes its key on its own machine and sends only a certificate request; the lab answers with a
certificate that names the party (CN) and its role (OU). Keys are ECDSA on P-256, written readable by their
owner only and never over an older file. These certificates keep strangers out; what may be released rests on
signed envelopes instead.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, cast, get_args

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cohortium_protocols.errors import InputError, StorageError, TrustError
from cohortium_protocols.new_file import write_new

Role = Literal["node", "operator"]

AUTHORITY_DAYS = 3650
CERTIFICATE_DAYS = 365

_CLOCK_SKEW = timedelta(hours=1)     # certificates are valid from a little before they are made
_NAME = re.compile(r"(?=.{1,64}$)[a-z0-9]+(?:-[a-z0-9]+)*")     # as in a plan's roster


@dataclass(frozen=True)
class Party:
    """Who a client certificate is for: a node, or an operator's command line."""

    name: str
    role: Role


@dataclass(frozen=True)
class TlsFiles:
    """Where one party keeps its three files: the lab's authority, its own certificate, its own key."""

    authority: Path
    certificate: Path
    key: Path


@dataclass(frozen=True)
class Credentials:
    """The loaded and checked content of :class:`TlsFiles`, as PEM bytes."""

    authority: bytes
    certificate: bytes
    key: bytes = field(repr=False)
    party: Party | None     # None for a server
    expires: datetime


class Authority:
    """A lab's certificate authority: issues certificates for the lab's server and for those who call it."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self._certificate = certificate
        self._key = key

    @classmethod
    def make(cls, certificate: Path, key: Path, name: str, *, days: int = AUTHORITY_DAYS) -> Authority:
        """Makes an authority with a new key, writes both to new files, and returns it.

        Raises:
            StorageError: a file exists already, or cannot be written.
        """
        private = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} certificate authority")])
        builder = _builder(subject, subject, private.public_key(), days)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_usage(key_cert_sign=True), critical=True)
        made = builder.sign(private, hashes.SHA256())
        write_new(key, _key_pem(private), private=True)
        write_new(certificate, made.public_bytes(serialization.Encoding.PEM), private=False)
        return cls(made, private)

    @classmethod
    def load(cls, certificate: Path, key: Path) -> Authority:
        """Returns the authority kept in two files.

        Raises:
            StorageError: a file is missing or not what it must be, or the two do not belong together.
        """
        loaded, private = _read_certificate(certificate), _read_key(key)
        _check_pair(loaded, private, certificate, key)
        return cls(loaded, private)

    def issue_server(
        self, certificate: Path, key: Path, hosts: Sequence[str], *, days: int = CERTIFICATE_DAYS
    ) -> None:
        """Makes a key and a certificate for the lab's server, and writes both to new files.

        Args:
            certificate: the new file of the certificate.
            key: the new file of the key.
            hosts: the names and IP addresses under which clients reach the server.
            days: how long the certificate is valid.

        Raises:
            StorageError: a file exists already, or cannot be written.
            InputError: no host was given.
        """
        if not hosts:
            raise InputError("A server certificate needs at least one host name or IP address.")
        private = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0][:64])])
        builder = _builder(subject, self._certificate.subject, private.public_key(), days)
        names = x509.SubjectAlternativeName([_host(host) for host in hosts])
        builder = builder.add_extension(names, critical=False)
        issued = self._leaf(builder, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]))
        write_new(key, _key_pem(private), private=True)
        write_new(certificate, issued, private=False)

    def issue_client(self, request: bytes, party: Party, *, days: int = CERTIFICATE_DAYS) -> bytes:
        """Returns the certificate (PEM) of a party, from the request that it made beside its key.

        Args:
            request: the certificate request, PEM.
            party: whom the operator means to let in; the request must be for the same name.
            days: how long the certificate is valid.

        Raises:
            InputError: this is no request, it was altered, or it is for another name.
        """
        parsed = _read_request(request, check_name(party.name))
        attributes = [(NameOID.COMMON_NAME, party.name), (NameOID.ORGANIZATIONAL_UNIT_NAME, party.role)]
        subject = x509.Name([x509.NameAttribute(oid, value) for oid, value in attributes])
        builder = _builder(subject, self._certificate.subject, parsed.public_key(), days)
        return self._leaf(builder, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]))

    def _leaf(self, builder: x509.CertificateBuilder, purpose: x509.ExtendedKeyUsage) -> bytes:
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(digital_signature=True), critical=True)
        builder = builder.add_extension(purpose, critical=True)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        issued = builder.add_extension(issuer, critical=False).sign(self._key, hashes.SHA256())
        return issued.public_bytes(serialization.Encoding.PEM)


def make_request(key: Path, name: str) -> bytes:
    """Makes a party's key, writes it to a new file, and returns its certificate request (PEM).

    Raises:
        InputError: the name is not one a party can have.
        StorageError: the file exists already, or cannot be written.
    """
    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, check_name(name))])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(private, hashes.SHA256())
    write_new(key, _key_pem(private), private=True)
    return request.public_bytes(serialization.Encoding.PEM)


def write_certificate(path: Path, certificate: bytes) -> None:
    """Writes a certificate (PEM) to a new file that everybody may read.

    Raises:
        StorageError: the file exists already, or cannot be written.
    """
    write_new(path, certificate, private=False)


def load_credentials(files: TlsFiles, now: datetime | None = None) -> Credentials:
    """Returns the three files' content after checking that they can be used together.

    Args:
        files: where they are.
        now: the time to check against, with a time zone; the clock's when not given.

    Raises:
        StorageError: a file is missing or not what it must be, or the key is not the certificate's.
        TrustError: a certificate has expired, is not yet valid, or was issued by another authority.
    """
    authority, certificate = _read_certificate(files.authority), _read_certificate(files.certificate)
    private = _read_key(files.key)
    _check_pair(certificate, private, files.certificate, files.key)
    _check_issuer(certificate, authority, files)
    for loaded, path in ((authority, files.authority), (certificate, files.certificate)):
        _check_dates(loaded, path, now or datetime.now(UTC))
    pem = serialization.Encoding.PEM
    return Credentials(
        authority.public_bytes(pem),
        certificate.public_bytes(pem),
        _key_pem(private),
        party_of(certificate),
        certificate.not_valid_after_utc,
    )


def party_of(certificate: x509.Certificate) -> Party | None:
    """Returns who a client certificate is for, or None when it names no party or no role."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    roles = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)
    if len(names) != 1 or len(roles) != 1 or roles[0].value not in get_args(Role):
        return None
    name = str(names[0].value)
    return Party(name, cast(Role, roles[0].value)) if _NAME.fullmatch(name) else None


def check_name(name: str) -> str:
    """Returns the name when a party can have it.

    Raises:
        InputError: it is not small letters and digits in words with single hyphens between them, or too long.
    """
    if not _NAME.fullmatch(name):
        raise InputError(
            f"'{name}' cannot be the name of a party.",
            why="a name is 1 to 64 small letters and digits, in words with single hyphens between them",
            do="choose a name such as 'north' or 'st-marys-2'",
        )
    return name


def _builder(
    subject: x509.Name, issuer: x509.Name, key: CertificatePublicKeyTypes, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - _CLOCK_SKEW).not_valid_after(now + timedelta(days=days))
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)


def _usage(*, key_cert_sign: bool = False, digital_signature: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=key_cert_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StorageError(
            f"The {what} {path} cannot be read.",
            why=error.strerror or "",
            do="check the path in the configuration and the file's permissions",
        ) from error


def _read_certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(_read(path, "certificate"))
    except ValueError as error:
        raise StorageError(f"The file {path} is not a certificate in PEM form.", do=_COPY_AGAIN) from error


def _read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(_read(path, "private key"), password=None)
    except (ValueError, TypeError) as error:
        raise StorageError(f"The file {path} is not a private key in PEM form without a password.") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise StorageError(f"The private key {path} is not an ECDSA key.", do="make a new key and request")
    return key


def _read_request(request: bytes, name: str) -> x509.CertificateSigningRequest:
    try:
        parsed = x509.load_pem_x509_csr(request)
    except ValueError as error:
        raise InputError("This is not a certificate request in PEM form.", do=_COPY_AGAIN) from error
    asked = [str(item.value) for item in parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if not parsed.is_signature_valid:
        raise InputError("The certificate request was altered on its way.", do=_COPY_AGAIN)
    if asked != [name]:
        raise InputError(
            f"The certificate request is not for '{name}'.",
            why=f"it is for {', '.join(map(repr, asked)) or 'nobody'}",
            do="check whose request this is: the name must be the same in plan, request and certificate",
        )
    return parsed


def _check_pair(
    certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey, certificate_path: Path, key_path: Path
) -> None:
    if certificate.public_key() != key.public_key():
        raise StorageError(
            f"The private key {key_path} does not belong to the certificate {certificate_path}.",
            do="use the key that was made with the certificate's request, or ask for a new certificate",
        )


def _check_issuer(certificate: x509.Certificate, authority: x509.Certificate, files: TlsFiles) -> None:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise TrustError(
            f"The certificate {files.certificate} was not issued by the authority {files.authority}.",
            why="the two files come from different labs, or the lab made a new authority since",
            do="ask the operator for the authority's certificate and your own, and put both in place",
        ) from error


def _check_dates(certificate: x509.Certificate, path: Path, now: datetime) -> None:
    first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now > last:
        raise TrustError(
            f"The certificate {path} has expired.",
            why=f"it was valid until {last:%Y-%m-%d %H:%M} UTC",
            do="ask the operator for a new certificate",
        )
    if now < first:
        raise TrustError(
            f"The certificate {path} is not valid yet.",
            why=f"it is valid from {first:%Y-%m-%d %H:%M} UTC; the clock here says {now:%Y-%m-%d %H:%M}",
            do="set this machine's clock",
        )


_COPY_AGAIN = "copy the file again, whole, and check its path"
