"""``cohortium-sim coverage``: what it prints, writes and refuses, and that figures do not depend on who computes."""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from cohortium_simulations import coverage_cli
from cohortium_simulations.cli import main
from cohortium_simulations.coverage import acceptance
from cohortium_simulations.coverage.monte_carlo import replicates
from cohortium_simulations.coverage.scenarios import SCENARIOS, Scenario


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


def small(name: str) -> Scenario:
    scenario = SCENARIOS[name]
    return replace(scenario, world=replace(scenario.world, people=3_000, helped=300, selection=0.3), epsilon=8.0)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Runs the command on two scenarios of few people, so that it takes seconds."""
    monkeypatch.setattr(coverage_cli, "SCENARIOS", {name: small(name) for name in ("base", "node_lost")})

    def call(*arguments: str | Path) -> Said:
        monkeypatch.setattr(sys, "argv", ["cohortium-sim", "coverage", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        return Said(code, *capsys.readouterr())

    return call


def test_the_list_says_what_each_scenario_tries(run: Callable[..., Said]):
    said = run("--list")
    assert said.code == 0
    assert "base           counts with a log-linear mean" in said.out


def test_json_on_standard_output_is_alone_there(run: Callable[..., Said]):
    said = run("--replicates", 3, "--json", "-")
    assert said.code == 0
    scenarios = json.loads(said.out)["scenarios"]
    assert [(each["name"], each["replicates"]) for each in scenarios] == [("base", 3), ("node_lost", 3)]
    assert "| base | 3 |" in said.err
    assert " s  node_lost" in said.err


def test_a_page_a_plot_and_the_figures_are_written(run: Callable[..., Said], tmp_path: Path):
    said = run("--scenario", "base", "--replicates", 2, "--noise", "both", "--out", tmp_path / "new")
    assert said.code == 0
    page = (tmp_path / "new/coverage.md").read_text()
    assert "| base, noise off | 2 |" in page
    assert "cohortium-sim coverage --scenario base --replicates 2 --seed 1 --noise both --out" in page
    assert len(json.loads((tmp_path / "new/coverage.json").read_text())["scenarios"]) == 2
    picture = ET.parse(tmp_path / "new/coverage.svg").getroot()
    assert picture.tag == "{http://www.w3.org/2000/svg}svg"
    assert len(picture.findall(".//{http://www.w3.org/2000/svg}circle")) == 6


def test_an_unknown_scenario_is_refused_with_the_names_there_are(run: Callable[..., Said]):
    said = run("--scenario", "bsae")
    assert said.code == 2
    assert "There is no scenario 'bsae'." in said.err
    assert "choose from: base, node_lost" in said.err


def test_a_folder_that_cannot_be_written_to_is_said(run: Callable[..., Said], tmp_path: Path):
    (tmp_path / "taken").write_text("")
    said = run("--scenario", "base", "--replicates", 1, "--out", tmp_path / "taken/below")
    assert said.code == 8
    assert "cannot be written to" in said.err


def test_a_failure_with_enough_replicates_is_the_exit_code(run: Callable[..., Said], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(acceptance, "LARGEST_BIAS", 1e-9)
    assert run("--scenario", "base", "--replicates", 2).code == 0
    monkeypatch.setattr(acceptance, "ENOUGH", 2)
    assert run("--scenario", "base", "--replicates", 2).code == 1


def test_the_same_figures_whoever_computes_them():
    alone = list(replicates(small("base"), 5, 3))
    assert list(replicates(small("base"), 5, 3, jobs=2)) == alone
    assert list(replicates(small("base"), 3, 3)) == alone[:3]
    assert list(replicates(small("base"), 1, 4)) != alone[:1]
