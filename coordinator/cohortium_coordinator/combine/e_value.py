"""E-values: how strong something unrecorded would have to be to explain a result away (VanderWeele and Ding 2017).

On the scale of risk ratios, the E-value is the least strength that an unrecorded cause must have, both with being
helped and with the outcome and beyond everything recorded, to produce a ratio by itself:

    E = RR + sqrt(RR (RR - 1)), for RR above 1; below 1, that of 1 / RR

For the interval it is that of the limit nearer to 1, and 1 where the interval includes 1. Rate ratios and ratios of
means take the place of RR. For a measured amount RR is about exp(0.91 d), d the difference in standard deviations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from cohortium_coordinator.result import EValue, OutcomeEstimate, RateRatio

_PER_SD = 0.91
"""Logarithm of the risk ratio that a difference of one standard deviation is worth (Chinn 2000, VanderWeele 2017)."""


def e_value(ratio: float) -> float:
    """Returns the E-value of a ratio above 0.

    >>> round(e_value(2.0), 2), e_value(1.0)
    (3.41, 1.0)
    >>> e_value(0.5) == e_value(2.0)
    True
    """
    above = max(ratio, 1 / ratio)
    return above + math.sqrt(above * (above - 1))


def of_ratio(ratio: RateRatio | None) -> EValue | None:
    """Returns the E-values of a ratio and of its interval; None where nothing finite could explain it."""
    if ratio is None:
        return None
    nearest = ratio.low if ratio.low > 1 else min(ratio.high, 1.0)
    if min(ratio.estimate, nearest) <= 0:
        return None
    return EValue(estimate=e_value(ratio.estimate), limit=e_value(nearest))


def of_difference(estimate: float, low: float, high: float) -> EValue | None:
    """Returns the E-values of a difference in means, in standard deviations, with its interval."""
    ratio, *ends = (math.exp(_PER_SD * each) for each in (estimate, low, high))
    return of_ratio(RateRatio(estimate=ratio, low=ends[0], high=ends[1]))


def with_e_values(
    outcomes: Sequence[OutcomeEstimate], spreads: Sequence[float | None]
) -> tuple[OutcomeEstimate, ...]:
    """Returns the outcomes with their E-values, where there is a ratio or a standard deviation to work them out from.

    Args:
        outcomes: without them.
        spreads: about each measured outcome's standard deviation, as a share of its range.
    """
    pairs = zip(outcomes, spreads, strict=True)
    return tuple(each.model_copy(update={"e_value": _of_outcome(each, spread)}) for each, spread in pairs)


def _of_outcome(outcome: OutcomeEstimate, spread: float | None) -> EValue | None:
    if outcome.expected == "none":
        return None
    if spread is None:
        return of_ratio(outcome.rate_ratio)
    sd = spread * (outcome.clip_high - outcome.clip_low)
    return of_difference(outcome.estimate / sd, outcome.low / sd, outcome.high / sd)
