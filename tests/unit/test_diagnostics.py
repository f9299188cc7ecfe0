"""Checks as values: what each says, and when."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohortium_coordinator.combine import diagnostics
from cohortium_coordinator.combine.diagnostics import Findings
from cohortium_coordinator.combine.e_value import e_value, of_difference, of_ratio
from cohortium_coordinator.combine.estimate import Effect, Weighted
from cohortium_coordinator.combine.found import Found
from cohortium_coordinator.combine.further_statement import estimand, further_estimates
from cohortium_coordinator.combine.multiple import adjusted
from cohortium_coordinator.combine.part import Part
from cohortium_coordinator.combine.profile import Means, Profile
from cohortium_coordinator.combine.residual_clip import UNCLIPPED, Price, ResidualClip, choose
from cohortium_coordinator.combine.sums import NoisySum
from cohortium_coordinator.report import read_result
from cohortium_coordinator.result import NodeStatus, RateRatio
from cohortium_protocols.doubly_robust import CLIPS, effects
from cohortium_protocols.estimates import estimates
from cohortium_protocols.outcomes import Outcome
from cohortium_protocols.plan import Plan

REPORT = read_result(Path(__file__).parents[2] / "docs" / "reference" / "report.example.json")
VISITS = Outcome(name="visits", title="Visits", low=0.0, clip=8.0, kind="count", unit="visits", better="lower")
NODES = tuple(NodeStatus(name=name, status="answered", rounds_answered=6) for name in ("north", "south"))


def plan(**analysis: Any) -> Plan:
    visits = {"name": "visits", "low": 0, "clip": 8, "kind": "count", "unit": "visits", "title": "Visits",
              "better": "lower", "primary": True}  # fmt: skip
    return Plan.model_validate({
        "cohortium": 1, "study": "visits", "title": "Visits", "question": "Fewer?", "data": "table",
        "covariates": [{"name": "age", "low": 18, "high": 90}, {"name": "sex", "levels": ["f", "m"]}],
        "outcomes": [visits], "analysis": analysis, "privacy": {"epsilon": 1, "aggregation": "local"},
        "nodes": {"roster": ["north", "south"], "deadline": "2030-12-31"},
    })  # fmt: skip


def an_effect(estimate: float, variance: float = 1e-4) -> Effect:
    half = 1.96 * variance**0.5
    return Effect(estimate, estimate - half, estimate + half, variance, variance / 2, 0.2, variance / 4, variance / 2,
                  variance / 4)  # fmt: skip


def said(outcome: Outcome, effect: Effect | None) -> Part | None:
    return effect and Part(outcome, effect, 1e-4, effect.compared, (effect.sampling, 1e-5), (0.0, 0.0), 0.0, 0.0, 0.3)


def findings(study: Plan, headline: Effect, beside: Iterable[Effect | None] = (), **changes: Any) -> Findings:
    people = Means(500.0, 4.0, np.zeros(3), 1e-4)
    outcome, further = study.outcomes[0], estimates(study)[1:]
    pairs = zip(further, beside, strict=True)
    found = tuple(Found(estimate, "", outcome, said(outcome, each), 500.0) for estimate, each in pairs)
    known = Findings(Profile(people, people, np.eye(3)), people, Weighted(900.0, 1.0, 900.0, people), [headline],
                     [UNCLIPPED], NoisySum(np.zeros(3), 1.0), further=found, spreads=(None,))  # fmt: skip
    return replace(known, **changes)


# E-values (VanderWeele and Ding 2017)


@pytest.mark.parametrize(
    ("ratio", "published"),
    [
        ((3.9, 1.8, 8.7), (7.2, 3.0)),    # the article's example: infants fed by formula alone, respiratory deaths
        ((0.80, 0.71, 0.91), (1.8, 1.4)),    # worked out by hand
        ((1.2, 0.9, 1.6), (1.7, 1.0)),    # likewise: no effect is in the interval
    ],
)  # fmt: skip
def test_e_values_are_those_published_and_worked_out(ratio: tuple[float, ...], published: tuple[float, float]) -> None:
    found = of_ratio(RateRatio(estimate=ratio[0], low=ratio[1], high=ratio[2]))
    assert found is not None
    assert (found.estimate, found.limit) == pytest.approx(published, abs=0.07)


@given(st.floats(0.01, 100))
def test_an_unrecorded_cause_of_that_strength_explains_the_ratio_exactly(ratio: float) -> None:
    strength = e_value(ratio)
    assert strength * strength / (2 * strength - 1) == pytest.approx(max(ratio, 1 / ratio))


def test_a_ratio_of_zero_has_no_e_value() -> None:
    assert of_ratio(RateRatio(estimate=0.0, low=0.0, high=0.5)) is None
    assert of_ratio(None) is None


def test_a_difference_in_standard_deviations_stands_for_a_ratio() -> None:
    found = of_difference(0.5, 0.2, 0.8)
    assert found is not None
    assert (found.estimate, found.limit) == pytest.approx((e_value(np.exp(0.455)), e_value(np.exp(0.182))))


def test_the_check_says_when_there_is_nothing_to_explain_away() -> None:
    main = REPORT.outcomes[0]
    clear = diagnostics.unrecorded(main)
    assert clear is not None
    assert (clear.state, clear.value) == ("informational", 1.67)
    assert "a factor of 1.37 would be enough" in clear.meaning
    assert main.e_value is not None
    open_ = main.model_copy(update={"e_value": main.e_value.model_copy(update={"limit": 1.0})})
    assert "nothing to explain away" in getattr(diagnostics.unrecorded(open_), "meaning", "")
    assert diagnostics.unrecorded(main.model_copy(update={"e_value": None})) is None


# Several primary outcomes


def test_primary_outcomes_are_adjusted_for_each_other_and_nothing_else_is() -> None:
    outcomes = [each.model_copy(update={"p_value": p, "primary": p < 0.05, "expected": "unknown"})
                for each, p in zip(REPORT.outcomes, (0.01, 0.04, 0.03, 0.6, 0.7, 0.8), strict=True)]  # fmt: skip
    assert [each.p_value_holm for each in adjusted(outcomes)] == [
        pytest.approx(0.03), pytest.approx(0.06), pytest.approx(0.06), None, None, None,
    ]  # fmt: skip


def test_one_primary_outcome_needs_no_adjustment() -> None:
    assert adjusted(REPORT.outcomes) == REPORT.outcomes


def test_a_check_is_not_counted_among_the_primary_outcomes() -> None:
    first, second, *rest = REPORT.outcomes
    check = second.model_copy(update={"primary": True, "expected": "none"})
    assert all(each.p_value_holm is None for each in adjusted([first, check, *rest]))


# Do analyses agree?

THREE = {"sensitivity": [{"comparison": "within_node", "share": 0.1}, {"method": "strata", "share": 0.1}]}


@pytest.mark.parametrize(
    ("beside", "state", "value"),
    [
        ((0.11, 0.09), "informational", 0.71),    # headline .10, se .01 each: the difference has se .0141
        ((0.11, 0.16), "failed", 4.24),
        ((0.13, None), "failed", 2.12),           # one comparison alone: 1.96 is enough
        ((0.13, 0.10), "informational", 2.12),    # two: 2.24 would be needed
        ((None, None), "cannot tell", None),
    ],
)  # fmt: skip
def test_an_analysis_differs_when_an_interval_of_the_difference_leaves_out_zero(
    beside: tuple[float | None, ...], state: str, value: float | None
) -> None:
    study = plan(**THREE)
    found = findings(study, an_effect(0.10), [each and an_effect(each) for each in beside])
    (check,) = diagnostics.analyses_agree(study, found)
    assert (check.state, check.value) == (state, value)
    assert "conservative" in check.rule
    if state == "failed":
        assert "Different: " in check.meaning


def test_without_further_analyses_there_is_nothing_to_agree() -> None:
    assert list(diagnostics.analyses_agree(plan(), findings(plan(), an_effect(0.1)))) == []


# Do data holders agree?


@pytest.mark.parametrize(
    ("i2", "p", "state"),
    [(0.0, 0.6, "passed"), (0.25, 0.10, "passed"), (0.4, 0.2, "cannot tell"), (0.7, 0.02, "informational")],
)
def test_data_holders_agree_when_neither_q_nor_i2_says_otherwise(i2: float, p: float, state: str) -> None:
    (block, *_) = REPORT.heterogeneity or ()
    assert block.combined is not None
    combined = block.combined.model_copy(update={"i2": i2, "q_p_value": p})
    mine = block.model_copy(update={"outcome": "visits", "combined": combined})
    (check,) = diagnostics.holders_agree(plan(), findings(plan(), an_effect(0.1), heterogeneity=(mine,)))
    assert (check.state, check.value) == (state, i2)


def test_one_data_holder_cannot_tell() -> None:
    (block, *_) = REPORT.heterogeneity or ()
    alone = block.model_copy(update={"outcome": "visits", "combined": None})
    (check,) = diagnostics.holders_agree(plan(), findings(plan(), an_effect(0.1), heterogeneity=(alone,)))
    assert (check.state, check.value) == ("cannot tell", None)


def test_secure_sums_leave_no_check_of_data_holders() -> None:
    assert list(diagnostics.holders_agree(plan(), findings(plan(), an_effect(0.1)))) == []


# What the clip cuts


def visits_released(residuals: np.ndarray, sd: float, rng: np.random.Generator) -> NoisySum:
    """The ``pass_through`` sums of these residuals; of an effect, all survives."""
    shapes, people = len(effects(VISITS)), len(residuals)
    squares = [float(np.sum(np.clip(residuals, -clip, clip) ** 2)) for clip in CLIPS]
    values = np.array([people] * (shapes * len(CLIPS) + shapes) + squares, dtype=float)
    return NoisySum(values + rng.normal(0, sd, len(values)), sd**2)


@pytest.mark.parametrize("sd", [1e-9, 20.0, 80.0])
def test_the_share_that_is_cut_lies_within_its_limits(sd: float) -> None:
    rng, held = np.random.default_rng(3), []
    residuals = np.minimum(rng.poisson(rng.gamma(0.5, 1, 100_000)), 8) / 8 - 0.06
    for _ in range(100):
        released = visits_released(residuals, sd, rng)
        clip = choose(VISITS, released, people=len(residuals), level=0.06, price=Price(1e-3, 1e-2))
        assert clip.cut is not None
        held.append(clip.cut[0] - 1e-9 <= np.mean(np.abs(residuals) > clip.clip) <= clip.cut[1] + 1e-9)
    assert np.mean(held) >= 0.9


def test_clipping_is_shown_where_a_release_tells_it_and_only_there() -> None:
    known = [UNCLIPPED, ResidualClip(0.2, 0.8, 0.1, 0.0, (0.02, 0.05)), ResidualClip(0.5, 1.0, 0.0, 0.0)]
    check = diagnostics.clipping(findings(plan(), an_effect(0.1), clips=known))
    assert check is not None
    assert (check.state, check.value) == ("informational", 0.05)
    assert "2.0% to 5.0%" in check.rule
    assert diagnostics.clipping(findings(plan(), an_effect(0.1), clips=known[2:])) is None


# What is estimated


@pytest.mark.parametrize(
    ("analysis", "words"),
    [
        ({}, "who could be analysed (ATT), on outcomes counted for each person up to a limit, compared with weighted "
             "people of 2 data holders who were not helped."),
        ({"exact": ["sex"]}, "weighted people of 2 data holders, alike in sex, who were not helped."),
        ({"comparison": "within_node"},
         "weighted people of the same data holder (2 data holders) who were not helped."),
        ({"method": "strata", "strata": 5},
         "weighted people of 2 data holders of the same expected outcome (5 strata) who were not helped."),
        ({"method": "matched_pairs"}, "the most similar person of the same data holder (2 data holders) who was not "
                                      "helped."),
    ],
)  # fmt: skip
def test_the_estimand_says_with_whom_people_were_compared(analysis: dict[str, Any], words: str) -> None:
    assert estimand(plan(**analysis), NODES, ()).endswith(words)


def test_pairs_are_about_matched_people_only() -> None:
    assert "for whom a match was found (matched people only)" in estimand(plan(method="matched_pairs"), NODES, ())


def test_the_estimand_names_where_nobody_was_comparable() -> None:
    said = estimand(plan(comparison="within_node"), NODES, ("south",))
    assert said.endswith("Nobody comparable at south: comparators of all data holders stood in.")
    many = estimand(plan(comparison="within_node", exact=["sex"]), NODES, tuple("abcdefg"))
    assert "at a; b; c; d; e and 2 more:" in many


def test_a_further_estimate_is_in_the_outcomes_unit_or_says_that_it_cannot_tell() -> None:
    study = plan(**THREE)
    seen, unseen = further_estimates(findings(study, an_effect(0.1), [an_effect(0.05), None]))
    assert (seen.key, seen.role, seen.method, seen.comparison) == ("s1", "sensitivity", "doubly_robust", "within_node")
    assert seen.effect is not None
    assert (seen.effect.estimate, seen.effect.se, seen.noise_share) == pytest.approx((0.4, 0.08, 0.5))
    assert (unseen.method, unseen.effect, unseen.noise_share) == ("strata", None, None)
