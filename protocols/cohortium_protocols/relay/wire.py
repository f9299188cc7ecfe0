"""What the relay and its clients agree on beside `proto/relay.proto`: limits and reasons to refuse."""

from __future__ import annotations

from enum import StrEnum

from cohortium_protocols.errors import ChannelError, SignatureError
from cohortium_protocols.signing import Envelope

ENVELOPE_LIMIT = 16 * 2**20
"""Bytes of the largest envelope a channel carries."""

MESSAGE_LIMIT = 2 * ENVELOPE_LIMIT + 2**16
"""Bytes of the largest gRPC message: an envelope on top of a reply that was almost full, and framing."""

WAIT_LIMIT = 60.0
"""Seconds of the longest wait for an envelope in one call."""


class Refusal(StrEnum):
    """Why the relay refuses a call: the only words it sends, as the details of a gRPC status."""

    CERTIFICATE = "certificate_not_named"
    ROLE = "wrong_role"
    SENDER = "wrong_sender"
    ENVELOPE = "not_an_envelope"
    SIZE = "too_large"
    STORAGE = "storage"


EXPLANATIONS: dict[Refusal, tuple[str, str, str]] = {
    Refusal.CERTIFICATE: (
        "The relay refused this party's certificate.",
        "its subject does not name a party and a role that the relay knows",
        "ask the operator to issue a certificate from this party's certificate request",
    ),
    Refusal.ROLE: (
        "The relay refused the call.",
        "nodes fetch and submit envelopes, operators operate; this certificate has the other role",
        "use the certificate that the operator issued for this purpose",
    ),
    Refusal.SENDER: (
        "The relay refused an envelope.",
        "its sender is not the name in the certificate that it was submitted with",
        "use the certificate issued for this party's name; names must be the same in both",
    ),
    Refusal.ENVELOPE: (
        "The relay refused a message.",
        "it is not a signed envelope",
        "compare the versions of Cohortium on both sides",
    ),
    Refusal.SIZE: (
        "The message is too large to send.",
        f"a channel carries envelopes of at most {ENVELOPE_LIMIT // 2**20} MiB",
        "split the study: fewer outcomes or covariates make smaller messages",
    ),
    Refusal.STORAGE: (
        "The relay could not store a message.",
        "its own mailbox could not be used",
        "nothing is lost here, it will be sent again; ask the operator to look at the relay's disk and log",
    ),
}


def refused(reason: Refusal) -> ChannelError:
    """Returns the error for a person whose call was refused."""
    what, why, do = EXPLANATIONS[reason]
    return ChannelError(what, why=why, do=do)


def addressee(envelope: bytes, sender: str) -> str | Refusal:
    """Returns to whom a submitted envelope goes, or why it is refused.

    Args:
        envelope: the bytes as submitted.
        sender: who submits, as known from the connection and not from the envelope.
    """
    if len(envelope) > ENVELOPE_LIMIT:
        return Refusal.SIZE
    try:
        read = Envelope.from_bytes(envelope)
    except SignatureError:
        return Refusal.ENVELOPE
    return read.recipient if read.sender == sender else Refusal.SENDER
