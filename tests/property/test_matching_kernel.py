"""The compiled matcher pairs whom the rule, taken by its letter, pairs."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pairs_reference import Someone, kernel_pairs, reference_pairs, scored

from cohortium_node.local import matching_kernel
from cohortium_node.local.matching import LARGEST_SCORE, Scored, matched

ORDERS = st.sampled_from(["hash", "largest"])
GRID = st.integers(-3, 3).map(float)
ANY = st.floats(allow_nan=True, allow_infinity=True)
ALIKE = st.sampled_from([0.0, -0.0, 5e-324, 1e-300, 0.5, np.nextafter(0.5, 1), 1.0, 1 + 2**-52, -1e-17, 1e-17, 1e16,
                         1e16 + 2, LARGEST_SCORE, -LARGEST_SCORE, 1e301, math.inf, -math.inf, math.nan])  # fmt: skip
CALIPERS = st.sampled_from([0.0, 0.5, 1.0, 2.0, math.inf]) | st.floats(0, 3)


@st.composite
def sides(draw: st.DrawFn, scores: st.SearchStrategy[float], most: int = 9) -> tuple[list[Someone], list[Someone]]:
    """Two sides of at most so many people, in up to three strata."""
    person = st.tuples(scores, st.sampled_from([0, 0, 0, 7, -(2**62)]))
    both = [draw(st.lists(person, max_size=most)) for _ in range(2)]
    ranks = draw(st.permutations(range(2 * most)))
    return tuple(  # type: ignore[return-value]
        [Someone(score, stratum, ranks.pop()) for score, stratum in side] for side in both
    )


@pytest.mark.parametrize("scores", [GRID, ALIKE, ANY, st.floats(-1, 1)], ids=["ties", "edges", "any", "usual"])
@settings(max_examples=150)
@given(data=st.data(), caliper=CALIPERS, ratio=st.integers(1, 4), order=ORDERS)
def test_the_pairs_are_those_of_the_rule(scores: st.SearchStrategy[float], data: st.DataObject, caliper: float,
                                         ratio: int, order: str) -> None:  # fmt: skip
    treated, comparators = data.draw(sides(scores))
    expected = reference_pairs(treated, comparators, caliper, ratio, order)
    assert kernel_pairs(treated, comparators, caliper, ratio, order) == expected


@pytest.mark.parametrize("decimals", [0, 1, 2, 17])
@pytest.mark.parametrize("strata", [1, 4, 70_000])
@pytest.mark.parametrize("order", ["hash", "largest"])
def test_many_people_with_long_runs_and_used_up_neighbourhoods(decimals: int, strata: int, order: str) -> None:
    rng = np.random.default_rng(decimals + strata)
    ranks = rng.permutation(270)
    people = [
        Someone(float(score), int(stratum), int(rank))
        for score, stratum, rank in zip(
            rng.normal(size=270).round(decimals), rng.integers(0, strata, 270), ranks, strict=True
        )
    ]
    for caliper, ratio in ((0.3, 1), (math.inf, 3)):
        expected = reference_pairs(people[:90], people[90:], caliper, ratio, order)
        assert kernel_pairs(people[:90], people[90:], caliper, ratio, order) == expected


def test_the_order_of_the_rows_changes_nothing() -> None:
    rng = np.random.default_rng(3)
    people = [Someone(float(rng.integers(0, 40)), int(rng.integers(0, 2)), rank) for rank in range(200)]
    moved = [list(rng.permutation(100)), list(rng.permutation(100) + 100)]
    first = kernel_pairs(people[:100], people[100:], 3.0, 2, "hash")
    second = kernel_pairs(*([people[place] for place in side] for side in moved), 3.0, 2, "hash")  # type: ignore[arg-type]
    assert [(int(moved[0][t]), int(moved[1][c]) - 100) for t, c in second] == first


def test_the_nearer_of_two_is_told_by_the_exact_distance_not_by_the_rounded_one() -> None:
    near, far = Someone(2.0**-60, 0, 9), Someone(2.0**-61, 0, 1)  # 0.5 less either is 0.5 in double precision
    assert kernel_pairs([Someone(0.5, 0, 0)], [far, near], math.inf, 1, "hash") == [(0, 1)]
    opposite = Someone(1.0, 0, 1)
    assert kernel_pairs([Someone(0.5, 0, 0)], [opposite, near], math.inf, 1, "hash") == [(0, 1)]


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf, 1e301, -sys.float_info.max])
def test_whoever_has_no_usable_score_is_never_matched_and_changes_nothing(score: float) -> None:
    treated, comparators = [Someone(0.0, 0, 1), Someone(3.0, 0, 2)], [Someone(1.0, 0, 1), Someone(-1e300, 0, 2)]
    odd = Someone(score, 0, 0)
    expected = kernel_pairs(treated, comparators, math.inf, 2, "hash")
    assert len(expected) == 2
    assert kernel_pairs([*treated, odd], [*comparators, odd], math.inf, 2, "hash") == expected
    assert kernel_pairs([odd], [odd], math.inf, 1, "largest") == []


def test_nobody_on_one_side_means_no_pairs() -> None:
    someone = [Someone(0.0, 0, 1)]
    assert [kernel_pairs(*sides, math.inf, 3, "hash") for sides in (([], []), (someone, []), ([], someone))] == [[]] * 3


@pytest.mark.parametrize(("caliper", "ratio"), [(-0.1, 1), (math.nan, 1), (1.0, 0)])
def test_a_caliper_or_ratio_of_no_meaning_is_refused(caliper: float, ratio: int) -> None:
    with pytest.raises(ValueError, match="caliper"):
        matched(scored([]), scored([]), caliper=caliper, ratio=ratio)


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="one length"):
        Scored(np.zeros(2), np.zeros(1, np.int64), np.zeros(2, np.uint64))


def test_frozen_sliced_and_narrow_columns_are_taken_and_left_as_they_were() -> None:
    rng = np.random.default_rng(5)
    score, rank = rng.normal(size=200), np.arange(200)
    plain = Scored(score[::2].copy(), np.zeros(100, np.int64), rank[::2].astype(np.uint64))
    odd = Scored(score[::2], np.zeros(100, np.int8), rank[::2])  # type: ignore[arg-type]
    score.flags.writeable = rank.flags.writeable = False
    before = score.copy()
    assert np.array_equal(matched(odd, odd).comparators, matched(plain, plain).comparators)
    assert np.array_equal(score, before)


def test_nothing_compiled_is_kept_on_disk() -> None:
    kernels = [each for each in vars(matching_kernel).values() if hasattr(each, "py_func")]
    assert len(kernels) > 5
    assert {each.stats.cache_path for each in kernels} == {None}
