"""How the columns of people's rows are put together, block after block in the same memory.

A family (``local.rows``) says what stands side by side; nothing is multiplied out before it is put in its place, and
the zeros of a one-hot row are never written: people in one of thousands of groups have rows of a few numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cohortium_node.features import Array
from cohortium_node.local.sums import Spread


class Times(NamedTuple):
    """A table (n, width) whose rows are multiplied by a factor for each person, (n,), where they are put together."""

    factor: Array
    table: Array


class InGroup(NamedTuple):
    """One-hot by group, times some columns: they stand at the person's group and are 0 at all others.

    In the vector the first group's columns come first, then the second group's.

    Attributes:
        group: (n,) each person's, from 0 to ``groups`` - 1.
        groups: how many there are.
        columns: (n,) or (n, width).
    """

    group: NDArray[np.int64]
    groups: int
    columns: Array | Times


Columns = Iterable[Array | Times | InGroup]
"""What makes one row a person when it is put side by side: columns (n,), tables (n, width), products, groups."""


class Room:
    """Memory for the rows of so many people, used again for block after block: new memory from the system is slow."""

    def __init__(self, people: int) -> None:
        self._table = np.empty((people, 32), order="F")

    def side_by_side(self, columns: Columns) -> tuple[Array, tuple[Spread, ...]]:
        """Returns one row a person, and which of its columns stand where the person's group is.

        The rows are overwritten by the next call.

        Args:
            columns: of no more people than there is room for; made one at a time if they are an iterator.
        """
        people, width, spread = 0, 0, []
        for column in columns:
            plain = column.columns if isinstance(column, InGroup) else column
            factor, table = (plain.factor[:, None], plain.table) if isinstance(plain, Times) else (1.0, plain)
            table = table[:, None] if table.ndim == 1 else table
            people, first, width = len(table), width, width + table.shape[1]
            with np.errstate(invalid="ignore"):  # what is not a number is dealt with where rows are clipped
                np.multiply(factor, table, out=self._widened(width)[:people, first:width])
            if isinstance(column, InGroup):
                spread.append(Spread(first, width, column.group, column.groups))
        return self._table[:people, :width], tuple(spread)

    def _widened(self, width: int) -> Array:
        if width > self._table.shape[1]:
            wider = np.empty((len(self._table), 2 * width), order="F")
            wider[:, : self._table.shape[1]] = self._table
            self._table = wider
        return self._table
