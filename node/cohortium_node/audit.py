"""The local audit log: a line of JSON for each decision and each thing that left; never a value of a row.

It is appended to and never rewritten, and stays with the custodian. Messages that left are named by digest
and size.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

from cohortium_protocols.errors import StorageError


class Audit:
    """The audit log of one node."""

    def __init__(self, path: Path | None) -> None:
        """Opens the log in a file; without a path nothing is kept, for simulations.

        Raises:
            StorageError: the file cannot be written.
        """
        self._path = path
        self._file = _open(path) if path else None

    def close(self) -> None:
        """Closes the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def record(self, event: str, **facts: str | int) -> None:
        """Appends one event; returns when it is on the disk.

        Args:
            event: what happened, one or two words.
            facts: names, digests, sizes and reasons.

        Raises:
            StorageError: the line cannot be written.
        """
        if self._file is None:
            return
        line = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "event": event, **facts}
        try:
            os.write(
                self._file, json.dumps(line, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
            )
            os.fsync(self._file)
        except OSError as error:
            raise _unwritable(self._path, error) from error


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path | None, error: OSError) -> StorageError:
    return StorageError(
        f"The audit log {path} cannot be written.",
        why=error.strerror or "",
        do="check the disk's free space and the folder's permissions; nothing goes out without it",
    )
