"""Laws of outcomes: how an outcome is drawn, and what its clipped value is on average, without any drawing.

Every law works on a *level*, a person's linear predictor (log or logit scale); help moves it by ``change``. Moments are
those of clip(y, 0, clip), exact, from E min(Y, B) = sum_{j<B} P(Y > j) and E min(Y, B)^2 = sum_{j<B} (2 j + 1) P(Y > j)
for whole numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.random import Generator
from scipy.special import expit, ndtr, pdtrc

from cohortium_protocols.outcomes import OutcomeKind
from cohortium_simulations.arrays import Floats


@dataclass(frozen=True)
class Moments:
    """Mean and variance of each person's clipped outcome, given the person's level; shape (n,) each."""

    mean: Floats
    variance: Floats


class Law(Protocol):
    """One outcome: what the plan says of it, and how it comes about."""

    @property
    def name(self) -> str:
        """The outcome's name; a name of the registry makes prior use mandatory in balance."""

    @property
    def kind(self) -> OutcomeKind:
        """What the values are."""

    @property
    def clip(self) -> float:
        """Largest value that counts; the smallest is 0."""

    @property
    def middle(self) -> float:
        """The level of a person of average risk."""

    @property
    def slope(self) -> float:
        """By how much one unit of risk moves the level."""

    def draw(self, level: Floats, change: Floats, rng: Generator) -> Floats:
        """Returns one outcome a person, not clipped, shape (n,)."""

    def moments(self, level: Floats, change: Floats) -> Moments:
        """Returns mean and variance of each person's clipped outcome."""


@dataclass(frozen=True)
class Counts:
    """Poisson counts with a log-linear mean."""

    name: str = "ae_attendances"
    kind: OutcomeKind = "count"
    clip: float = 10.0
    middle: float = -0.35
    slope: float = 1.1

    def draw(self, level: Floats, change: Floats, rng: Generator) -> Floats:
        """Returns counts, shape (n,)."""
        return np.asarray(rng.poisson(np.exp(level + change)), dtype=np.float64)

    def moments(self, level: Floats, change: Floats) -> Moments:
        """Returns the moments of the clipped counts."""
        mean = np.exp(level + change)
        return _whole(pdtrc(j, mean) for j in range(int(self.clip)))


@dataclass(frozen=True)
class Yes:
    """A rare yes or no: a logistic chance."""

    name: str = "any_emergency_admission"
    kind: OutcomeKind = "binary"
    clip: float = 1.0
    middle: float = -3.6
    slope: float = 0.9

    def draw(self, level: Floats, change: Floats, rng: Generator) -> Floats:
        """Returns 0 or 1, shape (n,)."""
        return np.asarray(rng.random(len(level)) < expit(level + change), dtype=np.float64)

    def moments(self, level: Floats, change: Floats) -> Moments:
        """Returns the moments of a yes or no."""
        chance = expit(level + change)
        return Moments(chance, chance * (1 - chance))


@dataclass(frozen=True)
class Share:
    """A share between 0 and 1: a beta law whose mean is logistic.

    Attributes:
        firmness: alpha + beta of the law; larger is less spread.
    """

    name: str = "share_of_appointments_kept"
    kind: OutcomeKind = "share"
    clip: float = 1.0
    middle: float = -0.4
    slope: float = 0.6
    firmness: float = 6.0

    def draw(self, level: Floats, change: Floats, rng: Generator) -> Floats:
        """Returns shares, shape (n,)."""
        mean = expit(level + change)
        return np.asarray(rng.beta(self.firmness * mean, self.firmness * (1 - mean)), dtype=np.float64)

    def moments(self, level: Floats, change: Floats) -> Moments:
        """Returns the moments of the beta law."""
        mean = expit(level + change)
        return Moments(mean, mean * (1 - mean) / (1 + self.firmness))


@dataclass(frozen=True)
class BedDays:
    """Days in bed: nothing for most, and a log-normal stay, in whole days, for those admitted.

    Help changes who is admitted; risk makes stays longer too.

    Attributes:
        stay, stay_slope, spread: mean of the log stay at level 0, what a unit of level adds, and its deviation.
    """

    name: str = "bed_days"
    kind: OutcomeKind = "days"
    clip: float = 60.0
    middle: float = -2.2
    slope: float = 0.9
    stay: float = 2.1
    stay_slope: float = 0.2
    spread: float = 1.1

    def draw(self, level: Floats, change: Floats, rng: Generator) -> Floats:
        """Returns days, shape (n,)."""
        admitted = rng.random(len(level)) < expit(level + change)
        stay = np.ceil(np.exp(rng.normal(self._log_stay(level), self.spread)))
        return np.where(admitted, stay, 0.0)

    def moments(self, level: Floats, change: Floats) -> Moments:
        """Returns the moments of the clipped days; P(ceil(X) > j) = P(X > j)."""
        admitted, log_stay = expit(level + change), self._log_stay(level)
        longer = (ndtr((log_stay - np.log(j)) / self.spread) if j else 1.0 for j in range(int(self.clip)))
        return _whole(admitted * share for share in longer)

    def _log_stay(self, level: Floats) -> Floats:
        return self.stay + self.stay_slope * level


def _whole(above: Iterable[Floats]) -> Moments:
    """Returns the moments of a clipped whole number from P(Y > 0), P(Y > 1), ... up to the clip."""
    mean = square = np.zeros(1)
    for j, share in enumerate(above):
        mean, square = mean + share, square + (2 * j + 1) * share
    return Moments(mean, np.maximum(square - mean**2, 0.0))
