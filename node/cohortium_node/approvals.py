"""Plans that arrived and what the custodian decided: the desk between the daemon and a person.

The daemon writes what arrived and what became of it; the custodian's command line writes wishes, also while
the daemon runs. An approval takes effect when the daemon has entered the study in the ledger.
"""

from __future__ import annotations

import sqlite3
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from cohortium_node.storage import connect, refusing_faults
from cohortium_protocols.errors import UsageFault
from cohortium_protocols.signing import Envelope

State = Literal["waiting", "approved", "refused", "closed"]
Wish = Literal["", "approve", "refuse"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS study (
    study TEXT PRIMARY KEY,
    operator TEXT NOT NULL,
    plan_digest TEXT NOT NULL,
    envelope BLOB NOT NULL,
    arrived TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting',
    code TEXT NOT NULL DEFAULT '',
    note TEXT NOT NULL DEFAULT '',
    wish TEXT NOT NULL DEFAULT '',
    told TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE TABLE IF NOT EXISTS mailbox (
    one INTEGER PRIMARY KEY CHECK (one = 1), sequence INTEGER NOT NULL
) STRICT;
"""


@dataclass(frozen=True)
class Study:
    """One plan on the desk.

    Attributes:
        study: its name.
        operator: who sent it.
        plan_digest: which plan it is.
        envelope: the signed plan message.
        arrived: when it came first.
        state: waiting for the custodian or the cohort file, approved, refused or closed.
        code: the word that went out with a refusal.
        note: what the custodian should know; it never leaves.
        wish: what the custodian asked for and the daemon has not done yet.
        told: the state that the operator was last told.
    """

    study: str
    operator: str
    plan_digest: str
    envelope: bytes
    arrived: str
    state: State
    code: str
    note: str
    wish: Wish
    told: str

    @property
    def expires(self) -> datetime:
        """When the plan ends; intake has read the envelope before."""
        return datetime.fromisoformat(Envelope.from_bytes(self.envelope).content()["expires"])


class Desk:
    """The plans of one node."""

    def __init__(self, path: Path | None) -> None:
        """Opens the desk in a file, or a new one in memory when there is no path.

        Raises:
            StorageError: the file cannot be opened or written.
        """
        self._path = path
        self._database = connect(path, _SCHEMA)
        self._database.row_factory = sqlite3.Row

    def close(self) -> None:
        """Closes the file."""
        self._database.close()

    def studies(self) -> list[Study]:
        """Returns every plan, in the order of arrival."""
        with self._faults():
            rows = self._database.execute("SELECT * FROM study ORDER BY arrived, study").fetchall()
        return [Study(**row) for row in rows]

    def get(self, study: str) -> Study | None:
        """Returns the plan of that name, or None."""
        with self._faults():
            row = self._database.execute("SELECT * FROM study WHERE study = ?", (study,)).fetchone()
        return Study(**row) if row else None

    def find(self, study: str) -> Study:
        """Returns the plan of that name.

        Raises:
            UsageFault: no such plan has arrived; those that have are named.
        """
        found = self.get(study)
        if found is None:
            names = ", ".join(each.study for each in self.studies()) or "none yet"
            raise UsageFault(f"There is no plan '{study}' here.", do=f"name one that has arrived: {names}")
        return found

    def put(self, study: str, operator: str, plan_digest: str, envelope: bytes, arrived: str) -> Study:
        """Lays a plan on the desk and returns it as it lies there.

        The same plan in a new envelope (a later end) replaces the old one while it waits, and a wish about
        the old one is forgotten; once it is decided, the envelope stays the one that was decided on.
        """
        with self._faults():
            self._database.execute(
                "INSERT INTO study (study, operator, plan_digest, envelope, arrived) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (study) DO UPDATE SET envelope = excluded.envelope, wish = '' "
                "WHERE state = 'waiting' AND envelope <> excluded.envelope",
                (study, operator, plan_digest, envelope, arrived),
            )
        return self._the(study)

    def note(self, study: str, note: str) -> Study:
        """Records what the custodian should know about a plan."""
        with self._faults():
            self._database.execute("UPDATE study SET note = ? WHERE study = ?", (note, study))
        return self._the(study)

    def settle(self, study: str, state: State, *, code: str = "", note: str = "") -> Study:
        """Records what became of a plan, and that the custodian's wish is done."""
        with self._faults():
            self._database.execute(
                "UPDATE study SET state = ?, code = ?, note = ?, wish = '' WHERE study = ?",
                (state, code, note, study),
            )
        return self._the(study)

    def wish(self, study: str, wish: Wish) -> Study:
        """Records what the custodian wants.

        Raises:
            UsageFault: there is no such plan, or it is decided already.
        """
        with self._faults():
            self._database.execute(
                "UPDATE study SET wish = ? WHERE study = ? AND state = 'waiting'", (wish, study)
            )
        found = self.find(study)
        if found.state != "waiting":
            raise UsageFault(
                f"The plan '{study}' is {found.state} already.", do=f"see `cohortium-node show {study}`"
            )
        return found

    def told(self, study: str, state: str) -> None:
        """Records what the operator was told about a plan."""
        with self._faults():
            self._database.execute("UPDATE study SET told = ? WHERE study = ?", (state, study))

    @property
    def position(self) -> int:
        """The sequence number of the last message that was handled and whose answers were handed over."""
        with self._faults():
            row = self._database.execute("SELECT sequence FROM mailbox").fetchone()
        return int(row["sequence"]) if row else 0

    def remember(self, sequence: int) -> None:
        """Records that a message was handled and its answers were handed over."""
        with self._faults():
            self._database.execute("INSERT OR REPLACE INTO mailbox VALUES (1, ?)", (sequence,))

    def _the(self, study: str) -> Study:
        found = self.get(study)
        if found is None:
            raise KeyError(study)
        return found

    def _faults(self) -> AbstractContextManager[None]:
        return refusing_faults(self._path)
