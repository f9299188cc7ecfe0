"""The only module that draws privacy noise: OpenDP's discrete Gaussian on vectors of 64-bit integers."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import opendp.prelude as dp
from numpy.typing import NDArray

from cohortium_protocols.privacy.accounting import SIGMA_FLOOR

dp.enable_features("contrib")

@lru_cache(maxsize=256)
def _mechanism(dimension: int, sigma: float) -> dp.Measurement:
    domain = dp.vector_domain(dp.atom_domain(T="i64"), size=dimension)
    return dp.m.make_gaussian(domain, dp.l2_distance(T="f64"), sigma)


def discrete_gaussian(values: NDArray[np.int64], sigma: float) -> NDArray[np.int64]:
    """Returns the integers with independent discrete Gaussian noise added to each.

    Args:
        values: exact integers, shape (d,), far below 2**62 in size.
        sigma: standard deviation of the noise, in grid steps; at least 40.

    Raises:
        ValueError: sigma is below the floor, or a value is so large that the sum could saturate.
    """
    if sigma < SIGMA_FLOOR:
        raise ValueError(f"noise of {sigma} grid steps is below the floor of {SIGMA_FLOOR}")
    if values.size == 0:
        return values.copy()
    if int(np.abs(values).max()) > 2**61:
        raise ValueError("a value is too large to add noise to without saturating")
    return np.array(_mechanism(values.size, float(sigma))(values.tolist()), dtype=np.int64)
