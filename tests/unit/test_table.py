"""``cohortium-sim table``: what it reads, what it refuses, and how it says so."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from cohortium_simulations.cli import main

CSV = """id,helped,age,area,visits,weight
1,1,50,a,2,71.5
2,0,40,b,0,64.0
3,1,61,a,1,80.2
4,0,55,b,3,90.1
5,0,33,a,0,58.8
6,1,70,b,5,77.7
"""
GOOD = ("--treated", "helped", "--outcome", "visits", "--covariates", "age", "--categorical", "area")


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    def call(*arguments: str | Path, text: str = "") -> Said:
        monkeypatch.setattr(sys, "argv", ["cohortium-sim", "table", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        return Said(code, *capsys.readouterr())

    return call


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    path = tmp_path / "people.csv"
    path.write_text(CSV)
    return path


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--treated", "help", "--outcome", "visits", "--covariates", "age"), 3, "people.csv has no column 'help'."),
        (("--treated", "age", "--outcome", "visits", "--covariates", "weight"), 3,
         "row 2, column 'age': the value is neither 0 nor 1"),
        (("--treated", "helped", "--outcome", "area", "--covariates", "age"), 3,
         "row 2, column 'area': the value is not a number"),
        (("--treated", "helped", "--outcome", "visits", "--covariates", "age,age"), 2, "'age' is named twice"),
        (("--treated", "helped", "--outcome", "age", "--covariates", "age"), 2, "'age' is named twice"),
        (("--treated", "helped", "--outcome", "visits"), 2, "No covariate was named."),
        (("--treated", "helped", "--outcome", "visits:9..1", "--covariates", "age"), 2, "lower bound is not below"),
        (("--treated", "helped", "--outcome", "visits:x", "--covariates", "age"), 2, "not a column with bounds"),
        ((*GOOD, "--split", "by"), 2, "'by' is not a way to share people out."),
        ((*GOOD, "--epsilon", "0"), 2, "nor 'off'"),
        ((*GOOD, "--method", "guessing"), 2, "'guessing' is not one of"),
    ],
)  # fmt: skip
def test_a_mistake_is_a_sentence_and_an_exit_code(
    run: Callable[..., Said], csv: Path, arguments: tuple[str, ...], code: int, words: str
):
    found = run(csv, *arguments)
    assert (found.code, found.out) == (code, "")
    assert words in found.err
    assert "Traceback" not in found.err


def test_a_file_that_is_not_there(run: Callable[..., Said], tmp_path: Path):
    found = run(tmp_path / "absent.csv", *GOOD)
    assert (found.code, "cannot be read" in found.err) == (3, True)


@pytest.mark.parametrize(
    ("spoilt", "words"),
    [(CSV.replace("61", ""), "row 4, column 'age': the value is empty"), ("", "is not a CSV file"),
     (CSV.replace("0,58.8", "0,58.8,9"), "is not a CSV file"),
     (CSV.replace("1,1,50", "1,0,50").replace("3,1,61", "3,0,61").replace("6,1,70", "6,0,70"),
      "nobody has helped = 1")],
)  # fmt: skip
def test_a_faulty_table_is_named_with_its_place(run: Callable[..., Said], tmp_path: Path, spoilt: str, words: str):
    path = tmp_path / "people.csv"
    path.write_text(spoilt)
    found = run(path, *GOOD)
    assert (found.code, words in found.err) == (3, True), found.err


def test_json_goes_to_standard_output_and_talk_to_standard_error(run: Callable[..., Said], csv: Path):
    found = run("-", *GOOD, "--epsilon", "off", "--nodes", "2", "--json", "-", text=csv.read_text())
    assert found.code == 0, found.err
    result = json.loads(found.out)
    assert {"name", "estimate", "low", "high", "se", "n_treated", "n_compared"} <= set(result["outcomes"][0])
    assert {"covariate", "smd_before", "smd_after"} <= set(result["balance"][0])
    assert {"epsilon", "delta", "mu"} <= set(result["privacy"])
    assert len(result["nodes"]) == 2
    assert "NOT PRIVATE: noise is off" in found.err
    assert "NOT PRIVATE: bounds were read from the data" in found.err


def test_bounds_that_are_all_given_are_private(run: Callable[..., Said], csv: Path, tmp_path: Path):
    found = run(csv, "--treated", "helped", "--outcome", "visits:10", "--covariates", "age:18..110",
                "--json", tmp_path / "out.json")  # fmt: skip
    assert found.code == 0, found.err
    assert "bounds were read" not in found.out
    assert json.loads((tmp_path / "out.json").read_text())["privacy"]["bounds_from_data"] is False


def test_every_output_says_loudly_that_noise_is_off(run: Callable[..., Said], csv: Path, tmp_path: Path):
    found = run(csv, *GOOD, "--epsilon", "off", "--report", tmp_path / "report")
    assert "NOT PRIVATE: noise is off" in found.out
    page = (tmp_path / "report" / "report.html").read_text()
    assert "NOT PRIVATE" in page
    assert "noise" in (tmp_path / "report" / "report.csv").read_text().lower()
    assert json.loads((tmp_path / "report" / "report.json").read_text())["privacy"]["noise"] is False


def test_one_node_for_each_value_of_a_column(run: Callable[..., Said], csv: Path):
    found = run(csv, "--treated", "helped", "--outcome", "visits", "--covariates", "age", "--split", "by:area",
                "--epsilon", "off", "--json", "-")  # fmt: skip
    assert len(json.loads(found.out)["nodes"]) == 2
