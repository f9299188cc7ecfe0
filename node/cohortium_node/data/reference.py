"""The reference engine: the definitions of ``extract`` in plain Python, one person at a time.

It is slow and obvious. Tests hold the database engine against it on many small made-up populations; when the
two differ, this one is read first.
"""

from __future__ import annotations

import csv
import datetime as dt
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np

from cohortium_node.data.cohort import Cohort
from cohortium_node.data.definitions import (
    AVOIDABLE,
    DEPARTMENT_TYPES,
    EARLIER_YEAR,
    ELECTIVE_METHODS,
    EMERGENCY_METHODS,
    FIRST_ATTENDANCE,
    MAJOR,
    NONELECTIVE_METHODS,
    PLANNED_FOLLOW_UP,
    PRIOR_YEAR,
    REGULAR_ATTENDERS,
    Period,
    StudyDates,
    study_dates,
)
from cohortium_node.data.diagnoses import CHARLSON, FRAILTY, LOOKBACK_DAYS, Condition, prefixes
from cohortium_node.data.schema import NULL_DATES
from cohortium_node.data.table import AnalysisTable
from cohortium_protocols.attrition import EXIT_STEPS
from cohortium_protocols.covariates import Covariate
from cohortium_protocols.plan import Outcome, Plan


@dataclass(frozen=True)
class Person:
    """One row of ``person``."""

    person_id: str
    nhs_number: str | None
    birth_date: dt.date | None = dt.date(1970, 6, 15)
    sex: str | None = None
    ethnicity: str | None = None
    imd_decile: int | None = None
    registered_from: dt.date | None = None
    registered_to: dt.date | None = None
    death_date: dt.date | None = None
    opt_out: bool | None = False


@dataclass(frozen=True)
class Admission:
    """One row of ``admission``: a spell."""

    person_id: str
    admitted: dt.date | None
    discharged: dt.date | None = None
    method: str | None = None
    classification: str | None = None
    primary_diagnosis: str | None = None
    diagnoses: str | None = None


@dataclass(frozen=True)
class EmergencyAttendance:
    """One row of ``emergency_attendance``."""

    person_id: str
    arrived: dt.date | None
    department_type: str | None = None
    attendance_category: str | None = None


@dataclass(frozen=True)
class OutpatientAppointment:
    """One row of ``outpatient_appointment``."""

    person_id: str
    date: dt.date | None
    attended: bool | None = None


ROWS: Mapping[str, type[Person | Admission | EmergencyAttendance | OutpatientAppointment]] = {
    "person": Person,
    "admission": Admission,
    "emergency_attendance": EmergencyAttendance,
    "outpatient_appointment": OutpatientAppointment,
}
"""Table -> what its rows are."""


@dataclass(frozen=True)
class Records:
    """Everything a data holder has, in the canonical tables."""

    person: tuple[Person, ...] = ()
    admission: tuple[Admission, ...] = ()
    emergency_attendance: tuple[EmergencyAttendance, ...] = ()
    outpatient_appointment: tuple[OutpatientAppointment, ...] = ()

    def write(self, folder: Path) -> None:
        """Writes the records as a data source: one CSV file for each canonical table, empty ones included."""
        for table, row in ROWS.items():
            with (folder / f"{table}.csv").open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, [column.name for column in fields(row)])
                writer.writeheader()
                writer.writerows(asdict(each) for each in getattr(self, table))

    def of(self, person_id: str) -> Records:
        """Returns one person's events."""
        return replace(
            self,
            admission=tuple(event for event in self.admission if event.person_id == person_id),
            emergency_attendance=tuple(e for e in self.emergency_attendance if e.person_id == person_id),
            outpatient_appointment=tuple(e for e in self.outpatient_appointment if e.person_id == person_id),
        )


@dataclass(frozen=True)
class _Subject:
    """A linkable person with an index date, and where the person's way through the study ends."""

    person: Person
    index: dt.date
    linked: bool
    order: bytes
    step: str = "analysed"


