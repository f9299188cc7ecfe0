"""Comparisons inside groups, from released sums (protocols, ``grouped``): strata, data holders, categories, subgroups.

A group's mean residual is drawn towards that of all groups as far as it is noise (empirical Bayes, Morris 1983), so
that a group with hardly any comparators borrows those of the others instead of adding noise; where nobody can be
compared at all, the result says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cohortium_coordinator.combine.estimate import Compared, Effect, Weighted, effect
from cohortium_coordinator.combine.expected import Level, expected
from cohortium_coordinator.combine.fitted import Fitted
from cohortium_coordinator.combine.found import Found
from cohortium_coordinator.combine.learned import Learned
from cohortium_coordinator.combine.levels import levels
from cohortium_coordinator.combine.part import Part, moved_variance
from cohortium_coordinator.combine.profile import Means
from cohortium_coordinator.combine.rules import COUNT_SDS, least_counted
from cohortium_coordinator.combine.sums import Array, NoisySum
from cohortium_protocols.doubly_robust import SQUARE_SCALE, WEIGHT_SCALE
from cohortium_protocols.estimates import Estimate, first_primary
from cohortium_protocols.grouped import GROUP_COUNT, grouping
from cohortium_protocols.links import Link
from cohortium_protocols.schedules import LAST

_SPREAD = 0.01, 0.2
"""Smallest and largest standard deviation between groups' mean residuals, in residual clips."""
_COLUMNS = 5


def edges(learned: Learned, estimate: Estimate) -> list[list[float]]:
    """Returns the limits of the strata, a row for each outcome: quantiles of the expected outcome of people helped.

    They are worked out from released values alone, for a normal linear predictor with the comparators' spread.
    """
    bins = grouping(learned.plan, estimate).bins
    return [levels(model, learned.profile, bins).tolist() for model in learned.models]


def found(learned: Learned, estimate: Estimate) -> Iterator[Found]:
    """Yields the estimate's effect on every outcome, for subgroups in every group."""
    for k in range(len(learned.plan.outcomes)):
        yield from _apart(learned, estimate, k) if estimate.by is not None else [_together(learned, estimate, k)]


def compared_with(learned: Learned, estimate: Estimate) -> Weighted:
    """Returns the comparators of the first primary outcome's groups, in the proportions of the people helped."""
    k = first_primary(learned.plan.outcomes)
    outcome, labels = learned.plan.outcomes[k], grouping(learned.plan, estimate).labels
    sums = learned.sums(LAST)
    groups = _compared(learned, estimate, k)
    helped = _shares(sums[estimate.name("grouped_treated", outcome.name)], len(labels))
    features = sums[estimate.name("grouped_features")]
    usable = np.where(groups.thin, 0.0, helped.share)
    usable = usable / max(float(usable.sum()), 1e-9)
    mean = (usable / groups.weight) @ features.values.reshape(len(labels), -1)
    noise = float(np.sum((usable / groups.weight) ** 2)) * features.noise
    effective = 1 / max(float(np.sum(usable**2 / groups.weight)), 1e-12)
    return Weighted(float(groups.weight.sum()), 0.0, effective, Means(effective, 0.0, mean, noise))


@dataclass(frozen=True)
class _Groups:
    """The comparators of each group, shape (G,); residuals in clips.

    Attributes:
        weight: sum of weights, at least the size of its noise.
        residual: mean.
        variance: of that mean, by chance and by noise.
        square: mean squared residual.
        level: mean outcome, in units of y; that of all groups where hardly anybody can be compared.
        level_variance: of that mean.
        thin: whether hardly anybody can be compared.
        noise: variance of the noise in a sum of residuals.
    """

    weight: Array
    residual: Array
    variance: Array
    square: Array
    level: Array
    level_variance: Array
    thin: NDArray[np.bool_]
    noise: float


@dataclass(frozen=True)
class _Helped:
    """Each group's share of the people helped, shape (G,), and the variance of the noise in each."""

    share: Array
    noise: float


def _compared(learned: Learned, estimate: Estimate, k: int) -> _Groups:
    released = learned.sums(LAST)[estimate.name("grouped_comparators", learned.plan.outcomes[k].name)]
    return _read(released, learned.models[k].link, len(grouping(learned.plan, estimate).labels))


