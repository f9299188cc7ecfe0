"""From people's rows to exact integers whose sensitivity is the declared one, whatever the rows hold.

Every row is clipped to the declared L2 bound and rounded to the declared grid *before* it is added, so that one person
more or less moves the result by at most ``spec.d2`` (``statistics.VectorSpec``): the bound is enforced here, once, and
not trusted to the code that made the rows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cohortium_node.features import Array, clip_rows
from cohortium_protocols.statistics import VectorSpec

MOST_ROWS = 2**15
"""Rows in one call: for so many, sums of 34-bit steps and of products of two 17-bit steps are exact in double
precision, in whatever order they are added up."""


class Spread(NamedTuple):
    """Columns of a row that stand at the person's group; for every other group the whole row has as many zeros.

    Attributes:
        first: the first of them.
        end: after the last of them.
        group: (n,) each person's, from 0 to ``groups`` - 1.
        groups: how many there are.
    """

    first: int
    end: int
    group: NDArray[np.int64]
    groups: int


def integer_vector(rows: Array, spec: VectorSpec, spread: tuple[Spread, ...] = ()) -> NDArray[np.int64]:
    """Returns what some people add to the declared vector, before noise.

    Args:
        rows: one row a person, any numbers, shape (n_people, spec.width) where nothing is spread; overwritten.
        spec: the declaration.
        spread: which columns are one-hot by group, from left to right; rows leave out the zeros of other groups.

    Returns:
        Exact integers, shape (spec.dimension,): the sum of the rounded rows, or the upper triangle, row by row, of the
        sum of their outer products.

    Raises:
        ValueError: the rows are not of the declared width, or there are more of them than are added exactly.
    """
    width = rows.shape[1] + sum((part.end - part.first) * (part.groups - 1) for part in spread)
    if width != spec.width or (spread and spec.rule == "gram"):
        raise ValueError(f"{spec.name} takes rows of {spec.width} numbers")
    if len(rows) > MOST_ROWS:
        raise ValueError(f"{spec.name} adds up at most {MOST_ROWS} rows at a time")
    steps = clip_rows(rows, spec.bound, spec.grid, out=rows)
    np.rint(steps, out=steps)
    total = _sum(steps, spread) if spec.rule == "sum" else (steps.T @ steps)[np.triu_indices(spec.width)]
    return total.astype(np.int64)


def _sum(steps: Array, spread: tuple[Spread, ...]) -> Array:
    ones, parts, done = np.ones(len(steps)), [], 0
    for part in spread:
        parts += [ones @ steps[:, done : part.first], _by_group(steps[:, part.first : part.end], part)]
        done = part.end
    return np.concatenate([*parts, ones @ steps[:, done:]])


def _by_group(steps: Array, part: Spread) -> Array:
    """Returns the sums of every group, the first group's first, shape (groups * columns,)."""
    sums = np.empty((part.groups, steps.shape[1]))
    for column in range(steps.shape[1]):
        sums[:, column] = np.bincount(part.group, steps[:, column], part.groups)  # no group beyond the last fits
    return sums.ravel()
