"""The durable mailbox: every envelope of every party, kept in one SQLite file.

An envelope is on the disk before its sender hears that it was taken (write-ahead log, synchronous=FULL). The
same bytes are stored once, under one sequence number, so that a sender who is unsure simply sends again.
Nothing is removed but what the coordinator withdraws because nobody waits for its answer any more; its own records
keep that too.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Condition

from cohortium_protocols.canonical import digest
from cohortium_protocols.errors import StorageError
from cohortium_protocols.relay.wire import ENVELOPE_LIMIT, Refusal, refused

_VERSION = 1
_SCHEMA = f"""
CREATE TABLE envelopes (
    sequence  INTEGER PRIMARY KEY AUTOINCREMENT,
    recipient TEXT NOT NULL,
    digest    TEXT NOT NULL UNIQUE,    -- SHA-256 of the bytes
    bytes     BLOB NOT NULL,
    received  TEXT NOT NULL            -- UTC
) STRICT;
CREATE INDEX by_recipient ON envelopes (recipient, sequence);
PRAGMA user_version = {_VERSION};
"""
_FIND = "SELECT sequence FROM envelopes WHERE digest = ?"
_ADD = "INSERT INTO envelopes (recipient, digest, bytes, received) VALUES (?, ?, ?, ?) RETURNING sequence"
_READ = "SELECT sequence, bytes FROM envelopes WHERE recipient = ? AND sequence > ? ORDER BY sequence"
_REMOVE = "DELETE FROM envelopes WHERE digest = ?"
_BUSY = 5.0     # seconds to wait for another process that is writing


class Mailbox:
    """Envelopes by recipient, safe to use from many threads."""

    def __init__(self, path: Path) -> None:
        """Opens the mailbox, and makes it when the file is new.

        Raises:
            StorageError: the file cannot be used, or is not a mailbox of this version.
        """
        self._path = path
        self._changed = Condition()
        with self._storage():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(
                path, timeout=_BUSY, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare()
            except (sqlite3.Error, StorageError):
                self._database.close()
                raise

    def post(self, recipient: str, envelope: bytes) -> int:
        """Stores an envelope durably; returns its sequence number, the same one for the same bytes.

        Raises:
            ChannelError: the envelope is larger than a channel carries.
            StorageError: it could not be stored.
        """
        if len(envelope) > ENVELOPE_LIMIT:
            raise refused(Refusal.SIZE)
        with self._changed, self._storage():
            sequence = self._store(recipient, envelope)
            self._changed.notify_all()
        return sequence

    def withdraw(self, envelope: bytes) -> None:
        """Removes an envelope durably, fetched or not; one that is not there changes nothing.

        Raises:
            StorageError: it could not be removed.
        """
        with self._changed, self._storage():
            self._database.execute(_REMOVE, (digest(envelope),))

    def fetch(
        self, recipient: str, after: int, wait: float = 0.0, *, ended: Callable[[], bool] = lambda: False
    ) -> list[tuple[int, bytes]]:
        """Returns a party's envelopes, oldest first, each with its sequence number.

        The first one always comes; more come as long as the whole stays under the size limit of one envelope,
        so ask again from the last sequence number on until nothing comes.

        Args:
            recipient: whose envelopes.
            after: only those with a greater sequence number; 0 asks for all.
            wait: seconds to wait for one when there is none.
            ended: asked after each :meth:`wake`; true ends the wait at once.

        Raises:
            StorageError: the mailbox could not be read.
        """
        deadline = time.monotonic() + wait
        with self._changed, self._storage():
            while not (found := self._read(recipient, after)) and not ended():
                left = deadline - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    break
            return found

    def wake(self) -> None:
        """Lets every waiting :meth:`fetch` look again whether it has ended."""
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """Closes the file; what was stored stays stored."""
        with self._changed:
            self._database.close()

    def _prepare(self) -> None:
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        with self._transaction():
            (version,) = self._database.execute("PRAGMA user_version").fetchone()
            tables = self._database.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
            if version == tables == 0:
                for statement in filter(str.strip, _SCHEMA.split(";")):
                    self._database.execute(statement)
            elif version != _VERSION:
                raise StorageError(
                    f"The file {self._path} is not a mailbox of this version of Cohortium.",
                    do="give the coordinator a data directory of its own, or the version that made this one",
                )

    def _store(self, recipient: str, envelope: bytes) -> int:
        key, now = digest(envelope), datetime.now(UTC).isoformat(timespec="seconds")
        with self._transaction():
            rows = self._database.execute(_FIND, (key,)).fetchall()
            rows = rows or self._database.execute(_ADD, (recipient, key, envelope, now)).fetchall()
        return int(rows[0][0])

    def _read(self, recipient: str, after: int) -> list[tuple[int, bytes]]:
        found: list[tuple[int, bytes]] = []
        size = 0
        for sequence, envelope in self._database.execute(_READ, (recipient, after)):
            size += len(envelope)
            if found and size > ENVELOPE_LIMIT:
                break
            found.append((int(sequence), bytes(envelope)))
        return found

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("COMMIT")
        finally:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")

    @contextmanager
    def _storage(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StorageError(
                f"The mailbox {self._path} cannot be used.",
                why=str(error),
                do="check its permissions and the free space; no other program may write to this file",
            ) from error