def _read(released: NoisySum, curve: Link, groups: int) -> _Groups:
    weight, residual, square, spread, level = released.values.reshape(groups, _COLUMNS).T
    noise = math.sqrt(released.noise)
    total = weight / WEIGHT_SCALE
    thin = total < max(COUNT_SDS * noise / WEIGHT_SCALE, 2.0)
    size = np.maximum(total, max(noise, 1.0))
    mean = np.clip(residual / size, -1.0, 1.0)
    by_chance = np.clip(square / SQUARE_SCALE, 1e-9 * size, size) / size**2
    by_noise = released.noise * (1 + mean**2 / WEIGHT_SCALE**2) / size**2
    levels, doubts = _levels(level / WEIGHT_SCALE, size, thin, released.noise / WEIGHT_SCALE**2, curve)
    return _Groups(
        size, mean, by_chance + by_noise, spread / SQUARE_SCALE / size, levels, doubts, thin, released.noise
    )


def _levels(total: Array, size: Array, thin: NDArray[np.bool_], noise: float, curve: Link) -> tuple[Array, Array]:
    """Returns each group's mean outcome and its variance; y is taken to spread as far as its mean allows.

    Where hardly anybody can be compared it is that of all groups, which is as far off, about, as it is large.
    """
    usual = float(np.clip(total.sum() / size.sum(), 0.0, 1.0))
    level = np.where(thin, usual, np.clip(total / size, 0.0, 1.0))
    known = curve.slope(level) / size + noise * (1 + level**2) / size**2
    return level, np.where(thin, usual**2, known)


def _shares(released: NoisySum, groups: int) -> _Helped:
    counts = np.maximum(released.values[:groups] / GROUP_COUNT, 0.0)
    whole = max(float(counts.sum()), 1.0)
    return _Helped(counts / whole, released.noise / GROUP_COUNT**2 / whole**2)


def _together(learned: Learned, estimate: Estimate, k: int) -> Found:
    outcome, labels, fitted = learned.plan.outcomes[k], grouping(learned.plan, estimate).labels, learned.fitted(k)
    treated = learned.sums(LAST)[estimate.name("grouped_treated", outcome.name)]
    groups = _compared(learned, estimate, k)
    helped = _shares(treated, len(labels))
    against, count = _standardised(groups, helped), learned.second
    moved = fitted.model.moved(against.level, _gap(learned))
    level = Level(moved, _level_variance(groups, helped) + _moved(learned, fitted, moved))
    level = level.drawn_to(expected(learned, k))
    seen = effect(NoisySum(treated.values[-2:], treated.noise), against, count=count, clip=fitted.clip,
                  model_variance=_doubt(learned, fitted), level=level.mean,
                  yes_no=outcome.kind == "binary")  # fmt: skip
    part = _part(fitted, seen, against, count, level.variance, helped=float(treated.values[-2]) / count.n,
                 counted=math.sqrt(count.n_noise) / count.n)  # fmt: skip
    alone = (label for label, thin, share in zip(labels, groups.thin, helped.share, strict=True)
             if thin and share > COUNT_SDS * math.sqrt(helped.noise))  # fmt: skip
    return Found(estimate, "", outcome, part, count.n, tuple(alone))


def _part(
    fitted: Fitted, seen: Effect, against: Compared, count: Means, level_variance: float, *, helped: float,
    counted: float = 0.0,
) -> Part:  # fmt: skip
    """Returns what is said of one outcome.

    Args:
        fitted: its model and clip.
        seen: the effect.
        against: the comparators.
        count: of the people helped.
        level_variance: of what was expected.
        helped: the mean residual of the people helped, in clips.
        counted: the relative standard deviation of the noise in ``count``, where other outcomes have the same count.
    """
    scale = fitted.clip.clip / fitted.clip.pass_through
    return Part(
        fitted.outcome, seen, level_variance, shared=seen.compared, chance=(seen.sampling, scale**2 * against.sampling),
        counts=(-scale * helped * counted, 0.0), helped=helped, compared=against.residual,
        spread=math.sqrt(seen.sampling * count.n) / scale,
    )  # fmt: skip


def _gap(learned: Learned) -> Array:
    """Returns how far the people helped are from the weighted comparators in mean features, (p,)."""
    return learned.best.mean - learned.weighted.means.mean


