"""Ratios: of the people helped to what was expected of them, and of one outcome to another.

Estimates are normal on the scale of sums, where the noise is added, and not on that of logarithms. So intervals are
Fieller's (1954): a value rho of top / bottom is kept when top - rho bottom is not significantly different from 0. They
stay right where the bottom is known to a quarter only (Franz 2007, arXiv:0710.2024), and agree with the test of the
difference.

A ratio of two outcomes is worked out from sums over people: with A and B what the people helped had of the two, a and b
what was expected of them, R = a / b, and tau the effects,

    A / B - a / b = (tau_a - R tau_b) / B        and        (A / B) / (a / b) = 1 + (tau_a - R tau_b) / (R B).

The two effects are of the same people, and so go together: the products of their residuals are released for this. What
is expected is known much better than the effects, from comparators; its error is put high, and added as if it went with
the comparators' part of the effects' error, so that intervals are a little too wide rather than too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cohortium_coordinator.combine.estimate import Z95, Effect, Weighted
from cohortium_coordinator.combine.fitted import Fitted
from cohortium_coordinator.combine.profile import Means
from cohortium_coordinator.combine.sums import NoisySum
from cohortium_protocols.doubly_robust import WEIGHT_SCALE
from cohortium_protocols.plan import Plan

AWAY_FROM_ZERO = 5
"""Standard errors by which a bottom must be above 0 for a ratio to be shown."""
_CORRELATION = 0.2
"""How well the comparators' correlation of two residuals foretells that of the people helped."""


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Part:
    """What the last round said of one outcome.

    Attributes:
        fitted: its model and clip.
        effect: on it.
        treated, comparators: the residual sums behind the effect.
        best: the best reading of the mean features of the people helped.
        count: the last round's own count of them.
        weighted: the weighted comparators.
    """

    fitted: Fitted
    effect: Effect
    treated: NoisySum
    comparators: NoisySum
    best: Means
    count: Means
    weighted: Weighted

    @property
    def size(self) -> float:
        """What 1 of y is in the outcome's unit."""
        return self.fitted.outcome.clip - self.fitted.outcome.low

    @property
    def scale(self) -> float:
        """What one residual clip is in y, after correction for what the clip hides."""
        return self.fitted.clip.clip / self.fitted.clip.pass_through

    @property
    def helped(self) -> float:
        """The mean residual of the people helped, in residual clips."""
        return float(self.treated.values[0]) / self.count.n

    @property
    def compared(self) -> float:
        """The comparators' weighted mean residual, in residual clips."""
        return float(self.comparators.values[0]) / self.weighted.total

    @property
    def spread(self) -> float:
        """The standard deviation of a residual among the people helped, in residual clips."""
        return math.sqrt(self.effect.sampling * self.count.n) / self.scale

    @property
    def level_variance(self) -> float:
        """The variance of what was expected, in units of y squared; y is taken to spread as far as its mean allows."""
        level, total, slopes = self.effect.comparison, self.weighted.total, self.fitted.model.beta[1:]
        gap, noise = self.best.mean - self.weighted.means.mean, self.best.noise + self.weighted.means.noise
        slope = float(self.fitted.model.link.slope(level))
        released = (self.comparators.noise / WEIGHT_SCALE**2 + level**2 * self.weighted.total_noise) / total**2
        moved = slope**2 * noise * float(slopes @ slopes) + self.fitted.doubt(gap, noise)
        return released + slope / self.weighted.effective + moved

    @property
    def expected(self) -> float:
        """What was expected of the people helped, per person, in the outcome's unit above its lower bound."""
        return self.size * self.effect.comparison

    @property
    def change(self) -> float:
        """The effect, in the outcome's unit."""
        return self.size * self.effect.estimate

    @property
    def variance(self) -> float:
        """The effect's variance, in the outcome's unit squared."""
        return self.size**2 * self.effect.variance

    @property
    def doubt(self) -> float:
        """The relative standard error of what was expected; infinite where that is nothing."""
        level = self.effect.comparison
        return math.sqrt(self.level_variance) / level if level > 0 else math.inf


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


