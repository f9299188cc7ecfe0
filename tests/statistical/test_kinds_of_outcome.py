"""Changes, checks, time observed and ratios, through a whole study of made-up people whose truth is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cohortium_coordinator.result import OutcomeEstimate, StudyResult
from cohortium_node.data.table import AnalysisTable
from cohortium_protocols.plan import Plan
from cohortium_protocols.schedules import schedule
from cohortium_simulations.federation import run_study

FEWER = 0.25
"""Share of the use that help prevents."""


METHODS = {
    "strata": {"method": "strata"}, "same holder": {"comparison": "within_node"}, "pairs": {"method": "matched_pairs"},
    "pairs alike in odds": {"method": "matched_pairs", "score": "propensity"},
    "raw pairs": {"method": "matched_pairs", "adjusted": False, "ratio": 2},
}  # fmt: skip


def plan(nodes: int = 1, *, noise: bool = False, analysis: dict[str, Any] | None = None) -> Plan:
    def count(name: str, **more: Any) -> dict[str, Any]:
        return {"name": name, "clip": 8, "kind": "count", **more}

    return Plan.model_validate({
        "cohortium": 1, "study": "kinds", "title": "Kinds", "question": "Does it help?", "data": "table",
        "covariates": [{"name": "age", "low": -3, "high": 3}],
        "outcomes": [count("stays", primary=True), {"name": "days", "clip": 40, "kind": "days"},
                     {"name": "years", "clip": 1, "kind": "time"}, {"name": "change", "low": -8, "clip": 8},
                     count("earlier", expected="none")],
        "ratios": [{"name": "mean stay", "numerator": "days", "denominator": "stays"},
                   {"name": "rate", "numerator": "stays", "denominator": "years", "per": 100}],
        "analysis": analysis or {}, "privacy": {"epsilon": 4.0, "aggregation": "local", "noise": noise},
        "nodes": {"roster": [f"node-{index}" for index in range(nodes)], "deadline": "2099-01-01"},
    })  # fmt: skip


def people(count: int, seed: int, *, hidden: float) -> AnalysisTable:
    """People whose need is recorded by age alone; ``hidden`` of what is not recorded makes help more likely."""
    rng = np.random.default_rng(seed)
    age, need = rng.normal(size=count), rng.normal(size=count)
    helped = rng.random(count) < 1 / (1 + np.exp(3.0 - 0.5 * age - hidden * need))
    rate = np.exp(-0.7 + 0.3 * age + 0.4 * need)
    years = np.where(rng.random(count) < 0.06, rng.random(count), 1.0)
    earlier, before = rng.poisson(rate), rng.poisson(rate)
    stays = rng.poisson(rate * years * np.where(helped, 1 - FEWER, 1.0))
    days = rng.gamma(np.maximum(stays, 1e-9), 3.0) * (stays > 0)
    change = np.minimum(stays, 8) - np.minimum(before, 8)
    outcomes = np.column_stack([stays, days, years, change, earlier]).astype(float)
    return AnalysisTable(helped, {"age": age}, outcomes, np.zeros(int(helped.sum()), dtype=np.int64))


def of(result: StudyResult, name: str) -> OutcomeEstimate:
    return next(outcome for outcome in result.outcomes if outcome.name == name)


OPEN = run_study(plan(), {"node-0": people(40_000, 1, hidden=0.0)})
HIDDEN = run_study(plan(), {"node-0": people(40_000, 1, hidden=0.6)})


def test_where_everything_is_recorded_the_check_passes_and_fewer_stays_are_found() -> None:
    (check,) = [check for check in OPEN.checks if check.name == "falsification.earlier"]
    assert check.state == "passed"
    rate = of(OPEN, "stays").rate_ratio
    assert rate is not None
    assert rate.low < 1 - FEWER < rate.high < 1


def test_what_is_not_recorded_fails_the_check_and_hides_the_effect() -> None:
    (check,) = [check for check in HIDDEN.checks if check.name == "falsification.earlier"]
    assert check.state == "failed"
    assert of(HIDDEN, "stays").estimate > of(OPEN, "stays").estimate / 2


def test_a_change_takes_off_what_was_there_before_the_help() -> None:
    """Parallel on the scale of differences means that help prevents a share of what the helped would have had."""
    stays, change = of(HIDDEN, "stays"), of(HIDDEN, "change")
    truth = -FEWER * stays.treated_mean / (1 - FEWER)
    assert not stays.low < truth < stays.high
    assert change.low < truth < change.high


def test_ratios_are_those_of_the_sums_and_rates_count_the_time_observed() -> None:
    stay, rate = OPEN.ratios
    assert stay.effect is not None
    assert rate.effect is not None
    assert stay.effect.treated == pytest.approx(of(OPEN, "days").treated_mean / of(OPEN, "stays").treated_mean)
    assert stay.effect.comparison == pytest.approx(of(OPEN, "days").comparison_mean / of(OPEN, "stays").comparison_mean)
    assert stay.effect.low < 0 < stay.effect.high
    assert rate.effect.treated > 100 * of(OPEN, "stays").treated_mean
    assert rate.effect.significant


def test_ratios_do_not_depend_on_how_people_are_spread_over_nodes() -> None:
    table, place = people(6000, 2, hidden=0.0), np.arange(6000) % 3
    parts = {
        f"node-{index}": AnalysisTable(table.treated[here], {"age": table.covariates["age"][here]},
                                       table.outcomes[here], np.zeros(int(table.treated[here].sum()), np.int64))
        for index in range(3) if (here := place == index).any()
    }  # fmt: skip
    whole, spread = run_study(plan(), {"node-0": table}), run_study(plan(3), parts)
    for one, other in zip(whole.ratios, spread.ratios, strict=True):
        assert one.effect is not None
        assert other.effect is not None
        mine, theirs = (each.effect.model_dump(exclude={"rate_ratio"}) for each in (one, other))
        assert mine == pytest.approx(theirs, rel=1e-7)


def test_noise_makes_intervals_of_ratios_wider() -> None:
    table = {"node-0": people(40_000, 3, hidden=0.0)}
    exact, noisy = (run_study(plan(noise=noise), table).ratios[0].effect for noise in (False, True))
    assert exact is not None
    assert noisy is not None
    assert noisy.high - noisy.low > exact.high - exact.low


# Every way of comparing people has relative differences and ratios.


@pytest.mark.parametrize("analysis", METHODS.values(), ids=METHODS)
def test_a_rate_ratio_is_of_the_two_values_shown_and_finds_what_help_prevents(analysis: dict[str, Any]) -> None:
    result = run_study(plan(analysis=analysis), {"node-0": people(40_000, 1, hidden=0.0)})
    stays = of(result, "stays")
    assert stays.rate_ratio is not None
    assert stays.rate_ratio.estimate == pytest.approx(stays.treated_mean / stays.comparison_mean)
    assert stays.rate_ratio.low < 1 - FEWER < stays.rate_ratio.high < 1
    assert stays.e_value is not None
    assert [of(result, name).rate_ratio for name in ("years", "change")] == [None, None]


@pytest.mark.parametrize("name", METHODS)
def test_ratios_say_the_same_however_people_are_compared(name: str) -> None:
    """Pairs on the expected outcome have other comparators for each outcome: their errors do not cancel in a ratio."""
    analysis, widest = METHODS[name], 3.5 if name in ("pairs", "raw pairs") else 2.0
    found = run_study(plan(analysis=analysis), {"node-0": people(40_000, 1, hidden=0.0)})
    for usual, mine in zip(OPEN.ratios, found.ratios, strict=True):
        assert usual.effect is not None
        assert mine.effect is not None
        assert abs(mine.effect.estimate - usual.effect.estimate) < 2 * mine.effect.se
        assert 0.8 < mine.effect.se / usual.effect.se < widest


def test_analyses_beside_the_headline_and_subgroups_have_relative_differences_too() -> None:
    beside = [analysis | {"share": 0.1} for analysis in METHODS.values()]
    found = run_study(plan(analysis={"sensitivity": beside}), {"node-0": people(40_000, 1, hidden=0.0)}).further
    stays = [each.rate_ratio for each in found if each.outcome == "stays"]
    assert len(stays) == len(METHODS)
    assert all(each is not None and each.low < 1 - FEWER < each.high for each in stays)
    assert all(each.rate_ratio is None for each in found if each.outcome == "years")


@pytest.mark.parametrize("analysis", [{}, *METHODS.values()], ids=["weighted", *METHODS])
def test_ratios_take_a_part_of_what_outcomes_get_and_no_more(analysis: dict[str, Any]) -> None:
    written = plan(noise=True, analysis=analysis).model_dump(mode="json", by_alias=True)
    with_ratios, without = (schedule(Plan.model_validate(written | more)) for more in ({}, {"ratios": []}))
    for block in ("treated", "comparator"):
        assert with_ratios.cost(block) == pytest.approx(without.cost(block), rel=1e-3)
