"""Relative differences, ratios and falsification outcomes, as the report shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cohortium_coordinator.report import read_result, render_html, to_csv
from cohortium_coordinator.report.ratio_tables import NOT_SHOWN, falsification, ratios, relative, relative_differences
from cohortium_coordinator.report.text import caveats
from cohortium_coordinator.result import RateRatio, RatioEstimate, StudyResult

EXAMPLE = read_result(Path(__file__).parents[2] / "docs" / "reference" / "report.example.json")
RATIO = EXAMPLE.ratios[0]
FAILED = {
    "name": "falsification.death", "title": "No difference where none is expected: Death", "state": "failed",
    "value": 0.3, "rule": "failed: it excludes 0", "meaning": "The groups differ.", "unit": "standard deviations",
}  # fmt: skip


def changed(**changes: Any) -> StudyResult:
    return StudyResult.model_validate(EXAMPLE.model_dump() | changes)


def with_a_check() -> StudyResult:
    """The example, its last outcome one in which no difference is expected."""
    outcomes = [outcome.model_dump() for outcome in EXAMPLE.outcomes]
    return changed(outcomes=[*outcomes[:-1], outcomes[-1] | {"expected": "none", "primary": False}])


@pytest.mark.parametrize(("low", "high", "words"), [
    (0.68, 0.95, "5% to 32% lower"), (1.1, 1.6, "10% to 60% higher"), (0.68, 1.04, "32% lower to 4% higher"),
])  # fmt: skip
def test_a_rate_ratio_is_said_in_percent(low: float, high: float, words: str) -> None:
    assert relative(RateRatio(estimate=(low + high) / 2, low=low, high=high)) == words


def test_relative_differences_leave_out_what_cannot_be_divided() -> None:
    outcomes = [outcome.model_dump() for outcome in EXAMPLE.outcomes]
    bare = changed(outcomes=[outcomes[0], *(each | {"rate_ratio": None} for each in outcomes[1:])])
    assert [row[0].text for row in relative_differences(bare).rows] == [EXAMPLE.outcomes[0].title]


def test_a_ratio_is_shown_with_both_values_the_interval_and_the_relative_difference() -> None:
    (row,) = ratios(EXAMPLE).rows
    assert [cell.text for cell in row] == [
        RATIO.title, "4.8", "5.3", "−1.4 to 0.5", "No", "27% lower to 9% higher",
    ]  # fmt: skip


def test_a_ratio_with_too_little_to_divide_by_is_not_shown() -> None:
    bare = RatioEstimate.model_validate(RATIO.model_dump() | {"effect": None})
    (row,) = ratios(changed(ratios=[bare])).rows
    assert {cell.text for cell in row[1:]} == {NOT_SHOWN}


def test_a_check_is_not_among_the_findings() -> None:
    result, name = with_a_check(), EXAMPLE.outcomes[-1].name
    assert name not in {outcome.name for outcome in (*result.ordered_outcomes, *result.headlines)}
    assert [row[0].text for row in falsification(result).rows] == [EXAMPLE.outcomes[-1].title]
    page = render_html(result)
    assert page.index("table-falsification") > page.index("table-checks")
    assert "table-falsification" not in render_html(EXAMPLE)


def test_a_failed_check_is_a_caveat() -> None:
    failed = changed(checks=[*(check.model_dump() for check in EXAMPLE.checks), FAILED])
    assert any(caveat.startswith(f"A check failed: {FAILED['title']}") for caveat in caveats(failed))
    assert not any(caveat.startswith("A check failed") for caveat in caveats(EXAMPLE))


def test_csv_holds_ratios_and_rate_ratios() -> None:
    rows = to_csv(EXAMPLE).splitlines()
    assert 'ratios,mean_length_of_stay,difference,-0.49,-1.42,0.47,"days per admission, per 1"' in rows
    ratio = EXAMPLE.outcomes[0].rate_ratio
    assert ratio is not None
    assert f"outcomes,{EXAMPLE.outcomes[0].name},rate_ratio,{ratio.estimate},{ratio.low},{ratio.high}," in rows


def test_csv_holds_the_truth_of_a_simulation_s_ratios_in_their_unit() -> None:
    rows = to_csv(changed(truth={EXAMPLE.outcomes[0].name: -0.2, RATIO.name: -0.5})).splitlines()
    assert f"truth of the simulation,{EXAMPLE.outcomes[0].name},effect,-0.2,,,per person" in rows
    assert f'truth of the simulation,{RATIO.name},effect,-0.5,,,"days per admission, per 1"' in rows


def test_csv_holds_rate_ratios_of_analyses_beside_the_headline() -> None:
    each = next(each for each in EXAMPLE.further if each.rate_ratio is not None)
    rows = [row for row in to_csv(EXAMPLE).splitlines() if ",rate_ratio," in row and "further" in row]
    assert each.rate_ratio is not None
    assert any(f",{each.rate_ratio.estimate},{each.rate_ratio.low},{each.rate_ratio.high}," in row for row in rows)
