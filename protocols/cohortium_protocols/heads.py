"""Heads of privacy ledgers: what a node signs about its own ledger, so that others can hold it to that.

A node's answer carries a *statement*, an envelope of its own: with this answer, my ledger stood at this entry with this
hash. Witnesses (the operator, peers) keep the newest statement of every node and hand it back as an *anchor*. Nobody
but the node can make a statement, so that a witness can withhold one and cannot invent one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cohortium_protocols.canonical import canonical_bytes, digest
from cohortium_protocols.errors import SignatureError
from cohortium_protocols.messages import Head, read
from cohortium_protocols.signing import Envelope, SigningKey, VerifyKey

FIELD = "head"
"""Where an answer carries its statement."""


def released(answer: Mapping[str, Any]) -> str:
    """Returns the digest of all that an answer's body says beside its statement."""
    return digest(canonical_bytes({name: value for name, value in answer.items() if name != FIELD}))


def statement(head: Head, study: str, node: str, operator: str, key: SigningKey) -> str:
    """Returns a node's signed statement about its ledger."""
    return Envelope.sign("head", study, node, operator, head.body(), key).to_bytes().decode()


def read_head(text: str, keys: Mapping[str, VerifyKey]) -> tuple[str, Head]:
    """Returns who made a statement, and what it says.

    Raises:
        SignatureError: it is not by one of these nodes, or was altered.
        TrustError: it says something else.
    """
    envelope = _envelope(text).verified(keys)
    if envelope.kind != "head":
        raise SignatureError(f"A {envelope.kind} message from '{envelope.sender}' is no statement about a ledger.")
    return envelope.sender, read(envelope, Head)


def kept_head(text: str) -> Head:
    """Returns what a statement says that was checked when it was taken in.

    Raises:
        TrustError: it is no statement.
    """
    return read(_envelope(text), Head)


def _envelope(text: str) -> Envelope:
    try:
        return Envelope.from_bytes(text.encode())
    except ValueError as error:  # text that has no UTF-8 form, or that JSON cannot hold
        raise SignatureError("A statement about a ledger cannot be read.") from error
