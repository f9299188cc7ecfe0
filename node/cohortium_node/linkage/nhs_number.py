"""NHS numbers: ten digits, the last a check digit, written in groups of three, three and four.

The check digit is defined in the NHS Data Dictionary (modulus 11): the first nine digits are multiplied by 10
to 2 and added; 11 minus the remainder by 11 is the check digit, 11 is written 0, and 10 makes the number
invalid.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

_WRITTEN = re.compile(r"[0-9]{3} ?[0-9]{3} ?[0-9]{4}")
_PLACES = 10 ** np.arange(9, 0, -1, dtype=np.int64)  # of the first nine digits
_WEIGHTS = np.arange(10, 1, -1, dtype=np.int64)


def digits(text: str) -> int | None:
    """Returns the ten digits of a written NHS number as an integer; None if it is not ten digits."""
    written = text.strip()
    return int(written.replace(" ", "")) if _WRITTEN.fullmatch(written) else None


def check_digit_holds(numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Returns, for each ten-digit number, whether its last digit is the check digit of the others."""
    weighted = (numbers[:, None] // _PLACES % 10) @ _WEIGHTS
    expected = (11 - weighted % 11) % 11  # 10 equals no digit, so such a number never holds
    return np.asarray(expected == numbers % 10, dtype=np.bool_)
