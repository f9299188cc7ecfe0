"""The analysis table: one row a person, the only thing the statistics of this node ever see."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class AnalysisTable:
    """People who can be analysed, treated and comparators, in an order that depends on the study key alone.

    Pairs are formed in this order, so that it is part of the guarantee: one person more leaves the others in the order
    in which they were.

    Attributes:
        treated: (n,) whether the person was helped.
        covariates: name -> (n,) values in the plan's order: float64 for a number (NaN: missing), text for a
            category.
        outcomes: (n, K) values in the plan's order and raw units, not clipped.
        exits: (m,) for each person of the cohort who was found here, the position in ``EXIT_STEPS`` of the
            one step at which the person's way ended (0: analysed).
    """

    treated: NDArray[np.bool_]
    covariates: Mapping[str, NDArray[Any]]
    outcomes: NDArray[np.float64]
    exits: NDArray[np.int64]

    def __post_init__(self) -> None:
        people = len(self.treated)
        columns = [*self.covariates.values(), self.outcomes]
        if self.outcomes.ndim != 2 or any(len(column) != people for column in columns):
            raise ValueError("every column of an analysis table has one value a person")

    def digest(self, key: bytes) -> str:
        """Returns the keyed digest (HMAC-SHA256, hexadecimal) of every value in the table.

        It depends on the values and their order only: not on the platform, on memory layout or on which of
        the bit patterns of "not a number" or of zero was stored. It stays at the node.
        """
        mac = hmac.new(key, b"cohortium analysis table 1", hashlib.sha256)
        for name, values in self._columns():
            for part in (name.encode(), _canonical(values)):
                mac.update(len(part).to_bytes(8, "little"))
                mac.update(part)
        return mac.hexdigest()

    def _columns(self) -> Iterator[tuple[str, NDArray[Any]]]:
        yield "treated", self.treated
        for name, values in self.covariates.items():
            yield f"covariate {name}", values
        yield f"outcomes {self.outcomes.shape[1]}", self.outcomes
        yield "exits", self.exits


def _canonical(values: NDArray[Any]) -> bytes:
    """Returns an array's one sequence of bytes: its kind, then little-endian values, one zero and one NaN."""
    if values.dtype.kind in "OUT":
        words = [str(value).encode() for value in values]
        return b"text" + b"".join(len(word).to_bytes(4, "little") + word for word in words)
    if values.dtype.kind == "f":
        plain = np.where(np.isnan(values), np.nan, values + 0.0)
        return b"real" + plain.astype("<f8").tobytes(order="C")
    return b"whole" + values.astype("<i8").tobytes(order="C")
