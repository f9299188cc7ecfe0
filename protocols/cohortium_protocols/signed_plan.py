"""A signed plan as a file: the envelopes for every node, so that signing can be a person's own step."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from cohortium_protocols.canonical import canonical_bytes
from cohortium_protocols.errors import SignatureError
from cohortium_protocols.messages import PlanMessage, read
from cohortium_protocols.signing import Envelope, VerifyKey

_FORMAT = "cohortium_signed_plan"


def is_signed_plan(text: str) -> bool:
    """Returns whether a text is such a file rather than a plan as an operator writes it."""
    return text.lstrip().startswith("{") and f'"{_FORMAT}"' in text


def signed_plan_text(envelopes: Sequence[bytes]) -> str:
    """Returns the file of a plan's envelopes."""
    return (
        canonical_bytes({_FORMAT: 1, "envelopes": [json.loads(envelope) for envelope in envelopes]}).decode()
        + "\n"
    )


def read_signed_plan(text: str, operators: Mapping[str, VerifyKey]) -> tuple[PlanMessage, list[Envelope]]:
    """Returns a signed plan and its envelopes, one for each node of the roster.

    Raises:
        SignatureError: it is not signed by one of these operators, was altered, or is not whole.
    """
    envelopes = [Envelope.from_bytes(canonical_bytes(fields)) for fields in _fields(text)]
    for envelope in envelopes:
        envelope.verified(operators)
    message = read(envelopes[0], PlanMessage)
    expected = {("plan", message.plan.study, node, envelopes[0].body) for node in message.plan.nodes.roster}
    found = [(envelope.kind, envelope.study, envelope.recipient, envelope.body) for envelope in envelopes]
    if set(found) != expected or len(found) != len(expected):
        raise _unusable("its envelopes are not one copy of one plan for each node of its roster")
    return message, envelopes


def _fields(text: str) -> list[Any]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise _unusable("it is not whole") from error
    fields = document.get("envelopes")
    if document.get(_FORMAT) != 1 or not isinstance(fields, list) or not fields:
        raise _unusable("it holds no signed envelopes of a format that this version knows")
    return fields


def _unusable(why: str) -> SignatureError:
    return SignatureError(
        "This signed plan cannot be used.", why=why, do="sign the plan again with `cohortium plan sign`"
    )
