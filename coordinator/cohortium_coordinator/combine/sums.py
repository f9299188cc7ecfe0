"""Released integers, added over nodes, back in the units of the declaration, with the noise they carry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cohortium_protocols.statistics import RoundSpec, VectorSpec

Array = NDArray[np.float64]
Answers = Mapping[str, Mapping[str, Mapping[str, NDArray[np.int64]]]]
"""Round -> node -> vector -> released integers."""


@dataclass(frozen=True)
class NoisySum:
    """A national sum and the variance of the noise in each of its entries.

    Attributes:
        values: shape (width,) for a sum, (width, width) for a Gram matrix.
        noise: variance of the privacy noise of an entry (the same for all of a sum; of the diagonal for a Gram matrix,
            whose entries off the diagonal carry half).
    """

    values: Array
    noise: float


def national_sums(spec: RoundSpec, answers: Answers) -> dict[str, NoisySum]:
    """Returns the round's vectors, added exactly over the nodes that answered it."""
    nodes = answers[spec.name].values()
    return {vector.name: _national(vector, [node[vector.name] for node in nodes]) for vector in spec.vectors}


def _national(spec: VectorSpec, released: list[NDArray[np.int64]]) -> NoisySum:
    total: Array = np.stack(released).sum(axis=0).astype(np.float64)
    unit = spec.grid if spec.rule == "sum" else spec.grid**2
    noise = len(released) * spec.sigma**2 / unit**2
    return NoisySum(total / unit if spec.rule == "sum" else _symmetric(total / unit, spec.width), noise)


def _symmetric(triangle: Array, width: int) -> Array:
    matrix = np.zeros((width, width))
    matrix[np.triu_indices(width)] = triangle
    return matrix + np.triu(matrix, 1).T


def floored(matrix: Array, floor: float) -> Array:
    """Returns the symmetric matrix with its eigenvalues raised to at least ``floor``."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return np.asarray((vectors * np.maximum(values, floor)) @ vectors.T)
