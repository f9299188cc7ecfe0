"""One value, one sequence of bytes: what is signed, digested and compared.

Values are plain JSON (RFC 8785). Integer vectors travel as base64 of little-endian 64-bit integers, because JSON
numbers are exact only up to 2**53.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import numpy as np
import rfc8785
from numpy.typing import NDArray


def canonical_bytes(value: Any) -> bytes:
    """Returns the RFC 8785 bytes of a plain JSON value."""
    return rfc8785.dumps(value)


def parse_canonical(data: bytes) -> Any:
    """Returns the value of canonical bytes; refuses bytes that are not the one form of their value.

    Raises:
        ValueError: the bytes are not canonical JSON.
    """
    value = json.loads(data)
    if canonical_bytes(value) != data:
        raise ValueError("the bytes are not in canonical form")
    return value


def digest(data: bytes) -> str:
    """Returns the SHA-256 of the bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def pack_integers(values: NDArray[np.int64]) -> str:
    """Returns a vector of 64-bit integers as text."""
    return base64.b64encode(np.asarray(values, dtype="<i8").tobytes()).decode("ascii")


def unpack_integers(text: str) -> NDArray[np.int64]:
    """Returns the vector packed by :func:`pack_integers`.

    Raises:
        ValueError: the text is not such a vector.
    """
    return np.frombuffer(base64.b64decode(text, validate=True), dtype="<i8").astype(np.int64)
