"""The planner's command, and its verdict where plans are checked and signed; mistakes in sentences."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from cohortium_coordinator.cli import run

EXAMPLE = Path(__file__).parents[2] / "examples" / "befriending-2024.yaml"
Said = Callable[..., str]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """Runs the forecast of the example and returns what it prints."""

    def forecast(*options: str) -> str:
        assert run(["plan", "forecast", str(EXAMPLE), *options]) == 0
        return capsys.readouterr().out

    return forecast


def plan_with(tmp_path: Path, submitted: str) -> str:
    text = EXAMPLE.read_text()
    lines = [line for line in text.splitlines() if not line.startswith("submitted:")]
    (tmp_path / "plan.yaml").write_text("\n".join([*lines, submitted, ""]))
    return str(tmp_path / "plan.yaml")


def test_every_figure_that_is_printed_is_in_the_json(said: Said) -> None:
    found = json.loads(said("--helped", "500", "--people", "50000", "--json"))
    printed = said("--helped", "500", "--people", "50000")
    assert (found["helped"], found["comparators"], found["nodes"]) == (500, 49_500, 5)
    assert f"this study is {found['verdict']}" in printed
    for outcome in found["outcomes"]:
        assert outcome["name"] in printed
        assert f"({outcome['detectable_part']:.0%})" in printed
    assert {"balance", "further", "alternatives", "published_share", "helped_needed"} <= found.keys()


def test_what_is_guessed_is_said_and_what_is_told_is_not(said: Said) -> None:
    assert "bed_days 2," in said("--helped", "500").split("Guessed")[1]
    assert "bed_days 2," not in said("--helped", "500", "--level", "bed_days=2").split("Guessed")[1]


def test_a_study_that_is_too_small_is_told_how_many_it_takes(said: Said) -> None:
    printed = said("--helped", "120")
    assert "people helped it would be feasible" in printed


def test_the_picture_is_written_where_it_is_asked_for(said: Said, tmp_path: Path) -> None:
    said("--helped", "500", "--svg", str(tmp_path / "forecast.svg"))
    assert ElementTree.parse(tmp_path / "forecast.svg").getroot().tag.endswith("svg")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--people", "400", "--helped", "500"], "nobody to compare with"),
        (["--helped", "500", "--level", "ae=1"], "no outcome 'ae'"),
        (["--helped", "500", "--level", "ae_attendances"], "is not an outcome's name, = and a number"),
        (["--helped", "500", "--level", "ae_attendances=nan"], "does not lie between"),
        (["--helped", "500", "--level", "any_emergency_admission=20"], "does not lie between 0 and 1"),
        (["--helped", "500", "--spread", "ae_attendances=0"], "is not possible"),
        (["--helped", "0"], "0 is not in the range"),
        (["--helped", "500", "--svg", "no/such/folder.svg"], "cannot be written"),
    ],
)
def test_mistakes_are_answered_in_a_sentence(
    options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["plan", "forecast", str(EXAMPLE), *options]) in (2, 8)
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error


def test_how_many_were_helped_comes_from_the_plan_or_must_be_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["plan", "forecast", plan_with(tmp_path, "submitted: 300"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["helped"] == 300
    assert run(["plan", "forecast", plan_with(tmp_path, "")]) == 2
    assert "write --helped N" in capsys.readouterr().err


@pytest.mark.parametrize(("submitted", "verdict"), [(70, "infeasible"), (250, "weak"), (20_000, "feasible")])
def test_checking_a_plan_says_the_verdict_on_the_people_submitted(
    submitted: int, verdict: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = plan_with(tmp_path, f"submitted: {submitted}")
    assert run(["plan", "check", plan]) == 0
    assert f"this study is {verdict}" in capsys.readouterr().err
    assert run(["plan", "check", plan, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["forecast"]["verdict"] == verdict


def test_signing_says_it_too_and_not_where_a_plan_has_no_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["init", str(tmp_path / "lab")]) == 0
    config = ["--config", str(tmp_path / "lab" / "cohortium.toml"), "--output", str(tmp_path / "signed.json")]
    assert run(["plan", "sign", plan_with(tmp_path, "submitted: 70"), *config]) == 0
    assert "this study is infeasible" in capsys.readouterr().err
    assert run(["plan", "check", plan_with(tmp_path, "")]) == 0
    assert "this study is" not in capsys.readouterr().err