def all_ratios(plan: Plan, parts: Sequence[Part], sums: Mapping[str, NoisySum]) -> Ratios:
    """Returns every ratio that a study shows.

    Args:
        plan: whose.
        parts: one an outcome.
        sums: of the last round.
    """
    known = {part.fitted.outcome.name: part for part in parts}
    effects = (
        ratio_effect(known[ratio.numerator], known[ratio.denominator],
                     *(sums[f"{side}_product.{ratio.name}"] for side in ("treated", "comparator")))
        for ratio in plan.ratios
    )  # fmt: skip
    return Ratios(tuple(rate_ratio(part) if _has_rate(part) else None for part in parts), tuple(effects))


def _has_rate(part: Part) -> bool:
    outcome = part.fitted.outcome
    return outcome.kind in ("count", "binary", "days") and outcome.low == 0


def rate_ratio(part: Part) -> Interval | None:
    """Returns what the people helped had, over what was expected of them; None where that is too near 0."""
    effect, variance = part.effect, part.level_variance
    if part.doubt > 1 / AWAY_FROM_ZERO:
        return None
    together = -math.copysign(math.sqrt(effect.compared * variance), effect.estimate)
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


def ratio_effect(top: Part, bottom: Part, helped: NoisySum, compared: NoisySum) -> RatioEffect | None:
    """Returns the effect on the ratio of two outcomes; None where the bottom is too near 0.

    Args:
        top: the numerator.
        bottom: the denominator.
        helped: products of the two residuals, over the people helped.
        compared: (w^2, w) times the products, over comparators.
    """
    if bottom.doubt > 1 / AWAY_FROM_ZERO:
        return None
    together = top.size * bottom.size * _covariance(top, bottom, helped, compared)
    expected, had = top.expected / bottom.expected, bottom.expected + bottom.change
    doubt = expected * math.hypot(top.doubt, bottom.doubt)
    change = top.change - expected * bottom.change
    main = max(top.variance + expected**2 * bottom.variance - 2 * expected * together, 0.0)
    shared = top.size * math.sqrt(top.effect.compared) + expected * bottom.size * math.sqrt(bottom.effect.compared)
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


def _covariance(top: Part, bottom: Part, helped: NoisySum, compared: NoisySum) -> float:
    """Returns the covariance of two effects, in units of y: by chance on both sides, and by the noise in the counts."""
    n, total = top.count.n, top.weighted.total
    chance = _residual_covariance(top, bottom, helped, compared) / n + float(compared.values[0]) / total**2
    counts = top.helped * bottom.helped * top.count.n_noise / n**2
    counts += top.compared * bottom.compared * top.weighted.total_noise / total**2
    most = math.sqrt(top.effect.variance * bottom.effect.variance)
    return _within(top.scale * bottom.scale * (chance + counts), most)


def _residual_covariance(top: Part, bottom: Part, helped: NoisySum, compared: NoisySum) -> float:
    """Returns the covariance of two residuals among the people helped: the comparators', moved to the noisy one."""
    n, total, most = top.count.n, top.weighted.total, top.spread * bottom.spread
    prior = _within(float(compared.values[1]) / total - top.compared * bottom.compared, most)
    seen = float(helped.values[0]) / n - top.helped * bottom.helped
    noise = helped.noise / n**2 + (most**2 + prior**2) / n
    trust = (_CORRELATION * most) ** 2 + compared.noise / total**2
    return _within(prior + trust / (trust + noise) * (seen - prior), most)


def _within(value: float, most: float) -> float:
    return min(max(value, -most), most)


def _one_more(found: Interval | None) -> Interval | None:
    """Returns 1 + an interval; no ratio of amounts is below 0."""
    return found and Interval(*(max(1 + value, 0.0) for value in (found.estimate, found.low, found.high)))
