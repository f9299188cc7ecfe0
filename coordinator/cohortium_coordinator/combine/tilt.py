"""Weights that make comparators look like the people helped: exponential tilting, shrunk by the known noise.

w(u) = min(exp(tilt' u + log_scale), 1), with tilt = (S + rho I)^-1 d, the regularised discriminant: S is the
comparators' covariance, d the difference in means, rho the noise in d over the size of a true difference.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cohortium_coordinator.combine.profile import Profile, means
from cohortium_coordinator.combine.sums import Array, NoisySum


@dataclass(frozen=True)
class Tilt:
    """The weights' parameters, and the mean features they aim at.

    Attributes:
        tilt: (p,) direction.
        log_scale: its constant.
        target: (p,) the treated mean, shrunk towards the comparators' as far as noise made it uncertain.
        ridge: rho.
        largest: largest weight over the mean weight.
    """

    tilt: Array
    log_scale: float
    target: Array
    ridge: float
    largest: float


def first_tilt(profile: Profile) -> Tilt:
    """Returns the discriminant's weights."""
    treated, comparators, s = profile.treated, profile.comparators, profile.covariance
    d = treated.mean - comparators.mean
    v = treated.noise + comparators.noise + 1 / treated.n
    inverse = np.linalg.inv(s)
    tau2 = max((float(d @ inverse @ d) - v * float(np.trace(inverse))) / max(len(d), 1), 0.002)
    ridge = v / tau2
    tilt = np.linalg.solve(s + ridge * np.eye(len(d)), d)
    largest = float(np.clip(0.15 * comparators.n / treated.n, 2.5, 20.0))
    log_mean = float(tilt @ comparators.mean + tilt @ s @ tilt / 2)
    return Tilt(_bounded(tilt), -log_mean - float(np.log(largest)), comparators.mean + s @ tilt, ridge, largest)


def retilted(tilt: Tilt, weighted: NoisySum, profile: Profile) -> Tilt:
    """Returns the weights moved towards their target, as far as the noisy weighted means can be believed."""
    now = means(weighted, 1.0)
    gap = tilt.target - now.mean
    true_gap = max(float(np.mean(gap**2)) - now.noise, 0.0004)
    believed = true_gap / (true_gap + now.noise)
    ridge = np.eye(len(gap)) * tilt.ridge
    moved = _bounded(tilt.tilt + believed * np.linalg.solve(profile.covariance + ridge, gap))
    step = moved - tilt.tilt
    drift = np.log(np.clip(now.n * tilt.largest / profile.comparators.n, 0.5, 2.0))
    log_scale = tilt.log_scale - believed * float(drift) - float(step @ now.mean)
    return replace(tilt, tilt=moved, log_scale=log_scale)


def _bounded(tilt: Array) -> Array:
    return np.clip(tilt, -19.0, 19.0)
