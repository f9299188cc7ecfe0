"""Synthetic NHS numbers: valid by modulus 11, and from a block that no patient has.

Numbers that start with 9 are outside the ranges issued in England, Wales, Scotland and Northern Ireland.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from cohortium_simulations.arrays import Integers

_FIRST, _LAST = 900_000_000, 1_000_000_000
_WEIGHTS = np.arange(10, 1, -1)


def check_digits(bases: Integers) -> Integers:
    """The modulus-11 check digit of each nine-digit base; 10 means that no valid number has this base."""
    digits = bases[:, np.newaxis] // 10 ** np.arange(8, -1, -1) % 10
    return np.asarray((11 - digits @ _WEIGHTS % 11) % 11, dtype=np.int64)


def draw_nhs_numbers(count: int, rng: Generator) -> Integers:
    """Different valid NHS numbers in random order, as ten-digit integers, shape (count,)."""
    bases = np.unique(rng.integers(_FIRST, _LAST, size=count + count // 4 + 100))
    checks = check_digits(bases)
    numbers = (bases * 10 + checks)[checks < 10]
    return rng.permutation(numbers)[:count]
