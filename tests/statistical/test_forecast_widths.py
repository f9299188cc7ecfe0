"""The planner's widths beside those of made-up studies: a quick look; docs/validation/forecast.md has the whole one."""

from __future__ import annotations

import pytest

from cohortium_simulations.coverage.foretold import Comparison, compared, page, table_lines
from cohortium_simulations.coverage.monte_carlo import replicates
from cohortium_simulations.coverage.scenarios import SCENARIOS

STUDIES, SEED, TOLERANCE = 15, 20260102, 0.25


@pytest.mark.parametrize("name", ["base", "eps_0.5", "rare_binary", "bed_days", "worst_tail"])
def test_the_width_foretold_is_near_the_median_width(name: str) -> None:
    found = compared(SCENARIOS[name], replicates(SCENARIOS[name], STUDIES, SEED))
    assert abs(found.error) < TOLERANCE


def test_a_forecast_of_another_scenario_would_be_seen_to_be_wrong() -> None:
    wrong = compared(SCENARIOS["local_noise"], replicates(SCENARIOS["base"], STUDIES, SEED))
    assert wrong.error > 1


def test_the_page_names_what_is_beyond_the_limit_and_how_to_make_it_again() -> None:
    good, bad = Comparison("base", 30, 1.1, 1.0, "feasible"), Comparison("eps_4", 30, 1.3, 1.0, "weak")
    text = page([good, bad], 7)
    assert "Beyond: eps_4." in text
    assert "--scenario base,eps_4 --replicates 30 --seed 7" in text
    assert table_lines([good])[2] == "| base | 30 | 1.1000 | 1.0000 | 1.10 | feasible |"
