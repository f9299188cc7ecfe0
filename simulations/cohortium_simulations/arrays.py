"""The kinds of arrays that worlds are made of; one entry a person, an event or a row, as the name says."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Texts = NDArray[np.object_]
Days = NDArray[np.int64]
"""Days since 1970-01-01."""
