"""Released integers, added over nodes, back in the units of the declaration, with the noise they carry."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cohortium_protocols.privacy.distributed import node_sigma
from cohortium_protocols.secure_rules import Rules
from cohortium_protocols.statistics import RoundSpec, VectorSpec

Array = NDArray[np.float64]
Vectors = Mapping[str, NDArray[np.int64]]
"""Vector -> released integers."""


@dataclass(frozen=True)
class Separate:
    """A round that every node answered by itself, with its own full noise: node -> vectors."""

    by_node: Mapping[str, Vectors]

    @property
    def nodes(self) -> tuple[str, ...]:
        """Whose answers these are."""
        return tuple(self.by_node)

    def total(self, name: str) -> Array:
        """Returns a vector, added exactly over the nodes."""
        total: Array = np.stack([vectors[name] for vectors in self.by_node.values()]).sum(axis=0).astype(np.float64)
        return total

    def noise(self, vector: VectorSpec) -> float:
        """Returns the variance of the noise in each entry of a vector's total, in squared grid steps."""
        return len(self.by_node) * vector.sigma**2

    def of(self, nodes: Collection[str]) -> Separate:
        """Returns the answers of these nodes alone."""
        return Separate({node: self.by_node[node] for node in nodes})


@dataclass(frozen=True)
class Together:
    """A round that was a secure sum: one total, and in it a share of the noise for every node that is in it.

    Attributes:
        nodes: whose vectors were added up.
        vectors: the total.
        rules: of the plan; they fix the share of the noise.
    """

    nodes: tuple[str, ...]
    vectors: Vectors
    rules: Rules

    def total(self, name: str) -> Array:
        """Returns a vector's total."""
        return self.vectors[name].astype(np.float64)

    def noise(self, vector: VectorSpec) -> float:
        """Returns the variance of the noise in each entry of a vector's total, in squared grid steps."""
        return len(self.nodes) * node_sigma(vector.sigma, self.rules) ** 2

    def of(self, nodes: Collection[str]) -> Together:
        """Returns the same total, whoever is asked about: nobody can take a node out of it."""
        return self


Answers = Mapping[str, Separate | Together]
"""Round -> what was released in it."""


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


def national_sums(spec: RoundSpec, released: Separate | Together) -> dict[str, NoisySum]:
    """Returns the round's vectors in the units of their declaration."""
    return {vector.name: _national(vector, released) for vector in spec.vectors}


def _national(spec: VectorSpec, released: Separate | Together) -> NoisySum:
    unit = spec.grid if spec.rule == "sum" else spec.grid**2
    total, noise = released.total(spec.name) / unit, released.noise(spec) / unit**2
    return NoisySum(total if spec.rule == "sum" else _symmetric(total, spec.width), noise)


def _symmetric(triangle: Array, width: int) -> Array:
    matrix = np.zeros((width, width))
    matrix[np.triu_indices(width)] = triangle
    return matrix + np.triu(matrix, 1).T


def floored(matrix: Array, floor: float) -> Array:
    """Returns the symmetric matrix with its eigenvalues raised to at least ``floor``."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return np.asarray((vectors * np.maximum(values, floor)) @ vectors.T)
