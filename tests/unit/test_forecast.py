"""The planner: what it foretells moves as it should, and its rule is the stated one."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cohortium_coordinator.combine.profile import Means, Profile
from cohortium_coordinator.combine.tilt import first_tilt
from cohortium_coordinator.forecast.doubt import model_doubt, sum_of_weights
from cohortium_coordinator.forecast.expectation import Expectation, assumed_level
from cohortium_coordinator.forecast.picture import picture
from cohortium_coordinator.forecast.planned import Planned
from cohortium_coordinator.forecast.precision import precision
from cohortium_coordinator.forecast.study import EPSILONS, StudyForecast, study_forecast
from cohortium_coordinator.forecast.typical import typical
from cohortium_coordinator.forecast.verdict import (
    FEASIBLE,
    INFEASIBLE,
    PUBLISHED,
    Verdict,
    helped_needed,
    published_share,
    study_verdict,
)
from cohortium_protocols.estimates import estimates
from cohortium_protocols.outcomes import OUTCOMES
from cohortium_protocols.plan import Plan
from cohortium_protocols.plan_check import load_plan

EXAMPLES = Path(__file__).parents[2] / "examples"
USUAL = Expectation(500, 49_500)


def plan(outcomes: list[Any] | None = None, nodes: int = 5, **changed: Any) -> Plan:
    privacy = {"epsilon": 1.0, "delta": 1e-6} | {
        key: changed.pop(key) for key in ("epsilon", "aggregation", "noise") if key in changed
    }
    return Plan.model_validate({
        "cohortium": 1, "study": "forecast", "title": "Forecast", "question": "Enough?", "data": "table",
        "covariates": [{"name": f"x{i}", "low": 0.0, "high": 1.0, "centre": 0.5, "scale": 0.5} for i in range(12)],
        "outcomes": outcomes or [{"name": "visits", "low": 0, "clip": 10, "kind": "count"}],
        "privacy": privacy, "nodes": {"roster": [f"n{i}" for i in range(nodes)], "deadline": "2099-12-31"},
    } | changed)  # fmt: skip


def width(of: Plan, expected: Expectation = USUAL) -> float:
    return study_forecast(of, expected).outcomes[0].width


def test_more_people_more_budget_and_shared_noise_make_it_narrower() -> None:
    usual = width(plan())
    assert width(plan(), replace(USUAL, helped=2_000)) < usual < width(plan(), replace(USUAL, helped=200))
    assert width(plan(epsilon=2.0)) < usual < width(plan(epsilon=0.5))
    assert usual < width(plan(aggregation="local"))
    assert usual < width(plan(), replace(USUAL, overlap=40.0))
    assert usual < width(plan(), replace(USUAL, spreads={"visits": 3.0}))


def test_a_second_outcome_costs_the_first_some_of_its_exactness() -> None:
    both = [{"name": name, "low": 0, "clip": 10, "kind": "count"} for name in ("visits", "calls")]
    assert width(plan()) < width(plan(both))


def test_without_noise_only_chance_is_left() -> None:
    found = study_forecast(plan(noise=False), USUAL)
    assert found.outcomes[0].noise_share == pytest.approx(0, abs=0.02)
    assert (found.epsilon, found.published_share, found.alternatives) == (None, 1.0, ())
    assert found.outcomes[0].width == pytest.approx(found.outcomes[0].width_by_chance, rel=0.02)


def test_the_smallest_effect_found_is_2_8_standard_errors() -> None:
    outcome = study_forecast(plan(), USUAL).outcomes[0]
    assert outcome.detectable / outcome.width == pytest.approx(2.8016 / (2 * 1.96), rel=1e-4)
    assert outcome.detectable_part == pytest.approx(outcome.detectable / outcome.level)


@pytest.mark.parametrize("helped", [40, 90, 150, 400, 1_000, 10_000])
def test_the_verdict_is_the_stated_rule(helped: int) -> None:
    found = study_forecast(plan(), replace(USUAL, helped=helped))
    part, share = found.outcomes[0].detectable_part, found.published_share
    rule: Verdict = (
        "infeasible" if part > INFEASIBLE or share < PUBLISHED else "weak" if part > FEASIBLE else "feasible"
    )
    assert (found.verdict, found.outcomes[0].verdict) == (rule, rule)


def test_a_study_is_as_good_as_its_worst_headline() -> None:
    rare = {"name": "rare", "low": 0, "clip": 1, "kind": "binary"}
    common = {"name": "visits", "low": 0, "clip": 10, "kind": "count"}
    told = replace(USUAL, helped=2_000, levels={"rare": 0.01, "visits": 1.0})
    beside = plan([common | {"primary": True}, rare])
    headline = plan([common | {"primary": True}, rare | {"primary": True}])
    assert study_verdict(Planned(beside), told) == "feasible"
    assert study_verdict(Planned(headline), told) != "feasible"


def test_one_more_than_needed_is_feasible_and_a_tenth_fewer_is_not() -> None:
    planned = Planned(plan())
    needed = helped_needed(planned, USUAL)
    assert needed is not None
    assert study_verdict(planned, replace(USUAL, helped=needed)) == "feasible"
    assert study_verdict(planned, replace(USUAL, helped=int(needed * 0.9))) == "weak"
    assert helped_needed(planned, replace(USUAL, helped=7)) == needed


def test_nothing_is_promised_where_more_people_would_not_do() -> None:
    assert helped_needed(Planned(plan(epsilon=0.01)), USUAL) is None


def test_half_of_the_studies_are_published_where_as_many_are_expected_as_must_be_counted() -> None:
    planned = Planned(plan())
    assert published_share(planned, round(planned.fewest)) == pytest.approx(0.5, abs=0.02)
    assert published_share(planned, round(planned.fewest + 2 * planned.count_sd)) == pytest.approx(0.977, abs=0.005)


@pytest.mark.parametrize(("helped", "comparators"), [(500, 49_500), (2_000, 48_000), (900, 3_000), (40, 900_000)])
def test_weights_add_up_to_what_the_tilt_makes_them_add_up_to(helped: int, comparators: int) -> None:
    nobody = np.zeros(3)
    profile = Profile(Means(helped, 0.0, nobody, 0.0), Means(comparators, 0.0, nobody, 0.0), np.eye(3))
    assert sum_of_weights(Expectation(helped, comparators)) == pytest.approx(comparators / first_tilt(profile).largest)


def doubt(of: Plan, expected: Expectation = USUAL) -> float:
    outcome = of.outcomes[0]
    return model_doubt(Planned(of), expected, outcome, typical(outcome, expected.level(outcome)))


@pytest.mark.parametrize("kind", ["count", "binary", "days", "time", "share", "number"])
def test_noise_makes_doubt_about_the_model_and_more_people_less(kind: str) -> None:
    document = [{"name": "visits", "low": 0, "clip": 1 if kind in ("binary", "share", "time") else 10, "kind": kind}]
    assert doubt(plan(document, noise=False)) == 0
    assert doubt(plan(document), replace(USUAL, overlap=1.0)) < doubt(plan(document))
    assert 0 < doubt(plan(document, epsilon=4.0)) < doubt(plan(document)) < doubt(plan(document, epsilon=0.5))
    assert doubt(plan(document), replace(USUAL, helped=2_000)) < doubt(plan(document))
    assert doubt(plan(document), replace(USUAL, comparators=400_000)) < doubt(plan(document))


def test_a_lottery_without_noise_leaves_no_doubt() -> None:
    assert doubt(plan(noise=False), replace(USUAL, overlap=1.0)) == 0


@pytest.mark.parametrize("name", sorted(OUTCOMES))
def test_every_outcome_of_the_registry_has_a_guess_inside_its_range(name: str) -> None:
    known = OUTCOMES[name]
    document = {"name": name, "low": known.low, "clip": known.clip, "kind": known.kind}
    outcome = plan([document | ({"expected": "unknown"})]).outcomes[0]
    assert outcome.low < assumed_level(outcome) < outcome.clip
    kind = typical(outcome, USUAL.level(outcome))
    assert 0 < kind.variance < 0.25
    assert 0 < kind.clip <= 1


def test_a_level_that_is_told_is_not_called_a_guess() -> None:
    found = study_forecast(plan(), replace(USUAL, levels={"visits": 1.5})).outcomes[0]
    assert (found.level, found.level_assumed) == (1.5, False)
    assert study_forecast(plan(), USUAL).outcomes[0].level_assumed


@pytest.fixture(scope="module")
def full() -> StudyForecast:
    return study_forecast(load_plan((EXAMPLES / "befriending-2024-in-full.yaml").read_text()), USUAL)


def test_analyses_beside_the_headline_are_less_exact_and_parts_of_the_people_least(full: StudyForecast) -> None:
    headline = {each.name: each.width for each in full.outcomes}
    assert {each.key for each in full.further} == {"s1", "s2", "s3", "s4", "g1"}
    assert all(each.width > headline[each.outcome] for each in full.further)


@pytest.mark.parametrize("method", [{"method": "strata"}, {"comparison": "within_node"}, {"method": "matched_pairs"}])
def test_every_headline_method_can_be_foretold(method: dict[str, str]) -> None:
    found = width(plan(analysis=method))
    assert width(plan()) * 0.9 < found < width(plan()) * 3


def test_raw_pairs_are_foretold_wider_than_adjusted_ones() -> None:
    raw = {"method": "matched_pairs", "adjusted": False}
    assert width(plan(analysis=raw)) > width(plan(analysis={"method": "matched_pairs"}))


def test_other_budgets_are_held_beside_and_two_nodes_have_no_secure_sum(full: StudyForecast) -> None:
    assert {(each.epsilon, each.aggregation) for each in full.alternatives} == {
        (epsilon, how) for epsilon in EPSILONS for how in ("secure", "local")
    }
    two = study_forecast(plan(nodes=2, aggregation="local"), USUAL)
    assert {each.aggregation for each in two.alternatives} == {"local"}


def test_the_plans_own_budget_among_the_others_says_the_same(full: StudyForecast) -> None:
    own = next(each for each in full.alternatives if (each.epsilon, each.aggregation) == (2.0, "secure"))
    assert (own.width, own.verdict) == (full.headlines[0].width, full.verdict)


def test_balance_can_be_green_only_where_its_noise_is_small() -> None:
    assert not study_forecast(plan(), USUAL).balance.green
    many = study_forecast(plan(epsilon=4.0), Expectation(20_000, 2_000_000)).balance
    assert many.green
    assert many.reach < 0.1


def test_noise_in_the_number_of_people_widens_the_interval() -> None:
    planned = Planned(plan(aggregation="local", epsilon=0.5))
    few, many = (
        precision(planned, replace(USUAL, helped=helped), estimates(planned.plan)[0], planned.plan.outcomes[0])
        for helped in (300, 5_000)
    )
    assert few.widening > 1.1 > many.widening > 1.0


def test_the_picture_has_a_panel_a_headline_outcome_with_its_verdict() -> None:
    shown = load_plan((EXAMPLES / "befriending-2024-in-full.yaml").read_text())
    drawn, found = picture(shown, USUAL), study_forecast(shown, USUAL)
    root = ElementTree.fromstring(drawn)
    words = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert [each.title for each in found.headlines] == ["A&E attendances", "Emergency admissions"]
    assert {each.title for each in found.headlines} <= set(words)
    said = [str(each) for each in words if "500 helped: " in str(each)]
    assert [each.verdict in text for each, text in zip(found.headlines, said, strict=True)] == [True, True]
    assert "prefers-color-scheme:dark" in drawn
