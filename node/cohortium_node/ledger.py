"""The privacy ledger: what was reserved, what was answered, in one append-only chain.

A SQLite database (write-ahead log, synchronous=FULL: a commit returns when it is on the disk). Every entry is
canonical bytes that name the hash of the entry before it; triggers refuse changes and deletions, and the
chain shows them if they are made behind the triggers' back. Answers are stored beside the entries, in the
same transaction as theirs.

One process holds the ledger at a time. What the chain cannot show without a witness elsewhere is that its
newest entries were cut off.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cohortium_node.accounts import Accounts, Caps, Charge, Prices
from cohortium_node.storage import connect, connect_read_only, refusing_faults
from cohortium_protocols.canonical import canonical_bytes, digest
from cohortium_protocols.errors import LedgerError, StorageError

GENESIS = "0" * 64
"""What stands for the hash before the first entry."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entry (
    sequence INTEGER PRIMARY KEY, body BLOB NOT NULL, hash TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE IF NOT EXISTS answer (request TEXT PRIMARY KEY, envelope BLOB NOT NULL) STRICT;
""" + "".join(
    f"CREATE TRIGGER IF NOT EXISTS {table}_{verb.lower()} BEFORE {verb} ON {table} "
    f"BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;\n"
    for table in ("entry", "answer")
    for verb in ("UPDATE", "DELETE")
)


@dataclass(frozen=True)
class Entry:
    """One link of the chain: its number, its content, and the hash of it and of all before it."""

    sequence: int
    body: Mapping[str, Any]
    hash: str


class Ledger:
    """The open ledger of one node."""

    def __init__(self, path: Path | None, database: sqlite3.Connection, caps: Caps) -> None:
        self._path = path
        self._database = database
        self._caps = caps
        self._lock: int | None = None
        self._accounts = Accounts()
        self._sequence, self.head = 0, GENESIS
        try:
            self._catch_up()
        except StorageError:
            database.close()
            raise

    @classmethod
    def open(cls, path: Path, caps: Caps) -> Ledger:
        """Returns the ledger in a file, made if it is not there, after walking its whole chain.

        Raises:
            LedgerError: another process holds it, the chain is broken, or it cannot be written durably.
        """
        lock = _take_lock(path.with_suffix(".lock"))
        try:
            ledger = cls(path, connect(path, _SCHEMA), caps)
        except StorageError:
            os.close(lock)
            raise
        ledger._lock = lock
        return ledger

    @classmethod
    def in_memory(cls, caps: Caps) -> Ledger:
        """Returns a new ledger that ends with the process; for simulations."""
        return cls(None, connect(None, _SCHEMA), caps)

    @classmethod
    def read(cls, path: Path) -> Ledger:
        """Returns a ledger for reading only, also while a daemon holds it, after walking its whole chain.

        Raises:
            LedgerError: it cannot be read, or the chain is broken; the first broken link is named.
        """
        return cls(path, connect_read_only(path), Caps(0.0, 0.0))

    def close(self) -> None:
        """Closes the database and lets another process have it."""
        self._database.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def accounts(self) -> Accounts:
        """What the entries add up to."""
        return self._accounts

    def open_study(self, study: str, plan_digest: str, prices: Prices, frozen: str, approval: str) -> None:
        """Enters an approved study: its plan, the price of each round, the digest of its frozen data.

        Opening a study again with the same plan and data changes nothing.

        Raises:
            BudgetRefusal: its price, on top of everything else, is over a cap.
            ReplayError: another plan, or other data, had this name before.
        """
        with self._transaction():
            known = self._accounts.studies.get(study)
            if known and (known.plan_digest, known.frozen) == (plan_digest, frozen):
                return
            self._accounts.check_opening(study, prices, self._caps)
            opened = {"study": study, "plan_digest": plan_digest, "prices": prices, "frozen": frozen}
            self._append("opened", opened | {"approval": approval})

    def reserve(self, charge: Charge) -> None:
        """Charges a round to its study; returns when the charge is durable. The same request is charged once.

        Raises:
            RefusedError: the study, the price or a cap does not allow it; nothing was charged.
            ReplayError: the round was charged before, for another request.
        """
        with self._transaction():
            account = self._accounts.studies.get(charge.study)
            if account and account.rounds.get(charge.round) == charge.request:
                return
            self._accounts.check_charge(charge, self._caps)
            self._append("reserved", asdict(charge))

    def store_answer(self, request: str, envelope: bytes) -> None:
        """Stores the answer to a reserved request, with its entry; returns when both are durable.

        Raises:
            LedgerError: the request was never reserved, or has an answer already.
        """
        with self._transaction():
            reserved = any(request in account.rounds.values() for account in self._accounts.studies.values())
            if not reserved or request in self._accounts.answers:
                raise LedgerError(
                    "An answer does not fit the ledger.", why="it is not reserved, or was answered before"
                )
            self._database.execute("INSERT INTO answer VALUES (?, ?)", (request, envelope))
            self._append("answered", {"request": request, "answer": digest(envelope)})

    def answer(self, request: str) -> bytes | None:
        """Returns the stored answer to a request, or None.

        Raises:
            LedgerError: the stored bytes are not those that the chain commits to.
        """
        with self._faults():
            row = self._database.execute(
                "SELECT envelope FROM answer WHERE request = ?", (request,)
            ).fetchone()
        if row is None and request not in self._accounts.answers:
            return None
        if row is None or digest(row[0]) != self._accounts.answers.get(request):
            raise LedgerError(f"The stored answer {request[:12]} is not the one in the chain.", do=_STOP)
        return bytes(row[0])

    def close_study(self, study: str) -> str:
        """Enters the end of a study; returns the hash of that entry, the same one every time.

        Raises:
            LedgerError: the study was never opened.
        """
        with self._transaction():
            account = self._accounts.studies.get(study)
            if account is None:
                raise LedgerError(f"The study '{study}' was never opened here.")
            if not account.closed:
                self._append("closed", {"study": study, "plan_digest": account.plan_digest})
            return account.closed

    def entries(self) -> Iterator[Entry]:
        """Yields every entry, oldest first."""
        for sequence, body, chained in self._rows(after=0):
            yield Entry(sequence, json.loads(body), chained)

    def verify(self) -> int:
        """Checks every stored answer and, beyond those walked when it was opened, every link.

        Returns:
            The number of entries.

        Raises:
            LedgerError: the first broken link, or the first answer that is not as the chain says.
        """
        self._catch_up()
        for request in self._accounts.answers:
            self.answer(request)
        with self._faults():
            stored = self._database.execute("SELECT request FROM answer").fetchall()
        if unknown := [request for (request,) in stored if request not in self._accounts.answers]:
            raise LedgerError(f"The stored answer {unknown[0][:12]} has no entry in the chain.", do=_STOP)
        return self._sequence

    def _append(self, kind: str, content: Mapping[str, Any]) -> None:
        head = {"sequence": self._sequence + 1, "kind": kind, "at": _now(), "previous": self.head}
        body = canonical_bytes(head | dict(content))
        self._database.execute("INSERT INTO entry VALUES (?, ?, ?)", (self._sequence + 1, body, digest(body)))
        self._follow(self._sequence + 1, body, digest(body))

    def _catch_up(self) -> None:
        """Follows the entries that this process has not seen yet."""
        for row in self._rows(after=self._sequence):
            self._follow(*row)

    def _follow(self, sequence: int, body: bytes, chained: str) -> None:
        content = _linked(sequence, body, chained, self._sequence, self.head)
        self._accounts.apply(content, chained)
        self._sequence, self.head = sequence, chained

    def _rows(self, after: int) -> list[tuple[int, bytes, str]]:
        question = "SELECT sequence, body, hash FROM entry WHERE sequence > ? ORDER BY sequence"
        with self._faults():
            return list(self._database.execute(question, (after,)))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All or nothing: what was entered is durable when this ends, and gone when it ends in an error."""
        with self._faults():
            self._database.execute("BEGIN IMMEDIATE")
        before = self._sequence
        try:
            self._catch_up()
            with self._faults():
                yield
                self._database.execute("COMMIT")
        except BaseException:  # whatever it was, an interrupt too: half a transaction must not stay open
            self._undo(before)
            raise

    def _faults(self) -> AbstractContextManager[None]:
        return refusing_faults(self._path, LedgerError)

    def _undo(self, before: int) -> None:
        if self._database.in_transaction:
            with self._faults():
                self._database.execute("ROLLBACK")
        if self._sequence != before:
            self._accounts, self._sequence, self.head = Accounts(), 0, GENESIS
            self._catch_up()


def _linked(sequence: int, body: bytes, chained: str, last: int, head: str) -> dict[str, Any]:
    """Returns an entry's content when it is the next link."""
    content: dict[str, Any] = json.loads(body) if digest(body) == chained else {}
    if sequence != last + 1 or (content.get("sequence"), content.get("previous")) != (sequence, head):
        raise LedgerError(
            f"The ledger's chain is broken at entry {min(sequence, last + 1)}.",
            why="an entry was altered, removed or put in another place",
            do=_STOP,
        )
    return content


def _take_lock(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise LedgerError(
            f"The ledger's folder {path.parent} cannot be written.",
            why=error.strerror or "",
            do="check that the folder belongs to the account that runs the daemon; nothing was released",
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise LedgerError(
            f"Another daemon is at work in {path.parent}.",
            why="two daemons on one ledger could spend the same budget twice",
            do="stop the other one first, or give this one a data_dir of its own",
        ) from error
    return lock


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


_STOP = "do not release anything from this node; compare the ledger with its last copy"
