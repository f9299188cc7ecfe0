"""Squares, ranges and products take off a bias that plain covariates leave, and cost little where there is none.

Help does nothing in these worlds, so that an estimate is its error. Figures are the middle of a few studies.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bent_world import EXPANDED, IN_RANGES, PLAIN, found, people, study

STUDIES = 9
STRATA = {"analysis": {"method": "strata", "strata": 10}}
PAIRS = {"analysis": {"method": "matched_pairs", "score": "both"}}


def middle(asked: dict[str, Any], bend: float, epsilon: float | None = None) -> tuple[float, float]:
    """The middle error, in standard errors, and the middle standard error, in visits."""
    ready, size = study(asked, epsilon), (20_000, 1_000) if epsilon is None else (100_000, 2_000)
    results = [found(ready, people(*size, bend, seed), seed) for seed in range(STUDIES)]
    errors = np.array([(each.estimate / each.se, each.se) for each in results])
    return float(np.median(errors[:, 0])), float(np.median(errors[:, 1]))


@pytest.mark.parametrize("epsilon", [None, 1.0])
def test_where_outcome_and_help_bend_together_a_plain_plan_is_wrong_and_the_shape_sets_it_right(epsilon: float | None):
    assert middle(PLAIN, 0.5, epsilon)[0] > 3
    assert abs(middle(EXPANDED, 0.5, epsilon)[0]) < 1.5


@pytest.mark.parametrize("method", [STRATA, PAIRS], ids=["strata", "pairs"])
def test_scores_of_strata_and_pairs_are_made_of_the_same_features(method: dict[str, Any]):
    assert middle(PLAIN | method, 0.5)[0] > 3
    assert abs(middle(EXPANDED | method, 0.5)[0]) < 1.5


def test_ranges_take_off_most_of_the_bias_and_leave_what_bends_within_them():
    assert 0 < middle(IN_RANGES, 0.5)[0] < middle(PLAIN, 0.5)[0] / 3


def test_where_nothing_bends_the_shape_costs_little_under_noise():
    (plain, plain_se), (expanded, expanded_se) = (middle(asked, 0.0, 1.0) for asked in (PLAIN, EXPANDED))
    assert abs(expanded) < abs(plain) + 1
    assert expanded_se < 1.15 * plain_se