def _doubt(learned: Learned, fitted: Fitted) -> float:
    return fitted.doubt(_gap(learned), learned.best.noise + learned.weighted.means.noise)


def _moved(learned: Learned, fitted: Fitted, level: float) -> float:
    return moved_variance(fitted, level, learned.best, learned.weighted.means)


def _standardised(groups: _Groups, helped: _Helped) -> Compared:
    """Returns the comparators in the proportions of the people helped; their groups' means drawn together first.

    What comes of it is a weighted mean of the groups' means; as far as its weights are not the shares of the people
    helped, it is off by what groups differ by.
    """
    usual = _usual(groups, 0.0) @ groups.residual
    between = float(np.average((groups.residual - usual) ** 2 - groups.variance, weights=helped.share + 1e-12))
    spread = float(np.clip(between, _SPREAD[0] ** 2, _SPREAD[1] ** 2))
    believed = np.where(groups.thin, 0.0, spread / (spread + groups.variance))
    usually = _usual(groups, spread)
    weights = helped.share * believed + float(helped.share @ (1 - believed)) * usually
    mean = believed * groups.residual + (1 - believed) * float(usually @ groups.residual)
    residual = float(helped.share @ mean)
    by_counts = helped.noise * float(np.sum((mean - residual) ** 2))
    by_noise = float(np.sum((weights / groups.weight) ** 2)) * groups.noise
    everything = float(weights**2 @ groups.variance) + spread * float(np.sum((weights - helped.share) ** 2))
    square = float(helped.share @ np.clip(groups.square, 0.0, 1.0))
    square_noise = groups.noise / SQUARE_SCALE**2 * float(np.sum((helped.share / groups.weight) ** 2))
    level = float(helped.share @ groups.level)
    return Compared(residual, max(everything - by_noise, 0.0), by_noise + by_counts, square, square_noise, level)


def _usual(groups: _Groups, spread: float) -> Array:
    """Returns the weights that make the groups' means into one, (G,), least noisy where they differ by ``spread``."""
    precision = np.where(groups.thin, 0.0, 1 / (groups.variance + spread))
    return np.asarray(precision / max(float(precision.sum()), 1e-12))


def _level_variance(groups: _Groups, helped: _Helped) -> float:
    """Returns the variance of the comparators' mean outcome in the proportions of the people helped."""
    apart = groups.level - helped.share @ groups.level
    return float(helped.share**2 @ groups.level_variance) + helped.noise * float(apart @ apart)


def _apart(learned: Learned, estimate: Estimate, k: int) -> Iterator[Found]:
    outcome, labels, fitted = learned.plan.outcomes[k], grouping(learned.plan, estimate).labels, learned.fitted(k)
    treated = learned.sums(LAST)[estimate.name("grouped_treated", outcome.name)]
    groups = _compared(learned, estimate, k)
    doubt = _doubt(learned, fitted)
    for g, (label, values) in enumerate(zip(labels, treated.values.reshape(len(labels), 3), strict=True)):
        people = float(values[0])
        if groups.thin[g] or people <= least_counted(treated.noise):
            yield Found(estimate, label, outcome, None, people)
            continue
        against, count = _one(groups, g), Means(people, treated.noise, np.empty(0), 0.0)
        seen = effect(NoisySum(values[1:], treated.noise), against, count=count, clip=fitted.clip,
                      model_variance=doubt, level=against.level, yes_no=outcome.kind == "binary")  # fmt: skip
        level_variance = float(groups.level_variance[g]) + _moved(learned, fitted, against.level)
        part = _part(fitted, seen, against, count, level_variance, helped=float(values[1]) / people)
        yield Found(estimate, label, outcome, part, people)


def _one(groups: _Groups, g: int) -> Compared:
    """Returns the comparators of one group."""
    size, mean = float(groups.weight[g]), float(groups.residual[g])
    noise = groups.noise * (1 + mean**2 / WEIGHT_SCALE**2) / size**2
    square = float(np.clip(groups.square[g], 0.0, 1.0))
    by_chance = max(float(groups.variance[g]) - noise, 0.0)
    square_noise = groups.noise / SQUARE_SCALE**2 / size**2
    return Compared(mean, by_chance, noise, square, square_noise, float(groups.level[g]))
