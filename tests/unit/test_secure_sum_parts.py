"""Masks, shares and keys: each does the one thing that the protocol above it relies on."""

from itertools import combinations
from secrets import token_bytes

import numpy as np
import pytest
from scipy.stats import chisquare
from secure_group import Group, session

from cohortium_protocols.canonical import unpack_integers
from cohortium_protocols.errors import SecureSumRefused
from cohortium_protocols.secure_sum import Rules
from cohortium_protocols.secure_sum.keys import KeyPair
from cohortium_protocols.secure_sum.masks import key_stream, mask_keys, own_mask, pairwise_mask
from cohortium_protocols.secure_sum.messages import MaskedVector, opened
from cohortium_protocols.secure_sum.shares import Parcel, rebuilt, seal, split, unseal

FIVE = session(Rules(5, 1, 1), dimension=64)
SEEDS = {node: token_bytes(16) for node in FIVE.roster}
KEYS = {node: mask_keys(FIVE, node, seed) for node, seed in SEEDS.items()}


def test_the_key_stream_is_chacha20_of_rfc_8439() -> None:
    # RFC 8439, appendix A.1, test vector 1: key, nonce and counter all zero
    expected = np.frombuffer(bytes.fromhex("76b8e0ada0f13d9040 5d6ae55386bd28".replace(" ", "")), dtype="<u8")
    assert key_stream(bytes(32), 2).tolist() == expected.tolist()


def test_pairwise_masks_cancel_over_the_whole_group() -> None:
    total = np.zeros(64, dtype=np.uint64)
    for node, keys in KEYS.items():
        total = total + pairwise_mask(FIVE, node, keys, [(peer, KEYS[peer].public) for peer in KEYS if peer != node])
    assert not total.any()


def test_masks_of_another_attempt_have_nothing_in_common_with_these() -> None:
    node = FIVE.roster[0]
    again = session(FIVE.rules, dimension=64, attempt=2)
    assert not (own_mask(FIVE, node, SEEDS[node]) == own_mask(again, node, SEEDS[node])).any()
    assert mask_keys(again, node, SEEDS[node]).public != KEYS[node].public


def test_a_masked_vector_looks_uniform_whatever_is_in_it() -> None:
    group = Group(session(Rules(5, 1, 1), dimension=20_000))
    group.vectors = {node: np.zeros(20_000, dtype=np.int64) for node in group.session.roster}
    requests = group.run(until="mask")
    node = group.session.roster[2]
    _, body = opened(group.session, group.step(node, "mask", requests[node]), MaskedVector, group.pins)
    seen = unpack_integers(body.values).view(np.uint8)
    assert chisquare(np.bincount(seen, minlength=256)).pvalue > 1e-6
    bits = np.unpackbits(seen).reshape(-1, 64).sum(axis=0)
    assert chisquare(np.concatenate([bits, 20_000 - bits]), np.full(128, 10_000)).pvalue > 1e-6


def test_any_threshold_of_shares_rebuilds_a_seed_and_fewer_do_not() -> None:
    seed = token_bytes(16)
    shares = split(FIVE, seed)
    assert set(shares) == set(FIVE.roster)
    for some in combinations(FIVE.roster, 4):
        assert rebuilt(FIVE, {node: shares[node] for node in some}) == seed
    assert rebuilt(FIVE, shares) == seed
    for few in combinations(FIVE.roster, 3):
        assert rebuilt(FIVE, {node: shares[node] for node in few}) != seed


def test_a_parcel_is_opened_by_its_recipient_and_nobody_else() -> None:
    sender, recipient, other = FIVE.roster[:3]
    parcel = Parcel(token_bytes(16), token_bytes(16))
    sealed = seal(FIVE, sender, recipient, KEYS[sender], KEYS[recipient].public, parcel)
    assert unseal(FIVE, sender, recipient, KEYS[recipient], KEYS[sender].public, sealed) == parcel
    altered = sealed[:-1] + bytes([sealed[-1] ^ 1])
    attempts = [
        (FIVE, sender, recipient, KEYS[recipient], KEYS[sender].public, altered),
        (FIVE, sender, recipient, KEYS[other], KEYS[sender].public, sealed),
        (FIVE, other, recipient, KEYS[recipient], KEYS[sender].public, sealed),
        (FIVE, recipient, sender, KEYS[sender], KEYS[recipient].public, sealed),
        (session(FIVE.rules, attempt=2), sender, recipient, KEYS[recipient], KEYS[sender].public, sealed),
    ]
    for arguments in attempts:
        with pytest.raises(SecureSumRefused, match="altered"):
            unseal(*arguments)


def test_a_degenerate_public_key_is_refused() -> None:
    with pytest.raises(SecureSumRefused, match="not usable"):
        KeyPair.from_seed(bytes(16), b"any").agreed(bytes(32), b"any")