def reference_table(plan: Plan, cohort: Cohort, study_key: bytes, records: Records) -> AnalysisTable:
    """Returns what ``extract`` must return for these records."""
    subjects = sorted(_subjects(plan, cohort, study_key, records.person), key=lambda subject: subject.order)
    analysed = [subject for subject in subjects if subject.step == "analysed"]
    dates = study_dates(plan)
    outcomes = [
        [
            _outcome(outcome, subject, records.of(subject.person.person_id), dates)
            for outcome in plan.outcomes
        ]
        for subject in analysed
    ]
    return AnalysisTable(
        treated=np.array([subject.linked for subject in analysed], dtype=np.bool_),
        covariates={
            covariate.name: np.array(
                [
                    _covariate(covariate, subject, records.of(subject.person.person_id))
                    for subject in analysed
                ],
                dtype=np.object_ if covariate.levels else np.float64,
            )
            for covariate in plan.covariates
        },
        outcomes=np.array(outcomes, dtype=np.float64).reshape(len(analysed), len(plan.outcomes)),
        exits=np.array(
            [EXIT_STEPS.index(subject.step) for subject in subjects if subject.linked], dtype=np.int64
        ),
    )


def _subjects(plan: Plan, cohort: Cohort, study_key: bytes, people: Iterable[Person]) -> Iterable[_Subject]:
    starts = dict(zip(cohort.nhs_numbers.tolist(), cohort.start_dates.tolist(), strict=True))
    consented = set(cohort.nhs_numbers[cohort.consent].tolist())
    dates = study_dates(plan)
    for person in people:
        digits = (person.nhs_number or "").replace(" ", "")
        if not _is_valid(digits):
            continue
        number, digest = int(digits), hmac.digest(study_key, digits.encode(), "sha256")
        days = (dates.last - dates.first).days + 1
        drawn = dates.first + dt.timedelta(days=int.from_bytes(digest[:8], "big") % days)
        subject = _Subject(person, starts.get(number, drawn), number in starts, digest[24:])
        yield replace(subject, step=_step(plan, subject, consent=number in consented))


def _is_valid(digits: str) -> bool:
    if len(digits) != 10 or not (digits.isascii() and digits.isdigit()):
        return False
    remainder = (
        sum(int(digit) * weight for digit, weight in zip(digits[:9], range(10, 1, -1), strict=True)) % 11
    )
    return (11 - remainder) % 11 == int(digits[9])


def _step(plan: Plan, subject: _Subject, *, consent: bool) -> str:
    person, index, dates = subject.person, subject.index, study_dates(plan)
    begins, ends, died = _day(person.registered_from), _day(person.registered_to), _day(person.death_date)
    age = _age(person, index)
    if not dates.first <= index <= dates.last:
        return "outside_intake"
    if (begins and index < begins) or (ends and index > ends):
        return "not_registered"
    if age is None or not plan.population.age[0] <= age <= plan.population.age[1]:
        return "outside_population"
    if died and died < index:
        return "died_before_index"
    if person.opt_out is not False and not consent:
        return "opted_out"
    return "analysed"


def _day(date: dt.date | None) -> dt.date | None:
    return None if date in NULL_DATES else date


def _age(person: Person, index: dt.date) -> int | None:
    born = _day(person.birth_date)
    if born is None:
        return None
    return index.year - born.year - ((index.month, index.day) < (born.month, born.day))


def _covariate(covariate: Covariate, subject: _Subject, records: Records) -> float | str:
    person, index, name = subject.person, subject.index, covariate.name
    if name.startswith("prior."):
        return _use(name.removeprefix("prior."), index, records, PRIOR_YEAR)
    if name in ("charlson", "frailty"):
        return _score(_past_codes(index, records), CHARLSON if name == "charlson" else FRAILTY)
    if name == "index_quarter":
        return f"{index.year}Q{(index.month + 2) // 3}"
    if name in ("sex", "ethnicity"):
        return _level(person.sex if name == "sex" else person.ethnicity, covariate.levels)
    value = _age(person, index) if name == "age" else person.imd_decile
    return float("nan") if value is None else float(value)


def _level(value: str | None, levels: tuple[str, ...]) -> str:
    value = (value or "unknown").strip().lower()
    choices = (value,) if value == "unknown" else (value, "other", "unknown")
    return next((choice for choice in choices if choice in levels), "")


