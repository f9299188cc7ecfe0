"""No more rows of a matched vector change than are declared, and as many do: in every small world."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import product

import numpy as np
import pytest
from pairs_reference import Change, Someone, change, reference_pairs, renamed

from cohortium_node.local.sums import integer_vector
from cohortium_protocols.matched_pairs import rows_changed
from cohortium_protocols.statistics import VectorSpec

PASSES = [1, 2, 3]
GRIDS = {1: ((3, 3), 4), 2: ((3, 3), 5), 3: ((3, 6), 7)}  # people of each side, and how many scores


def changes(passes: int) -> set[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Every change of multiplicities that one person makes in worlds of this size: (treated, comparators)."""
    found = set()
    for treated, comparators, caliper in small_worlds(passes):
        there = pairs(treated, comparators, caliper, passes)
        for side in (0, 1):
            for gone in range(len((treated, comparators)[side])):
                fewer = [treated, comparators]
                fewer[side] = fewer[side][:gone] + fewer[side][gone + 1 :]
                found.add(_signs(change(renamed(pairs(*fewer, caliper, passes), side, gone), there)))
    return found


def small_worlds(passes: int) -> Iterator[tuple[tuple[int, ...], tuple[int, ...], float]]:
    (treated, comparators), scores = GRIDS[passes]
    if passes < 3:
        yield from product(product(range(scores), repeat=treated), product(range(scores), repeat=comparators), (1, 2))
        return
    rng = np.random.default_rng(1)
    for _ in range(2_000):
        yield (*(tuple(map(int, rng.integers(0, scores, n))) for n in (treated, comparators)), 3)  # type: ignore[misc]
    yield (2, 6, 0), (5, 1, 0, 1, 4, 6), 3


def pairs(treated: Iterable[int], comparators: Iterable[int], caliper: float, passes: int) -> list[tuple[int, int]]:
    people = ([Someone(score, 0, rank) for rank, score in enumerate(side)] for side in (treated, comparators))
    return reference_pairs(*people, caliper, passes, "hash")


def _signs(done: Change) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return tuple(sorted(done.treated.values())), tuple(sorted(done.comparators.values()))


CHANGES = {passes: changes(passes) for passes in PASSES}


@pytest.mark.parametrize("passes", PASSES)
def test_as_many_rows_change_as_are_declared(passes: int) -> None:
    counted = Counter(sum(map(abs, treated + comparators)) for treated, comparators in CHANGES[passes])
    assert max(counted) == rows_changed(passes) == 2 * passes
    assert any(sum(map(abs, treated)) == 2 * passes for treated, _ in CHANGES[passes])
    assert max(sum(map(abs, comparators)) for _, comparators in CHANGES[passes]) == max(2, passes)


@pytest.mark.parametrize("passes", PASSES)
@pytest.mark.parametrize("bound", [0.3, 1.0, 2.0])
def test_a_sum_of_differences_moves_by_the_declared_sensitivity_and_no_more(passes: int, bound: float) -> None:
    """Helped people add (v, 0) and comparators (-v, 0), with v anywhere within the bound, and beyond it."""
    labels, changed = ("difference", "other"), rows_changed(passes)
    vector = VectorSpec("sums", "matched", labels, bound, 0.01, "", "", "", changed=changed)
    rows = {(side, v): integer_vector(np.array([[-v if side else v, 0.0]]), vector)
            for side in (0, 1) for v in (-9.0, -bound, bound / 3, bound, math.inf)}  # fmt: skip
    farthest = 0.0
    for treated, comparators in CHANGES[passes]:
        ends = [max(float(more * row[0]) for (which, _), row in rows.items() if which == side)
                for side, moved in enumerate((treated, comparators)) for more in moved]  # fmt: skip
        farthest = max(farthest, sum(ends))
    assert 0.999 * vector.d2 < farthest <= vector.d2
