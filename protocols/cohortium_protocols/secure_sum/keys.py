"""Keys of one session: X25519 (RFC 7748) to agree, HKDF-SHA256 (RFC 5869) to derive.

A node draws three seeds of 16 bytes. One gives the key pair of its pairwise masks, one the key pair under which shares
travel, one its own mask. X25519 itself offers 128 bits of security, so longer seeds would add nothing, and 16 bytes
are one block of the secret sharing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cohortium_protocols.errors import SecureSumRefused

SEED_BYTES = 16
KEY_BYTES = 32


def derived(secret: bytes, label: bytes) -> bytes:
    """Returns 32 bytes derived from a secret for one purpose."""
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=label).derive(secret)


@dataclass(frozen=True)
class KeyPair:
    """An X25519 key pair."""

    private: X25519PrivateKey

    @classmethod
    def from_seed(cls, seed: bytes, label: bytes) -> KeyPair:
        """Returns the one key pair of a seed and a purpose."""
        return cls(X25519PrivateKey.from_private_bytes(derived(seed, label)))

    @cached_property
    def public(self) -> bytes:
        """The public key, 32 bytes."""
        return self.private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)

    def agreed(self, peer: bytes, label: bytes) -> bytes:
        """Returns the 32 bytes that this key pair and a peer's have in common for one purpose.

        Args:
            peer: the peer's public key.
            label: the purpose.

        Raises:
            SecureSumRefused: the peer's key is degenerate: its secret would be known to everybody.
        """
        try:
            return derived(self.private.exchange(X25519PublicKey.from_public_bytes(peer)), label)
        except ValueError as error:
            raise SecureSumRefused("A key announced for a secure sum is not usable.", why=str(error)) from error
