"""What replicates come to, and what is accepted: literal figures in, a verdict out."""

from __future__ import annotations

from dataclasses import replace

import pytest
from statsmodels.stats.proportion import proportion_confint

from cohortium_simulations.coverage.acceptance import (
    ENOUGH,
    Summary,
    clopper_pearson,
    floor_limit,
    judged,
    summarised,
)
from cohortium_simulations.coverage.foretold import scenario_forecast
from cohortium_simulations.coverage.monte_carlo import Replicate
from cohortium_simulations.coverage.page import Study, as_json, table_lines
from cohortium_simulations.coverage.plot import plot
from cohortium_simulations.coverage.scenarios import SCENARIOS

BASE = SCENARIOS["base"]
GOOD = Replicate(truth=0.0, estimate=0.1, low=-1.9, high=2.1, se=1.0, ideal=5.0, published=True)
MISSED = replace(GOOD, estimate=3.0, low=1.0, high=5.0)


def summary(**changed: float | tuple[float, float] | None) -> Summary:
    good = Summary(ENOUGH, ENOUGH, 0.95, (0.93, 0.966), 0.05, 0.1, 0.1, 0.9, 0.95)
    return replace(good, **changed)


@pytest.mark.parametrize(("successes", "count"), [(0, 20), (20, 20), (1, 7), (947, 1_000), (93, 100)])
@pytest.mark.parametrize("level", [0.95, 0.99])
def test_the_exact_interval_of_a_share_is_that_of_statsmodels(successes: int, count: int, level: float):
    low, high = proportion_confint(successes, count, alpha=1 - level, method="beta")
    expected = (low if successes else 0.0, high if successes < count else 1.0)
    assert clopper_pearson(successes, count, level) == pytest.approx(expected, abs=1e-12)


def test_nothing_counted_says_nothing():
    assert clopper_pearson(0, 0) == (0.0, 1.0)


def test_figures_are_of_the_published_and_coverage_of_all_is_of_all():
    hidden = replace(MISSED, published=False)
    found = summarised([GOOD, GOOD, MISSED, hidden])
    assert (found.replicates, found.published, found.published_share) == (4, 3, 0.75)
    assert found.coverage == pytest.approx(2 / 3)
    assert found.coverage_all == 0.5
    assert found.bias_over_se == pytest.approx(3.2 / 3)
    assert found.rmse == pytest.approx((9.02 / 3) ** 0.5)
    assert found.floor_ratio == pytest.approx(0.8)


def test_a_scenario_of_which_nothing_was_published_has_no_figures():
    found = summarised([replace(GOOD, published=False)] * 3)
    assert (found.coverage, found.bias_over_se, found.rmse, found.floor_ratio) == (None,) * 4
    assert found.coverage_all == 1.0
    verdict = judged(BASE, found)
    assert len(verdict.faults) == 1
    assert "0.0% published" in verdict.faults[0]
    assert "none published" in table_lines([verdict])[2]
    assert "none published" in plot([verdict])


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, None),
        ({"coverage": 0.90, "coverage_interval": (0.87, 0.9299)}, "coverage 90.0%"),
        ({"coverage": 0.91, "coverage_interval": (0.88, 0.93)}, None),
        ({"coverage": 0.99, "coverage_interval": (0.976, 0.997)}, "coverage 99.0%"),
        ({"bias_over_se": -0.21}, "bias -0.21"),
        ({"bias_over_se": 0.2}, None),
        ({"floor_ratio": 1.01}, "1.01 times as wide"),
        ({"published": 940}, "94.0% published"),
    ],
)
def test_each_rule_is_named_when_it_is_broken(changed: dict[str, float], words: str | None):
    verdict = judged(BASE, summary(**changed))
    assert verdict.passed == (words is None)
    assert words is None or words in verdict.faults[0]


def test_raw_pairs_that_cover_more_than_they_say_are_conservative_and_do_not_fail():
    more, less = ({"coverage": 0.99, "coverage_interval": (0.976, 0.997)},
                  {"coverage": 0.90, "coverage_interval": (0.87, 0.9299)})  # fmt: skip
    raw = judged(SCENARIOS["pairs_raw"], summary(**more))
    assert (raw.passed, raw.conservative) == (True, True)
    assert table_lines([raw])[2].endswith("passed (conservative) |")
    assert not judged(SCENARIOS["pairs_raw"], summary(**less)).passed
    assert not judged(SCENARIOS["pairs"], summary(**more)).passed
    assert not judged(SCENARIOS["pairs"], summary()).conservative


def test_width_is_judged_at_the_base_case_alone_and_more_of_tails_is_allowed():
    limits = {name: floor_limit(scenario) for name, scenario in SCENARIOS.items()}
    assert {limits[name] for name in ("base", "null", "bounded_share", "counts_gentle", "node_shift")} == {1.0}
    assert {limits[name] for name in ("rare_binary", "bed_days")} == {1.15}
    for name in ("pairs", "strata", "within_node"):
        assert limits[name] is None
    for name in ("treated_200", "treated_2000", "eps_0.5", "eps_2", "local_noise", "worst_rare", "worst_tail"):
        assert limits[name] is None
    assert floor_limit(BASE.without_noise()) is None


def test_a_study_that_cannot_be_published_is_foreseen_and_not_held_against_the_estimator():
    assert scenario_forecast(BASE).verdict == "feasible"
    assert not judged(BASE, summary(published=0)).passed
    hopeless = SCENARIOS["worst_rare"]
    assert scenario_forecast(hopeless).verdict == "infeasible"
    assert judged(hopeless, summary(published=0)).passed


def test_few_replicates_give_a_hint_and_no_failure():
    bad = judged(BASE, summary(bias_over_se=1.0))
    hint = judged(BASE, summary(bias_over_se=1.0, replicates=ENOUGH - 1, published=ENOUGH - 1))
    assert Study(1, (bad,)).failed
    assert not Study(1, (hint,)).failed
    assert "FAILED: bias" in table_lines([bad])[2]
    assert "too few to judge; so far FAILED" in table_lines([hint])[2]


def test_the_json_has_the_agreed_names():
    said = as_json(Study(7, (judged(BASE, summary()), judged(BASE.without_noise(), summary()))))
    assert (said["seed"], said["passed"]) == (7, True)
    first, silent = said["scenarios"]
    agreed = {"name", "replicates", "coverage", "bias_over_se", "rmse", "floor_ratio", "coverage_all",
              "published_share"}  # fmt: skip
    assert agreed <= first.keys()
    assert (first["name"], first["noise"], silent["noise"]) == ("base", True, False)
    assert first["floor_limit"] == 1.0
    assert first["faults"] == []
