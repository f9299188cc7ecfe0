"""The first round, read: how many people, and what they are like, on each side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cohortium_coordinator.combine.sums import Array, NoisySum, floored
from cohortium_protocols.doubly_robust import COUNT_SCALE


@dataclass(frozen=True)
class Means:
    """One side's size and mean features, with the variance of the noise in them.

    Attributes:
        n: number of people (noisy).
        n_noise: variance of the noise in n.
        mean: (p,) mean features.
        noise: variance of the noise in each mean.
    """

    n: float
    n_noise: float
    mean: Array
    noise: float


@dataclass(frozen=True)
class Profile:
    """Both sides, and the comparators' covariance matrix, shape (p, p)."""

    treated: Means
    comparators: Means
    covariance: Array


def means(total: NoisySum, count_scale: float) -> Means:
    """Returns the means of a released (count, features) sum; counts below 1 are taken as 1."""
    n = max(float(total.values[0]) / count_scale, 1.0)
    mean = total.values[1:] / n
    noise = total.noise / n**2 * (1 + float(np.mean(mean**2)) / count_scale**2)
    return Means(n, total.noise / count_scale**2, mean, noise)


def pooled(first: Means, second: Means) -> Means:
    """Returns two independent noisy readings of the same people as one, weighted by their precision."""
    if first.noise == 0 or second.noise == 0:
        return second
    share = second.noise / (first.noise + second.noise)
    mean = share * first.mean + (1 - share) * second.mean
    return Means(second.n, second.n_noise, mean, share * first.noise)


def read_profile(sums: Mapping[str, NoisySum]) -> Profile:
    """Returns both sides of the profile round; the covariance matrix is made positive definite above its noise."""
    treated = means(sums["treated_profile"], COUNT_SCALE)
    comparators = means(sums["comparator_profile"], 1.0)
    moments = sums["comparator_moments"]
    raw = moments.values / comparators.n - np.outer(comparators.mean, comparators.mean)
    noise = 0.9 * np.sqrt(moments.noise / 2 * len(raw)) / comparators.n
    return Profile(treated, comparators, floored(raw, max(float(noise), 0.01)))
