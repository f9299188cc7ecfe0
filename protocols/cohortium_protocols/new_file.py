"""New files only: keys, certificates and configurations are never overwritten."""

from __future__ import annotations

import os
from pathlib import Path

from cohortium_protocols.errors import StorageError


def write_new(path: Path, content: bytes, *, private: bool) -> None:
    """Writes a file that was not there; its folder is made when it is missing.

    Args:
        path: the file.
        content: what it holds.
        private: whether only its owner may read it.

    Raises:
        StorageError: it exists already, or cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o644)
    except OSError as error:
        raise StorageError(
            f"The file {path} cannot be written.",
            why=error.strerror or "",
            do="such files are never overwritten: move the old one away, or choose another path",
        ) from error
    with os.fdopen(handle, "wb") as file:
        file.write(content)
