"""Exact linkage: a person of the register is linked to the cohort row with the same NHS number."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

UNLINKED = -1


def link(register: NDArray[np.int64], cohort: NDArray[np.int64]) -> NDArray[np.int64]:
    """Links a register to a cohort.

    Args:
        register: NHS numbers of the people registered here, (n,), in any order.
        cohort: NHS numbers of the cohort, ascending, each once.

    Returns:
        (n,) the position in ``cohort`` of each registered person, ``UNLINKED`` for a person who is not in it.
    """
    if not cohort.size:
        return np.full(register.shape, UNLINKED, dtype=np.int64)
    position = np.searchsorted(cohort, register).clip(max=cohort.size - 1)
    return np.where(cohort[position] == register, position, UNLINKED).astype(np.int64)
