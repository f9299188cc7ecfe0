"""A quick look at coverage for every change: few studies and wide limits, so that only a gross error fails.

Limits are such that an estimator whose coverage is 93 % and whose bias is 0.2 standard errors would fail one time in
10^7 or less, whatever the seed. The full study is the command ``cohortium-sim coverage`` (docs/validation).
"""

from __future__ import annotations

import math

import pytest
from scipy.stats import binom, norm

from cohortium_simulations.coverage.acceptance import COVERAGE, LARGEST_BIAS, Summary, summarised
from cohortium_simulations.coverage.monte_carlo import replicates
from cohortium_simulations.coverage.scenarios import SCENARIOS

STUDIES, SEED, RISK = 40, 20260101, 1e-7


def summary(name: str, factor: float = 1.0) -> Summary:
    return summarised(list(replicates(SCENARIOS[name], STUDIES, SEED, factor=factor)))


def covers_enough(found: Summary) -> bool:
    return found.coverage_all * STUDIES >= binom.ppf(RISK, STUDIES, COVERAGE[0])


def largest_bias() -> float:
    """In standard errors; a mean error has a deviation of about one standard error over the root of the studies."""
    return LARGEST_BIAS + 1.2 * float(norm.isf(RISK / 2)) / math.sqrt(STUDIES)


@pytest.mark.parametrize(
    "name",
    ["counts_gentle", "bounded_share", "rare_binary", "bed_days", "strata", "within_node", "pairs_gentle"],
)
def test_no_gross_error(name: str):
    found = summary(name)
    assert covers_enough(found)
    assert found.bias_over_se is not None
    assert abs(found.bias_over_se) < largest_bias()
    assert found.published_share > 0.75
    assert found.floor_ratio is not None
    assert 0.4 < found.floor_ratio < 1.5


def test_noise_that_is_not_the_declared_one_would_be_seen():
    assert not covers_enough(summary("rare_binary", factor=5.0))
