"""Ratios, changes, checks and the importance of outcomes, as plans say them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from cohortium_protocols.doubly_robust import RATIO_SHARE, outcome_parts
from cohortium_protocols.outcomes import CHECK, SECONDARY
from cohortium_protocols.plan import Plan
from cohortium_protocols.plan_fault import path_text
from cohortium_protocols.ratios import RATIOS
from cohortium_protocols.schedules import LAST, schedule

COVARIATES = ["age", "prior.ae_attendances", "prior.emergency_admissions", "prior.bed_days"]
STAYS = ["bed_days", "all_admissions"]


def plan(outcomes: list[Any], ratios: list[Any] | None = None, **changes: Any) -> Plan:
    return Plan.model_validate({
        "cohortium": 1, "study": "small", "title": "A small study", "question": "Do people go to A&E less?",
        "intake": {"from": "2021-11-01", "to": "2022-05-31"}, "follow_up": 365, "covariates": COVARIATES,
        "outcomes": outcomes, "ratios": ratios or [], "privacy": {"epsilon": 1, "aggregation": "local"},
        "nodes": {"roster": ["north"], "deadline": "2026-12-31"},
    } | changes)  # fmt: skip


def table(outcomes: list[Any], ratios: list[Any] | None = None) -> Plan:
    covariates = [{"name": "age", "low": 18, "high": 90}]
    return plan(outcomes, ratios, data="table", covariates=covariates, intake=None, follow_up=None)


def fault(make: Any, *given: Any, **changes: Any) -> str:
    with pytest.raises(ValidationError) as refused:
        make(*given, **changes)
    (error,) = refused.value.errors(include_url=False)
    assert error["ctx"]["why"].endswith(".")
    assert error["ctx"]["do"].endswith((".", "?"))
    return f"{path_text(error['loc'])}: {error['msg']}"


def test_the_mean_length_of_stay_is_a_ratio_of_two_outcomes() -> None:
    (ratio,) = plan(STAYS, ["mean_length_of_stay"]).ratios
    assert (ratio.numerator, ratio.denominator, ratio.unit, ratio.better) == (*STAYS, "days per admission", "lower")


def test_a_rate_per_person_year_is_a_ratio_to_the_time_observed() -> None:
    (ratio,) = plan(["ae_attendances", "follow_up_years"], [{"name": "ae_attendances.rate", "per": 100}]).ratios
    assert (ratio.denominator, ratio.per, ratio.unit) == ("follow_up_years", 100, "attendances per person-year")


def test_a_ratio_of_ones_own_is_of_any_two_outcomes_from_zero() -> None:
    visits, hours = ({"name": name, "clip": 9, "unit": name} for name in ("visits", "hours"))
    (ratio,) = table([visits, hours], [{"name": "a visit", "numerator": "hours", "denominator": "visits"}]).ratios
    assert (ratio.title, ratio.unit, ratio.better) == ("a visit", "hours per visits", "neither")


@pytest.mark.parametrize(("ratio", "says"), [
    ("mean_length_of_stay", "ratios[0]: The ratio `mean_length_of_stay` needs the outcome `all_admissions`."),
    ("mean_length", "ratios[0]: There is no ratio `mean_length`."),
    ({"name": "bed_days", "numerator": "bed_days", "denominator": "death"}, "ratios[0]: `bed_days` is an outcome"),
    ({"name": "x", "numerator": "bed_days", "denominator": "bed_days"}, "ratios[0]: `x` is the ratio of `bed_days`"),
    ({"name": "x", "numerator": "bed_days.change", "denominator": "bed_days"}, "ratios[0]: The ratio `x` is of `bed"),
])  # fmt: skip
def test_a_ratio_that_cannot_be_is_explained(ratio: Any, says: str) -> None:
    assert fault(plan, ["bed_days", "bed_days.change"], [ratio]).startswith(says)


@pytest.mark.parametrize("analysis", [{"method": "strata"}, {"comparison": "within_node"}, {"method": "matched_pairs"}])
def test_ratios_go_with_every_way_of_comparing_people(analysis: dict[str, Any]) -> None:
    declared = schedule(plan(STAYS, ["mean_length_of_stay"], analysis=analysis)).round("outcome")
    products = [vector.name for vector in declared.vectors if "product" in vector.name]
    assert products == ["treated_product.mean_length_of_stay", "comparator_product.mean_length_of_stay"]


def test_a_mean_length_of_stay_among_the_outcomes_is_pointed_to_the_ratios() -> None:
    assert fault(plan, ["mean_length_of_stay"]).startswith("outcomes[0]: `mean_length_of_stay` is not an outcome")


def test_every_registered_ratio_can_be_planned_with_its_outcomes() -> None:
    needed = dict.fromkeys(name for ratio in RATIOS.values() for name in (ratio.numerator, ratio.denominator))
    prior = [f"prior.{name}" for name in ("outpatient_attendances", "elective_admissions")]
    asked = plan(list(needed), list(RATIOS), covariates=[*COVARIATES, *prior])
    assert [ratio.name for ratio in asked.ratios] == list(RATIOS)


def test_the_products_behind_ratios_take_a_small_part_of_the_last_round() -> None:
    last = schedule(plan(STAYS, ["mean_length_of_stay"])).round(LAST)
    product, whole = last.vector("treated_product.mean_length_of_stay"), last.vector("treated_outcome.bed_days")
    assert product.budget < RATIO_SHARE * whole.budget * 2
    plain = schedule(plan(STAYS)).round(LAST).vector("treated_outcome.bed_days")
    assert whole.budget == pytest.approx((1 - RATIO_SHARE) * plain.budget)


def test_a_change_is_named_for_what_it_is_and_goes_both_ways() -> None:
    short = plan(["ae_attendances.change"])
    long = plan([{"name": "ae_attendances", "change_from": "prior.ae_attendances"}])
    (outcome,) = short.outcomes
    assert short == long
    assert (outcome.name, outcome.low, outcome.clip, outcome.kind) == ("ae_attendances.change", -10, 10, "number")
    (narrow,) = plan([{"name": "ae_attendances.change", "clip": 4}]).outcomes
    assert (narrow.low, narrow.clip) == (-4, 4)


def test_a_change_needs_no_prior_use_among_the_covariates() -> None:
    assert plan(["ae_attendances.change"], covariates=["age"]).outcomes[0].change_from == "prior.ae_attendances"


def test_a_change_from_something_else_is_refused() -> None:
    found = fault(plan, [{"name": "ae_attendances", "change_from": "prior.bed_days"}])
    assert found == "outcomes[0]: `change_from` of the outcome `ae_attendances.change` cannot be changed."
    found = fault(table, [{"name": "weight", "clip": 5, "change_from": "before"}])
    assert found == "outcomes[0]: `change_from` of `weight` has no meaning here."


def test_the_time_observed_is_at_most_the_follow_up() -> None:
    (outcome,) = plan(["follow_up_years"], follow_up=90).outcomes
    assert outcome.clip == 90 / 365.25
    assert "`clip` of the outcome" in fault(plan, [{"name": "follow_up_years", "clip": 2}])


def test_what_was_before_the_help_is_a_check_and_does_not_lead() -> None:
    asked = plan(["earlier.ae_attendances", "ae_attendances"])
    assert [(each.expected, each.primary) for each in asked.outcomes] == [("none", False), ("unknown", True)]
    assert "`expected` of the outcome" in fault(plan, [{"name": "earlier.ae_attendances", "expected": "unknown"}])


def test_a_check_cannot_be_the_finding() -> None:
    assert fault(plan, [{"name": "death", "expected": "none"}]) == "outcomes: Every outcome is a check."
    found = fault(plan, [{"name": "death", "expected": "none", "primary": True}])
    assert found == "outcomes[0]: `death` is a headline outcome in which no difference is expected."


def test_the_headline_matters_most_and_a_check_least() -> None:
    asked = plan(["ae_attendances", "emergency_admissions", {"name": "death", "expected": "none"}])
    assert [each.importance for each in asked.outcomes] == [1, SECONDARY, CHECK]
    first, second, third = outcome_parts(asked)
    assert first + second + third == pytest.approx(1)
    assert first / second == pytest.approx(2)
    assert first / third == pytest.approx(10**0.5)


def test_a_plan_may_say_how_much_an_outcome_matters() -> None:
    asked = plan(["ae_attendances", {"name": "emergency_admissions", "weight": 1}])
    assert outcome_parts(asked) == (0.5, 0.5)
    assert outcome_parts(plan(["ae_attendances"])) == (1.0,)
