"""Features made from covariates: numbers, levels and ranges, then squares and products of those.

Every feature is u = (x - centre) / scale with public constants, worked out here from the covariates' own: nothing is
learnt from data. A missing value counts as 0, the centre of the feature, in every feature that is made from it: it is
in no level and no range, and its square is that of nobody in particular.

- *Number*: clipped to its bounds first; of log(1 + x) for a count with a long tail.
- *Level* of a category, each but the first: 1 or 0, centred at 1 / (number of levels).
- *Range* of a number between cut points, each but the first: likewise. The number itself stays.
- *Square* of a number's u: centred at 1, the mean of the square of a value in standard deviations, so that it does not
  go up or down with the number itself where people lie evenly to both sides of the centre. Its standard deviation is
  taken to be the square root of 2, as for a normal law.
- *Product* of two covariates' u: centred at 0, with a standard deviation of 1, as for covariates that do not go
  together.

Where bounds are far, scales are larger (``public_scale``), so that no feature lies farther than ``FARTHEST`` from 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product, zip_longest
from typing import Literal, TypeAlias

from cohortium_protocols.covariates import Covariate, Transform, indicator_scale, public_scale, transformed

Unit = Literal["", "typical", "share"]


@dataclass(frozen=True)
class Measure:
    """A covariate's number, clipped to its bounds, or log(1 + number)."""

    covariate: str
    low: float
    high: float
    transform: Transform


@dataclass(frozen=True)
class Level:
    """Whether a category has this level."""

    covariate: str
    level: str


@dataclass(frozen=True)
class Range:
    """Whether a number, before any logarithm, is at least ``start`` and below ``end``; None: it is the last range."""

    covariate: str
    start: float
    end: float | None


@dataclass(frozen=True)
class Product:
    """The product of two features that come before this one, or of one with itself."""

    first: str
    second: str


Source: TypeAlias = Measure | Level | Range | Product


@dataclass(frozen=True)
class Feature:
    """One column of the feature matrix, u = (source - centre) / scale.

    Attributes:
        name: unique in the plan; the label in released vectors.
        title: what people read.
        covariates: those that it is made from: one, or two for an interaction.
        source: what is centred and scaled.
        centre: public centre of the source.
        scale: public scale of the source.
    """

    name: str
    title: str
    covariates: tuple[str, ...]
    source: Source
    centre: float
    scale: float

    @property
    def derived(self) -> bool:
        """Whether it is a range, a square or a product: asked for beside what a covariate is by itself."""
        return isinstance(self.source, Range | Product)

    @property
    def unit(self) -> Unit | None:
        """What a mean of it is in: the covariate's own unit, typical values of it, or a share; None: nothing."""
        if isinstance(self.source, Measure):
            return "typical" if self.source.transform == "log" else ""
        return None if isinstance(self.source, Product) else "share"

    def shown(self, mean: float) -> float:
        """Returns a mean of the feature in its unit.

        Of a logarithm that is a typical value, which a few very large ones move less than they move the mean.
        """
        value = self.centre + self.scale * mean
        return max(math.expm1(value), 0.0) if self.unit == "typical" else value

    @property
    def reach(self) -> float:
        """The largest u to either side of 0."""
        low, high = 0.0, 1.0
        if isinstance(self.source, Measure):
            low, high = (transformed(bound, self.source.transform) for bound in (self.source.low, self.source.high))
        return max(high - self.centre, self.centre - low) / self.scale

    @property
    def spread(self) -> float:
        """The public standard deviation of u: 1, or less where the bounds do not leave room for that."""
        return min(1.0, self.reach)


def expanded(covariates: Sequence[Covariate], interactions: Sequence[tuple[str, str]]) -> tuple[Feature, ...]:
    """Returns the features of covariates, in their order, each with its square and ranges; then the products.

    Args:
        covariates: as in the plan.
        interactions: pairs of their names. Every level of a category takes part, and of a number the number itself.
    """
    single = {covariate.name: tuple(_single(covariate)) for covariate in covariates}
    own = (feature for each in covariates for feature in (*single[each.name], *_bent(each, single[each.name])))
    pairs = (pair for first, second in interactions for pair in product(single[first], single[second]))
    return (*own, *(_product(*pair) for pair in pairs))


def _single(covariate: Covariate) -> Iterator[Feature]:
    """Yields what takes part in interactions: the number, or each level but the first."""
    name, title, public = covariate.name, covariate.title, (covariate.centre, covariate.scale)
    if covariate.kind == "number":
        source = Measure(name, covariate.low, covariate.high, covariate.transform)
        yield Feature(name, title, (name,), source, *public)
    for level in covariate.levels[1:]:
        yield Feature(f"{name}={level}", f"{title}: {level}", (name,), Level(name, level), *public)


def _bent(covariate: Covariate, single: tuple[Feature, ...]) -> Iterator[Feature]:
    """Yields a number's square and ranges, where the plan asks for them."""
    if covariate.square:
        yield _square(*single)
    share = 1 / (len(covariate.bins) + 1)
    for start, end in zip_longest(covariate.bins, covariate.bins[1:]):
        words = f"{_plain(start)} or more" if end is None else f"{_plain(start)} to under {_plain(end)}"
        source = Range(covariate.name, start, end)
        yield Feature(f"{covariate.name} {words}", f"{covariate.title}: {words}", (covariate.name,), source,
                      share, indicator_scale(share))  # fmt: skip


def _square(of: Feature) -> Feature:
    centre, most = of.spread * of.spread, of.reach * of.reach
    scale = public_scale(math.sqrt(2) * centre, centre, 0.0, most)
    source = Product(of.name, of.name)
    return Feature(f"{of.name} squared", f"{of.title} squared", of.covariates, source, centre, scale)


def _product(a: Feature, b: Feature) -> Feature:
    most = a.reach * b.reach
    scale = public_scale(a.spread * b.spread, 0.0, -most, most)
    source = Product(a.name, b.name)
    return Feature(f"{a.name} x {b.name}", f"{a.title} x {b.title}", a.covariates + b.covariates, source, 0.0, scale)


def _plain(number: float) -> str:
    """Returns a number in full, without the point of a whole one."""
    return repr(number).removesuffix(".0")
