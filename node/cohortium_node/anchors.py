"""Anchors: what witnesses outside this disk hold of the ledger, so that a copy put back or a cloned machine shows.

Every answer carries a statement of this node about its ledger (``protocols.heads``). The operator and peers hand it
back as an anchor; the newest of each witness is kept here, in a file of its own. Nothing is released unless the ledger

- has an entry with that number and that hash, and so all entries before it, and
- holds exactly the answer that was stated;

nor before the operator has said, once since the start, which statement it holds: that anchor is new whatever was
restored on this machine. This node keeps the newest statements of its peers in the same way.
"""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Protocol

from cohortium_protocols.errors import LedgerError, StorageError, TrustError
from cohortium_protocols.heads import kept_head, released
from cohortium_protocols.messages import Head
from cohortium_protocols.signing import Envelope

_FORMAT = 1


class Chain(Protocol):
    """What a ledger shows of itself."""

    def hash_at(self, sequence: int) -> str | None:
        """Returns the hash of an entry; None when there is none of that number."""
        ...

    def answer(self, request: str) -> bytes | None:
        """Returns the stored answer to a request, or None."""
        ...


def fault(head: Head, ledger: Chain) -> str:
    """Returns why a ledger is not the one that this node stated; empty when it is at or after the statement."""
    found = ledger.hash_at(head.sequence)
    if found is None:
        return f"it ends before entry {head.sequence}, which this node has answered from"
    if found != head.hash:
        return f"its entry {head.sequence} is another than the one that this node has answered from"
    stored = ledger.answer(head.request)
    if stored is None or released(Envelope.from_bytes(stored).content()) != head.released:
        return f"it does not hold the answer that left after entry {head.sequence}"
    return ""


class Anchors:
    """The newest statements that witnesses hold of this node, and that it holds of its peers."""

    def __init__(self, path: Path | None = None, witness: str = "") -> None:
        """Opens the anchors in a file; without a path they end with the process.

        Args:
            path: the file; made when there is something to keep.
            witness: who must be asked before anything is released; nobody when empty, for simulations.

        Raises:
            StorageError: the file cannot be read.
        """
        self.witness = witness
        self.nonce = secrets.token_hex(16)
        self._path = path
        self._asked = not witness
        self._mine, self._peers = read_anchors(path) if path is not None and path.exists() else ({}, {})
        self._held: set[str] = set()  # statements that the ledger was held against; it only ever grows

    @property
    def recalled(self) -> bool:
        """Whether the witness has said, since the start, what it holds."""
        return self._asked

    def take(self, witness: str, statement: str, nonce: str) -> None:
        """Keeps what a witness holds of this node, when it is news.

        Args:
            witness: whose envelope it came in.
            statement: this node's own, signature checked; empty when the witness holds none.
            nonce: that of the recall which it answers.

        Raises:
            StorageError: the file cannot be written.
        """
        if statement and _newer(statement, self._mine.get(witness)):
            self._mine[witness] = statement
            self._write()
        self._asked = self._asked or (witness == self.witness and nonce == self.nonce)

    def witnessed(self, node: str, statement: str) -> bool:
        """Keeps a peer's statement, signature checked; returns false when it contradicts the one that is kept.

        Raises:
            StorageError: the file cannot be written.
        """
        kept = self._peers.get(node)
        if _newer(statement, kept):
            self._peers[node] = statement
            self._write()
            return True
        return kept is None or kept == statement or kept_head(kept).sequence > kept_head(statement).sequence

    def of(self, node: str) -> str:
        """Returns the newest statement of a peer; empty when there is none."""
        return self._peers.get(node, "")

    def check(self, ledger: Chain) -> None:
        """Refuses a ledger that is behind an anchor, or another one.

        Raises:
            LedgerError: it is, or the witness has not been heard since the start.
        """
        if not self._asked:
            raise LedgerError(
                f"'{self.witness}' has not said yet which head of this node's ledger it holds.",
                do="nothing was released; it is asked when the daemon starts",
            )
        for witness, statement in self._mine.items():
            if statement not in self._held:
                check_statement(witness, statement, ledger)
                self._held.add(statement)

    def _write(self) -> None:
        if self._path is None:
            return
        text = json.dumps({"format": _FORMAT, "mine": self._mine, "peers": self._peers}, indent=1)
        fresh = self._path.with_suffix(".new")
        try:
            handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text + "\n")
                file.flush()
                os.fsync(handle)
            fresh.replace(self._path)
        except OSError as error:
            raise StorageError(
                f"The anchors {self._path} cannot be written.",
                why=error.strerror or "",
                do="check the disk's free space and the folder's permissions; nothing was released",
            ) from error


def check_statement(witness: str, statement: str, ledger: Chain) -> None:
    """Refuses a ledger that is behind a statement of this node, or another one.

    Raises:
        LedgerError: it is.
    """
    if why := fault(kept_head(statement), ledger):
        raise LedgerError(
            f"The ledger is not the one that '{witness}' holds an anchor of.",
            why=f"{why}: an old copy was put back, entries were cut off, or another machine works with a copy of it",
            do="nothing was released. Stop every copy of this node and put the newest ledger back; "
            "if it is lost, this node must begin again under a new name and key, with what was spent off its caps",
        )


def read_anchors(path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Returns the statements in a file: witness -> this node's own, and peer -> the peer's.

    Raises:
        StorageError: the file cannot be read, or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        mine, peers = ({str(name): str(text) for name, text in content[part].items()} for part in ("mine", "peers"))
        for statement in (*mine.values(), *peers.values()):
            kept_head(statement)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, TrustError) as error:
        why = error.strerror if isinstance(error, OSError) else "it holds something else"
        raise StorageError(
            f"The anchors {path} cannot be read.", why=why or "", do="restore the file; nothing was released"
        ) from error
    return mine, peers


def _newer(statement: str, kept: str | None) -> bool:
    return kept is None or kept_head(statement).sequence > kept_head(kept).sequence
