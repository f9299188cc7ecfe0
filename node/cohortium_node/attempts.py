"""Attempts at secure sums, as they are kept in the ledger's file: changed at every step, unlike the ledger itself.

An attempt's secrets are destroyed when it is over. That it was made stays known, so that it is never begun again.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field

from cohortium_protocols.canonical import digest
from cohortium_protocols.signing import Envelope

SCHEMA = """
CREATE TABLE IF NOT EXISTS attempt (
    study TEXT NOT NULL, round TEXT NOT NULL, number INTEGER NOT NULL, request BLOB NOT NULL, secrets BLOB NOT NULL,
    PRIMARY KEY (study, round, number)
) STRICT;
"""


@dataclass(frozen=True)
class Attempt:
    """One attempt at one round.

    Attributes:
        study: name of the study.
        round: name of the round.
        number: of the attempt, from 1.
        request: the operator's signed request, as it arrived.
        secrets: this node's state (``secure_sum.Secrets``); empty once the attempt is over.
    """

    study: str
    round: str
    number: int
    request: bytes = field(repr=False)
    secrets: bytes = field(repr=False)

    @property
    def request_digest(self) -> str:
        """SHA-256 of the request's body: what the attempt is charged for."""
        return digest(Envelope.from_bytes(self.request).body)


def kept(database: sqlite3.Connection, study: str, round_name: str, number: int) -> Attempt | None:
    """Returns an attempt as it was kept last; None when it was never begun."""
    question = "SELECT * FROM attempt WHERE study = ? AND round = ? AND number = ?"
    row = database.execute(question, (study, round_name, number)).fetchone()
    return Attempt(*row) if row else None


def keep(database: sqlite3.Connection, attempt: Attempt) -> None:
    """Writes an attempt as it is now."""
    values = (attempt.study, attempt.round, attempt.number, attempt.request, attempt.secrets)
    database.execute("INSERT OR REPLACE INTO attempt VALUES (?, ?, ?, ?, ?)", values)


def unfinished(database: sqlite3.Connection) -> set[str]:
    """Returns the studies with an attempt whose secrets are still kept."""
    return {study for (study,) in database.execute("SELECT DISTINCT study FROM attempt WHERE secrets <> x''")}


def destroy(database: sqlite3.Connection, study: str) -> None:
    """Overwrites the secrets of every attempt of a study."""
    database.execute("UPDATE attempt SET secrets = x'' WHERE study = ? AND secrets <> x''", (study,))
