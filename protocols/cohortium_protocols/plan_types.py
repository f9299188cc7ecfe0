"""The plain values that a plan is made of: strict, bounded, and the same after a trip through JSON.

Nothing is guessed: text is not read as a number, a number is not read as a date, yes/no is not read as 1/0.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from cohortium_protocols.plan_fault import broken

LONGEST_DAYS = 1826
"""Days: five years."""

LARGEST = 1e15
"""Bound of the values of covariates and outcomes: whole numbers up to here are exact."""

SLUG = r"^[a-z0-9]+(-[a-z0-9]+)*$"
PRINTABLE = r"^[^\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]*$"
"""One line of text without control characters: people read it on terminals and pages before they approve."""

_DAYS = re.compile(r"([0-9]{1,5}) days?")
_ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class Frozen(BaseModel):
    """An immutable value; unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def written_fields(value: object) -> object:
    """Returns the fields of an entry: a name alone is an entry, and so is a finished model."""
    if isinstance(value, str):
        return {"name": value}
    return value.model_dump(mode="json") if isinstance(value, Frozen) else value


def only_name_required(schema: dict[str, Any]) -> None:
    """Tells editors that a registry fills in everything but the name."""
    schema["required"] = ["name"]


def _days(value: object) -> object:
    if not isinstance(value, str):
        return value
    found = _DAYS.fullmatch(value)
    if found is None:
        why = "Months and years have different lengths, so lengths of time are written in days."
        raise broken(f"'{value}' is not a number of days.", why, "Write, for example, `365 days`.")
    return int(found[1])


def _iso_date(value: object) -> object:
    if isinstance(value, date) or (isinstance(value, str) and _ISO_DATE.fullmatch(value)):
        return value
    why = "Dates are written as year, month and day, so that they mean the same everywhere."
    raise broken(f"'{value}' is not a date.", why, "Write, for example, `2022-01-31`.")


Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Value = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-LARGEST, le=LARGEST)]
Whole = Annotated[int, Field(strict=True)]
YesNo = Annotated[bool, Field(strict=True)]
Text = Annotated[
    str,
    StringConstraints(strict=True, strip_whitespace=True, min_length=1, max_length=1000, pattern=PRINTABLE),
]
Name = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=200, pattern=PRINTABLE)]
Unit = Annotated[str, StringConstraints(strict=True, max_length=100, pattern=PRINTABLE)]
Slug = Annotated[str, StringConstraints(strict=True, max_length=64, pattern=SLUG)]
Day = Annotated[date, Field(ge=date(1900, 1, 1), le=date(2199, 12, 31)), BeforeValidator(_iso_date)]
_WrittenDays = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,5} days?$")]
Days = Annotated[
    int,
    Field(strict=True, ge=0, le=LONGEST_DAYS),
    BeforeValidator(
        _days, json_schema_input_type=_WrittenDays | Annotated[int, Field(ge=0, le=LONGEST_DAYS)]
    ),
]
