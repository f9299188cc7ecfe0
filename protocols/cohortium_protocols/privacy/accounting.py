"""Gaussian differential privacy: the currency of the ledger is mu squared, which adds up exactly.

Dong, Roth and Su (2022), "Gaussian differential privacy", equation 6 and corollary 3.3: releases with mu_1, mu_2, ...
compose to mu = sqrt(sum mu_i**2), chosen one after the other or together.
"""

from __future__ import annotations

import math

from scipy.optimize import brentq, minimize_scalar
from scipy.special import log_ndtr, ndtr

SIGMA_FLOOR = 40.0
"""Smallest standard deviation of noise, in grid steps: below it, the discrete curve leaves the Gaussian one."""


def delta_of(mu: float, epsilon: float) -> float:
    """Returns the smallest delta such that mu-GDP implies (epsilon, delta)-DP.

    delta(eps) = Phi(mu/2 - eps/mu) - exp(eps) Phi(-mu/2 - eps/mu), Dong, Roth and Su (2022), corollary 2.13.
    """
    if mu <= 0:
        return 0.0
    first = float(ndtr(mu / 2 - epsilon / mu))
    second = math.exp(epsilon + float(log_ndtr(-mu / 2 - epsilon / mu)))
    return max(first - second, 0.0)


def mu_from_epsilon(epsilon: float, delta: float) -> float:
    """Returns the largest mu whose guarantee is within (epsilon, delta)."""
    return float(brentq(lambda mu: delta_of(mu, epsilon) - delta, 1e-9, 60.0, xtol=1e-13))


def epsilon_from_mu(mu: float, delta: float) -> float:
    """Returns the smallest epsilon such that mu-GDP implies (epsilon, delta)-DP."""
    if delta_of(mu, 0.0) <= delta:
        return 0.0
    return float(brentq(lambda epsilon: delta_of(mu, epsilon) - delta, 0.0, mu * (mu / 2 + 40.0), xtol=1e-12))


def mu2_charge(d2: int, sigma: float) -> float:
    """Returns what the ledger charges for integer noise of standard deviation sigma on sensitivity d2.

    d2**2 / (sigma**2 - 1/12): the continuous figure with Sheppard's correction, which covered the exact curve of the
    discrete Gaussian wherever it was compared (docs/adr: ledger currency).
    """
    return d2 * d2 / (sigma * sigma - 1 / 12)


def sigma_for(d2: int, mu2: float) -> float:
    """Returns the noise's standard deviation, in grid steps, whose charge is mu2."""
    return math.sqrt(d2 * d2 / mu2 + 1 / 12)


def zcdp_rho(d2: int, sigma: float) -> float:
    """Returns rho of zCDP, d2^2 / 2 sigma^2, of the same release (Canonne, Kamath and Steinke 2020, theorem 4)."""
    return d2 * d2 / (2 * sigma * sigma)


def epsilon_from_rho(rho: float, delta: float) -> float:
    """Returns an epsilon such that rho-zCDP implies (epsilon, delta)-DP: the cross-check of the mu figure.

    The smallest over alpha > 1 of alpha rho + log(1 / (alpha delta)) / (alpha - 1) + log(1 - 1/alpha), Canonne, Kamath
    and Steinke (2020), corollary 13. Every alpha gives an upper bound, so that the search need not be exact.
    """
    if rho <= 0:
        return 0.0

    def bound(log_excess: float) -> float:
        excess = math.exp(log_excess)
        alpha = 1 + excess
        return alpha * rho - math.log(alpha * delta) / excess + math.log(excess / alpha)

    return max(float(minimize_scalar(bound, bounds=(-10.0, 20.0), method="bounded").fun), 0.0)
