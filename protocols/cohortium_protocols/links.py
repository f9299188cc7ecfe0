"""How an outcome's expected value follows from its linear predictor.

    m = expit(a eta)^(1 / a) = exp(eta) / (1 + exp(a eta))^(1 / a),        dm / d eta = m (1 - m^a)

With a = 1 that is the logistic curve. A larger a follows exp(eta), the log link that counts ask for, almost until it
bends to 1, the clip.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from cohortium_protocols.outcomes import Outcome

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Link:
    """The curve.

    Attributes:
        sharpness: a, how sharply it bends to 1.
    """

    sharpness: float

    def mean(self, predictor: Array | float) -> Array:
        """Returns the expected value in (0, 1), of the predictor's shape."""
        return np.asarray(expit(self.sharpness * np.asarray(predictor)) ** (1 / self.sharpness), dtype=np.float64)

    def slope(self, mean: Array | float) -> Array:
        """Returns by how much the expected value grows with the predictor."""
        return np.asarray(mean * (1 - np.asarray(mean) ** self.sharpness), dtype=np.float64)

    def bend(self, mean: float) -> float:
        """Returns by what share of itself the slope grows with the predictor."""
        return float(1 - (1 + self.sharpness) * mean**self.sharpness)

    def predictor(self, mean: float) -> float:
        """Returns the linear predictor of an expected value in (0, 1)."""
        return float(logit(mean**self.sharpness)) / self.sharpness

    @property
    def steepest(self) -> float:
        """The largest slope: at m = (1 + a)^(-1 / a)."""
        return float(self.slope((1 + self.sharpness) ** (-1 / self.sharpness)))


def link(outcome: Outcome) -> Link:
    """Returns the curve for an outcome.

    Of a count clipped at B it is the one that agrees with the mean of a clipped Poisson count where that matters most:
    at exp(eta) = 1, a Poisson mean of B, it is E min(Y, B) / B = 1 - exp(-B) B^B / B!. With B = 10, a is 5.2; with 4,
    3.2.
    """
    if outcome.kind != "count":
        return Link(1.0)
    size = outcome.clip - outcome.low
    short = math.exp(size * math.log(size) - size - math.lgamma(size + 1))
    return Link(math.log(0.5) / math.log1p(-short))
