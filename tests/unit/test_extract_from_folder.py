"""A folder as a data source: what it must hold, what is said when it does not, and what does not matter."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cohortium_node.data.cohort import Cohort
from cohortium_node.data.extract import needs
from cohortium_node.data.schema import TABLES
from cohortium_node.data.source import FolderSource
from cohortium_node.data.table import AnalysisTable
from cohortium_protocols.attrition import EXIT_STEPS
from cohortium_protocols.covariates import COVARIATES
from cohortium_protocols.errors import InputError, PlanError
from cohortium_protocols.outcomes import OUTCOMES
from cohortium_protocols.plan import Plan

ANN, BOB, CAT = 9434765919, 9434765870, 4010232137
KEY = b"study key"
INDEX = dt.date(2022, 6, 1)
COHORT = Cohort(np.array([ANN]), np.array([INDEX], dtype="datetime64[D]"), np.array([False]), rows=1)
PERSON = "person_id,nhs_number,birth_date,registered_from,registered_to,death_date,opt_out"


def plan(covariates: list[str], outcomes: list[str], **fields: object) -> Plan:
    base = {
        "cohortium": 1, "study": "example", "title": "Example", "question": "Does it help?",
        "intake": {"from": "2022-01-01", "to": "2022-12-31"}, "follow_up": 365,
        "covariates": covariates, "outcomes": outcomes, "privacy": {"epsilon": 1.0, "aggregation": "local"},
        "nodes": {"roster": ["north"], "deadline": "2026-12-31"},
    }  # fmt: skip
    return Plan.model_validate(base | fields)


DEATHS = plan(["age"], ["death"])
ATTENDANCES = plan(["prior.ae_attendances"], ["ae_attendances"])

Write = Callable[..., FolderSource]


@pytest.fixture
def folder(tmp_path: Path) -> Write:
    """Writes CSV files, by table, and opens the folder."""

    def write(**tables: str) -> FolderSource:
        for table, text in tables.items():
            (tmp_path / f"{table}.csv").write_text(text, encoding="utf-8")
        return FolderSource(tmp_path)

    return write


def person(*rows: str) -> str:
    return "\n".join((PERSON, *rows))


def registered(name: str, number: int, born: str = "1970-01-01", rest: str = ",,,false") -> str:
    return f"{name},{number},{born},{rest}"


def refused(source: FolderSource, asked: Plan = DEATHS) -> str:
    with pytest.raises(InputError) as caught:
        source.analysis_table(asked, COHORT, KEY)
    return str(caught.value)


def test_a_small_folder_gives_one_row_a_person(folder: Write) -> None:
    source = folder(
        person=person(registered("a", ANN), registered("b", BOB), registered("c", CAT, rest=",,,true"))
    )
    table = source.analysis_table(DEATHS, COHORT, KEY)
    assert sorted(table.treated.tolist()) == [False, True]
    assert table.outcomes.tolist() == [[0], [0]]
    assert table.exits.tolist() == [EXIT_STEPS.index("analysed")]


def test_whoever_is_in_the_cohort_file_is_no_comparator_whatever_became_of_the_row(folder: Write) -> None:
    source = folder(person=person(registered("a", ANN), registered("b", BOB)))
    early = Cohort(
        COHORT.nhs_numbers, np.array(["2010-01-01"], dtype="datetime64[D]"), COHORT.consent, rows=1
    )
    table = source.analysis_table(DEATHS, early, KEY)
    assert table.treated.tolist() == [False]
    assert table.exits.tolist() == [EXIT_STEPS.index("outside_intake")]


def test_people_without_a_valid_nhs_number_are_left_out(folder: Write) -> None:
    source = folder(
        person=person(registered("a", 9434765918), "b,,1970-01-01,,,,false", "c,94347,1970-01-01,,,,false")
    )
    table = source.analysis_table(DEATHS, COHORT, KEY)
    assert len(table.treated) == len(table.exits) == 0
    assert source.check().without_nhs_number == 3


def test_an_empty_register_gives_an_empty_table(folder: Write) -> None:
    header = "person_id,arrived,department_type,attendance_category"
    table = folder(person=PERSON, emergency_attendance=header).analysis_table(ATTENDANCES, COHORT, KEY)
    assert table.outcomes.shape == (0, 1)
    assert table.covariates["prior.ae_attendances"].shape == (0,)


def test_the_order_of_rows_columns_and_files_does_not_matter(folder: Write, tmp_path: Path) -> None:
    first, second = registered("a", ANN), registered("b", BOB, rest=",,2022-12-01,false")
    csv = folder(person=person(first, second, "")).analysis_table(DEATHS, COHORT, KEY)
    assert folder(person=person(second, first)).analysis_table(DEATHS, COHORT, KEY).digest(KEY) == csv.digest(
        KEY
    )
    marked = "\ufeff" + person(f'{first},"note, with a comma"', f"{second},").replace(
        PERSON, f"{PERSON},note"
    )
    assert folder(person=marked.replace("\n", "\r\n")).analysis_table(DEATHS, COHORT, KEY).digest(
        KEY
    ) == csv.digest(KEY)
    (tmp_path / "person.csv").unlink()
    pq.write_table(_parquet(), tmp_path / "person.parquet", row_group_size=1)
    assert FolderSource(tmp_path).analysis_table(DEATHS, COHORT, KEY).digest(KEY) == csv.digest(KEY)


def _parquet() -> pa.Table:
    """The same two people, with the types of other tools: whole numbers, times of day, columns of nothing."""
    return pa.table(
        {
            "opt_out": [0, 0],
            "death_date": pa.array([dt.datetime(2022, 12, 1, 9, 30), None], pa.timestamp("us")),
            "registered_to": pa.nulls(2),
            "registered_from": pa.array([dt.date(1801, 1, 1)] * 2),
            "birth_date": ["1970-01-01", "1970-01-01"],
            "nhs_number": pa.array([BOB, ANN], pa.int64()),
            "person_id": [2, 1],
        }
    )


def test_codes_may_be_a_list(folder: Write, tmp_path: Path) -> None:
    source = folder(person=person(registered("a", ANN)))
    columns = {"person_id": ["a"], "admitted": [dt.date(2022, 5, 1)], "diagnoses": [["I21.0", "E119", None]]}
    pq.write_table(pa.table(columns), tmp_path / "admission.parquet")
    table = source.analysis_table(plan(["charlson"], ["death"]), COHORT, KEY)
    assert table.covariates["charlson"].tolist() == [2]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (
            registered("a", ANN, born="1970-13-01"),
            "person.csv, row 3, column birth_date: the value is not a date",
        ),
        (
            registered("a", ANN, born="01/02/1970"),
            "person.csv, row 3, column birth_date: the value is not a date",
        ),
        (
            registered("a", ANN, rest="soon,,,false"),
            "person.csv, row 3, column registered_from: the value is not a date",
        ),
        (
            registered("a", ANN, rest=",,,perhaps"),
            "person.csv, row 3, column opt_out: the value is not true or false",
        ),
        (registered("a", BOB), "person.csv, row 3, column nhs_number: an earlier row has the same value"),
        (registered("b", ANN), "person.csv, row 3, column person_id: an earlier row has the same value"),
        ("a,too,short", "person.csv, row 3: the file cannot be read"),
        (registered("a", ANN) + ",too long", "person.csv, row 3: the file cannot be read"),
    ],
)
def test_a_broken_row_is_named_and_its_value_is_not(folder: Write, row: str, said: str) -> None:
    message = refused(folder(person=person(registered("b", BOB), row)))
    assert said in message
    assert str(ANN) not in message
    assert "1970" not in message


def test_the_first_of_many_broken_rows_is_named_and_the_others_are_counted(folder: Write) -> None:
    rows = [
        registered(f"p{n}", 10**10 + n, born="?" if n in (40_000, 60_000) else "1970-01-01")
        for n in range(90_000)
    ]
    message = refused(folder(person=person(*rows)))
    assert "person.csv, row 40002, column birth_date: the value is not a date" in message
    assert "and so in 1 more rows" in message


def test_a_word_outside_the_canonical_ones_is_named_with_those_that_are_in(folder: Write) -> None:
    text = f"{PERSON},sex\n{registered('a', ANN)},F\n"
    message = refused(folder(person=text), plan(["sex"], ["death"]))
    assert "person.csv, row 2, column sex: the value is not one of female, male, other, unknown" in message


def test_a_missing_table_or_column_is_named_if_the_study_needs_it(folder: Write) -> None:
    source = folder(person=person(registered("a", ANN)))
    source.analysis_table(DEATHS, COHORT, KEY)
    assert "has no table emergency_attendance" in refused(source, ATTENDANCES)
    folder(emergency_attendance="person_id,arrived,department\n")
    message = refused(source, ATTENDANCES)
    assert "emergency_attendance.csv has no column attendance_category" in message
    message = refused(
        folder(emergency_attendance="person_id,arrived,department,attendance_category\n"), ATTENDANCES
    )
    assert "emergency_attendance.csv has no column department_type" in message
    assert "There is a column department." in message


def test_a_column_of_another_type_is_named(folder: Write, tmp_path: Path) -> None:
    for moment, kind in ((dt.datetime(1970, 1, 1, tzinfo=dt.UTC), "timestamp"), (1970, "int64")):
        pq.write_table(
            _parquet().set_column(4, "birth_date", [[moment, moment]]), tmp_path / "person.parquet"
        )
        message = refused(FolderSource(tmp_path))
        assert f"person.parquet, column birth_date: it is of type {kind}" in message


def test_files_that_are_not_what_they_say_are_refused(folder: Write, tmp_path: Path) -> None:
    assert "has no table person" in refused(FolderSource(tmp_path))
    assert "person.csv, row 1: a name for each column" in refused(folder(person=""))
    (tmp_path / "person.csv").write_bytes(
        PERSON.encode() + b",sex\n" + registered("a", ANN).encode() + b",f\xe9male\n"
    )
    assert "person.csv, row 2: the file cannot be read" in refused(
        FolderSource(tmp_path), plan(["sex"], ["death"])
    )
    (tmp_path / "person.parquet").write_bytes(b"not a Parquet file")
    assert "holds the table person twice: person.parquet and person.csv" in refused(FolderSource(tmp_path))
    (tmp_path / "person.csv").unlink()
    assert "person.parquet: the file cannot be read" in refused(FolderSource(tmp_path))
    assert "is not there" in refused(FolderSource(tmp_path / "elsewhere"))


def test_a_plan_about_an_analysis_table_is_not_for_health_records(folder: Write) -> None:
    about_table = plan(
        [{"name": "x", "low": 0, "high": 1}],
        [{"name": "y", "clip": 1}],
        data="table",
        intake=None,
        follow_up=None,
    )
    with pytest.raises(PlanError, match="ready for analysis"):
        folder(person=PERSON).analysis_table(about_table, COHORT, KEY)


def test_the_custodian_sees_what_a_folder_holds(folder: Write) -> None:
    report = folder(
        person=person(registered("a", ANN), registered("b", 123)),
        admission="person_id,admitted,method\na,2022-01-01,21\n",
    ).check()
    assert report.rows == {"person": 2, "admission": 1}
    assert report.missing_tables == ("emergency_attendance", "outpatient_appointment")
    assert report.missing_columns["admission"] == (
        "discharged", "classification", "source", "destination", "primary_diagnosis", "diagnoses",
    )  # fmt: skip
    assert report.without_nhs_number == 1


def test_nothing_is_written_to_the_folder(folder: Write, tmp_path: Path) -> None:
    source = folder(person=person(registered("a", ANN)))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    source.check()
    source.analysis_table(DEATHS, COHORT, KEY)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_every_covariate_and_outcome_of_the_registries_can_be_computed() -> None:
    everything = needs(plan(list(COVARIATES), list(OUTCOMES)))
    assert set(everything) == set(TABLES)
    for table, columns in everything.items():
        assert columns <= {column.name for column in TABLES[table]}


def test_only_what_the_plan_names_is_asked_for() -> None:
    assert set(needs(DEATHS)) == {"person"}
    assert needs(ATTENDANCES)["emergency_attendance"] == {
        "person_id", "arrived", "department_type", "attendance_category",
    }  # fmt: skip


def same(table: AnalysisTable, other: AnalysisTable) -> bool:
    return table.digest(KEY) == other.digest(KEY)


def test_one_persons_records_change_one_persons_row_only(folder: Write) -> None:
    """Add or remove all records of a person: nobody else's row and nobody else's exit step moves."""
    both = folder(person=person(registered("a", ANN), registered("b", BOB))).analysis_table(
        DEATHS, COHORT, KEY
    )
    alone = folder(person=person(registered("a", ANN))).analysis_table(DEATHS, COHORT, KEY)
    kept = both.treated
    assert alone.treated.tolist() == [True]
    assert same(
        alone,
        AnalysisTable(kept[kept], {"age": both.covariates["age"][kept]}, both.outcomes[kept], both.exits),
    )
