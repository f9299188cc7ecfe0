"""What an estimator says of one outcome: the effect, and what a ratio needs to know of its error."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cohortium_coordinator.combine.estimate import Effect, Weighted, compared
from cohortium_coordinator.combine.fitted import Fitted
from cohortium_coordinator.combine.profile import Means
from cohortium_coordinator.combine.sums import NoisySum
from cohortium_protocols.doubly_robust import WEIGHT_SCALE
from cohortium_protocols.plan import Outcome


@dataclass(frozen=True)
class Part:
    """One outcome's effect, and how its error goes together with that of other figures.

    Variances are in units of y squared (the outcome scaled to [0, 1]), mean residuals and their spread in clips.

    Attributes:
        outcome: which.
        effect: on it.
        level_variance: of what was expected of the people helped (``effect.comparison``).
        shared: the part of the effect's variance that comes from the comparators who also tell what was expected.
        chance: the parts that come by chance from the people helped and from the comparators, as far as these are the
            same people for every outcome.
        counts: by how much one standard deviation of the noise in the last round's count of the people helped, and in
            its sum of weights, moves the effect, in units of y; 0 where the estimate has counts of its own.
        helped, compared: the mean residual of either side; 0 where it is not known and near 0.
        spread: the standard deviation of a residual among the people helped.
    """

    outcome: Outcome
    effect: Effect
    level_variance: float
    shared: float
    chance: tuple[float, float]
    counts: tuple[float, float]
    helped: float
    compared: float
    spread: float

    @property
    def size(self) -> float:
        """What 1 of y is in the outcome's unit."""
        return self.outcome.clip - self.outcome.low

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


def weighted_part(
    fitted: Fitted, treated: NoisySum, comparators: NoisySum, *, best: Means, count: Means, weighted: Weighted
) -> Part:
    """Returns what weighted comparators of all data holders say of one outcome; see ``Fitted.effect``."""
    effect = fitted.effect(treated, comparators, best=best, count=count, weighted=weighted)
    against, scale = compared(comparators, weighted), fitted.clip.clip / fitted.clip.pass_through
    helped, total = float(treated.values[0]) / count.n, weighted.total
    noise = (comparators.noise / WEIGHT_SCALE**2 + effect.comparison**2 * weighted.total_noise) / total**2
    chance = float(fitted.model.link.slope(effect.comparison)) / weighted.effective
    return Part(
        fitted.outcome, effect, noise + chance + moved_variance(fitted, effect.comparison, best, weighted.means),
        shared=effect.compared, chance=(effect.sampling, scale**2 * against.sampling),
        counts=(-scale * helped * math.sqrt(count.n_noise) / count.n,
                scale * against.residual * math.sqrt(weighted.total_noise) / total),
        helped=helped, compared=against.residual, spread=math.sqrt(effect.sampling * count.n) / scale,
    )  # fmt: skip


def moved_variance(fitted: Fitted, level: float, here: Means, there: Means) -> float:
    """Returns what moving a level by the model adds to its variance, in units of y squared.

    Args:
        fitted: the model.
        level: where it was moved to.
        here: the mean features that it was moved to.
        there: those that it was moved from.
    """
    slopes, noise = fitted.model.beta[1:], here.noise + there.noise
    slope = float(fitted.model.link.slope(level))
    return slope**2 * noise * float(slopes @ slopes) + fitted.doubt(here.mean - there.mean, noise)
