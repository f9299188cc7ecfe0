"""The privacy ledger: what was reserved, what was answered, in one append-only chain.

A SQLite database (write-ahead log, synchronous=FULL: a commit returns when it is on the disk). Every entry is
canonical bytes that name the hash of the entry before it; triggers refuse changes and deletions, and the
chain shows them if they are made behind the triggers' back. Answers are stored beside the entries, in the
same transaction as theirs; so is the state of a secure sum that made one (``attempts``).

One process holds the ledger at a time. That its newest entries were cut off, the chain cannot show by itself: see
``anchors``.
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
from cohortium_node.attempts import SCHEMA as ATTEMPTS
from cohortium_node.attempts import Attempt, destroy, keep, kept, unfinished
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
""" + ATTEMPTS + "".join(
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

    def open_study(
        self, study: str, plan_digest: str, prices: Prices, frozen: str, approval: str, operator: str = ""
    ) -> None:
        """Enters an approved study: its plan, its rounds' prices, the digest of its frozen data, who asked for it.

        Opening a study again with the same plan and data changes nothing.

        Raises:
            BudgetRefusal: its price, on top of everything else, is over a cap.
            ReplayError: another plan, or other data, had this name before.
        """
        with self._transaction():
            known = self._accounts.studies.get(study)
            if known and (known.plan_digest, known.frozen) == (plan_digest, frozen):
                return
            place = self._caps.place(operator, datetime.now(UTC).year)
            self._accounts.check_opening(study, prices, place, self._caps)
            agreed = {name: asdict(price) for name, price in prices.items()}
            opened = {"study": study, "plan_digest": plan_digest, "prices": agreed, "frozen": frozen}
            counts = {"operator": operator, "dataset": place.dataset, "universe": place.universe}
            self._append("opened", opened | counts | {"approval": approval})

    def reserve(self, charge: Charge) -> None:
        """Charges a round to its study; returns when the charge is durable. The same request is charged once.

        Raises:
            RefusedError: the study, the price or a cap does not allow it; nothing was charged.
            ReplayError: the round was charged before, for another request.
        """
        with self._transaction():
            account = self._accounts.studies.get(charge.study)
            if account and account.request(charge.round, charge.attempt) == charge.request:
                return
            self._accounts.check_charge(charge, self._caps)
            self._append("reserved", asdict(charge))

    def check(self, charge: Charge) -> None:
        """Refuses what ``reserve`` would refuse; charges nothing.

        Raises:
            RefusedError: the study, the price or a cap does not allow it.
            ReplayError: the attempt was charged before, for another request.
        """
        self._accounts.check_charge(charge, self._caps)

    def store_answer(self, request: str, envelope: bytes) -> None:
        """Stores the answer to a reserved request, with its entry; returns when both are durable.

        Raises:
            LedgerError: the request was never reserved, or has an answer already.
        """
        with self._transaction():
            self._enter_answer(request, request, envelope)

    def store_masked(self, step: str, attempt: Attempt, envelope: bytes) -> None:
        """Stores a masked vector as the answer to the message that asked for it, with the state that made it.

        Args:
            step: digest of that message.
            attempt: as it is after the step.
            envelope: the signed message.

        Raises:
            LedgerError: the attempt was never reserved, or has a masked vector already.
        """
        with self._transaction():
            self._enter_answer(step, attempt.request_digest, envelope)
            keep(self._database, attempt)

    def attempt(self, study: str, round_name: str, number: int) -> Attempt | None:
        """Returns an attempt at a secure sum as it was kept last; None when it was never begun."""
        with self._faults():
            return kept(self._database, study, round_name, number)

    def begin(self, attempt: Attempt) -> None:
        """Keeps a new attempt, and destroys the secrets of all earlier ones of its study: they are over."""
        with self._transaction():
            destroy(self._database, attempt.study)
            keep(self._database, attempt)
        self._clear_log()

    def unfinished(self) -> set[str]:
        """Returns the studies with an attempt at a secure sum whose secrets are still kept."""
        with self._faults():
            return unfinished(self._database)

    def destroy_secrets(self, study: str) -> None:
        """Destroys the secrets of every attempt of a study: they are over."""
        with self._transaction():
            destroy(self._database, study)
        self._clear_log()

    def keep(self, attempt: Attempt, survivors: str = "") -> None:
        """Keeps an attempt as it is after a step; returns when that is durable.

        Args:
            attempt: as it is now.
            survivors: digest of the list of survivors that it acknowledged with this step, for the chain.
        """
        with self._transaction():
            keep(self._database, attempt)
            if survivors:
                facts = {"study": attempt.study, "round": attempt.round, "attempt": attempt.number}
                self._append("acknowledged", facts | {"request": attempt.request_digest, "survivors": survivors})

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

    @property
    def sequence(self) -> int:
        """The number of the newest entry; 0 before the first."""
        return self._sequence

    def hash_at(self, sequence: int) -> str | None:
        """Returns the hash of an entry, which commits to all before it; None when there is none of that number."""
        with self._faults():
            row = self._database.execute("SELECT hash FROM entry WHERE sequence = ?", (sequence,)).fetchone()
        return str(row[0]) if row else None

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
                destroy(self._database, study)
        self._clear_log()
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

    def _enter_answer(self, asked: str, request: str, envelope: bytes) -> None:
        accounts = self._accounts
        if not accounts.reserved(request) or asked in accounts.answers or request in accounts.answered:
            raise LedgerError("An answer does not fit the ledger.", why="it is not reserved, or was answered before")
        self._database.execute("INSERT INTO answer VALUES (?, ?)", (asked, envelope))
        self._append("answered", {"request": asked, "reserved": request, "answer": digest(envelope)})

    def _clear_log(self) -> None:
        """Empties the write-ahead log, in which destroyed secrets would stay for a while."""
        with self._faults():
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

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
