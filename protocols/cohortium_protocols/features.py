"""The features of a plan, and how long a person's row of them may be."""

from __future__ import annotations

import math

from cohortium_protocols.expansion import Feature, expanded
from cohortium_protocols.plan import Plan

MODEL_NORM = 2.0
PROFILE_NORM = 1.15
"""Radial clips of a person's feature vector, in units of sqrt(p): loose for the models that comparators pay for, tight
for the sums that treated people pay for (statistics.md, the recipe)."""


def features(plan: Plan) -> tuple[Feature, ...]:
    """Returns the plan's features, in the order of its covariates; then those of its interactions."""
    return expanded(plan.covariates, plan.interactions)


def radius(count: int, norm: float) -> float:
    """Returns the radial clip for that many features."""
    return norm * math.sqrt(count)
