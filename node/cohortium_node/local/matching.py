"""Pairs: each treated person with the nearest comparator still free, on a fixed score, inside one node.

Treated people are served one after another, in an order that depends only on each one's own keyed hash, or own score.
Each takes the nearest free comparator of the same stratum within the caliper; of several equally near, the one of
lowest rank. With a ratio of k there are k such passes; the second starts when the first has ended, among the
comparators that are left. Nobody is used twice as a comparator.

**Why one person changes so little** (a vacancy chain). A pass is the greedy choice from one list of possible pairs, in
the order (treated's turn, distance, comparator's rank), and a pair's place in that list depends on nobody else. Let one
person be added on either side and follow both worlds down the list: at every moment at most one person is free in one
world and taken in the other. So the sets of matched treated and of matched comparators change by at most one each, and
at most one of the two *swaps* somebody for somebody else. ``cohortium_protocols.matched_pairs`` draws from this
what sums over the two sets can change by, with several passes too. It holds only for what is a function of the two sets
(and of how often each treated person was paired): who stands beside whom can change for everybody at once.

What the guarantee needs of the caller: the score is a function of the person's own record and of released values; the
caliper and the strata are public constants; a rank is a keyed hash of the person's own identity, and no two are equal.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cohortium_node.local.matching_kernel import LARGEST_SCORE, Columns, ordered, paired, places, queued

Order = Literal["hash", "largest"]


@dataclass(frozen=True)
class Scored:
    """One side's people.

    Attributes:
        score: (n,) the fixed score. Whoever's score is NaN or above ``LARGEST_SCORE`` in size is never matched: a node
            that refused instead would tell that such a person is there.
        stratum: (n,) a code; only people of one code are paired.
        rank: (n,) different for all: a keyed hash of the person's own identity; lower comes first.

    Raises:
        ValueError: the columns differ in length.
    """

    score: NDArray[np.float64]
    stratum: NDArray[np.int64]
    rank: NDArray[np.uint64]

    def __post_init__(self) -> None:
        if not self.score.shape == self.stratum.shape == self.rank.shape == (self.score.size,):
            raise ValueError("scores, strata and ranks are one column each, of one length")


@dataclass(frozen=True)
class Pairs:
    """Who was paired, in the order in which it was done, one entry a pair.

    A treated person stands here once for each partner. Who is whose partner must not enter anything that is released.

    Attributes:
        treated: (pairs,) positions among the treated.
        comparators: (pairs,) positions among the comparators, all different.
    """

    treated: NDArray[np.int64]
    comparators: NDArray[np.int64]


def matched(
    treated: Scored, comparators: Scored, *, caliper: float = math.inf, ratio: int = 1, order: Order = "hash"
) -> Pairs:
    """Returns the nearest-neighbour pairs without replacement.

    Distances are compared exactly, without the rounding of the difference; against the caliper stands the rounded one.
    The cost is near that of sorting the scores.

    Args:
        treated: the people to be given partners.
        comparators: the people to choose from.
        caliper: largest distance of a pair, in units of the score; infinite for none.
        ratio: how many partners a treated person may have, one in each pass.
        order: who is served first: the lowest rank ("hash"), or the largest score and then the lowest rank.

    Raises:
        ValueError: the caliper is negative or not a number, or the ratio is not positive.
    """
    if not caliper >= 0 or ratio < 1:
        raise ValueError("a caliper is not negative, and a ratio is at least 1")
    free = _by_score(comparators)
    runs = queued(free)
    place = places(_by_score(treated), free, runs)
    reach = min(caliper, sys.float_info.max)
    return Pairs(*paired(_in_service(treated, order), place, free, runs, reach, ratio))


def _by_score(people: Scored) -> Columns:
    """Returns the people, with those who can be matched sorted by stratum and score."""
    order = ordered(people.score, people.rank)
    codes, begins = people.stratum[order[:1]], np.unique([0, order.size])
    if np.any(people.stratum != people.stratum[:1]):
        order = order[np.argsort(_small(people.stratum)[order], kind="stable")]
        codes, begins = _strata(people.stratum[order])
    return _columns(order, people, codes, begins)


def _in_service(treated: Scored, order: Order) -> Columns:
    """Returns the people, with those who can be matched in the order in which they are served."""
    if order == "hash":
        ranked = np.argsort(treated.rank)
        return _columns(ranked[np.abs(treated.score[ranked]) <= LARGEST_SCORE], treated)
    return _columns(ordered(-treated.score, treated.rank), treated)


def _small(stratum: NDArray[np.int64]) -> NDArray[np.int64] | NDArray[np.uint16]:
    """Returns the codes in two bytes where they fit: numpy sorts these stably by counting, several times faster."""
    least = int(stratum.min())
    return (stratum - least).astype(np.uint16) if int(stratum.max()) - least < 2**16 else stratum


def _strata(rising: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns the different codes of a sorted column, and where each begins, and the end."""
    starts = np.flatnonzero(np.diff(rising, prepend=rising[:1] - 1))
    return rising[starts], np.append(starts, rising.size)


_NONE = np.empty(0, dtype=np.int64)


def _columns(order: NDArray[np.int64], people: Scored, codes: ArrayLike = _NONE, begins: ArrayLike = _NONE) -> Columns:
    """Returns what the compiled loops take: contiguous columns of the types they are compiled for."""
    return Columns(
        np.ascontiguousarray(order, dtype=np.int64),
        np.ascontiguousarray(people.score, dtype=np.float64),
        np.ascontiguousarray(people.rank, dtype=np.uint64),
        np.ascontiguousarray(codes, dtype=np.int64),
        np.ascontiguousarray(begins, dtype=np.int64),
    )
