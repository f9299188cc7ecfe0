"""From people's rows to an exact integer vector whose sensitivity is the declared one, whatever the rows hold.

Every row is clipped to the declared L2 bound and rounded to the declared grid *before* it is added, so that one person
more or less moves the result by at most ``spec.d2`` (``statistics.VectorSpec``): the bound is enforced here, once, and
not trusted to the code that made the rows.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cohortium_node.features import Array, clip_rows
from cohortium_protocols.statistics import MAX_PEOPLE, VectorSpec

_BLOCK = 2**15
"""Rows at a time: products of two 17-bit steps over so many rows are exact in double precision."""


def integer_vector(rows: Array, spec: VectorSpec) -> NDArray[np.int64]:
    """Returns the declared vector of people's rows, before noise.

    Args:
        rows: one row a person, shape (n_people, spec.width).
        spec: the declaration.

    Returns:
        Exact integers, shape (spec.dimension,): the sum of the rounded rows, or the upper triangle, row by row, of the
        sum of their outer products.

    Raises:
        ValueError: the rows are not of the declared width, or there are more people than sums stay exact for.
    """
    if rows.ndim != 2 or rows.shape[1] != spec.width:
        raise ValueError(f"{spec.name} takes rows of {spec.width} numbers")
    if len(rows) > MAX_PEOPLE:
        raise ValueError(f"{spec.name} would add up more than {MAX_PEOPLE} people")
    return _sum(rows, spec) if spec.rule == "sum" else _gram(rows, spec)


def _steps(rows: Array, spec: VectorSpec) -> Iterator[Array]:
    for start in range(0, len(rows), _BLOCK):
        yield np.rint(clip_rows(rows[start : start + _BLOCK], spec.bound) * spec.grid)


def _sum(rows: Array, spec: VectorSpec) -> NDArray[np.int64]:
    total = np.zeros(spec.width, dtype=np.int64)
    for steps in _steps(rows, spec):
        total += steps.astype(np.int64).sum(axis=0)
    return total


def _gram(rows: Array, spec: VectorSpec) -> NDArray[np.int64]:
    total = np.zeros((spec.width, spec.width), dtype=np.int64)
    for steps in _steps(rows, spec):
        total += (steps.T @ steps).astype(np.int64)
    return total[np.triu_indices(spec.width)]
