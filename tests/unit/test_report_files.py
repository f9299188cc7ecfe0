"""The report as JSON, CSV and files."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from cohortium_coordinator.report import read_result, render_html, schema_text, to_csv, to_json, write_report
from cohortium_coordinator.result import StudyResult
from cohortium_protocols.errors import InputError, StorageError

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
EXAMPLE = read_result(REFERENCE / "report.example.json")


def _with(**changes: Any) -> StudyResult:
    return StudyResult.model_validate({**EXAMPLE.model_dump(), **changes})


def _rows(result: StudyResult) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(to_csv(result))))


def _row(result: StudyResult, section: str, name: str, measure: str) -> dict[str, str]:
    found = [r for r in _rows(result) if (r["section"], r["name"], r["measure"]) == (section, name, measure)]
    assert len(found) == 1
    return found[0]


def test_the_published_schema_is_current() -> None:
    kept = (REFERENCE / "report.schema.json").read_text()
    assert kept == schema_text(), "write cohortium_coordinator.report.schema_text() to report.schema.json"


def test_the_example_is_as_the_program_writes_it_and_fits_the_schema() -> None:
    assert (REFERENCE / "report.example.json").read_text() == to_json(EXAMPLE)
    jsonschema.Draft202012Validator(json.loads(schema_text())).validate(json.loads(to_json(EXAMPLE)))


def test_json_keeps_every_figure(tmp_path: Path) -> None:
    written = write_report(EXAMPLE, tmp_path)
    assert read_result(written["report.json"]) == EXAMPLE


def test_csv_has_one_figure_a_row_in_fixed_columns() -> None:
    lines = to_csv(EXAMPLE).splitlines()
    assert lines[0] == "section,name,measure,value,low,high,unit"
    assert len({(r["section"], r["name"], r["measure"]) for r in _rows(EXAMPLE)}) == len(lines) - 1


def test_csv_gives_effects_per_person_with_their_interval() -> None:
    effect = _row(EXAMPLE, "outcomes", "ae_attendances", "effect")
    assert (effect["value"], effect["low"], effect["high"]) == ("-0.214", "-0.331", "-0.097")
    assert effect["unit"] == "attendances per person"


def test_csv_counts_follow_the_disclosure_rules() -> None:
    assert _row(EXAMPLE, "outcomes", "ae_attendances", "n_treated")["value"] == "1085"
    small = _row(EXAMPLE, "attrition", "duplicate_person", "count")
    assert (small["value"], small["low"], small["high"]) == ("*", "", "")
    many = _row(EXAMPLE, "attrition", "not_registered", "count")
    assert (many["value"], many["low"], many["high"]) == ("60", "45", "70")


def test_csv_counts_in_checks_follow_them_too() -> None:
    assert _row(EXAMPLE, "checks", "noisy_size", "value")["value"] == "1085"
    few = tuple(check.model_copy(update={"value": 4.2}) for check in EXAMPLE.checks)
    checked = EXAMPLE.model_copy(update={"checks": few})
    assert _row(checked, "checks", "noisy_size", "value")["value"] == "*"
    assert _row(checked, "checks", "weights", "value")["value"] == "4.2"


def test_csv_marks_outcomes_that_are_not_published() -> None:
    held = _with(published=False, not_published_because="The groups are not alike enough.")
    assert {r["section"] for r in _rows(held) if r["measure"] == "effect" and r["name"] != "truth"} >= {
        "outcomes, not published"
    }
    assert not [r for r in _rows(held) if r["section"] == "outcomes"]


def test_csv_hands_no_formula_to_a_spreadsheet() -> None:
    hostile = _with(title='=HYPERLINK("x")', question="@SUM(A1)")
    assert _row(hostile, "study", EXAMPLE.study, "title")["value"] == "'=HYPERLINK(\"x\")"
    assert _row(hostile, "study", EXAMPLE.study, "question")["value"] == "'@SUM(A1)"


def test_files_are_written_whole_and_leave_nothing_beside_them(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "study"
    written = write_report(EXAMPLE, folder)
    assert {name: path.read_text() for name, path in written.items()} == {
        "report.html": render_html(EXAMPLE),
        "report.json": to_json(EXAMPLE),
        "report.csv": to_csv(EXAMPLE),
    }
    assert sorted(path.name for path in folder.iterdir()) == ["report.csv", "report.html", "report.json"]


def test_writing_again_replaces_the_files(tmp_path: Path) -> None:
    write_report(EXAMPLE, tmp_path)
    written = write_report(_with(title="Second"), tmp_path)
    assert read_result(written["report.json"]).title == "Second"


def test_a_folder_that_cannot_be_made_is_an_error_for_people(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="the report cannot be written"):
        write_report(EXAMPLE, tmp_path / "file")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 2}'])
def test_a_file_that_is_no_report_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"other\.json: not a report of format 1"):
        read_result(path)


def test_a_missing_report_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.json: cannot be read"):
        read_result(tmp_path / "absent.json")