def _outcome(outcome: Outcome, subject: _Subject, records: Records, dates: StudyDates) -> float:
    name, index, period = outcome.name, subject.index, dates.follow_up
    if name == "death":
        return float(_within(_day(subject.person.death_date), index, period))
    if name == "follow_up_years":
        return sum(_observed(subject.person, index + dt.timedelta(n)) for n in range(period.first, period.end)) / 365.25
    if name.startswith("earlier."):
        return _use(name.removeprefix("earlier."), index, records, EARLIER_YEAR)
    if name.endswith(".change"):
        measure = name.removesuffix(".change")
        before = _use(measure, index, records, PRIOR_YEAR) * ((period.end - period.first) / 365)
        return min(_use(measure, index, records, period), outcome.clip) - min(before, outcome.clip)
    return _use(name, index, records, period)


def _observed(person: Person, day: dt.date) -> bool:
    """Returns whether a person is alive and registered on a day; the day of death or of leaving still counts."""
    last_days = (_day(person.death_date), _day(person.registered_to))
    return all(last is None or day <= last for last in last_days)


def _use(name: str, index: dt.date, records: Records, period: Period) -> float:
    """Returns one person's use of a service in a period."""

    def spells(methods: tuple[str, ...]) -> list[Admission]:
        return [spell for spell in records.admission if _is_admission(spell, methods, index, period)]

    elective, emergency = spells(ELECTIVE_METHODS), spells(EMERGENCY_METHODS)
    attendances = [event for event in records.emergency_attendance if _is_attendance(event, index, period)]
    seen = [e for e in records.outpatient_appointment if e.attended and _within(_day(e.date), index, period)]
    end = index + dt.timedelta(days=period.end)
    use: Mapping[str, int] = {
        "ae_attendances": len(attendances),
        "any_ae_attendance": min(len(attendances), 1),
        "ae_attendances_major": sum(_is_major(event) for event in attendances),
        "emergency_admissions": len(emergency),
        "any_emergency_admission": min(len(emergency), 1),
        "avoidable_emergency_admissions": sum(
            bool(_beginnings([spell.primary_diagnosis or ""]) & AVOIDABLE) for spell in emergency
        ),
        "nonelective_admissions_broad": len(spells(NONELECTIVE_METHODS)),
        "elective_admissions": len(elective),
        "all_admissions": len(elective) + len(emergency),
        "bed_days": sum(_stay(spell, end) for spell in elective + emergency),
        "outpatient_attendances": len(seen),
    }
    return float(use[name])


def _within(date: dt.date | None, index: dt.date, period: Period) -> bool:
    return date is not None and period.first <= (date - index).days < period.end


def _is_admission(spell: Admission, methods: tuple[str, ...], index: dt.date, period: Period) -> bool:
    return (
        (spell.method or "").upper() in methods
        and spell.classification not in REGULAR_ATTENDERS
        and _within(_day(spell.admitted), index, period)
    )


def _is_attendance(event: EmergencyAttendance, index: dt.date, period: Period) -> bool:
    return (
        (event.department_type or "").rjust(2, "0") in DEPARTMENT_TYPES
        and event.attendance_category != PLANNED_FOLLOW_UP
        and _within(_day(event.arrived), index, period)
    )


def _is_major(event: EmergencyAttendance) -> bool:
    return (event.department_type or "").rjust(2, "0") == MAJOR and event.attendance_category == FIRST_ATTENDANCE


def _stay(spell: Admission, end: dt.date) -> int:
    admitted, discharged = _day(spell.admitted), _day(spell.discharged)
    if admitted is None:
        return 0
    return max(0, (min(discharged or end, end) - admitted).days)


def _past_codes(index: dt.date, records: Records) -> set[str]:
    """Returns the three- and four-character beginnings of every code recorded in the look-back."""
    past = Period(-LOOKBACK_DAYS, 0)
    texts = [
        spell.diagnoses or "" for spell in records.admission if _within(_day(spell.admitted), index, past)
    ]
    return _beginnings(code for text in texts for code in text.replace(";", ",").split(","))


def _beginnings(codes: Iterable[str]) -> set[str]:
    plain = ["".join(sign for sign in code.upper() if sign.isalnum()) for code in codes]
    return {code[:width] for code in plain for width in (3, 4)}


def _score(codes: set[str], conditions: tuple[Condition, ...]) -> float:
    recorded = {condition.name for condition in conditions if codes & set(prefixes(condition.codes))}
    return float(sum(c.weight for c in conditions if c.name in recorded and c.replaced_by not in recorded))
