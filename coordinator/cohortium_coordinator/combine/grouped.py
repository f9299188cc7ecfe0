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

from cohortium_coordinator.combine.estimate import Compared, Weighted, effect
from cohortium_coordinator.combine.found import Found
from cohortium_coordinator.combine.learned import Learned
from cohortium_coordinator.combine.levels import levels
from cohortium_coordinator.combine.profile import Means
from cohortium_coordinator.combine.sums import Array, NoisySum
from cohortium_protocols.doubly_robust import SQUARE_SCALE, WEIGHT_SCALE
from cohortium_protocols.estimates import Estimate, first_primary
from cohortium_protocols.grouped import GROUP_COUNT, grouping, weighted
from cohortium_protocols.schedules import LAST

_COUNT_SDS = 5
_LEAST_PEOPLE = 10
"""A group's effect is shown when its noisy size is above both: as many noise deviations, and as many people."""
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
    groups = _read(sums[estimate.name("grouped_comparators", outcome.name)], len(labels))
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
        level: mean outcome, in units of y.
        thin: whether hardly anybody can be compared.
        noise: variance of the noise in a sum of residuals.
    """

    weight: Array
    residual: Array
    variance: Array
    square: Array
    level: Array
    thin: NDArray[np.bool_]
    noise: float


@dataclass(frozen=True)
class _Helped:
    """Each group's share of the people helped, shape (G,), and the variance of the noise in each."""

    share: Array
    noise: float


def _read(released: NoisySum, groups: int) -> _Groups:
    weight, residual, square, spread, level = released.values.reshape(groups, _COLUMNS).T
    noise = math.sqrt(released.noise)
    total = weight / WEIGHT_SCALE
    thin = total < max(_COUNT_SDS * noise / WEIGHT_SCALE, 2.0)
    size = np.maximum(total, max(noise, 1.0))
    mean = np.clip(residual / size, -1.0, 1.0)
    by_chance = np.clip(square / SQUARE_SCALE, 1e-9 * size, size) / size**2
    by_noise = released.noise * (1 + mean**2 / WEIGHT_SCALE**2) / size**2
    return _Groups(
        size, mean, by_chance + by_noise, spread / SQUARE_SCALE / size, np.clip(level / WEIGHT_SCALE / size, 0.0, 1.0),
        thin, released.noise,
    )  # fmt: skip


def _shares(released: NoisySum, groups: int) -> _Helped:
    counts = np.maximum(released.values[:groups] / GROUP_COUNT, 0.0)
    whole = max(float(counts.sum()), 1.0)
    return _Helped(counts / whole, released.noise / GROUP_COUNT**2 / whole**2)


def _together(learned: Learned, estimate: Estimate, k: int) -> Found:
    outcome, labels = learned.plan.outcomes[k], grouping(learned.plan, estimate).labels
    treated = learned.sums(LAST)[estimate.name("grouped_treated", outcome.name)]
    groups = _read(learned.sums(LAST)[estimate.name("grouped_comparators", outcome.name)], len(labels))
    helped = _shares(treated, len(labels))
    against = _standardised(groups, helped)
    fitted, second = learned.fitted(k), learned.second
    gap = learned.best.mean - learned.weighted.means.mean if weighted(estimate) else np.zeros_like(learned.best.mean)
    doubt = fitted.doubt(gap, learned.best.noise + learned.weighted.means.noise)
    seen = effect(NoisySum(treated.values[-2:], treated.noise), against, count=second, clip=fitted.clip,
                  model_variance=doubt, level=fitted.model.moved(against.level, gap))  # fmt: skip
    alone = (label for label, thin, share in zip(labels, groups.thin, helped.share, strict=True)
             if thin and share > _COUNT_SDS * math.sqrt(helped.noise))  # fmt: skip
    return Found(estimate, "", outcome, seen, second.n, tuple(alone))


def _standardised(groups: _Groups, helped: _Helped) -> Compared:
    """Returns the comparators in the proportions of the people helped; their groups' means drawn together first."""
    usual = float(groups.weight @ groups.residual / groups.weight.sum())
    between = float(np.average((groups.residual - usual) ** 2 - groups.variance, weights=helped.share + 1e-12))
    spread = float(np.clip(between, _SPREAD[0] ** 2, _SPREAD[1] ** 2))
    believed = np.where(groups.thin, 0.0, spread / (spread + groups.variance))
    mean = usual + believed * (groups.residual - usual)
    left = believed**2 * groups.variance + (1 - believed) ** 2 * spread
    residual = float(helped.share @ mean)
    by_counts = helped.noise * float(np.sum((mean - residual) ** 2))
    by_noise = float(np.sum((helped.share * believed / groups.weight) ** 2)) * groups.noise
    everything = float(np.sum(helped.share**2 * left))
    square = float(helped.share @ np.clip(groups.square, 0.0, 1.0))
    square_noise = groups.noise / SQUARE_SCALE**2 * float(np.sum((helped.share / groups.weight) ** 2))
    level = float(helped.share @ groups.level)
    return Compared(residual, max(everything - by_noise, 0.0), by_noise + by_counts, square, square_noise, level)


def _apart(learned: Learned, estimate: Estimate, k: int) -> Iterator[Found]:
    outcome, labels = learned.plan.outcomes[k], grouping(learned.plan, estimate).labels
    treated = learned.sums(LAST)[estimate.name("grouped_treated", outcome.name)]
    groups = _read(learned.sums(LAST)[estimate.name("grouped_comparators", outcome.name)], len(labels))
    fitted = learned.fitted(k)
    gap = learned.best.mean - learned.weighted.means.mean
    doubt = fitted.doubt(gap, learned.best.noise + learned.weighted.means.noise)
    for g, (label, values) in enumerate(zip(labels, treated.values.reshape(len(labels), 3), strict=True)):
        people = float(values[0])
        if groups.thin[g] or people <= max(_LEAST_PEOPLE, _COUNT_SDS * math.sqrt(treated.noise)):
            yield Found(estimate, label, outcome, None, people)
            continue
        seen = effect(NoisySum(values[1:], treated.noise), _one(groups, g), count=_counted(people, treated.noise),
                      clip=fitted.clip, model_variance=doubt, level=float(groups.level[g]))  # fmt: skip
        yield Found(estimate, label, outcome, seen, people)


def _one(groups: _Groups, g: int) -> Compared:
    """Returns the comparators of one group."""
    size, mean = float(groups.weight[g]), float(groups.residual[g])
    noise = groups.noise * (1 + mean**2 / WEIGHT_SCALE**2) / size**2
    square = float(np.clip(groups.square[g], 0.0, 1.0))
    by_chance = max(float(groups.variance[g]) - noise, 0.0)
    square_noise = groups.noise / SQUARE_SCALE**2 / size**2
    return Compared(mean, by_chance, noise, square, square_noise, float(groups.level[g]))


def _counted(people: float, noise: float) -> Means:
    return Means(people, noise, np.empty(0), 0.0)
