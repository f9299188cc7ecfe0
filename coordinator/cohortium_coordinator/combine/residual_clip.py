"""Where to clip residuals, and what share of an effect is still seen after it.

A tighter clip needs less noise but hides part of the effect. Comparators tell how much: for each shape of effect, the
share that survives. The clip is the one whose corrected estimate is expected to be most exact (statistics.md, "clip
with a known pass-through"); the correction assumes that the effect has one of these shapes, and the report says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from cohortium_coordinator.combine.sums import Array, NoisySum
from cohortium_protocols.doubly_robust import CLIPS, LEVELS, effects
from cohortium_protocols.plan import Outcome

_LEAST = 0.88
"""Least pass-through among all comparators of a clip that can be chosen; after correction it is not below 0.4."""
_EFFECT = 0.3
"""An effect of 30 % of the level is what the doubt about its shape is measured on."""
_Z95 = 1.96
_SQUARED: list[float] = [0.0, *(clip**2 for clip in CLIPS)]
_UNLIKE_OTHERS, _TIMES_UNSEEN = 0.15, 3.0
"""By how much the pass-through among the people helped may be thought to differ from that among all comparators: at
most the first, and at most so many times what is not seen there."""
_LEAST_SEEN = 0.4
_DISTORTS = 0.8
"""A clip also distorts the outcome model: so much of what is not seen is doubted when a clip is chosen."""
_UNSEEN = 0.1
"""Share of the unseen part of an effect that is doubted even where all shapes agree."""


@dataclass(frozen=True)
class ResidualClip:
    """The chosen clip.

    Attributes:
        clip: in units of y, the outcome scaled to [0, 1].
        pass_through: kappa, the share of an effect that survives: the middle of the shapes.
        half_range: half the distance between the shapes, and an allowance for shapes not thought of.
        noise: variance of the noise in kappa.
        cut: limits of the share of comparators' residuals that are larger; None where no release tells.
    """

    clip: float
    pass_through: float
    half_range: float
    noise: float
    cut: tuple[float, float] | None = None


UNCLIPPED = ResidualClip(1.0, 1.0, 0.0, 0.0, (0.0, 0.0))
"""The whole range of the outcome: nothing is hidden and nothing is corrected; always possible."""


def choose(
    outcome: Outcome, released: NoisySum, *, people: float, level: float, price: Price
) -> ResidualClip:
    """Returns the clip with the smallest expected error.

    Args:
        outcome: whose residuals.
        released: the ``pass_through`` vector.
        people: comparators.
        level: mean of y.
        price: what sampling and noise cost at a given clip.
    """
    shapes = len(effects(outcome))
    numerators = released.values[: shapes * len(CLIPS)].reshape(shapes, len(CLIPS))
    wholes = np.maximum(released.values[shapes * len(CLIPS) :][:shapes], 1.0)
    squares = np.maximum(released.values[-len(CLIPS) :] / people, 1e-6)
    if price.noise == 0:
        return UNCLIPPED
    kappa = np.minimum(np.maximum.accumulate(numerators / wholes[:, None], axis=1), 1.0)
    noise = released.noise * float(np.max((1 + 1) / wholes**2))
    cut = _cut(released, people)
    options = [_option(index, kappa[:, index], noise, cut[index]) for index in range(len(CLIPS))]
    return min(
        (option for option in options if option.clip == 1.0 or option.pass_through >= _LEAST),
        key=lambda option: price.error(option, float(squares[CLIPS.index(option.clip)]), level),
    )


def corrected(clip: ResidualClip, outcome: Outcome, released: NoisySum) -> ResidualClip:
    """Returns the clip with the pass-through for the people helped, who may expect more than others.

    More is clipped off those who expect more. Every level of expectation counts alike, for it holds about as many
    people helped; what is seen is drawn towards the pass-through among all comparators as far as it is noise.

    Args:
        clip: with the pass-through among all comparators.
        outcome: whose residuals.
        released: the ``seen`` vector.
    """
    shapes = len(effects(outcome))
    table = released.values.reshape(LEVELS, 1 + 2 * shapes)
    people = np.maximum(table[:, 0], max(float(np.sqrt(released.noise)), 1.0))
    rates = table[:, 1:] / people[:, None]
    wholes = np.maximum(rates[:, shapes:].sum(axis=0), 1e-6)
    kappa = np.clip(rates[:, :shapes].sum(axis=0) / wholes, 0.0, 1.0)
    noise = released.noise * float(np.sum(people**-2.0)) * float(np.max((1 + kappa**2) / wholes**2))
    low, high = float(kappa.min()), float(kappa.max())
    unlike = min(_UNLIKE_OTHERS, _TIMES_UNSEEN * (1 - clip.pass_through))
    believed = unlike**2 / (unlike**2 + noise)
    seen = max(clip.pass_through + believed * ((low + high) / 2 - clip.pass_through), _LEAST_SEEN)
    doubt = believed * (high - low) / 2 + (1 - believed) * clip.half_range
    return replace(clip, pass_through=seen, half_range=doubt + _UNSEEN * (1 - seen), noise=believed * noise)


def _cut(released: NoisySum, people: float) -> list[tuple[float, float]]:
    """Returns for each clip the limits of the share of residuals that are beyond it, noise included.

    From one clip b to another, c, the mean clipped square grows by c^2 - b^2 for every residual beyond c, by less for
    those between, and not at all for the others: so growth / (c^2 - b^2) lies between the shares beyond c and beyond b.
    """
    squares: list[float] = [0.0, *released.values[-len(CLIPS) :].tolist()]
    half = _Z95 * math.sqrt(2 * released.noise)

    def growth(b: int, c: int, noise: float) -> float:
        return (squares[c] - squares[b] + noise) / people / (_SQUARED[c] - _SQUARED[b])

    def share(c: int) -> tuple[float, float]:
        high = min(1.0, *(growth(b, c, half) for b in range(c)))
        low = max(0.0, *(growth(c, d, -half) for d in range(c + 1, len(squares)))) if c < len(CLIPS) else 0.0
        return min(low, high), high

    return [share(place) for place in range(1, len(squares))]


def _option(index: int, kappa: Array, noise: float, cut: tuple[float, float]) -> ResidualClip:
    if CLIPS[index] == 1.0:
        return UNCLIPPED
    low, high = float(kappa.min()), float(kappa.max())
    middle = (low + high) / 2
    return ResidualClip(CLIPS[index], middle, (high - low) / 2 + _DISTORTS * (1 - middle), noise, cut)


@dataclass(frozen=True)
class Price:
    """The variance of the uncorrected estimate at a clip c: spread * E r^2 + noise * c^2, in units of y squared."""

    spread: float
    noise: float

    def error(self, option: ResidualClip, square: float, level: float) -> float:
        """Returns the expected squared error of the corrected estimate; infinite where the shape matters too much."""
        variance = (self.spread * square + self.noise * option.clip**2) / option.pass_through**2
        doubt = _EFFECT * level * option.half_range / option.pass_through
        blur = (_EFFECT * level) ** 2 * option.noise
        return (
            float(np.inf)
            if doubt > 0.3 * np.sqrt(variance) and option.clip < 1
            else variance + doubt**2 + blur
        )
