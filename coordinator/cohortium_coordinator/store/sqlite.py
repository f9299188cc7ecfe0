"""Durable records of every study: facts are added in whole transactions and never changed.

Each write is on disk (WAL, synchronous=FULL) when its method returns, so that killing the process at any
moment leaves either all of a step or none of it. Envelopes are kept as the bytes that were sent or received.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cohortium_coordinator.study.records import (
    Ending,
    Fault,
    Received,
    Records,
    Reported,
    Sent,
    SentKind,
    Summed,
)
from cohortium_protocols.errors import StorageError

FORMAT = 2
"""Version of the tables, kept in the file's user_version."""

_TABLES = """
CREATE TABLE study (name TEXT PRIMARY KEY, plan_digest TEXT NOT NULL, submitted TEXT NOT NULL) STRICT;
CREATE TABLE sent (
    study TEXT NOT NULL REFERENCES study, kind TEXT NOT NULL, round TEXT NOT NULL, node TEXT NOT NULL,
    digest TEXT NOT NULL, at TEXT NOT NULL, stage TEXT NOT NULL, attempt INTEGER NOT NULL, envelope BLOB NOT NULL,
    UNIQUE (study, kind, round, attempt, stage, node)) STRICT;
CREATE TABLE received (
    study TEXT NOT NULL REFERENCES study, kind TEXT NOT NULL, round TEXT NOT NULL, node TEXT NOT NULL,
    standing TEXT NOT NULL, code TEXT NOT NULL, at TEXT NOT NULL, stage TEXT NOT NULL, attempt INTEGER NOT NULL,
    slot TEXT NOT NULL, envelope BLOB NOT NULL, UNIQUE (study, node, slot)) STRICT;
CREATE TABLE summed (
    study TEXT NOT NULL REFERENCES study, round TEXT NOT NULL, attempt INTEGER NOT NULL, nodes TEXT NOT NULL,
    at TEXT NOT NULL, total TEXT NOT NULL, UNIQUE (study, round)) STRICT;
CREATE TABLE ending (
    study TEXT PRIMARY KEY REFERENCES study, outcome TEXT NOT NULL, nodes TEXT NOT NULL, code TEXT NOT NULL,
    reason TEXT NOT NULL, at TEXT NOT NULL) STRICT;
CREATE TABLE reported (
    study TEXT PRIMARY KEY REFERENCES study, published INTEGER NOT NULL, reason TEXT NOT NULL,
    at TEXT NOT NULL) STRICT;
CREATE TABLE fault (
    study TEXT NOT NULL, node TEXT NOT NULL, what TEXT NOT NULL, at TEXT NOT NULL,
    UNIQUE (study, node, what)) STRICT;
CREATE TABLE head (
    node TEXT NOT NULL, sequence INTEGER NOT NULL, statement TEXT NOT NULL, UNIQUE (node, sequence)) STRICT;
CREATE TABLE consumed (only INTEGER PRIMARY KEY CHECK (only = 1), sequence INTEGER NOT NULL) STRICT;
INSERT INTO consumed VALUES (1, 0);
"""


@dataclass(frozen=True)
class Message:
    """A record of something sent, with the envelope's bytes."""

    sent: Sent
    envelope: bytes


