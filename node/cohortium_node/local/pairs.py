"""Matched pairs at one node: who is matched, and what each pair adds (protocols, ``matched_pairs``).

Who is matched is found over the whole node. The score of a person is a function of the person's own record and of the
request alone; those served first, and those taken first of the equally near, stand first in the analysis table, whose
order is that of a keyed hash of each person's own identity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cohortium_node.features import Array, Pairing, StudyArrays
from cohortium_node.local.columns import Columns
from cohortium_node.local.groups import alike
from cohortium_node.local.matching import Pairs as Chosen
from cohortium_node.local.matching import Scored, matched
from cohortium_node.local.people import Parameters, Part, People
from cohortium_protocols.doubly_robust import SQUARE_SCALE, WEIGHT_SCALE
from cohortium_protocols.estimates import first_primary, split_name
from cohortium_protocols.matched_pairs import PAIR_SCALE
from cohortium_protocols.statistics import VectorSpec

Rows = Callable[[Part, int, bool], tuple[Columns, Columns]]
"""From people in pairs, an outcome's position and whether its model is taken off to one row a person, side by side."""


class Pairs:
    """The pairs of one round at one node.

    Args:
        arrays: the node's people.
        parameters: of the round's request.
        at_a_time: how many people are worked on at once.
    """

    def __init__(self, arrays: StudyArrays, parameters: Parameters, at_a_time: int) -> None:
        self._arrays = arrays
        self._parameters = parameters
        self._at_a_time = at_a_time
        self._known: dict[tuple[str, int], StudyArrays] = {}

    def rows(self, vector: VectorSpec) -> Iterator[Columns]:
        """Yields the rows of a matched vector, those of the people helped and those of their comparators in turn."""
        family, key, name = split_name(vector.name)
        names = [outcome.name for outcome in self._arrays.outcomes]
        k = names.index(name) if name else first_primary(self._arrays.outcomes)
        adjusted = self._arrays.pairings[key].approach.adjusted
        for some in self.matched(key, k).parts(self._at_a_time):
            yield from MATCHED[family](Part(some, self._parameters), k, adjusted)

    def matched(self, key: str, k: int) -> StudyArrays:
        """Returns the people in an estimate's pairs for one outcome; who was paired twice stands there twice."""
        if (key, k) not in self._known:
            arrays, pairs = self._arrays, self.chosen(key, k)
            sides = arrays.treated.chosen(pairs.treated), arrays.comparators.chosen(pairs.comparators)
            self._known[key, k] = arrays.of(*sides, arrays.exits[:0])
        return self._known[key, k]

    def chosen(self, key: str, k: int) -> Chosen:
        """Returns the positions of the people in an estimate's pairs for one outcome."""
        arrays, pairing = self._arrays, self._arrays.pairings[key]
        treated, comparators = (
            Scored(score, alike(side, pairing.exact, band), np.arange(len(side), dtype=np.uint64))
            for side, score, band in zip(
                (arrays.treated, arrays.comparators), self._scores(pairing, k), self._bands(pairing, key), strict=True
            )
        )
        caliper = float(self._parameters[_named("caliper", key)][k])
        return matched(treated, comparators, caliper=caliper, ratio=pairing.approach.ratio)

    def _scores(self, pairing: Pairing, k: int) -> Iterator[Array]:
        """Yields each side's score, shape (n,)."""
        chosen = self._exponents if pairing.approach.score == "propensity" else self._levels
        column = 0 if pairing.approach.score == "propensity" else k
        return (scores[:, column] for scores in chosen)

    def _bands(self, pairing: Pairing, key: str) -> Iterator[NDArray[np.int64]]:
        """Yields each side's band of the likelihood of being helped, shape (n,); all the same where not asked for."""
        edges = self._parameters[_named("bands", key)] if pairing.approach.score == "both" else np.empty(0)
        return (np.searchsorted(np.sort(edges), scores[:, 0]) for scores in self._exponents)

    @cached_property
    def _levels(self) -> tuple[Array, Array]:
        return self._of_everybody(lambda people: people.level)

    @cached_property
    def _exponents(self) -> tuple[Array, Array]:
        return self._of_everybody(lambda people: people.exponent[:, None])

    def _of_everybody(self, what: Callable[[People], Array]) -> tuple[Array, Array]:
        """Returns some columns for the people helped and for the comparators, worked out block by block."""
        some = self._arrays.parts(self._at_a_time) if self._arrays.longest else iter([self._arrays])
        parts = (Part(each, self._parameters) for each in some)
        treated, comparators = zip(*((what(part.treated), what(part.comparators)) for part in parts), strict=True)
        return np.concatenate(treated), np.concatenate(comparators)


def matched_sums(part: Part, k: int, adjusted: bool) -> tuple[Columns, Columns]:
    """Returns (0.25, v, 0, 0.4 (s - 1/2), 0), and for comparators (0.25, -v, (y - 1/2) / 2, 0, 0.4 (s - 1/2)).

    v is r and s its square, or where the model is not taken off, v is 2 y - 1 and s is y^2.
    """
    (own, value, square), (pairs, other, other_square) = (
        (np.full(len(people), PAIR_SCALE), *_value(people, k, adjusted)) for people in (part.treated, part.comparators)
    )
    level = WEIGHT_SCALE * (part.comparators.y[:, k] - 0.5)
    return ((own, value, np.zeros(len(own)), square, np.zeros(len(own))),
            (pairs, -other, level, np.zeros(len(pairs)), other_square))  # fmt: skip


def matched_features(part: Part, k: int, adjusted: bool) -> tuple[Columns, Columns]:
    """Returns (features, 0), and for comparators (0, features)."""
    treated, comparators = part.treated.profile, part.comparators.profile
    return (treated, np.zeros_like(treated)), (np.zeros_like(comparators), comparators)


MATCHED: Mapping[str, Rows] = {rows.__name__: rows for rows in (matched_sums, matched_features)}
"""The rows of every matched vector, by the first part of its name."""


def _value(people: People, k: int, adjusted: bool) -> tuple[Array, Array]:
    y, r = people.y[:, k], people.r[:, k]
    return (r, SQUARE_SCALE * (r * r - 0.5)) if adjusted else (2 * y - 1, SQUARE_SCALE * (y * y - 0.5))


def _named(parameter: str, key: str) -> str:
    return f"{parameter}@{key}" if key else parameter
