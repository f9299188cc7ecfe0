"""Measures of service use as database expressions: one total a person over a period.

The same measure over the follow-up is an outcome, and over the year before the index date a covariate. The
events handed to a measure carry ``day``, the event's day counted from the person's index date.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import ibis
import ibis.expr.types as ir

from cohortium_node.data.definitions import (
    DEPARTMENT_TYPES,
    ELECTIVE_METHODS,
    EMERGENCY_METHODS,
    PLANNED_FOLLOW_UP,
    REGULAR_ATTENDERS,
    Period,
)

EVENT_DATE: Mapping[str, str] = MappingProxyType(
    {"admission": "admitted", "emergency_attendance": "arrived", "outpatient_appointment": "date"}
)
"""Table of events -> the column with the day of the event."""


@dataclass(frozen=True)
class Measure:
    """One measure: the table it reads, the columns it needs there, and its total over a period."""

    table: str
    columns: tuple[str, ...]
    total: Callable[[ir.Table, Period], ir.IntegerScalar]


def within(day: ir.IntegerColumn, period: Period) -> ir.BooleanColumn:
    """Returns whether each day lies in the half-open period."""
    return (day >= period.first) & (day < period.end)


def _counts(events: ir.Table) -> ir.BooleanColumn:
    """Attendances that count: an A&E department, and not a planned follow-up."""
    planned = events.attendance_category.fill_null("") == PLANNED_FOLLOW_UP
    return events.department_type.lpad(2, "0").isin(DEPARTMENT_TYPES) & ~planned


def _admitted_by(events: ir.Table, methods: tuple[str, ...]) -> ir.BooleanColumn:
    """Admissions by one of these methods, without regular attenders."""
    return events.method.upper().isin(methods) & events.classification.fill_null("").notin(REGULAR_ATTENDERS)


def _ae_attendances(events: ir.Table, period: Period) -> ir.IntegerScalar:
    return (_counts(events) & within(events.day, period)).sum()


def _emergency_admissions(events: ir.Table, period: Period) -> ir.IntegerScalar:
    return (_admitted_by(events, EMERGENCY_METHODS) & within(events.day, period)).sum()


def _elective_admissions(events: ir.Table, period: Period) -> ir.IntegerScalar:
    return (_admitted_by(events, ELECTIVE_METHODS) & within(events.day, period)).sum()


def _bed_days(events: ir.Table, period: Period) -> ir.IntegerScalar:
    """Days from admission to discharge, or to the period's end if it is earlier or no discharge is known."""
    counted = _admitted_by(events, EMERGENCY_METHODS + ELECTIVE_METHODS) & within(events.day, period)
    left = ibis.least(
        events.discharged.delta(events.index_date, unit="day").fill_null(period.end), period.end
    )
    return counted.ifelse(ibis.greatest(left - events.day, 0), 0).sum()


def _outpatient_attendances(events: ir.Table, period: Period) -> ir.IntegerScalar:
    return (events.attended & within(events.day, period)).sum()


def _any(
    total: Callable[[ir.Table, Period], ir.IntegerScalar],
) -> Callable[[ir.Table, Period], ir.IntegerScalar]:
    return lambda events, period: (total(events, period) > 0).cast("int64")


_ATTENDANCE = ("attendance_category", "department_type")
_SPELL = ("classification", "method")

MEASURES: Mapping[str, Measure] = MappingProxyType(
    {
        "ae_attendances": Measure("emergency_attendance", _ATTENDANCE, _ae_attendances),
        "any_ae_attendance": Measure("emergency_attendance", _ATTENDANCE, _any(_ae_attendances)),
        "emergency_admissions": Measure("admission", _SPELL, _emergency_admissions),
        "any_emergency_admission": Measure("admission", _SPELL, _any(_emergency_admissions)),
        "elective_admissions": Measure("admission", _SPELL, _elective_admissions),
        "bed_days": Measure("admission", (*_SPELL, "discharged"), _bed_days),
        "outpatient_attendances": Measure("outpatient_appointment", ("attended",), _outpatient_attendances),
    }
)
"""Name in the registries (of a covariate: after ``prior.``) -> measure."""
