"""Levels of expectation that part the people helped into about equal numbers."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from cohortium_coordinator.combine.outcome_model import OutcomeModel
from cohortium_coordinator.combine.profile import Profile
from cohortium_coordinator.combine.sums import Array


def levels(model: OutcomeModel, profile: Profile, count: int) -> Array:
    """Returns the limits between so many levels, on the linear predictor, shape (count - 1,).

    They are worked out for a normal linear predictor with the comparators' spread round the helped people's mean.
    """
    slopes = model.beta[1:]
    middle = float(model.beta[0] + slopes @ profile.treated.mean)
    spread = max(float(np.sqrt(slopes @ profile.covariance @ slopes)), 1e-3)
    limits: Array = middle + spread * ndtri(np.arange(1, count) / count)
    return np.clip(limits, -499.0, 499.0)
