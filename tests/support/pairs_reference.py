"""Pairs by the letter of the rule: a slow matcher that the compiled one is held against, and what may change in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from cohortium_node.local.matching import LARGEST_SCORE, Order, Scored, matched


class Someone(NamedTuple):
    """One person of either side."""

    score: float
    stratum: int
    rank: int


def reference_pairs(
    treated: Sequence[Someone], comparators: Sequence[Someone], caliper: float, ratio: int, order: Order
) -> list[tuple[int, int]]:
    """Returns (treated, comparator) positions in the order in which they are paired; distances are exact fractions."""
    turns = [place for place, one in enumerate(treated) if abs(one.score) <= LARGEST_SCORE]
    largest = order == "largest"
    turns.sort(key=lambda place: (-treated[place].score if largest else 0, treated[place].rank))
    free = {place for place, one in enumerate(comparators) if abs(one.score) <= LARGEST_SCORE}
    pairs = []
    for _ in range(ratio):
        for turn in turns:
            near = [place for place in free if _allowed(treated[turn], comparators[place], caliper)]
            if near:
                taken = min(near, key=lambda place: _nearness(treated[turn], comparators[place]))
                free.remove(taken)
                pairs.append((turn, taken))
    return pairs


def kernel_pairs(
    treated: Sequence[Someone], comparators: Sequence[Someone], caliper: float, ratio: int, order: Order
) -> list[tuple[int, int]]:
    """Returns the same from ``cohortium_node.local.matching``."""
    pairs = matched(scored(treated), scored(comparators), caliper=caliper, ratio=ratio, order=order)
    return list(zip(pairs.treated.tolist(), pairs.comparators.tolist(), strict=True))


def scored(people: Sequence[Someone]) -> Scored:
    score, stratum, rank = zip(*people, strict=True) if people else ((), (), ())
    return Scored(np.array(score, float), np.array(stratum, np.int64), np.array(rank, np.uint64))


@dataclass(frozen=True)
class Change:
    """What one person's coming did to the matched: how many pairs each treated person has more (or fewer), who else."""

    treated: dict[int, int]
    comparators: dict[int, int]

    @property
    def gained(self) -> int:
        return sum(more for more in self.treated.values() if more > 0)

    @property
    def lost(self) -> int:
        return -sum(more for more in self.treated.values() if more < 0)


def change(without: list[tuple[int, int]], there: list[tuple[int, int]]) -> Change:
    """Returns the differences of the two matched sets, with multiplicities; people have one name in both."""
    sides = []
    for side in (0, 1):
        before, after = (Counter(pair[side] for pair in pairs) for pairs in (without, there))
        difference = {one: after[one] - before[one] for one in before.keys() | after.keys()}
        sides.append({one: more for one, more in difference.items() if more})
    return Change(*sides)


def renamed(pairs: list[tuple[int, int]], side: int, gone: int) -> list[tuple[int, int]]:
    """Returns pairs of a world without one person under the positions that people have when that person is there."""
    return [(pair[0] + (side == 0 and pair[0] >= gone), pair[1] + (side == 1 and pair[1] >= gone)) for pair in pairs]


def holds(done: Change, side: int, newcomer: int, passes: int) -> bool:
    """Whether a change by one person's coming is one that the lemma allows."""
    ups = {one for one, more in done.treated.items() if more > 0}
    entered = {one for one, more in done.comparators.items() if more > 0}
    left = len(done.comparators) - len(entered)
    if side == 0:
        own = done.treated.get(newcomer, 0)
        return ups <= {newcomer} and own <= passes and left == 0 and len(entered) == own - done.lost >= 0
    pair_enters = entered == {newcomer} and left == 0 and done.gained == 1 and done.lost == 0
    swap = entered == {newcomer} and left == 1 and not done.treated
    return (not done.treated and not done.comparators) or pair_enters or swap


def _allowed(one: Someone, other: Someone, caliper: float) -> bool:
    return one.stratum == other.stratum and abs(float(one.score) - float(other.score)) <= caliper


def _nearness(one: Someone, other: Someone) -> tuple[Fraction, int]:
    return abs(Fraction(one.score) - Fraction(other.score)), other.rank
