"""How well an observer tells two data sets apart by what was released: exact bounds, nothing assumed about the noise.

The observer learns on half of the releases how their noise hangs together, draws the best line between the two data
sets, and is judged on the other half by counting; then the halves change places. Counts give Clopper-Pearson bounds,
and those give what the releases must at least reveal: the tradeoff of hits and false alarms of mu-GDP (Dong, Roth and
Su 2022, equation 6), epsilon at a delta (Kairouz, Oh and Viswanath 2015, theorem 2.1), and the plain advantage, hits
less false alarms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import beta, norm

Array = NDArray[np.float64]

CUTS = (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98)
"""Quantiles of the learnt scores at which the observer says "this one"; the risk is shared out over them."""
_SINGULAR = 1e-9


@dataclass(frozen=True)
class Evidence:
    """What the releases reveal at least, but for the risk that was taken; and the advantage as it was counted.

    Attributes:
        mu: of Gaussian differential privacy; 0 when nothing is shown.
        epsilon: at the delta asked about; 0 when nothing is shown.
        advantage: hits less false alarms; 0 when nothing is shown.
        counted: hits less false alarms at the middle cut, without any allowance for chance.
    """

    mu: float
    epsilon: float
    advantage: float
    counted: float


def evidence(without: Array, present: Array, shift: Array, *, delta: float, risk: float) -> Evidence:
    """Returns what two sets of releases reveal about which data set they come from.

    Args:
        without: releases of the one data set, shape (n, k).
        present: releases of the other, shape (n, k).
        shift: how far the exact values lie apart, shape (k,); the observer knows both data sets.
        delta: at which epsilon is bounded.
        risk: the chance that any one figure is above what is revealed.
    """
    half, count = len(without) // 2, len(without)
    halves = ((slice(None, half), slice(half, None)), (slice(half, None), slice(None, half)))
    hits, alarms = np.sum(
        [_counts((without[learn], present[learn]), (without[judge], present[judge]), shift) for learn, judge in halves],
        axis=0,
    )
    found = [_at(int(hit), int(alarm), count, delta, risk) for hit, alarm in zip(hits, alarms, strict=True)]
    mu, epsilon, advantage = (max(0.0, *figures) for figures in zip(*found, strict=True))
    middle = len(CUTS) // 2
    return Evidence(mu, epsilon, advantage, float(hits[middle] - alarms[middle]) / count)


def _counts(learn: tuple[Array, Array], judge: tuple[Array, Array], shift: Array) -> NDArray[np.int64]:
    """Returns hits and alarms at every cut among the releases that were not learnt from, shape (2, cuts)."""
    direction = _direction(*learn, shift)
    cuts = np.quantile(np.concatenate(learn) @ direction, CUTS)
    alarms, hits = ((releases @ direction)[:, None] > cuts for releases in judge)
    return np.array([hits.sum(axis=0), alarms.sum(axis=0)])


def best_advantage(mu: float) -> float:
    """Returns the largest hits less false alarms that mu-GDP allows: 2 Phi(mu / 2) - 1."""
    return float(2 * norm.cdf(mu / 2) - 1)


def _direction(without: Array, present: Array, shift: Array) -> Array:
    """Returns the best linear score (Fisher's discriminant): noise that hangs together is taken out."""
    spread = np.vstack([without - without.mean(axis=0), present - present.mean(axis=0)])
    covariance = spread.T @ spread / len(spread)
    return np.asarray(np.linalg.solve(covariance + _SINGULAR * np.eye(len(shift)), shift), dtype=np.float64)


def _at(hits: int, alarms: int, count: int, delta: float, risk: float) -> tuple[float, float, float]:
    share = risk / (2 * len(CUTS))
    hit, alarm = _lower(hits, count, share), 1 - _lower(count - alarms, count, share)
    mu = float(ndtri(hit) - ndtri(alarm)) if hit > 0 and alarm < 1 else 0.0
    epsilon = max(_log_ratio(hit - delta, alarm), _log_ratio(1 - alarm - delta, 1 - hit))
    return mu, epsilon, hit - alarm


def _lower(successes: int, count: int, risk: float) -> float:
    """Returns the Clopper-Pearson lower bound of a share."""
    return float(beta.ppf(risk, successes, count - successes + 1)) if successes else 0.0


def _log_ratio(upper: float, lower: float) -> float:
    return math.log(upper / lower) if upper > 0 and lower > 0 else 0.0
