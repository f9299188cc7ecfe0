"""Some people of a round, and what several of its vectors need of them: worked out once, if it is needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cohortium_node.features import Array, Side, StudyArrays
from cohortium_protocols.links import Link, link

Parameters = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True)
class People(Side):
    """Some people of one side, and what several vectors of a round need of them: worked out once, if it is needed.

    Attributes:
        parameters: of the round's request.
        links: each outcome's, from linear predictor to expected value.
    """

    parameters: Parameters = field(kw_only=True)
    links: tuple[Link, ...] = field(kw_only=True)

    @cached_property
    def level(self) -> Array:
        """The outcome models' linear predictors, shape (n, K)."""
        beta = self.parameters["beta"]
        return np.column_stack([combined(self.model, slopes[1:], slopes[0]) for slopes in beta])

    @cached_property
    def m(self) -> Array:
        """The outcome models' expected values in (0, 1), shape (n, K)."""
        return np.column_stack([link.mean(level) for link, level in zip(self.links, self.level.T, strict=True)])

    @cached_property
    def r(self) -> Array:
        """The residuals y - m, clipped and scaled to [-1, 1], shape (n, K)."""
        return np.clip((self.y - self.m) / self.parameters["clip"], -1.0, 1.0)

    @cached_property
    def exponent(self) -> Array:
        """The log odds of being helped up to a constant, tilt' u + log_scale, shape (n,)."""
        return combined(self.model, self.parameters["tilt"], self.parameters["log_scale"])

    @cached_property
    def w(self) -> Array:
        """The weights min(exp(exponent), 1), shape (n,)."""
        return np.asarray(np.exp(np.minimum(self.exponent, 0.0)), dtype=np.float64)


def combined(columns: Array, slopes: Array, start: Any) -> Array:
    """Returns start + columns @ slopes, shape (n,), every person's the same whoever else is there.

    Linear algebra libraries add up in an order that depends on a row's place in memory. One person more would then
    move the last digit of others, and now and then a rounded number, which ``VectorSpec.d2`` does not allow for.
    """
    total = np.full(len(columns), float(start))
    for column, slope in zip(columns.T, slopes, strict=True):
        total += column * slope
    return total


class Part:
    """Some of a node's people, as the rows of one round see them.

    Attributes:
        treated: some of the people helped; may be none.
        comparators: some of the people not helped; may be none.
        exits: (m,) steps at which some people of the cohort left it.
        outcomes: the plan's outcomes.
        ratios: the plan's ratios of them.
        forms: an estimate's key -> its groups.
    """

    def __init__(self, arrays: StudyArrays, parameters: Parameters) -> None:
        treated, comparators = arrays.treated, arrays.comparators
        links = tuple(link(outcome) for outcome in arrays.outcomes)
        self.treated = People(treated.u, treated.y, treated.codes, parameters=parameters, links=links)
        self.comparators = People(comparators.u, comparators.y, comparators.codes, parameters=parameters, links=links)
        self.exits = arrays.exits
        self.outcomes = arrays.outcomes
        self.ratios = arrays.ratios
        self.forms = arrays.forms

    def position(self, name: str) -> int:
        """Returns which of the plan's outcomes, or else of its ratios, has that name."""
        names = [known.name for known in self.outcomes]
        return names.index(name) if name in names else [known.name for known in self.ratios].index(name)

    def product(self, people: People, k: int) -> Array:
        """Returns the product of the residuals of a ratio's two outcomes, in [-1, 1], shape (n,)."""
        top, bottom = (self.position(name) for name in (self.ratios[k].numerator, self.ratios[k].denominator))
        return people.r[:, top] * people.r[:, bottom]
