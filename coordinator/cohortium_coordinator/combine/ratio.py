"""Ratios: of the people helped to what was expected of them, and of one outcome to another.

Estimates are normal on the scale of sums, where the noise is added, and not on that of logarithms. So intervals are
Fieller's (1954): a value rho of top / bottom is kept when top - rho bottom is not significantly different from 0. They
stay right where the bottom is known to a quarter only (Franz 2007, arXiv:0710.2024), and agree with the test of the
difference.

A ratio of two outcomes is worked out from sums over people: with A and B what the people helped had of the two, a and b
what was expected of them, R = a / b, and tau the effects,

    A / B - a / b = (tau_a - R tau_b) / B        and        (A / B) / (a / b) = 1 + (tau_a - R tau_b) / (R B).

The two effects are of the same people, and so go together: the products of their residuals are released for this. They
say how two residuals are correlated; how much of each effect's error comes from those people is the estimator's to say
(``part``), so that the same products serve every way of comparing people. What
is expected is known much better than the effects, from comparators; its error is put high, and added as if it went with
the comparators' part of the effects' error, so that intervals are a little too wide rather than too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cohortium_coordinator.combine.estimate import Z95, Weighted
from cohortium_coordinator.combine.part import Part
from cohortium_coordinator.combine.rules import AWAY_FROM_ZERO
from cohortium_coordinator.combine.sums import NoisySum
from cohortium_protocols.plan import Plan

_CORRELATION = 0.2
"""How well the comparators' correlation of two residuals foretells that of the people helped."""


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Products:
    """How two outcomes' residuals go together, from released sums of their products, in clips.

    Attributes:
        helped: over the people helped.
        compared: (w^2, w) times the products, over the weighted comparators of all data holders.
        count: noisy number of people helped.
        weighted: those comparators' weights.
    """

    helped: NoisySum
    compared: NoisySum
    count: float
    weighted: Weighted


@dataclass(frozen=True)
class RatioEffect:
    """The effect on a ratio of two outcomes.

    Attributes:
        treated: of the people helped.
        comparison: what was expected of them.
        difference: of the two.
        se: of the difference.
        ratio: of the two; None where the comparison is too near 0.
    """

    treated: float
    comparison: float
    difference: Interval
    se: float
    ratio: Interval | None


@dataclass(frozen=True)
class Ratios:
    """Each outcome's rate ratio, and the effect on each of the plan's ratios, in the plan's order.

    None stands where there is too little to divide by.
    """

    rate_ratios: tuple[Interval | None, ...]
    effects: tuple[RatioEffect | None, ...]


def all_ratios(plan: Plan, parts: Sequence[Part], products: Mapping[str, Products]) -> Ratios:
    """Returns every ratio that a study shows.

    Args:
        plan: whose.
        parts: what the headline says of each outcome.
        products: of the two outcomes of each ratio, by its name.
    """
    known = {part.outcome.name: part for part in parts}
    effects = (
        ratio_effect(known[ratio.numerator], known[ratio.denominator], products[ratio.name]) for ratio in plan.ratios
    )
    return Ratios(tuple(map(rate_ratio, parts)), tuple(effects))


def rate_ratio(part: Part) -> Interval | None:
    """Returns what the people helped had, over what was expected of them.

    None where that is too near 0, and for outcomes that are no amounts above 0.
    """
    outcome, effect, variance = part.outcome, part.effect, part.level_variance
    if outcome.kind not in ("count", "binary", "days") or outcome.low != 0 or part.doubt > 1 / AWAY_FROM_ZERO:
        return None
    together = -math.copysign(math.sqrt(part.shared * variance), effect.estimate)
    return _one_more(fieller(effect.estimate, effect.comparison, effect.variance, variance, together))


