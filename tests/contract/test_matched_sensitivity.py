"""The declared sensitivity of sums over matched people is never exceeded, and is reached, in every small world."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from pairs_reference import Change, Someone, change, reference_pairs, renamed

from cohortium_protocols.matched_sensitivity import Part, ball, interval, matched_sensitivity

PASSES = [1, 2, 3]
GRIDS = {1: ((3, 3), 4), 2: ((3, 3), 5), 3: ((3, 6), 7)}    # people of each side, and how many scores


def outcome_sums(bound: float) -> list[Part]:
    """(n, sum y_t, sum y_c, sum y_t^2, sum y_c^2), y in [0, bound]."""
    return [
        interval(treated=(1, 1)),
        interval(treated=(0, bound)),
        interval(comparator=(0, bound)),
        interval(treated=(0, bound**2)),
        interval(comparator=(0, bound**2)),
    ]


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
        yield (*(tuple(map(int, rng.integers(0, scores, n))) for n in (treated, comparators)), 3)    # type: ignore[misc]
    yield (2, 6, 0), (5, 1, 0, 1, 4, 6), 3


def pairs(treated: Iterable[int], comparators: Iterable[int], caliper: float, passes: int) -> list[tuple[int, int]]:
    people = ([Someone(score, 0, rank) for rank, score in enumerate(side)] for side in (treated, comparators))
    return reference_pairs(*people, caliper, passes, "hash")


def _signs(done: Change) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return tuple(sorted(done.treated.values())), tuple(sorted(done.comparators.values()))


CHANGES = {passes: changes(passes) for passes in PASSES}


def rows(y: float, side: int) -> NDArray[np.float64]:
    return np.array([1, y, 0, y * y, 0] if side == 0 else [0, 0, y, 0, y * y], dtype=float)


def realised(passes: int, outcomes: list[float], grid: float | None = None) -> float:
    """The farthest that the five sums move, over every change and every outcome of everybody concerned."""
    farthest = 0.0
    for treated, comparators in CHANGES[passes]:
        times = [*((0, more) for more in treated), *((1, more) for more in comparators)]
        for values in product(outcomes, repeat=len(times)):
            rounded = [rows(y, side) if grid is None else np.rint(rows(y, side) * grid)
                       for (side, _), y in zip(times, values, strict=True)]  # fmt: skip
            total = sum((more * row for (_, more), row in zip(times, rounded, strict=True)), np.zeros(5))
            farthest = max(farthest, float(np.linalg.norm(total)))
    return farthest


@pytest.mark.parametrize("bound", [0.3, 1.0, 2.0])
def test_for_outcomes_and_their_squares_it_is_the_figure_of_the_design(bound: float) -> None:
    known = matched_sensitivity(outcome_sums(bound))
    assert known.bound == pytest.approx(math.sqrt(1 + 2 * bound**2 + 2 * bound**4), rel=1e-15)
    assert known.changed == 2


@pytest.mark.parametrize("passes", PASSES)
@pytest.mark.parametrize("bound", [0.3, 1.0, 2.0])
def test_in_every_small_world_it_is_not_exceeded_and_is_reached(passes: int, bound: float) -> None:
    declared = matched_sensitivity(outcome_sums(bound), passes).bound
    assert declared == pytest.approx(passes * math.sqrt(1 + 2 * bound**2 + 2 * bound**4))
    assert realised(passes, [0.0, bound / 2, bound]) == pytest.approx(declared, rel=1e-12)


@pytest.mark.parametrize("passes", PASSES)
@pytest.mark.parametrize("grid", [1.0, 2.5, 7.0, 64.0])
def test_with_rounded_rows_it_is_not_exceeded_either(passes: int, grid: float) -> None:
    declared = matched_sensitivity(outcome_sums(1.0), passes)
    d2 = math.ceil(grid * declared.bound + declared.changed * math.sqrt(5) / 2)
    halves = [(step + 0.5) / grid for step in range(int(grid))][:2]
    assert realised(passes, [0.0, 1.0, *halves], grid) <= d2


@pytest.mark.parametrize("passes", PASSES)
def test_as_many_rounded_rows_change_as_are_counted(passes: int) -> None:
    counted = Counter(sum(map(abs, treated + comparators)) for treated, comparators in CHANGES[passes])
    assert max(counted) == matched_sensitivity([], passes).changed == 2 * passes
    assert any(sum(map(abs, treated)) == 2 * passes for treated, _ in CHANGES[passes])
    assert max(sum(map(abs, comparators)) for _, comparators in CHANGES[passes]) == max(2, passes)


# Parts.


def test_a_column_of_differences_moves_by_a_swap_no_less_than_by_a_pair() -> None:
    assert interval(treated=(0, 1), comparator=(-1, 0)) == Part(1.0, 1.0, 1.0)
    assert interval(treated=(-1, 1), comparator=(-1, 1)) == Part(2.0, 2.0, 2.0)
    assert interval(treated=(1, 1)) == Part(1.0, 0.0, 0.0)


def test_rows_within_a_ball_point_away_from_each_other_in_a_swap() -> None:
    assert ball(treated=3.0, comparator=4.0) == Part(7.0, 6.0, 8.0)
    apart = matched_sensitivity([ball(treated=3.0), ball(comparator=4.0)])
    assert apart.bound == 8.0    # a comparator swaps: 8; a pair enters: 5; a treated person swaps: 6
    assert matched_sensitivity([ball(treated=3.0), ball(comparator=4.0)], 2).bound == 12.0


def test_more_passes_do_not_let_more_comparators_swap() -> None:
    assert [matched_sensitivity([ball(comparator=1.0)], passes).bound for passes in (1, 2, 3)] == [2.0, 2.0, 3.0]


@pytest.mark.parametrize("bad", [
    lambda: interval(treated=(1, 0)),
    lambda: interval(comparator=(0, math.inf)),
    lambda: interval(treated=(math.nan, 1)),
    lambda: ball(treated=-1.0),
    lambda: ball(comparator=math.nan),
    lambda: matched_sensitivity([], 0),
])  # fmt: skip
def test_bounds_of_no_meaning_are_refused(bad) -> None:
    with pytest.raises(ValueError, match=r"interval|radius|pass"):
        bad()
