"""The canonical tables: what each is called, which columns it has and what a column holds.

Every column of every table is listed here once. A file may leave out columns that the study does not need; it
may not hold values of another kind. Columns that are not listed are ignored.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Kind = Literal["text", "nhs_number", "date", "number", "boolean", "codes"]

NULL_DATES = (dt.date(1582, 10, 15), dt.date(1600, 1, 1), dt.date(1800, 1, 1), dt.date(1801, 1, 1))
"""Dates that hospital extracts write for "not known"; they are read as missing."""


@dataclass(frozen=True)
class Column:
    """One column of a canonical table.

    Attributes:
        name: its name in the file.
        kind: what it holds: ``codes`` is a list of ICD-10 codes, or text with commas or semicolons between
            them.
        values: the only values it may hold, if they are few; a missing value is always allowed.
    """

    name: str
    kind: Kind
    values: tuple[str, ...] = ()


SEXES = ("female", "male", "other", "unknown")
ETHNICITIES = ("white", "asian", "black", "mixed", "other", "unknown")

_PERSON = (
    Column("person_id", "text"),
    Column("nhs_number", "nhs_number"),
    Column("sex", "text", SEXES),
    Column("birth_date", "date"),
    Column("ethnicity", "text", ETHNICITIES),
    Column("imd_decile", "number"),
    Column("area", "text"),
    Column("registered_from", "date"),
    Column("registered_to", "date"),
    Column("death_date", "date"),
    Column("opt_out", "boolean"),
)
_ADMISSION = (
    Column("person_id", "text"),
    Column("admitted", "date"),
    Column("discharged", "date"),
    Column("method", "text"),
    Column("classification", "text"),
    Column("source", "text"),
    Column("destination", "text"),
    Column("primary_diagnosis", "text"),
    Column("diagnoses", "codes"),
)
_EMERGENCY_ATTENDANCE = (
    Column("person_id", "text"),
    Column("arrived", "date"),
    Column("department_type", "text"),
    Column("attendance_category", "text"),
    Column("disposal", "text"),
    Column("primary_diagnosis", "text"),
)
_OUTPATIENT_APPOINTMENT = (
    Column("person_id", "text"),
    Column("date", "date"),
    Column("specialty", "text"),
    Column("attended", "boolean"),
)

TABLES: Mapping[str, tuple[Column, ...]] = MappingProxyType(
    {
        "person": _PERSON,
        "admission": _ADMISSION,
        "emergency_attendance": _EMERGENCY_ATTENDANCE,
        "outpatient_appointment": _OUTPATIENT_APPOINTMENT,
    }
)

ALWAYS_NEEDED = (
    "person_id",
    "nhs_number",
    "birth_date",
    "registered_from",
    "registered_to",
    "death_date",
    "opt_out",
)
"""Columns of ``person`` without which nobody's eligibility can be decided."""


def column(table: str, name: str) -> Column:
    """Returns the declaration of one column."""
    return next(declared for declared in TABLES[table] if declared.name == name)