def fieller(
    top: float, bottom: float, top_variance: float, bottom_variance: float, covariance: float
) -> Interval | None:
    """Returns top / bottom with Fieller's 95 % interval; None where the bottom is not significantly above 0.

    >>> fieller(2.0, 4.0, 0.0, 0.0, 0.0)
    Interval(estimate=0.5, low=0.5, high=0.5)
    """
    square = Z95**2
    a = bottom**2 - square * bottom_variance
    if bottom <= 0 or a <= 0:
        return None
    middle = top * bottom - square * covariance
    under = middle**2 - a * (top**2 - square * top_variance)
    half = math.sqrt(max(under, 0.0))
    return Interval(top / bottom, (middle - half) / a, (middle + half) / a)


def ratio_effect(top: Part, bottom: Part, products: Products) -> RatioEffect | None:
    """Returns the effect on the ratio of two outcomes; None where the bottom is too near 0.

    Args:
        top: the numerator.
        bottom: the denominator.
        products: of their residuals.
    """
    if bottom.doubt > 1 / AWAY_FROM_ZERO:
        return None
    together = top.size * bottom.size * _covariance(top, bottom, products)
    expected, had = top.expected / bottom.expected, bottom.expected + bottom.change
    doubt = expected * math.hypot(top.doubt, bottom.doubt)
    change = top.change - expected * bottom.change
    main = max(top.variance + expected**2 * bottom.variance - 2 * expected * together, 0.0)
    shared = top.size * math.sqrt(top.shared) + expected * bottom.size * math.sqrt(bottom.shared)
    moved = abs(bottom.change) * doubt
    change_variance = main + moved**2 + 2 * moved * shared
    both = together - expected * bottom.variance
    had_sd = math.hypot(math.sqrt(bottom.variance), bottom.doubt * bottom.expected)
    difference = fieller(change, had, change_variance, had_sd**2, both)
    if difference is None:
        return None
    bottom_variance = (expected * had_sd) ** 2 + (had * doubt) ** 2
    ratio = fieller(change, expected * had, change_variance, bottom_variance, expected * both)
    return RatioEffect(expected + change / had, expected, difference, math.sqrt(change_variance) / had,
                       _one_more(ratio) if top.doubt <= 1 / AWAY_FROM_ZERO else None)  # fmt: skip


def _covariance(top: Part, bottom: Part, products: Products) -> float:
    """Returns the covariance of two effects, in units of y: by chance on both sides, and by the noise in the counts."""
    alike = _correlation_helped(top, bottom, products), _correlation_compared(top, bottom, products)
    chance = (rho * math.sqrt(a * b) for rho, a, b in zip(alike, top.chance, bottom.chance, strict=True))
    counts = (a * b for a, b in zip(top.counts, bottom.counts, strict=True))
    return _within(math.fsum((*chance, *counts)), math.sqrt(top.effect.variance * bottom.effect.variance))


def _correlation_helped(top: Part, bottom: Part, products: Products) -> float:
    """Returns that of two residuals among the people helped: the comparators', moved to the noisy one."""
    n, total, most = products.count, products.weighted.total, top.spread * bottom.spread
    prior = _within(float(products.compared.values[1]) / total - top.compared * bottom.compared, most)
    seen = float(products.helped.values[0]) / n - top.helped * bottom.helped
    noise = products.helped.noise / n**2 + (most**2 + prior**2) / n
    trust = (_CORRELATION * most) ** 2 + products.compared.noise / total**2
    return _within(prior + trust / (trust + noise) * (seen - prior), most) / most


def _correlation_compared(top: Part, bottom: Part, products: Products) -> float:
    """Returns that of two residuals among the comparators, each counted by the square of their weight."""
    squares = products.weighted.total**2 / products.weighted.effective
    return _within(float(products.compared.values[0]) / squares / (top.spread * bottom.spread), 1.0)


def _within(value: float, most: float) -> float:
    return min(max(value, -most), most)


def _one_more(found: Interval | None) -> Interval | None:
    """Returns 1 + an interval; no ratio of amounts is below 0."""
    return found and Interval(*(max(1 + value, 0.0) for value in (found.estimate, found.low, found.high)))
