"""Noise on a declared vector: the declaration says how much, OpenDP draws it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from cohortium_protocols.privacy.opendp_backend import discrete_gaussian
from cohortium_protocols.statistics import VectorSpec


def whole(sigma: float) -> float:
    """Returns the noise of a node that answers by itself: all that was declared."""
    return sigma


def with_noise(
    values: NDArray[np.int64], spec: VectorSpec, share: Callable[[float], float] = whole
) -> NDArray[np.int64]:
    """Returns the declared vector with discrete Gaussian noise on every number.

    The upper triangle of a Gram matrix (row by row) gets the declared sigma on its diagonal and the declared
    smaller sigma off it (``VectorSpec.sigma``).

    Args:
        values: exact integers, shape (spec.dimension,).
        spec: the declaration; its sigma is in grid steps.
        share: declared sigma -> what this node adds; the rest comes from other nodes of a secure sum.

    Raises:
        ValueError: the declared noise is below the floor of ``opendp_backend``.
    """
    if spec.rule == "sum":
        return discrete_gaussian(values, share(spec.sigma))
    rows, columns = np.triu_indices(spec.width)
    diagonal = rows == columns
    noised = np.empty_like(values)
    noised[diagonal] = discrete_gaussian(values[diagonal], share(spec.sigma))
    noised[~diagonal] = discrete_gaussian(values[~diagonal], share(spec.sigma_off_diagonal))
    return noised
