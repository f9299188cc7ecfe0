"""The sum of several nodes' noise, each a share of the variance, is as good as noise from one place (decision 3)."""

from __future__ import annotations

import math
from functools import reduce

import numpy as np
import pytest
from numpy.typing import NDArray

from cohortium_protocols.privacy.accounting import SIGMA_FLOOR, delta_of, mu2_charge


def probabilities(sigma: float, farthest: int) -> NDArray[np.float64]:
    """The discrete Gaussian on -farthest..farthest."""
    weights = np.exp(-(np.arange(-farthest, farthest + 1) ** 2) / (2 * sigma**2))
    return weights / weights.sum()


def summed(sigma: float, nodes: int) -> NDArray[np.float64]:
    """The exact distribution of the sum of as many independent draws; farther than 39 deviations of each is nothing."""
    return reduce(np.convolve, [probabilities(sigma, math.ceil(39 * sigma))] * nodes)


def slack(sigma: float, nodes: int) -> float:
    """tau of Kairouz, Liu and Steinke (2021), theorem 9: how far the log of the sum's probabilities can be off."""
    return 10 * sum(math.exp(-2 * math.pi**2 * sigma**2 * k / (k + 1)) for k in range(1, nodes))


def farthest_apart(sigma: float, nodes: int) -> float:
    """The largest log ratio between the sum and one draw of the whole variance, within ten deviations."""
    added = summed(sigma, nodes)
    alone = probabilities(sigma * math.sqrt(nodes), added.size // 2)
    near = np.abs(np.arange(added.size) - added.size // 2) <= 10 * sigma * math.sqrt(nodes)
    return float(np.abs(np.log(added[near] / alone[near])).max())


@pytest.mark.parametrize("nodes", [2, 5, 20])
@pytest.mark.parametrize("sigma", [0.5, 0.7, 1.0])
def test_the_published_bound_on_the_slack_holds_where_it_can_be_seen(sigma: float, nodes: int) -> None:
    assert 0 < farthest_apart(sigma, nodes) <= slack(sigma, nodes)


@pytest.mark.parametrize("nodes", [2, 5, 20, 100])
def test_from_the_floor_on_there_is_no_slack_at_all(nodes: int) -> None:
    """No node draws with less than the floor, so that tau is below the smallest number that a computer can hold."""
    assert slack(SIGMA_FLOOR, nodes) == 0.0
    assert slack(3.0, nodes) < 1e-35


@pytest.mark.parametrize("nodes", [2, 5, 20])
@pytest.mark.parametrize("epsilon", [0.0, 0.5, 2.0])
def test_the_charge_covers_the_exact_curve_of_summed_noise(nodes: int, epsilon: float) -> None:
    share = 12.0  # coarser than any node may draw: what is off here is far smaller there
    sigma = share * math.sqrt(nodes)
    shift = round(sigma / 2)
    here = np.pad(summed(share, nodes), shift)
    there = np.roll(here, shift)
    exact = float(np.maximum(here - math.exp(epsilon) * there, 0).sum())
    assert exact <= (1 + 1e-6) * delta_of(math.sqrt(mu2_charge(shift, sigma)), epsilon)