class SqliteStore:
    """The store. Only one process at a time can have it open; threads take turns.

    Args:
        path: the file, made when it is missing; ``:memory:`` for a store that ends with the process.

    Raises:
        StorageError: the file cannot be used, is of another version, or is open in another process.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = path
        self._turn = threading.RLock()
        with self._errors():
            self._connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
            try:
                self._prepare()
            except (sqlite3.Error, StorageError):
                self._connection.close()
                raise

    def _prepare(self) -> None:
        for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            self._connection.execute(f"PRAGMA {pragma}")
        found = int(self._connection.execute("PRAGMA user_version").fetchone()[0])
        if found not in (0, FORMAT):
            raise StorageError(
                f"{self._path} was written by another version of Cohortium.",
                why=f"its tables have format {found}; this version knows {FORMAT}",
                do="use the version that wrote it",
            )
        script = "" if found else f"{_TABLES} PRAGMA user_version={FORMAT};"
        self._connection.executescript(f"BEGIN IMMEDIATE; {script} COMMIT;")

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()

    # What is added

    def add_study(self, study: str, plan_digest: str, submitted: datetime, plans: Sequence[Message]) -> None:
        """Adds a study with the plan messages to its nodes."""
        with self._transaction():
            self._insert("study", study, plan_digest, submitted.isoformat())
            self._add_messages(study, plans)

    def add_messages(self, study: str, messages: Sequence[Message]) -> None:
        """Adds the messages of one step, all or none."""
        with self._transaction():
            self._add_messages(study, messages)

    def add_total(self, study: str, summed: Summed, total: str) -> None:
        """Adds the end of a round's secure sum, with its packed integers."""
        row = (summed.round, summed.attempt, json.dumps(summed.nodes), summed.at.isoformat())
        with self._transaction():
            self._insert("summed", study, *row, total)

    def end(self, study: str, ending: Ending) -> None:
        """Adds how the rounds ended."""
        row = (ending.outcome, json.dumps(ending.nodes), ending.code, ending.reason, ending.at.isoformat())
        with self._transaction():
            self._insert("ending", study, *row)

    def add_report(self, study: str, reported: Reported) -> None:
        """Adds that the report was written."""
        with self._transaction():
            self._insert("reported", study, int(reported.published), reported.reason, reported.at.isoformat())

    def receive(
        self, sequence: int, study: str, received: Received, envelope: bytes, head: tuple[int, str] | None = None
    ) -> None:
        """Adds a verified message, with its statement about the node's ledger, and marks the mailbox read up to it.

        The first of a slot stands. The same bytes again change nothing; others are a fault, and are not kept.
        """
        with self._transaction():
            self._consume(sequence)
            if head is not None:
                row = (received.node, *head)
                self._connection.execute("INSERT OR IGNORE INTO head VALUES (?, ?, ?)", row)
            first = self._one("SELECT envelope FROM received WHERE (study, node, slot) = (?, ?, ?)",
                              study, received.node, received.slot)  # fmt: skip
            if first is None:
                said = (received.kind, received.round, received.node, received.standing, received.code)
                step = (received.at.isoformat(), received.stage, received.attempt)
                self._insert("received", study, *said, *step, received.slot, envelope)
            elif first[0] != envelope:
                what = f"'{received.node}' sent a second, different {received.slot}; the first one stands."
                self._add_fault(study, Fault(received.node, what, received.at))

    def add_fault(self, sequence: int, study: str, fault: Fault) -> None:
        """Adds that a message was not accepted, once, and marks the mailbox read up to it."""
        with self._transaction():
            self._consume(sequence)
            self._add_fault(study, fault)

    def passed(self, sequence: int) -> None:
        """Marks the mailbox read up to a message of which nothing is kept."""
        with self._transaction():
            self._consume(sequence)

    # What is there

    @property
    def consumed(self) -> int:
        """Sequence number of the last mailbox message that was dealt with; 0 before the first."""
        return int(self._one("SELECT sequence FROM consumed")[0])

    def studies(self) -> list[str]:
        """Returns the names of all studies, oldest first."""
        return [name for (name,) in self._all("SELECT name FROM study ORDER BY rowid")]

    def records(self, study: str) -> Records | None:
        """Returns all that is stored about a study but the envelopes; None when there is no such study."""
        with self._turn:
            row = self._one("SELECT plan_digest, submitted FROM study WHERE name = ?", study)
            return None if row is None else self._records(study, *row)

    def head(self, node: str, sequence: int) -> str:
        """Returns what a node stated about an entry of its ledger; empty when it stated nothing."""
        row = self._one("SELECT statement FROM head WHERE (node, sequence) = (?, ?)", node, sequence)
        return str(row[0]) if row else ""

    def newest_head(self, node: str) -> str:
        """Returns what a node stated about the newest entry of its ledger; empty when it stated nothing."""
        query = "SELECT statement FROM head WHERE node = ? ORDER BY sequence DESC LIMIT 1"
        row = self._one(query, node)
        return str(row[0]) if row else ""

    def envelope(self, study: str, sent: Sent) -> bytes:
        """Returns the bytes of a message that was sent."""
        query = "SELECT envelope FROM sent WHERE (study, kind, round, attempt, stage, node) = (?, ?, ?, ?, ?, ?)"
        key = (sent.kind, sent.round, sent.attempt, sent.stage, sent.node)
        return bytes(self._one(query, study, *key)[0])

    def first(self, study: str, kind: SentKind) -> bytes:
        """Returns the bytes of the first message of a kind that was sent."""
        query = "SELECT envelope FROM sent WHERE (study, kind) = (?, ?) ORDER BY rowid LIMIT 1"
        return bytes(self._one(query, study, kind)[0])

    def answers(self, study: str) -> list[bytes]:
        """Returns the envelopes of every answer that carries vectors, as received."""
        where = "(study, kind, standing, stage) = (?, 'answer', 'approved', '')"
        query = f"SELECT envelope FROM received WHERE {where} ORDER BY rowid"  # noqa: S608
        return [bytes(envelope) for (envelope,) in self._all(query, study)]

    def steps(self, study: str, round_name: str) -> dict[str, list[bytes]]:
        """Returns what nodes said at each step of a round's secure sum: step -> envelopes as received."""
        where = "(study, kind, standing, round) = (?, 'answer', 'approved', ?)"
        query = f"SELECT stage, envelope FROM received WHERE {where} ORDER BY rowid"  # noqa: S608
        said: dict[str, list[bytes]] = {}
        for stage, envelope in self._all(query, study, round_name):
            said.setdefault(stage, []).append(bytes(envelope))
        return said

    def totals(self, study: str) -> dict[str, str]:
        """Returns the totals of a study's secure sums: round -> packed integers."""
        return dict(self._all("SELECT round, total FROM summed WHERE study = ?", study))

    def _records(self, study: str, plan_digest: str, submitted: str) -> Records:
        def rows(columns: str, table: str) -> list[Any]:
            return self._all(f"SELECT {columns} FROM {table} WHERE study = ? ORDER BY rowid", study)  # noqa: S608

        return Records(
            study,
            plan_digest,
            datetime.fromisoformat(submitted),
            tuple(_sent(*row) for row in rows("kind, round, node, digest, at, stage, attempt", "sent")),
            tuple(_received(*row) for row in rows("kind, round, node, standing, code, at, stage, attempt", "received")),
            next((_ending(*row) for row in rows("outcome, nodes, code, reason, at", "ending")), None),
            next((_reported(*row) for row in rows("published, reason, at", "reported")), None),
            tuple(_fault(*row) for row in rows("node, what, at", "fault")),
            tuple(_summed(*row) for row in rows("round, attempt, nodes, at", "summed")),
        )

    # SQLite

    def _add_messages(self, study: str, messages: Iterable[Message]) -> None:
        for message in messages:
            sent = message.sent
            self._insert("sent", study, sent.kind, sent.round, sent.node, sent.digest, sent.at.isoformat(),
                         sent.stage, sent.attempt, message.envelope)  # fmt: skip

    def _add_fault(self, study: str, fault: Fault) -> None:
        row = (study, fault.node, fault.what, fault.at.isoformat())
        self._connection.execute("INSERT OR IGNORE INTO fault VALUES (?, ?, ?, ?)", row)

    def _insert(self, table: str, *values: object) -> None:
        marks = ", ".join("?" * len(values))
        self._connection.execute(f"INSERT INTO {table} VALUES ({marks})", values)  # noqa: S608

    def _consume(self, sequence: int) -> None:
        self._connection.execute("UPDATE consumed SET sequence = max(sequence, ?)", (sequence,))

    def _one(self, query: str, *values: object) -> Any:
        with self._turn, self._errors():
            return self._connection.execute(query, values).fetchone()

    def _all(self, query: str, *values: object) -> list[Any]:
        with self._turn, self._errors():
            return self._connection.execute(query, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._turn, self._errors():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            locked = "locked" in str(error)
            raise StorageError(
                f"The studies' records in {self._path} cannot be used.",
                why="another process has them open" if locked else str(error),
                do="stop the other `cohortium serve`"
                if locked
                else "check the disk and the folder's permissions",
            ) from error


def _sent(kind: Any, round_name: str, node: str, digest: str, at: str, stage: str, attempt: int) -> Sent:
    return Sent(kind, round_name, node, digest, datetime.fromisoformat(at), stage, attempt)


def _received(kind: Any, round_name: str, node: str, standing: Any, code: str, at: str, stage: str, attempt: int
              ) -> Received:  # fmt: skip
    return Received(kind, round_name, node, standing, code, datetime.fromisoformat(at), stage, attempt)


def _summed(round_name: str, attempt: int, nodes: str, at: str) -> Summed:
    return Summed(round_name, attempt, tuple(json.loads(nodes)), datetime.fromisoformat(at))


def _ending(outcome: Any, nodes: str, code: str, reason: str, at: str) -> Ending:
    return Ending(outcome, tuple(json.loads(nodes)), code, reason, datetime.fromisoformat(at))


def _reported(published: int, reason: str, at: str) -> Reported:
    return Reported(bool(published), reason, datetime.fromisoformat(at))


def _fault(node: str, what: str, at: str) -> Fault:
    return Fault(node, what, datetime.fromisoformat(at))
