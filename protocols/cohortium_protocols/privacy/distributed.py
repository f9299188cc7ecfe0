"""Noise that several nodes draw together: each a share, enough of them the whole.

Every node adds discrete Gaussian noise of variance sigma^2 / (n - t_d - t_c), n being the signed plan's roster. When
t_d nodes are lost and t_c tell the coordinator what they drew, the other n - t_d - t_c shares still add up to the
declared sigma^2. When fewer are lost there is more noise in the sum than was declared, never less.

A sum of discrete Gaussians is not quite one (Kairouz, Liu and Steinke 2021): the slack is
tau = 10 sum_{k=1}^{m-1} exp(-2 pi^2 s^2 k / (k + 1)) for m shares of standard deviation s. At the floor of 40 grid
steps for a share, every exponent is below -15,000, so tau is 0 in any arithmetic that prints figures.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from cohortium_protocols.privacy.accounting import epsilon_from_mu, mu2_charge
from cohortium_protocols.secure_rules import Rules


def node_sigma(sigma: float, rules: Rules) -> float:
    """Returns the standard deviation of the noise that one node adds, a whole number of grid steps.

    Args:
        sigma: the declared noise of the sum, in grid steps.
        rules: of the plan; its roster counts in full, whoever takes part.
    """
    return float(math.ceil(math.sqrt(sigma * sigma / rules.noise_parts)))


def largest_noise(sigma: float, rules: Rules) -> float:
    """Returns the standard deviation of the noise in a sum of the whole roster, when nobody is lost."""
    return node_sigma(sigma, rules) * math.sqrt(rules.nodes)


def epsilon_if_all_others_collude(releases: Iterable[tuple[int, float]], rules: Rules, delta: float) -> float:
    """Returns the epsilon that one node's own noise gives alone: everybody else works with the coordinator.

    Args:
        releases: sensitivity and declared noise of every vector released about the same people, in grid steps.
        rules: of the plan.
        delta: at which epsilon is stated.
    """
    mu2 = math.fsum(mu2_charge(d2, node_sigma(sigma, rules)) for d2, sigma in releases)
    return epsilon_from_mu(math.sqrt(mu2), delta) if mu2 > 0 else 0.0


def summation_slack(sigma: float, shares: int) -> float:
    """Returns tau, by which a sum of discrete Gaussians can differ from one (Kairouz, Liu and Steinke 2021).

    Args:
        sigma: standard deviation of every share, in grid steps.
        shares: how many there are.
    """
    steps = (math.exp(-2 * math.pi**2 * sigma**2 * k / (k + 1)) for k in range(1, shares))
    return 10 * math.fsum(steps)
