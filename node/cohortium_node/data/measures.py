"""Measures of service use as database expressions: one total a person over a period.

The same measure over the follow-up is an outcome, over the year before the index date a covariate, and over the year
before that an outcome that no help can have changed. The events handed to a measure carry ``day``, the event's day
counted from the person's index date.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import ibis
import ibis.expr.types as ir

from cohortium_node.data.definitions import (
    AVOIDABLE,
    DEPARTMENT_TYPES,
    ELECTIVE_METHODS,
    EMERGENCY_METHODS,
    FIRST_ATTENDANCE,
    MAJOR,
    NONELECTIVE_METHODS,
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


def _ae_attendances_major(events: ir.Table, period: Period) -> ir.IntegerScalar:
    major = events.department_type.lpad(2, "0") == MAJOR
    first = events.attendance_category.fill_null("") == FIRST_ATTENDANCE
    return (major & first & within(events.day, period)).sum()


def _admissions(methods: tuple[str, ...]) -> Callable[[ir.Table, Period], ir.IntegerScalar]:
    return lambda events, period: (_admitted_by(events, methods) & within(events.day, period)).sum()


def _avoidable(events: ir.Table, period: Period) -> ir.IntegerScalar:
    code = events.primary_diagnosis.fill_null("").upper().re_replace("[^A-Z0-9]", "")
    sensitive = code.left(3).isin(AVOIDABLE) | code.left(4).isin(AVOIDABLE)
    return (sensitive & _admitted_by(events, EMERGENCY_METHODS) & within(events.day, period)).sum()


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
        "ae_attendances_major": Measure("emergency_attendance", _ATTENDANCE, _ae_attendances_major),
        "emergency_admissions": Measure("admission", _SPELL, _admissions(EMERGENCY_METHODS)),
        "any_emergency_admission": Measure("admission", _SPELL, _any(_admissions(EMERGENCY_METHODS))),
        "avoidable_emergency_admissions": Measure("admission", (*_SPELL, "primary_diagnosis"), _avoidable),
        "nonelective_admissions_broad": Measure("admission", _SPELL, _admissions(NONELECTIVE_METHODS)),
        "elective_admissions": Measure("admission", _SPELL, _admissions(ELECTIVE_METHODS)),
        "all_admissions": Measure("admission", _SPELL, _admissions(EMERGENCY_METHODS + ELECTIVE_METHODS)),
        "bed_days": Measure("admission", (*_SPELL, "discharged"), _bed_days),
        "outpatient_attendances": Measure("outpatient_appointment", ("attended",), _outpatient_attendances),
    }
)
"""Name in the registries (of a covariate after ``prior.``, of an outcome ``measure_of`` it) -> measure."""
