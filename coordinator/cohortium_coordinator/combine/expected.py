"""What was expected of the people helped, where the comparators' own mean outcome is hidden by noise."""

from __future__ import annotations

from dataclasses import dataclass

from cohortium_coordinator.combine.learned import Learned
from cohortium_coordinator.combine.part import moved_variance

_CURVE_CV = 0.15
"""How far the model may be off over the whole way from all comparators to the people helped, as a share: under strong
selection at epsilon 1 the estimator of docs/adr/0007 fell short by .16, in the coverage study's base case."""


@dataclass(frozen=True)
class Level:
    """A mean of an outcome, a difference or a square, and its variance; in units of y."""

    mean: float
    variance: float

    def drawn_to(self, other: Level) -> Level:
        """Returns the mean of two independent figures of the same thing, weighted by their precision."""
        if self.variance <= 0:
            return self
        share = self.variance / (self.variance + other.variance)
        return Level(self.mean + share * (other.mean - self.mean), share * other.variance)


def expected(learned: Learned, k: int) -> Level:
    """Returns all comparators' mean outcome, moved to the people helped by the model."""
    fitted, there = learned.fitted(k), learned.profile.comparators
    level = fitted.model.moved(fitted.model.level, learned.best.mean - there.mean)
    return Level(level, moved_variance(fitted, level, learned.best, there) + (_CURVE_CV * level) ** 2)
