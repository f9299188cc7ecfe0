"""The best split of a privacy budget over releases that share it: parts of a vector, outcomes, or rounds.

Releases compose to mu^2 = sum mu_i^2, whether they are made together or one after the other, so that parts and rounds
follow one rule. With noise of variance sensitivity_i^2 / mu_i^2 on part i, the weighted sum of the variances

    sum_i weight_i sensitivity_i^2 / mu_i^2        with        sum_i mu_i^2 = mu^2

is smallest at mu_i^2 / mu^2 = sqrt(weight_i) sensitivity_i / sum_j sqrt(weight_j) sensitivity_j (Cauchy and Schwarz).
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def best_shares(sensitivities: Sequence[float], weights: Sequence[float] | None = None) -> tuple[float, ...]:
    """Returns each part's share of a budget in mu squared; they add up to one.

    Args:
        sensitivities: what one person can change in each part, in the units its variance is judged in.
        weights: how much a unit of each part's noise variance matters; all alike when not given. A part of d numbers
            that matter alike has d times the weight of one.

    Raises:
        ValueError: the two do not fit, or something is not positive.
    """
    matters = [1.0] * len(sensitivities) if weights is None else list(weights)
    if len(matters) != len(sensitivities) or not all(value > 0 for value in (*matters, *sensitivities)):
        raise ValueError("every part needs a positive sensitivity and a positive weight")
    claims = [math.sqrt(weight) * size for weight, size in zip(matters, sensitivities, strict=True)]
    whole = math.fsum(claims)
    return tuple(claim / whole for claim in claims)
