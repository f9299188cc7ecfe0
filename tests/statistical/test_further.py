"""A study with everything beside the headline, from plan to report: every block is there and agrees with the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cohortium_coordinator.combine.e_value import e_value
from cohortium_coordinator.report import render_html
from cohortium_coordinator.result import FurtherEstimate, StudyResult
from cohortium_protocols.plan import Plan
from cohortium_protocols.plan_check import load_plan
from cohortium_protocols.schedules import schedule
from cohortium_simulations.federation import run_study
from cohortium_simulations.table import Column, Question, table_study

IN_FULL = Path(__file__).parents[2] / "examples" / "befriending-2024-in-full.yaml"
QUESTION = Question(treated="helped", outcomes=[Column("visits", 0, 8), Column("weight", 30, 130)],
                    covariates=[Column("age", 18, 110)], categorical=["area"])  # fmt: skip
ANALYSIS = {
    "sensitivity": [{"comparison": "within_node", "share": 0.1}, {"method": "strata", "share": 0.1}],
    "subgroups": [{"by": "area", "share": 0.2}],
}


def people(count: int) -> pd.DataFrame:
    rng = np.random.default_rng(8)
    age, area = rng.integers(18, 95, count), rng.choice(["a", "b"], count)
    helped = rng.random(count) < 1 / (1 + np.exp(2 - 0.02 * (age - 50)))
    visits = rng.poisson(np.exp(0.01 * (age - 50)) * np.where(helped, 0.7, 1.0))
    weight = 75 + 8 * rng.normal(size=count) - 4 * helped
    return pd.DataFrame(
        {"helped": helped.astype(int), "age": age, "area": area, "visits": visits, "weight": weight}
    ).astype(str)


@pytest.fixture(scope="module")
def result() -> StudyResult:
    ready = table_study(people(6000), QUESTION, source="people", nodes=3, split="random", epsilon=None, delta=1e-6,
                        method="doubly_robust", rng=np.random.default_rng(0))  # fmt: skip
    written = ready.plan.model_dump(mode="json", by_alias=True) | {"analysis": ANALYSIS}
    written["outcomes"] = [outcome | {"primary": True} for outcome in written["outcomes"]]
    return run_study(Plan.model_validate(written), ready.tables)


def of(result: StudyResult, outcome: str) -> list[FurtherEstimate]:
    return [each for each in result.further if each.outcome == outcome]


def test_every_analysis_and_every_group_has_an_estimate_of_every_outcome(result: StudyResult) -> None:
    asked = [("s1", ""), ("s2", ""), ("g1", "area=a"), ("g1", "area=b"), ("g1", "area=(other)")]
    for outcome in ("visits", "weight"):
        assert [(each.key, each.group) for each in of(result, outcome)] == asked
        assert [each.effect is None for each in of(result, outcome)] == [False] * 4 + [True]


def test_groups_make_up_the_whole(result: StudyResult) -> None:
    for outcome in result.outcomes:
        a, b = (each for each in of(result, outcome.name) if each.effect and each.role == "subgroup")
        assert a.n_treated + b.n_treated == pytest.approx(outcome.n_treated)
        assert a.effect is not None
        assert b.effect is not None
        together = (a.n_treated * a.effect.estimate + b.n_treated * b.effect.estimate) / outcome.n_treated
        assert together == pytest.approx(outcome.estimate, abs=outcome.se)


def test_every_analysis_says_the_same_of_the_same_people(result: StudyResult) -> None:
    for name in ("agreement.visits", "agreement.weight"):
        (check,) = [check for check in result.checks if check.name == name]
        assert check.state == "informational"
        assert check.value is not None
        assert check.value < 1


def test_two_main_outcomes_are_adjusted_and_both_have_an_e_value(result: StudyResult) -> None:
    visits, weight = result.outcomes
    assert visits.p_value_holm is not None
    assert visits.p_value_holm >= visits.p_value
    assert visits.rate_ratio is not None
    assert visits.e_value is not None
    assert visits.e_value.estimate == pytest.approx(e_value(visits.rate_ratio.estimate))
    assert weight.rate_ratio is None
    assert weight.e_value is not None
    assert weight.e_value.estimate == pytest.approx(e_value(np.exp(0.91 * weight.estimate / 8.2)), rel=0.1)


def test_nothing_is_clipped_without_noise_and_data_holders_do_not_differ(result: StudyResult) -> None:
    checks = {check.name: check for check in result.checks}
    assert checks["clipping"].value == 0
    assert checks["heterogeneity.visits"].state in ("passed", "cannot tell")


def test_the_report_shows_all_of_it(result: StudyResult) -> None:
    page = render_html(result)
    for words in ("The same question answered in other ways", "Groups of people", "p-value, adjusted", "E-value"):
        assert words in page


def test_the_example_in_full_is_a_plan_whose_vectors_cost_what_it_allows() -> None:
    plan = load_plan(IN_FULL.read_text(), IN_FULL.name)
    assert schedule(plan).mu2 == pytest.approx(schedule(load_plan(
        IN_FULL.with_name("befriending-2024.yaml").read_text())).mu2, rel=0.01)  # fmt: skip
    assert plan.analysis.sensitivity
    assert plan.analysis.subgroups
    assert plan.ratios
