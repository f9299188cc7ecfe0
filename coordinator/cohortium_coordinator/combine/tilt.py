"""Weights that make comparators look like the people helped: exponential tilting, shrunk by the known noise.

w(u) = min(exp(tilt' u + log_scale), 1). Were features normal, tilting would move their means by S tilt, with S the
comparators' covariance. The difference in means is seen as d = S tilt + e, where e has variance v of noise and S / n_t
of chance; with tilt ~ N(0, tau2 I) a priori, its posterior mean is, along an eigenvector of S with eigenvalue s,
s / (s^2 + (v + s / n_t) / tau2) times d. Newton steps then correct what is not normal, towards the same shrunk target
(the dual of entropy balancing, Hainmueller 2012, stopped where noise would be fitted).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cohortium_coordinator.combine.profile import Means, Profile, means
from cohortium_coordinator.combine.sums import Array, NoisySum, floored

LEAST_LARGEST, MOST_LARGEST, PER_HELPED = 2.5, 12.0, 0.4
"""The largest weight over the mean weight: bounds, and its size for every comparator per person helped."""
_LONGEST_STEP = 2.0
_PRIOR_CHANGE = 0.5
"""By how much of a typical variance weighting may be thought to change the covariance, before it is seen."""


@dataclass(frozen=True)
class Tilt:
    """The weights' parameters, and the mean features they aim at.

    Attributes:
        tilt: (p,) direction.
        log_scale: its constant.
        target: (p,) the treated mean, shrunk towards the comparators' as far as noise made it uncertain.
        largest: largest weight over the mean weight.
        pull: prior variance of an entry of the tilt, as the profile suggests it.
    """

    tilt: Array
    log_scale: float
    target: Array
    largest: float
    pull: float


def first_tilt(profile: Profile) -> Tilt:
    """Returns the discriminant's weights."""
    treated, comparators = profile.treated, profile.comparators
    d = treated.mean - comparators.mean
    s, axes = np.linalg.eigh(profile.covariance)
    along, noise = axes.T @ d, treated.noise + comparators.noise + s / treated.n
    tau2 = max(float(s**2 @ (along**2 - noise)) / float(s**2 @ s**2), 0.01) if len(d) else 1.0
    inverse = (axes * (s / (s**2 + noise / tau2))) @ axes.T
    tilt = _bounded(inverse @ d)
    largest = float(np.clip(PER_HELPED * comparators.n / treated.n, LEAST_LARGEST, MOST_LARGEST))
    moved = profile.covariance @ tilt
    log_mean = float(tilt @ comparators.mean + tilt @ moved / 2)
    scale = _bounded_scale(-log_mean - float(np.log(largest)))
    return Tilt(tilt, scale, comparators.mean + moved, largest, tau2)


def retilted(tilt: Tilt, weighted: NoisySum, moments: NoisySum, profile: Profile) -> Tilt:
    """Returns the weights moved towards their target by a Newton step, as far as the noisy sums can be believed.

    Args:
        tilt: the weights so far.
        weighted: sum of (w, w u) over comparators.
        moments: sum of w u u'.
        profile: both sides, unweighted.
    """
    now = means(weighted, 1.0)
    gap = tilt.target - now.mean
    true_gap = max(float(np.mean(gap**2)) - now.noise, 0.0004)
    believed = true_gap / (true_gap + now.noise)
    step = believed * np.linalg.solve(_weighted_covariance(now, moments, profile), gap)
    moved = _bounded(tilt.tilt + step * min(1.0, _LONGEST_STEP / max(float(np.linalg.norm(step)), 1e-12)))
    drift = float(np.log(np.clip(now.n * tilt.largest / profile.comparators.n, 0.5, 2.0)))
    log_scale = tilt.log_scale - believed * drift - float((moved - tilt.tilt) @ now.mean)
    return replace(tilt, tilt=moved, log_scale=_bounded_scale(log_scale))


def _weighted_covariance(now: Means, moments: NoisySum, profile: Profile) -> Array:
    """Returns the weighted comparators' covariance, drawn to the unweighted one as far as it is noise.

    It never falls below half of the unweighted one, so that a step cannot run away.
    """
    seen = moments.values / now.n - np.outer(now.mean, now.mean)
    noise = moments.noise / 2 / now.n**2
    prior = (_PRIOR_CHANGE * float(np.trace(profile.covariance)) / max(len(seen), 1)) ** 2
    share = prior / (prior + noise)
    mixed = share * seen + (1 - share) * profile.covariance
    return floored(mixed - profile.covariance / 2, 0.0) + profile.covariance / 2


def _bounded(tilt: Array) -> Array:
    """Returns the tilt within its declared bounds, which only noise far above what it hides can reach."""
    return np.clip(tilt, -19.0, 19.0)


def _bounded_scale(log_scale: float) -> float:
    return min(max(log_scale, -59.0), 59.0)
