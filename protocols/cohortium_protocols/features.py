"""From covariates to features: public centres and scales, fixed by the plan.

u = (x - centre) / scale for a number, clipped to its bounds first, or of log(1 + x) for a count with a long tail; one
indicator a level but the first for a category, moved to be centred at 1 / (number of levels). A missing value counts as
the centre.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from cohortium_protocols.covariates import Transform
from cohortium_protocols.plan import Covariate, Plan

MODEL_NORM = 2.0
PROFILE_NORM = 1.15
"""Radial clips of a person's feature vector, in units of sqrt(p): loose for the models that comparators pay for, tight
for the sums that treated people pay for (statistics.md, the recipe)."""


@dataclass(frozen=True)
class Feature:
    """One column of the feature matrix: a number, or the indicator of one level of a category."""

    name: str
    title: str
    covariate: str
    level: str | None
    low: float
    high: float
    centre: float
    scale: float
    transform: Transform

    def shown(self, mean: float) -> float:
        """Returns a mean of the feature in the covariate's own unit.

        Of a logarithm that is a typical value, which a few very large ones move less than they move the mean.
        """
        value = self.centre + self.scale * mean
        return max(math.expm1(value), 0.0) if self.transform == "log" else value


def features(plan: Plan) -> tuple[Feature, ...]:
    """Returns the plan's features, in the order of its covariates."""
    return tuple(feature for covariate in plan.covariates for feature in _of(covariate))


def radius(count: int, norm: float) -> float:
    """Returns the radial clip for that many features."""
    return norm * math.sqrt(count)


def _of(covariate: Covariate) -> tuple[Feature, ...]:
    public = (covariate.low, covariate.high, covariate.centre, covariate.scale, covariate.transform)
    if covariate.kind == "number":
        return (Feature(covariate.name, covariate.title, covariate.name, None, *public),)
    return tuple(
        Feature(f"{covariate.name}={level}", f"{covariate.title}: {level}", covariate.name, level, *public)
        for level in covariate.levels[1:]
    )
