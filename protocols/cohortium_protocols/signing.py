"""Who said it: Ed25519 keys and signed envelopes.

An envelope's signature covers a fixed prefix, its kind, study, sender, recipient and body, so that no part of one
message can be passed off as part of another. Transport is not trusted with anything: every message is an envelope,
and is checked against keys that a person pinned.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from cohortium_protocols.canonical import canonical_bytes, parse_canonical
from cohortium_protocols.errors import SignatureError, StorageError
from cohortium_protocols.new_file import write_new

_PREFIX = "cohortium-envelope-v1"
_FIELDS = ("kind", "study", "sender", "recipient", "body")


@dataclass(frozen=True)
class VerifyKey:
    """A public key: 32 bytes of Ed25519."""

    raw: bytes

    @classmethod
    def from_text(cls, text: str) -> VerifyKey:
        """Returns the key written as ``ed25519:<base64>``.

        Raises:
            SignatureError: the text is no such key.
        """
        scheme, _, encoded = text.strip().partition(":")
        try:
            raw = base64.b64decode(encoded, validate=True)
        except ValueError:
            raw = b""
        if scheme != "ed25519" or len(raw) != 32:
            raise SignatureError(
                "This is not a public key of Cohortium.",
                why="a key is written as ed25519: and 44 characters of base64",
                do="copy the line that the other side's `key show` command prints",
            )
        return cls(raw)

    @property
    def text(self) -> str:
        """The key as one line of text."""
        return "ed25519:" + base64.b64encode(self.raw).decode("ascii")

    @property
    def fingerprint(self) -> str:
        """A short form to read out on the telephone: 8 groups of 4 hexadecimal digits of the key's SHA-256."""
        hexadecimal = hashlib.sha256(self.raw).hexdigest()[:32]
        return " ".join(hexadecimal[i : i + 4] for i in range(0, 32, 4))

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Returns whether the signature over the message is by this key."""
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except InvalidSignature:
            return False
        return True


class SigningKey:
    """A private key; made on, and never leaving, the machine that keeps it."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public = VerifyKey(
            private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        )

    @classmethod
    def generate(cls) -> SigningKey:
        """Returns a new key from the operating system's randomness."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def load(cls, path: Path) -> SigningKey:
        """Returns the key kept in a file.

        Raises:
            StorageError: the file is missing or holds no Ed25519 private key.
        """
        try:
            private = serialization.load_pem_private_key(path.read_bytes(), password=None)
        except (OSError, ValueError) as error:
            raise StorageError(
                f"The signing key {path} cannot be read.",
                why=error.strerror or str(error)
                if isinstance(error, OSError)
                else "it is not a PEM private key",
                do="check the path and its permissions, or make a key with the `key make` command",
            ) from error
        if not isinstance(private, Ed25519PrivateKey):
            raise StorageError(
                f"The signing key {path} is not an Ed25519 key.", do="make one with `key make`"
            )
        return cls(private)

    def save(self, path: Path) -> None:
        """Writes the key to a new file that only its owner can read.

        Raises:
            StorageError: the file exists already, or cannot be written.
        """
        pem = self._private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        write_new(path, pem, private=True)

    def sign(self, message: bytes) -> bytes:
        """Returns the signature over the message, 64 bytes."""
        return self._private.sign(message)


@dataclass(frozen=True)
class Envelope:
    """A signed message: what kind, for which study, from whom, to whom, and its canonical body."""

    kind: str
    study: str
    sender: str
    recipient: str
    body: bytes
    signature: bytes

    @classmethod
    def sign(
        cls, kind: str, study: str, sender: str, recipient: str, content: Any, key: SigningKey
    ) -> Envelope:
        """Returns the envelope of a plain JSON value, signed."""
        body = canonical_bytes(content)
        return cls(
            kind, study, sender, recipient, body, key.sign(_signed(kind, study, sender, recipient, body))
        )

    def verified(self, keys: Mapping[str, VerifyKey]) -> Envelope:
        """Returns this envelope when its sender is pinned and its signature fits.

        Raises:
            SignatureError: the sender is not pinned, or the envelope was altered or signed by another key.
        """
        key = keys.get(self.sender)
        if key is None:
            raise SignatureError(
                f"A {self.kind} message is from '{self.sender}', whose key is not pinned here.",
                do="pin the sender's key after checking its fingerprint with them, or ignore the message",
            )
        message = _signed(self.kind, self.study, self.sender, self.recipient, self.body)
        if not key.verifies(self.signature, message):
            raise SignatureError(
                f"The signature on a {self.kind} message from '{self.sender}' does not fit.",
                why="the message was altered on its way, or signed with another key than the one pinned here",
                do="ask the sender to send it again; if it happens twice, compare key fingerprints by telephone",
            )
        return self

    def content(self) -> Any:
        """Returns the body as a plain JSON value.

        Raises:
            SignatureError: the body is not canonical JSON.
        """
        try:
            return parse_canonical(self.body)
        except ValueError as error:
            raise SignatureError(f"The body of a {self.kind} message is not canonical JSON.") from error

    def to_bytes(self) -> bytes:
        """Returns the envelope as it travels and as it is kept."""
        fields = {"kind": self.kind, "study": self.study, "sender": self.sender, "recipient": self.recipient}
        encoded = {"body": self.body, "signature": self.signature}
        return canonical_bytes(
            fields | {name: base64.b64encode(value).decode() for name, value in encoded.items()}
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Envelope:
        """Returns the envelope in the bytes, not yet verified.

        Raises:
            SignatureError: the bytes are no envelope.
        """
        try:
            fields = json.loads(data)
            names = {*_FIELDS, "signature"}
            if not isinstance(fields, dict) or set(fields) != names:
                raise ValueError("fields")
            texts = [str(fields[name]) for name in _FIELDS[:-1]]
            body, signature = (
                base64.b64decode(fields[name], validate=True) for name in ("body", "signature")
            )
        except (ValueError, TypeError, UnicodeDecodeError) as error:
            raise SignatureError("A message that arrived is not a signed envelope.") from error
        envelope = cls(texts[0], texts[1], texts[2], texts[3], body, signature)
        if envelope.to_bytes() != data:
            raise SignatureError("A message that arrived is not a signed envelope.", why="it is not in canonical form")
        return envelope


def _signed(kind: str, study: str, sender: str, recipient: str, body: bytes) -> bytes:
    head = canonical_bytes([_PREFIX, kind, study, sender, recipient, hashlib.sha256(body).hexdigest()])
    return head
