"""`cohortium-sim forecast`: the planner held against made-up studies."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from cohortium_protocols.errors import UsageFault
from cohortium_simulations.coverage.foretold import JUDGED
from cohortium_simulations.coverage.scenarios import SCENARIOS
from cohortium_simulations.forecast_cli import forecast


def test_it_tells_the_forecast_and_the_median_and_keeps_the_page(tmp_path: Path) -> None:
    options = ["--scenario", "bounded_share", "--replicates", "1", "--json", "-", "--out", str(tmp_path)]
    said = CliRunner().invoke(forecast, options, catch_exceptions=False)
    told = json.loads(said.stdout)["scenarios"][0]
    assert (said.exit_code, told["scenario"], told["studies"]) == (0, "bounded_share", 1)
    assert told["error"] == pytest.approx(told["forecast"] / told["median"] - 1)
    assert "| bounded_share | 1 |" in (tmp_path / "forecast.md").read_text()


def test_an_unknown_scenario_is_a_mistake_and_those_judged_are_there() -> None:
    with pytest.raises(UsageFault, match="no scenario 'nothing'"):
        CliRunner().invoke(forecast, ["--scenario", "nothing"], catch_exceptions=False)
    assert JUDGED
    assert set(JUDGED) <= SCENARIOS.keys()
