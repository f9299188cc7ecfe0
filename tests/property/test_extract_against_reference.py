"""The database engine says what the plain-Python one says, for any small population."""

from __future__ import annotations

import datetime as dt
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.csv
import pyarrow.parquet
from hypothesis import given, settings
from hypothesis import strategies as st

from cohortium_node.data.cohort import Cohort, read_cohort
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
from cohortium_protocols.covariates import COVARIATES
from cohortium_protocols.outcomes import OUTCOMES
from cohortium_protocols.plan import Plan

# A person's row depends on nobody else: one world of ten people is as good as ten worlds of one, and quicker.
NAMES = tuple("abcdefghij")
VALID = ("9434765919", "9434765870", "4010232137", "0000000000", "4000000004", "4000000012", "4000000020")
NUMBERS = (*VALID[1:], "943 476 5919", "9434765918", "12345", None)
FIRST, INDEX, LAST = dt.date(2022, 1, 30), dt.date(2022, 3, 1), dt.date(2022, 4, 2)
KEYS = (b"one study", b"another study")

EDGES = (-731, -730, -366, -365, -1, 0, 29, 30, 59, 60, 89, 90)
"""Days from the index date at which a period of some plan begins or ends."""
CODES = (
    "I219",
    "i25.2",
    "K70.3",
    "K704",
    "E119",
    "e102",
    "C509",
    "C78",
    "F03",
    "R41.0",
    "W19",
    "Z74.1",
    "",
    "-",
)
NULL_DATE = dt.date(1801, 1, 1)


def mostly(usual: st.SearchStrategy, otherwise: st.SearchStrategy) -> st.SearchStrategy:
    return st.integers(0, 3).flatmap(lambda roll: usual if roll else otherwise)


def among(*values: object) -> st.SearchStrategy:
    return st.sampled_from(values)


edges = among(*(INDEX + dt.timedelta(shift) for shift in EDGES))
dates = mostly(edges, among(None, NULL_DATE) | st.dates(dt.date(2020, 1, 1), dt.date(2023, 6, 1)))
limits = mostly(st.none(), among(NULL_DATE, *(INDEX + dt.timedelta(shift) for shift in (-1, 0, 1))))
births = mostly(
    st.dates(dt.date(1910, 1, 1), dt.date(2003, 1, 1)),
    among(None, NULL_DATE, dt.date(2004, 2, 29), dt.date(2004, 3, 1), dt.date(2004, 3, 2)),
)
ids = among(*NAMES, "stranger")
codes = st.builds(str.join, among(";", ",", "; "), st.lists(among(*CODES), max_size=3))

admissions = st.builds(
    Admission,
    ids,
    dates,
    dates,
    mostly(among("11", "13", "21", "2A"), among("2a", "2B", "2D", "28", "31", "81", "82", "99", None)),
    mostly(among("1", "2"), among("3", "4", None)),
    mostly(among("J459", "i50.1", "E11", "J47X"), among("J20", "D500", "D509", "", None)),
    codes,
)
attendances = st.builds(
    EmergencyAttendance,
    ids,
    dates,
    mostly(among("01", "04"), among("1", "05", None)),
    mostly(among("1", "3"), among("2", None)),
)
appointments = st.builds(OutpatientAppointment, ids, dates, mostly(st.just(True), among(False, None)))
people = st.builds(
    Person,
    person_id=st.just(""),
    nhs_number=st.none(),
    birth_date=births,
    sex=among("female", "male", "other", "unknown", None),
    ethnicity=among("white", "asian", "other", "unknown", None),
    imd_decile=among(None, 1, 10),
    registered_from=limits,
    registered_to=limits,
    death_date=mostly(limits, edges),
    opt_out=among(False, False, True, None),
)


@st.composite
def populations(draw: st.DrawFn) -> Records:
    numbers = draw(st.permutations(NUMBERS))[: len(NAMES)]
    register = [
        replace(draw(people), person_id=name, nhs_number=number)
        for name, number in zip(NAMES, numbers, strict=True)
    ]
    return Records(
        tuple(register),
        tuple(draw(st.lists(admissions, min_size=15, max_size=40))),
        tuple(draw(st.lists(attendances, min_size=10, max_size=30))),
        tuple(draw(st.lists(appointments, min_size=5, max_size=15))),
    )


cohort_rows = st.lists(
    st.tuples(
        among(*VALID),
        mostly(st.just(INDEX), among(FIRST - dt.timedelta(1), FIRST, LAST, LAST + dt.timedelta(1))),
        among("", "s251", "consent", "consent"),
    ),
    max_size=9,
)


def plan(washout: int, follow_up: int, youngest: int) -> Plan:
    return Plan.model_validate(
        {
            "cohortium": 1, "study": "example", "title": "Example", "question": "Does it help?",
            "intake": {"from": FIRST, "to": LAST}, "follow_up": follow_up, "washout": washout,
            "population": {"age": (youngest, 110)},
            "covariates": list(COVARIATES), "outcomes": list(OUTCOMES),
            "privacy": {"epsilon": 1.0, "aggregation": "local"},
            "nodes": {"roster": ["north"], "deadline": dt.date(2026, 12, 31)},
        }
    )  # fmt: skip


plans = st.builds(
    plan, st.sampled_from([0, 1, 30]), st.sampled_from([1, 60, 365]), st.sampled_from([0, 17, 18])
)


@settings(max_examples=35)
@given(populations(), cohort_rows, plans, st.sampled_from(KEYS), st.booleans())
def test_both_engines_give_the_same_table(
    records: Records, rows: list[tuple[str, dt.date, str]], plan: Plan, key: bytes, parquet: bool
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cohort = _cohort(folder, rows)
        records.write(folder)
        if parquet:
            _to_parquet(folder)
        _assert_same(
            FolderSource(folder).analysis_table(plan, cohort, key),
            reference_table(plan, cohort, key, records),
        )


def _cohort(folder: Path, rows: list[tuple[str, dt.date, str]]) -> Cohort:
    path = folder / "cohort.csv"
    path.write_text("nhs_number,start_date,legal_basis\n" + "".join(f"{a},{b},{c}\n" for a, b, c in rows))
    cohort = read_cohort(path)
    path.unlink()
    return cohort


def _to_parquet(folder: Path) -> None:
    """Converts every file; a column without a single value loses its type, as it does in other tools."""
    text = [
        "person_id",
        "nhs_number",
        "method",
        "classification",
        "department_type",
        "attendance_category",
        "primary_diagnosis",
        "diagnoses",
    ]
    options = pyarrow.csv.ConvertOptions(
        column_types=dict.fromkeys(text, pyarrow.string()), strings_can_be_null=True
    )
    for path in folder.glob("*.csv"):
        pyarrow.parquet.write_table(
            pyarrow.csv.read_csv(path, convert_options=options), path.with_suffix(".parquet")
        )
        path.unlink()


def _assert_same(found: AnalysisTable, expected: AnalysisTable) -> None:
    np.testing.assert_array_equal(found.treated, expected.treated)
    assert list(found.covariates) == list(expected.covariates)
    for name, values in expected.covariates.items():
        np.testing.assert_array_equal(found.covariates[name], values, err_msg=name)
    np.testing.assert_array_equal(found.outcomes, expected.outcomes)
    np.testing.assert_array_equal(found.exits, expected.exits)
    assert found.digest(b"key") == expected.digest(b"key")
