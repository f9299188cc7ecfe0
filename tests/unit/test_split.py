"""The best split of a budget: nothing else that adds up to the same budget has less noise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohortium_protocols.privacy.split import best_shares

sizes = st.floats(1e-3, 1e3)
parts = st.lists(st.tuples(sizes, sizes, st.floats(0.01, 1)), min_size=1, max_size=8)


def noise(shares: list[float], sensitivities: list[float], weights: list[float]) -> float:
    """The weighted sum of the noise variances, for a whole budget of mu squared 1."""
    return sum(w * s * s / share for share, s, w in zip(shares, sensitivities, weights, strict=True))


@given(parts)
def test_no_other_split_of_the_same_budget_has_less_noise(drawn: list[tuple[float, float, float]]) -> None:
    sensitivities, weights, other = (list(column) for column in zip(*drawn, strict=True))
    rival = [share / sum(other) for share in other]
    best = list(best_shares(sensitivities, weights))
    assert sum(best) == pytest.approx(1)
    assert noise(best, sensitivities, weights) <= noise(rival, sensitivities, weights) * (1 + 1e-9)


@given(st.integers(1, 20), sizes)
def test_parts_that_are_alike_get_the_same(count: int, sensitivity: float) -> None:
    assert best_shares([sensitivity] * count) == pytest.approx(np.full(count, 1 / count))


def test_a_part_counts_by_its_sensitivity_and_by_the_root_of_its_weight() -> None:
    assert best_shares([1.0, 3.0]) == pytest.approx([0.25, 0.75])
    assert best_shares([1.0, 1.0], [1.0, 9.0]) == pytest.approx([0.25, 0.75])


@given(sizes, st.lists(sizes, min_size=2, max_size=6))
def test_rounds_split_like_parts_whatever_the_unit(unit: float, sensitivities: list[float]) -> None:
    assert best_shares([unit * each for each in sensitivities]) == pytest.approx(best_shares(sensitivities))


@pytest.mark.parametrize(("sensitivities", "weights"), [([1.0], [1.0, 2.0]), ([0.0, 1.0], None), ([1.0], [-1.0])])
def test_what_cannot_be_split_is_refused(sensitivities: list[float], weights: list[float] | None) -> None:
    with pytest.raises(ValueError, match="positive"):
        best_shares(sensitivities, weights)
