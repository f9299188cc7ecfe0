"""Masks: ChaCha20 key streams (RFC 8439) read as unsigned 64-bit integers and added modulo 2**64.

A node sends its vector plus its own mask plus, for every peer, a mask that only the two can make: the one earlier on
the roster adds it, the other takes it away, so that these cancel in the sum. The own mask protects the vector of a node
that was wrongly given up for lost and whose pairwise masks were opened (Bonawitz et al. 2017, "double masking").
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from numpy.typing import NDArray

from cohortium_protocols.secure_sum.keys import KeyPair, derived
from cohortium_protocols.secure_sum.session import Session

Ring = NDArray[np.uint64]
"""A vector modulo 2**64."""


def key_stream(key: bytes, dimension: int) -> Ring:
    """Returns integers that look uniform to whoever lacks the key, shape (dimension,); each key is used once."""
    stream = Cipher(ChaCha20(key, nonce=bytes(16)), mode=None).encryptor()
    return np.frombuffer(stream.update(bytes(8 * dimension)), dtype="<u8").astype(np.uint64)


def own_mask(session: Session, node: str, seed: bytes) -> Ring:
    """Returns the mask that only the node knows until its seed is revealed, shape (session.dimension,)."""
    return key_stream(derived(seed, session.label("own mask", node)), session.dimension)


def mask_keys(session: Session, node: str, seed: bytes) -> KeyPair:
    """Returns the key pair of a node's pairwise masks."""
    return KeyPair.from_seed(seed, session.label("mask key", node))


def pairwise_mask(session: Session, node: str, keys: KeyPair, peers: Iterable[tuple[str, bytes]]) -> Ring:
    """Returns what a node adds for all its peers together, shape (session.dimension,).

    Args:
        session: what it is for.
        node: whose mask it is.
        keys: the node's key pair for masks.
        peers: name and public mask key of every peer.
    """
    total = np.zeros(session.dimension, dtype=np.uint64)
    for peer, public in peers:
        first, second = sorted((node, peer), key=session.order)
        mask = key_stream(keys.agreed(public, session.label("pairwise mask", first, second)), session.dimension)
        total = total + mask if node == first else total - mask
    return total
