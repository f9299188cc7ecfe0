"""The effect on the people helped (ATT) from residual sums, with an interval that includes the noise.

tau = (sum_t r / n_t - sum_c w r / sum_c w) / kappa: a doubly robust (augmented) estimate, for it is right when either
the outcome model or the weights are (Robins, Rotnitzky and Zhao 1994; for the ATT, Zhao and Percival 2017).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from cohortium_coordinator.combine.outcome_model import OutcomeModel, moments
from cohortium_coordinator.combine.profile import Means, Profile
from cohortium_coordinator.combine.residual_clip import ResidualClip
from cohortium_coordinator.combine.sums import Array, NoisySum
from cohortium_protocols.doubly_robust import SQUARE_SCALE, WEIGHT_SCALE

Z95 = float(ndtri(0.975))
_PRIOR_CV = 0.4
"""How well the comparators' residual variance foretells that of the people helped."""


@dataclass(frozen=True)
class Effect:
    """One outcome's estimate, in units of y (the outcome scaled to [0, 1]).

    Attributes:
        estimate: tau.
        low, high: 95 % interval (Fieller's, for the treated count is noisy too).
        variance: total.
        noise: the part of the variance that privacy noise adds.
        comparison: what the people helped would be expected to have had without help: the comparators' weighted mean,
            moved by the model along the imbalance that the weights leave.
        sampling: the part that shrinks as 1 / n_t when more people are helped.
        helped: the part that the people helped bring, by chance (``sampling``) and by the noise in their sums.
        compared: the part that the comparators bring, likewise; the rest is doubt about the model and the clip.
    """

    estimate: float
    low: float
    high: float
    variance: float
    noise: float
    comparison: float
    sampling: float
    helped: float
    compared: float


@dataclass(frozen=True)
class Weighted:
    """The weighted comparators.

    Attributes:
        total: sum of weights (each at most 1).
        total_noise: variance of the noise in it.
        effective: Kish's effective number of people.
        means: their size (``total``) and mean features.
    """

    total: float
    total_noise: float
    effective: float
    means: Means


def read_weights(released: NoisySum) -> Weighted:
    """Returns the weighted comparators of the outcome round."""
    values, noise = released.values / WEIGHT_SCALE, released.noise / WEIGHT_SCALE**2
    total = max(float(values[0]), 1.0)
    square = float(np.clip(values[1], total * 1e-3, total))
    mean = values[2:] / total
    spread = noise / total**2 * (1 + float(np.mean(mean**2)))
    return Weighted(total, noise, total**2 / square, Means(total, noise, mean, spread))


@dataclass(frozen=True)
class Compared:
    """What the people helped are held against, for one outcome; amounts are in residual clips.

    Attributes:
        residual: mean clipped residual.
        sampling: its variance by chance.
        noise: its variance by privacy noise.
        square: mean squared residual.
        square_noise: variance of the noise in it.
        level: mean outcome, in units of y.
    """

    residual: float
    sampling: float
    noise: float
    square: float
    square_noise: float
    level: float


def compared(comparators: NoisySum, weighted: Weighted) -> Compared:
    """Returns what the weighted comparators say.

    Args:
        comparators: sums of (w r, 0.4 (w r)^2, 0.4 w r^2, w y / 2).
        weighted: their weights.
    """
    total = weighted.total
    residual = float(comparators.values[0]) / total
    square = float(np.clip(comparators.values[1] / SQUARE_SCALE, 1e-9 * total, total))
    return Compared(
        residual=residual, sampling=square / total**2,
        noise=(comparators.noise + residual**2 * weighted.total_noise) / total**2,
        square=float(comparators.values[2]) / SQUARE_SCALE / total,
        square_noise=comparators.noise / SQUARE_SCALE**2 / total**2,
        level=float(comparators.values[3] / WEIGHT_SCALE / total),
    )  # fmt: skip


def effect(
    treated: NoisySum, against: Compared, *, count: Means, clip: ResidualClip, model_variance: float, level: float,
    yes_no: bool = False,
) -> Effect:
    """Returns the estimate of one outcome.

    Args:
        treated: sums of (r, 0.4 (r^2 - 1/2)) over the people helped.
        against: the comparators.
        count: the outcome round's own count of the people helped.
        clip: the residual clip and its pass-through.
        model_variance: what the outcome model's uncertainty adds where balance is not perfect, in units of y squared.
        level: what the people helped would be expected to have had without help, in units of y.
        yes_no: whether y is 0 or 1, and no residual clipped.
    """
    spread = _spread_of_yes_no(treated, against, count, level) if yes_no else _spread(treated, against, count)
    return effect_with(spread, treated, against, count=count, clip=clip, model_variance=model_variance, level=level)


