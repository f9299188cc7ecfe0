"""The people of the data definitions: a name, an index date of 1 June 2022 and a rule's records.

Every rule is put to both engines: the database reading CSV files, and the plain-Python reference.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cohortium_node.data.cohort import Cohort
from cohortium_node.data.index_date import keyed_digests, keyed_order
from cohortium_node.data.reference import (
    Admission,
    EmergencyAttendance,
    OutpatientAppointment,
    Person,
    Records,
    reference_table,
)
from cohortium_node.data.source import FolderSource
from cohortium_node.data.table import AnalysisTable
from cohortium_node.linkage.nhs_number import check_digit_holds
from cohortium_protocols.attrition import EXIT_STEPS
from cohortium_protocols.outcomes import OUTCOMES
from cohortium_protocols.plan import Plan

INDEX = dt.date(2022, 6, 1)
STUDY_KEY = b"the key of the study in the rules"

Event = Admission | EmergencyAttendance | OutpatientAppointment
Engine = Callable[[Plan, Cohort, Records], AnalysisTable]


def day(shift: int) -> dt.date:
    """Returns the day so many days after (before) the index date."""
    return INDEX + dt.timedelta(days=shift)


def plan(**fields: Any) -> Plan:
    """Returns a plan with a year of follow-up over people of any age who started in 2022."""
    base: dict[str, Any] = {
        "cohortium": 1, "study": "rules", "title": "Rules", "question": "What counts?",
        "intake": {"from": "2022-01-01", "to": "2022-12-31"}, "follow_up": 365,
        "covariates": ["age"], "outcomes": ["death"],
        "privacy": {"epsilon": 1.0, "aggregation": "local"},
        "nodes": {"roster": ["north"], "deadline": "2026-12-31"},
    }  # fmt: skip
    return Plan.model_validate(base | fields)


def nhs_numbers(count: int) -> list[int]:
    """Returns valid NHS numbers from a range that is not in use."""
    candidates = np.arange(9990000000, 9990000000 + 30 * count)
    return [int(number) for number in candidates[check_digit_holds(candidates)][:count]]


def cohort_of(numbers: Sequence[int], starts: Sequence[dt.date], consent: Sequence[bool]) -> Cohort:
    """Returns a cohort of people in ascending order of their numbers."""
    dates = np.array(starts, dtype="datetime64[D]")
    return Cohort(np.array(numbers, dtype=np.int64), dates, np.array(consent, dtype=np.bool_), len(numbers))


class Rules:
    """Asks an engine for one figure of several named people."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def outcome(
        self, name: str, events: Mapping[str, Sequence[Event]], people: Mapping[str, Mapping[str, Any]] | None = None,
        **fields: Any,
    ) -> dict[str, float]:  # fmt: skip
        """Returns the outcome of each person helped, who has these events, or these fields in ``person``."""
        prior = OUTCOMES[name].prior
        asked = plan(covariates=[prior or "age"], outcomes=list(dict.fromkeys([name, "death"])), **fields)
        table, names = self._table(asked, people or {person: {} for person in events}, events)
        return dict(zip(names, table.outcomes[:, 0].tolist(), strict=True))

    def covariate(
        self, name: str, people: Mapping[str, Mapping[str, Any] | Sequence[Event]]
    ) -> dict[str, Any]:
        """Returns the covariate of each person helped, who has these fields in ``person`` or these events."""
        fields = {person: rows if isinstance(rows, Mapping) else {} for person, rows in people.items()}
        events = {person: [] if isinstance(rows, Mapping) else rows for person, rows in people.items()}
        table, names = self._table(plan(covariates=[name]), fields, events)
        return dict(zip(names, table.covariates[name].tolist(), strict=True))

    def step(self, people: Mapping[str, Mapping[str, Any]], **fields: Any) -> dict[str, str]:
        """Returns where each person's way ends; ``start`` and ``consent`` are of the cohort file."""
        table, names = self._table(plan(**fields), people, {})
        return dict(zip(names, [EXIT_STEPS[step] for step in table.exits], strict=True))

    def _table(
        self, asked: Plan, people: Mapping[str, Mapping[str, Any]], events: Mapping[str, Sequence[Event]]
    ) -> tuple[AnalysisTable, list[str]]:
        numbers, names = nhs_numbers(len(people)), list(people)
        rows = {name: dict(fields) for name, fields in people.items()}
        starts = [fields.pop("start", INDEX) for fields in rows.values()]
        consent = [fields.pop("consent", False) for fields in rows.values()]
        register = [
            Person(name, str(number), **rows[name]) for name, number in zip(names, numbers, strict=True)
        ]
        mine = [replace(event, person_id=name) for name, each in events.items() for event in each]
        records = Records(
            tuple(register),
            tuple(event for event in mine if isinstance(event, Admission)),
            tuple(event for event in mine if isinstance(event, EmergencyAttendance)),
            tuple(event for event in mine if isinstance(event, OutpatientAppointment)),
        )
        order = keyed_order(keyed_digests(STUDY_KEY, np.array(numbers)), np.array(numbers))
        table = self.engine(asked, cohort_of(numbers, starts, consent), records)
        return table, [names[place] for place in order]


@pytest.fixture(params=["database", "reference"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    def database(asked: Plan, cohort: Cohort, records: Records) -> AnalysisTable:
        records.write(tmp_path)
        return FolderSource(tmp_path).analysis_table(asked, cohort, STUDY_KEY)

    def reference(asked: Plan, cohort: Cohort, records: Records) -> AnalysisTable:
        return reference_table(asked, cohort, STUDY_KEY, records)

    return {"database": database, "reference": reference}[request.param]


@pytest.fixture
def rules(engine: Engine) -> Rules:
    return Rules(engine)
