"""One person more or less moves the matched sets by very little: enumerated in small worlds, and drawn in larger ones.

``cohortium_protocols.matched_pairs`` states what is checked here. A world is a tuple of treated people in the
order in which they are served and a tuple of comparators in the order of rank, so that every order is tried; every
person of it is taken away once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pairs_reference import Change, Someone, change, holds, kernel_pairs, reference_pairs, renamed

Side = tuple[tuple[int, int], ...]  # (score, stratum) of each person
World = tuple[Side, Side]


def one_pass(done: Change, before: int, after: int) -> bool:
    """The lemma for one pass in its plainest form, over sets: neither moves by more than one, and not both swap."""
    sides = (done.treated, done.comparators)
    swaps = [len(moved) == 2 and sum(moved.values()) == 0 for moved in sides]
    ones = [len(moved) <= 1 and all(abs(more) == 1 for more in moved.values()) for moved in sides]
    return all(map(any, zip(swaps, ones, strict=True))) and not all(swaps) and abs(after - before) <= 1


@cache
def paired(treated: Side, comparators: Side, caliper: float, passes: int) -> list[tuple[int, int]]:
    people = ([Someone(*one, rank) for rank, one in enumerate(side)] for side in (treated, comparators))
    return reference_pairs(*people, caliper, passes, "hash")


def neighbours(world: World, caliper: float, passes: int) -> Iterator[tuple[int, int, int, int, Change]]:
    """Yields (side, person, pairs without, pairs with, change) for everybody in the world."""
    there = paired(*world, caliper, passes)
    for side in (0, 1):
        for gone in range(len(world[side])):
            fewer = list(world)
            fewer[side] = world[side][:gone] + world[side][gone + 1 :]
            without = renamed(paired(*fewer, caliper, passes), side, gone)
            yield side, gone, len(without), len(there), change(without, there)


def worlds(treated: int, comparators: int, kinds: list[tuple[int, int]]) -> Iterator[World]:
    return product(product(kinds, repeat=treated), product(kinds, repeat=comparators))  # type: ignore[return-value]


LINE = [(score, 0) for score in range(4)]
STRATA = [(score, stratum) for score in (0, 1) for stratum in (0, 1)]
CALIPERS = (0, 1, 2, math.inf)
SMALL = [
    pytest.param(3, 3, LINE, 1, id="3:3, one pass"),
    pytest.param(3, 3, STRATA, 1, id="3:3 in two strata, one pass"),
    pytest.param(3, 4, LINE[:3], 2, id="3:4, two passes"),
    pytest.param(2, 5, LINE[:3], 3, id="2:5, three passes"),
    pytest.param(2, 4, STRATA, 3, id="2:4 in two strata, three passes"),
]


@pytest.mark.parametrize(("treated", "comparators", "kinds", "passes"), SMALL)
def test_in_every_small_world_one_person_moves_the_matched_sets_as_the_lemma_says(
    treated: int, comparators: int, kinds: list[tuple[int, int]], passes: int
) -> None:
    paired.cache_clear()
    for caliper, world in product(CALIPERS, worlds(treated, comparators, kinds)):
        for side, gone, before, after, done in neighbours(world, caliper, passes):
            assert holds(done, side, gone, passes), (world, caliper, side, gone)
            assert passes > 1 or one_pass(done, before, after)
            assert max([-more for more in done.treated.values()], default=0) <= (passes + 1) // 2


# The most that the lemma allows is reached. The first of the treated is the one who comes.

REACHED = [
    pytest.param([0, 0], [0], 1, 1, 1, 1, id="one pass: a treated person swaps"),
    pytest.param([0, 9], [0, 9], 1, 1, 1, 0, id="one pass: a pair enters"),
    pytest.param([2, 3, 1], [2, 4, 3], 2, 2, 2, 2, id="two passes: two pairs taken from two people"),
    pytest.param([0, 9], [0, 0, 9, 9], 1, 2, 2, 0, id="two passes: two pairs enter"),
    pytest.param([2, 6, 0], [5, 1, 0, 1, 4, 6], 3, 3, 3, 3, id="three passes: three pairs taken from two people"),
    pytest.param([3, 4], [3, 1, 6, 2], 2, 3, 3, 2, id="three passes: two of three pairs taken from one person"),
    pytest.param([0, 9], [0, 0, 0, 9, 9, 9], 1, 3, 3, 0, id="three passes: three pairs enter"),
]


@pytest.mark.parametrize(("treated", "comparators", "caliper", "passes", "gained", "lost"), REACHED)
def test_the_most_that_the_lemma_allows_is_reached(
    treated: list[int], comparators: list[int], caliper: int, passes: int, gained: int, lost: int
) -> None:
    world = tuple(tuple((score, 0) for score in side) for side in (treated, comparators))
    done = next(done for side, gone, _, _, done in neighbours(world, caliper, passes) if (side, gone) == (0, 0))
    assert (done.gained, done.lost, len(done.comparators)) == (gained, lost, gained - lost)


people = st.lists(st.tuples(st.integers(0, 12), st.sampled_from([0, 0, 1])), max_size=14)


@pytest.mark.parametrize("order", ["hash", "largest"])
@settings(max_examples=150)
@given(data=st.data(), sides=st.tuples(people, people), side=st.integers(0, 1), passes=st.integers(1, 4),
       caliper=st.sampled_from([0.0, 1.0, 2.0, 4.0, math.inf]))  # fmt: skip
def test_in_larger_worlds_too_with_the_compiled_matcher(order: str, data: st.DataObject, sides: tuple, side: int,
                                                        passes: int, caliper: float) -> None:  # fmt: skip
    ranks = data.draw(st.permutations(range(30)))
    world = [[Someone(float(score), code, ranks.pop()) for score, code in each] for each in sides]
    one = Someone(float(data.draw(st.integers(0, 12))), 0, ranks.pop())
    more = [[*each, one] if number == side else each for number, each in enumerate(world)]
    done = change(*(kernel_pairs(*each, caliper, passes, order) for each in (world, more)))
    assert holds(done, side, len(world[side]), passes)
