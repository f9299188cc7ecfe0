"""What clipped residuals average to at every level of expectation, so that it can be taken off.

Clipping cuts more off the long upper tail of people expected to use much than of others. Where weights are held back by
noise, that would look like an effect of being at high risk; so the average is learnt from comparators and subtracted.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from cohortium_coordinator.combine.outcome_model import OutcomeModel
from cohortium_coordinator.combine.profile import Profile
from cohortium_coordinator.combine.sums import Array, NoisySum
from cohortium_protocols.doubly_robust import KNOTS

_BELOW, _ABOVE = 1.5, 4.5
"""Standard deviations of the linear predictor that the knots reach below and above its mean: risk is skewed."""
_LARGEST = 0.2
"""Prior standard deviation of an offset, as a share of the clip."""


def knots(model: OutcomeModel, profile: Profile) -> Array:
    """Returns the levels of the linear predictor, increasing, shape (KNOTS,)."""
    slopes = model.beta[1:]
    middle = float(model.beta[0] + slopes @ profile.comparators.mean)
    spread = max(float(np.sqrt(slopes @ profile.covariance @ slopes)), 1e-3)
    return np.clip(np.linspace(middle - _BELOW * spread, middle + _ABOVE * spread, KNOTS), -499.0, 499.0)


def levels(model: OutcomeModel, profile: Profile, count: int) -> Array:
    """Returns limits that part the people helped into so many levels of expectation, about as many people in each.

    They are worked out for a normal linear predictor with the comparators' spread round the helped people's mean.
    """
    slopes = model.beta[1:]
    middle = float(model.beta[0] + slopes @ profile.treated.mean)
    spread = max(float(np.sqrt(slopes @ profile.covariance @ slopes)), 1e-3)
    limits: Array = middle + spread * ndtri(np.arange(1, count) / count)
    return np.clip(limits, -499.0, 499.0)


def offsets(released: NoisySum) -> Array:
    """Returns the average clipped residual at each knot, drawn towards 0 as far as it is noise, shape (KNOTS,)."""
    people, sums = np.maximum(released.values[:KNOTS], 1.0), released.values[KNOTS:]
    noise = released.noise / people**2 + 0.1 / people
    return np.clip(sums / people * _LARGEST**2 / (_LARGEST**2 + noise), -1.0, 1.0)
