"""What is typical of a kind of outcome: how people vary beyond what covariates foretell, and how residuals are clipped.

The estimator chooses its clip by the data; before there are data, the clip that it usually chooses is assumed, one
between two of those that there are where it chooses now this and now that. The constants were measured in made-up
worlds (docs/validation/forecast.md): they are in the units in which they held over several levels and ranges.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from cohortium_coordinator.combine.outcome_model import FAR_OUT
from cohortium_protocols.plan import Outcome

_DISPERSION = 1.0
"""Variance of a count over its mean, for people of whom the same is expected, as far as residuals are kept."""
_STAY = 20.0
"""Days: mean square over mean of days in bed, which is long because few long stays make up most of it."""
_SHARE = 0.15
"""Variance of a share, over that of a yes or no with the same mean."""
_AMOUNT = 0.07
"""Standard deviation of a measured amount, over its range."""
_CLIP_EVENTS, _CLIP_DAYS, _CLIP_SDS = 2.5, 40.0, 2.35
"""Where residuals are usually clipped: counts at so many events or standard deviations, the larger; days; shares at
so many standard deviations."""
_SEEN = 0.93
"""Share of an effect that is usually seen behind such a clip, of counts and days."""


@dataclass(frozen=True)
class Typical:
    """One outcome's residuals, in units of y, the outcome scaled to [0, 1].

    Attributes:
        variance: of the corrected residual: what one person adds to the estimate's variance, times n.
        clip: largest residual kept.
        seen: share of an effect that survives the clip.
    """

    variance: float
    clip: float
    seen: float


def typical(outcome: Outcome, level: float, spread: float | None = None) -> Typical:
    """Returns an outcome's residuals, by its kind.

    Args:
        outcome: which.
        level: expected mean of y, inside (0, 1).
        spread: standard deviation of the residual, in the outcome's unit, where it is known.
    """
    size = outcome.clip - outcome.low
    variance = _variance(outcome, level, size) if spread is None else (spread / size) ** 2
    clip, seen = _clip(outcome, math.sqrt(variance), size)
    return Typical(variance, clip, seen)


def _variance(outcome: Outcome, level: float, size: float) -> float:
    match outcome.kind:
        case "count":
            return min(_DISPERSION * level / size, level * (1 - level))
        case "days":
            return level * min(_STAY / size, 1 - level)
        case "share":
            return _SHARE * level * (1 - level)
        case "number":
            return _AMOUNT**2
        case _:
            return level * (1 - level)


def _clip(outcome: Outcome, sd: float, size: float) -> tuple[float, float]:
    match outcome.kind:
        case "count":
            clip = min(max(_CLIP_EVENTS / size, _CLIP_SDS * sd), 1.0)
        case "days":
            clip = min(_CLIP_DAYS / size, 1.0)
        case "share":
            return min(_CLIP_SDS * sd, 1.0), 1.0
        case "number":
            return min(FAR_OUT * sd, 1.0), 1.0
        case _:
            return 1.0, 1.0
    return clip, _SEEN if clip < 1 else 1.0
