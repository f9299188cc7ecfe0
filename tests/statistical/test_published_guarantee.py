"""What is published is never below the exact loss of the discrete Gaussian, and within 1 % of it.

The oracle is another party's: the privacy loss distributions of `dp-accounting`. Rounded down they bound the exact
epsilon from below, rounded up from above.
"""

from __future__ import annotations

import math
from functools import cache, reduce

import pytest
from dp_accounting.pld.privacy_loss_distribution import PrivacyLossDistribution, from_discrete_gaussian_mechanism

from cohortium_protocols.privacy.accounting import epsilon_from_mu, epsilon_from_rho, mu2_charge, zcdp_rho

DELTAS = (1e-4, 1e-6, 1e-9)
RATIOS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Standard deviation, as a multiple of the sensitivity."""
SINGLE = [((sigma, round(sigma / ratio), 1),) for sigma in (40.0, 100.0, 1000.0) for ratio in RATIOS]
COMPOSITIONS = [
    ((40.0, 1, 8),),
    ((100.0, 5, 8),),
    ((100.0, 5, 64),),
    ((40.0, 10, 4), (100.0, 5, 16)),
    ((1000.0, 120, 3), (200.0, 10, 30), (40.0, 1, 40)),
]
"""Standard deviation and sensitivity in grid steps, and how often: numbers of a vector, or rounds in turn."""
NEGLIGIBLE = 1e-3
"""An epsilon below which a hundredth of it is smaller than the oracle's own steps."""



@cache
def loss(releases: tuple[tuple[float, int, int], ...], *, upper: bool) -> PrivacyLossDistribution:
    whole = math.sqrt(sum(times * (d2 / sigma) ** 2 for sigma, d2, times in releases))
    step = whole / (4000 * sum(times for *_, times in releases) ** 0.5)
    return reduce(PrivacyLossDistribution.compose, (_repeated(*release, step, upper=upper) for release in releases))


def _repeated(sigma: float, d2: int, times: int, step: float, *, upper: bool) -> PrivacyLossDistribution:
    return from_discrete_gaussian_mechanism(
        sigma, d2, pessimistic_estimate=upper, value_discretization_interval=step,
        truncation_bound=math.ceil(12 * sigma),
    ).self_compose(times)  # fmt: skip


def published(releases: tuple[tuple[float, int, int], ...], delta: float) -> float:
    return epsilon_from_mu(math.sqrt(sum(times * mu2_charge(d2, sigma) for sigma, d2, times in releases)), delta)


def by_zcdp(releases: tuple[tuple[float, int, int], ...], delta: float) -> float:
    return epsilon_from_rho(sum(times * zcdp_rho(d2, sigma) for sigma, d2, times in releases), delta)


@pytest.mark.parametrize("releases", [*SINGLE, *COMPOSITIONS])
def test_the_published_epsilon_covers_the_exact_one_and_is_within_one_per_cent(releases: tuple) -> None:
    for delta in DELTAS:
        low, high = (loss(releases, upper=upper).get_epsilon_for_delta(delta) for upper in (False, True))
        assert low <= published(releases, delta) <= 1.01 * max(low, NEGLIGIBLE)
        assert high <= by_zcdp(releases, delta)


@pytest.mark.parametrize("releases", [*SINGLE, *COMPOSITIONS])
def test_the_figure_of_zcdp_is_never_the_smaller_one(releases: tuple) -> None:
    for delta in DELTAS:
        assert published(releases, delta) <= by_zcdp(releases, delta)


def test_a_charge_that_is_three_per_cent_too_small_would_be_seen() -> None:
    releases = ((40.0, 10, 4),)
    too_small = epsilon_from_mu(math.sqrt(0.97 * 4 * mu2_charge(10, 40.0)), 1e-6)
    assert too_small < loss(releases, upper=False).get_epsilon_for_delta(1e-6)
