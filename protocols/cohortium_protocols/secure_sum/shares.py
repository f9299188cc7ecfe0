"""Shares of a seed (Shamir 1979, from PyCryptodome), and how they travel past the coordinator (AES-256-GCM).

T shares rebuild a seed; T - 1 say nothing about it. A share is for the peer at one place of the roster. It is sealed
under a key that only its sender and that peer can make, from keys that their identities signed, so that it can be
neither read nor replaced on its way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from secrets import token_bytes

from Crypto.Protocol.SecretSharing import Shamir
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cohortium_protocols.errors import SecureSumRefused
from cohortium_protocols.secure_sum.keys import SEED_BYTES, KeyPair
from cohortium_protocols.secure_sum.session import Session

_NONCE_BYTES = 12


def split(session: Session, seed: bytes) -> dict[str, bytes]:
    """Returns one share for every node of the roster, 16 bytes each."""
    shares = Shamir.split(session.rules.threshold, session.rules.nodes, seed, ssss=False)
    return {session.roster[index - 1]: share for index, share in shares}


def rebuilt(session: Session, shares: Mapping[str, bytes]) -> bytes:
    """Returns the seed of which these are shares; something else when any of them was altered.

    Args:
        session: what it is for.
        shares: holder -> share, at least T of them; the first T on the roster are used.
    """
    holders = sorted(shares, key=session.order)[: session.rules.threshold]
    return Shamir.combine([(session.order(holder) + 1, shares[holder]) for holder in holders], ssss=False)


@dataclass(frozen=True)
class Parcel:
    """What one node entrusts to one peer: its share of the own-mask seed and its share of the mask-key seed."""

    own: bytes
    key: bytes


def seal(session: Session, sender: str, recipient: str, keys: KeyPair, peer: bytes, parcel: Parcel) -> bytes:
    """Returns a parcel that only the recipient can open, 60 bytes.

    Args:
        session: what it is for.
        sender: whose shares they are.
        recipient: who keeps them.
        keys: the sender's key pair for shares.
        peer: the recipient's public key for shares.
        parcel: the shares.
    """
    label = session.label("share", sender, recipient)
    nonce = token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(keys.agreed(peer, label)).encrypt(nonce, parcel.own + parcel.key, label)


def unseal(session: Session, sender: str, recipient: str, keys: KeyPair, peer: bytes, sealed: bytes) -> Parcel:
    """Returns the parcel in what :func:`seal` made, with the keys of the other side.

    Raises:
        SecureSumRefused: it was altered, or was sealed by or for somebody else, or for another session.
    """
    label = session.label("share", sender, recipient)
    nonce, ciphertext = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
    try:
        opened = AESGCM(keys.agreed(peer, label)).decrypt(nonce, ciphertext, label)
    except InvalidTag as error:
        raise SecureSumRefused(
            f"The shares that '{sender}' entrusted to '{recipient}' were altered on their way.",
            do="start another attempt; if it happens again, ask the operator who carries the messages",
        ) from error
    return Parcel(opened[:SEED_BYTES], opened[SEED_BYTES:])
