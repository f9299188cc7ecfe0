"""Taking the masks off: from masked vectors and what survivors revealed to the exact sum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cohortium_protocols.canonical import unpack_integers
from cohortium_protocols.errors import SumNotRecovered
from cohortium_protocols.secure_sum.keys import KeyPair
from cohortium_protocols.secure_sum.masks import Ring, mask_keys, own_mask, pairwise_mask
from cohortium_protocols.secure_sum.messages import Announcement, MaskedVector, Reveal, SurvivorList, commitment
from cohortium_protocols.secure_sum.session import Session
from cohortium_protocols.secure_sum.shares import rebuilt


@dataclass(frozen=True)
class Collected:
    """What nodes said in one session: each by name, already verified."""

    announced: Mapping[str, Announcement]
    masked: Mapping[str, MaskedVector]
    revealed: Mapping[str, Reveal]


def unmasked(session: Session, survivors: SurvivorList, said: Collected) -> NDArray[np.int64]:
    """Returns the sum of the survivors' vectors modulo 2**64, as signed integers, shape (session.dimension,).

    Args:
        session: what it is for.
        survivors: whose vectors are added up.
        said: announcements of all, masked vectors of the survivors, and at least T reveals.

    Raises:
        SumNotRecovered: a rebuilt seed is not the one announced: some node shared or revealed something false.
    """
    total = np.zeros(session.dimension, dtype=np.uint64)
    for node in survivors.alive:
        total = total + unpack_integers(said.masked[node].values).view(np.uint64)
        total = total - own_mask(session, node, _own_seed(session, node, said))
    for node in survivors.dead:
        total = total + _left_over(session, node, survivors, said)
    return total.view(np.int64)


def _own_seed(session: Session, node: str, said: Collected) -> bytes:
    """Returns the seed of a survivor's own mask: from itself or, if it fell silent, from its peers' shares."""
    if node in said.revealed:
        return bytes.fromhex(said.revealed[node].own)
    shares = {peer: bytes.fromhex(each.shares_of_own[node]) for peer, each in said.revealed.items()}
    seed = rebuilt(session, shares)
    if commitment(session, node, seed) != said.announced[node].commitment:
        raise _not_recovered(node)
    return seed


def _left_over(session: Session, node: str, survivors: SurvivorList, said: Collected) -> Ring:
    """Returns what a lost node would have added for the survivors: it cancels what they added for it."""
    peers = [(peer, bytes.fromhex(said.announced[peer].mask_key)) for peer in survivors.alive]
    return pairwise_mask(session, node, _keys(session, node, said), peers)


def _keys(session: Session, node: str, said: Collected) -> KeyPair:
    shares = {peer: bytes.fromhex(each.shares_of_key[node]) for peer, each in said.revealed.items()}
    keys = mask_keys(session, node, rebuilt(session, shares))
    if keys.public.hex() != said.announced[node].mask_key:
        raise _not_recovered(node)
    return keys


def _not_recovered(node: str) -> SumNotRecovered:
    return SumNotRecovered(
        f"The mask of '{node}' could not be taken off the sum.",
        stage="reveal",
        why=f"'{node}' shared, or another node revealed, something else than was announced",
        do="start another attempt; if it fails again, leave one node out in turn to find the one at fault",
    )
