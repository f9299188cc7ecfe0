"""Pseudo index dates: when a comparator's follow-up begins, the same at every node that knows the person.

One keyed digest a person, HMAC-SHA256(study key, ten-digit NHS number), decides the date and, by other bits
of the same digest, the person's place in the analysis table. The study key is common to the nodes and unknown
to the coordinator.
"""

from __future__ import annotations

import datetime as dt
import hmac

import numpy as np
from numpy.typing import NDArray


def keyed_digests(study_key: bytes, nhs_numbers: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Returns the HMAC-SHA256 of each NHS number's ten digits as four big-endian 64-bit words, (n, 4)."""
    stream = b"".join(hmac.digest(study_key, b"%010d" % number, "sha256") for number in nhs_numbers.tolist())
    return np.frombuffer(stream, dtype=">u8").astype(np.uint64).reshape(-1, 4)


def pseudo_index_dates(digests: NDArray[np.uint64], first: dt.date, last: dt.date) -> NDArray[np.datetime64]:
    """Maps each digest's first word uniformly over the days from ``first`` to ``last``, both included.

    The remainder's bias is below 2**-50 for any window under 16,000 days.
    """
    days = np.uint64((last - first).days + 1)
    return np.datetime64(first, "D") + (digests[:, 0] % days).astype(np.int64)


def keyed_order(digests: NDArray[np.uint64], nhs_numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns the order of the people by their digest's last word: fixed in a study, whatever the file."""
    return np.lexsort((nhs_numbers, digests[:, 3])).astype(np.int64)
