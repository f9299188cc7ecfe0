"""SQLite as this node uses it: durable when a commit returns, refused when it cannot be."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cohortium_protocols.errors import StorageError

_BUSY_SECONDS = 10.0

_DURABLE = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA fullfsync = ON",
    "PRAGMA secure_delete = ON",    # what is destroyed is overwritten
)


def connect(path: Path | None, schema: str) -> sqlite3.Connection:
    """Returns a database for reading and writing, its tables made if needed; None is one in memory.

    Transactions are begun and committed by the caller.

    Raises:
        StorageError: it cannot be opened, read or written.
    """
    with refusing_faults(path):
        if path is not None:
            path.touch(mode=0o600)
        database = sqlite3.connect(path or ":memory:", timeout=_BUSY_SECONDS, isolation_level=None)
        try:
            for statement in _DURABLE:
                database.execute(statement)
            database.executescript(schema)
        except sqlite3.Error:
            database.close()
            raise
        return database


def connect_read_only(path: Path) -> sqlite3.Connection:
    """Returns an existing database for reading only, also while another process writes it.

    Raises:
        StorageError: it is not there, or cannot be read.
    """
    if not path.is_file():
        raise StorageError(f"There is no ledger or other database at {path}.", do="check the path")
    in_use = path.with_name(path.name + "-wal").exists()
    with refusing_faults(path):
        options = "mode=ro" if in_use else "mode=ro&immutable=1"
        return sqlite3.connect(
            f"{path.absolute().as_uri()}?{options}", uri=True, timeout=_BUSY_SECONDS, isolation_level=None
        )


@contextmanager
def refusing_faults(path: Path | None, kind: type[StorageError] = StorageError) -> Iterator[None]:
    """Turns a database's fault into a refusal."""
    try:
        yield
    except sqlite3.Error as error:
        raise kind(
            f"The node's own records{f' in {path.name}' if path else ''} cannot be read or written.",
            why=str(error),
            do="check the file, the disk's free space and the folder's permissions; nothing was released",
        ) from error