def effect_with(
    spread: float, total: NoisySum, against: Compared, *, count: Means, clip: ResidualClip, model_variance: float,
    level: float,
) -> Effect:  # fmt: skip
    """Returns the estimate of one outcome whose residuals are known to have a variance of ``spread``.

    Args:
        spread: variance of what one person, or one pair, adds to the total.
        total: its first entry is the sum of residuals.
        against: see :func:`effect`, as the others.
        count: of people or pairs in the total.
        clip: see :func:`effect`.
        model_variance: see :func:`effect`.
        level: see :func:`effect`.
    """
    n, ratio = count.n, float(total.values[0]) / count.n
    scale = clip.clip / clip.pass_through
    tau = scale * (ratio - against.residual)
    blur = tau**2 * (clip.half_range**2 / 3 + clip.noise) / clip.pass_through**2
    rest = against.sampling + against.noise + (model_variance + blur) / scale**2 + spread / n
    low, high = _fieller(ratio, n, total.noise, count.n_noise, rest)
    helped_noise = total.noise / n**2 + ratio**2 * count.n_noise / n**2
    ends = scale * (low - against.residual), scale * (high - against.residual)
    return Effect(
        tau, ends[0], ends[1], scale**2 * (helped_noise + rest), scale**2 * (helped_noise + against.noise), level,
        scale**2 * spread / n, helped=scale**2 * (helped_noise + spread / n),
        compared=scale**2 * (against.sampling + against.noise),
    )  # fmt: skip


def _spread(treated: NoisySum, against: Compared, count: Means) -> float:
    """Returns the variance of r among the people helped: the comparators', moved to the noisy one by its precision."""
    prior = _foreseen(against)
    square, mean = NoisySum(treated.values[1:], treated.noise), float(treated.values[0]) / count.n
    return variance_of(square, mean, count, prior=prior, doubt=(_PRIOR_CV * prior) ** 2 + against.square_noise)


def _spread_of_yes_no(treated: NoisySum, against: Compared, count: Means, level: float) -> float:
    """Returns the variance of r = y - m among the people helped, from their mean residual, which is far less noisy.

    With y of 0 or 1, r^2 = y (1 - 2 m) + m^2: the mean square differs from the comparators' by 1 - 2 m times what the
    mean differs by.
    """
    prior, mean = _foreseen(against), float(treated.values[0]) / count.n
    seen = against.square + (1 - 2 * level) * (mean - against.residual) - mean**2
    noise = (1 - 2 * level) ** 2 * (treated.noise / count.n**2 + prior / count.n)
    return _drawn(prior, seen, doubt=(_PRIOR_CV * prior) ** 2 + against.square_noise, noise=noise)


def _foreseen(against: Compared) -> float:
    """Returns the comparators' variance of r."""
    return float(np.clip(against.square - against.residual**2, 1e-5, 1.0))


def _drawn(prior: float, seen: float, *, doubt: float, noise: float) -> float:
    """Returns a variance thought likely, drawn to the one that was seen by the precision of both."""
    return float(max(prior + doubt / (doubt + noise) * (seen - prior), prior / 4))


def variance_of(square: NoisySum, mean: float, count: Means, *, prior: float, doubt: float) -> float:
    """Returns the variance of r: what is thought beforehand, moved to the noisy one by its precision.

    Args:
        square: its first entry is the sum of 0.4 (r^2 - 1/2).
        mean: of r.
        count: how many r there are.
        prior: the variance thought likely, positive.
        doubt: the variance of that figure.
    """
    seen = (float(square.values[0]) / SQUARE_SCALE + count.n / 2) / count.n - mean**2
    noise = (square.noise / SQUARE_SCALE**2 + count.n_noise / 4) / count.n**2 + 2 * prior**2 / count.n
    return _drawn(prior, seen, doubt=doubt, noise=noise)


def _fieller(ratio: float, n: float, sum_noise: float, count_noise: float, rest: float) -> tuple[float, float]:
    """Returns the ends of Fieller's interval of sum / n, where both carry noise and ``rest`` is other variance."""
    a = n * n - Z95**2 * count_noise
    if a <= 0:
        return -math.inf, math.inf
    middle = ratio * n * n / a
    under = middle**2 - (ratio**2 * n * n - Z95**2 * (sum_noise + n * n * rest)) / a
    half = math.sqrt(max(under, 0.0))
    return middle - half, middle + half


def sampling_variance(model: OutcomeModel, profile: Profile, residual_square: float) -> Array:
    """Returns the coefficients' sampling variance: residual variance over the squared slope of m, over (z'z)."""
    slope, z = float(model.link.slope(model.level)), moments(profile.comparators.mean, profile.covariance)
    return np.asarray(residual_square / slope**2 * np.linalg.inv(z) / profile.comparators.n, dtype=np.float64)
