"""Hopeless studies end in a result that says so, never in a crash and never in a headline."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cohortium_coordinator.combine.analysis import Analysis
from cohortium_coordinator.combine.sums import Answers, Separate
from cohortium_coordinator.result import NodeStatus, StudyResult
from cohortium_node.features import study_arrays
from cohortium_node.local.reduce import checked_parameters, reduce_round
from cohortium_protocols.plan import Plan
from cohortium_simulations.federation import run_study
from cohortium_simulations.table import Column, Question, TableStudy, table_study

QUESTION = Question(
    "helped", [Column("visits", 0, 8), Column("any", 0, 1)], [Column("age", 18, 110)], ["area"]
)


def people(count: int, helped: float, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    visits = rng.poisson(0.6, count)
    chosen = rng.random(count) < helped
    chosen[0], chosen[1] = True, False
    frame = {"helped": chosen.astype(int), "age": rng.integers(18, 95, count), "area": rng.choice(["a", "b"], count),
             "visits": visits, "any": (visits > 0).astype(int)}  # fmt: skip
    return pd.DataFrame(frame).astype(str)


def study(frame: pd.DataFrame, epsilon: float | None, nodes: int = 3) -> TableStudy:
    return table_study(frame, QUESTION, source="people", nodes=nodes, split="random", epsilon=epsilon, delta=1e-6,
                       method="doubly_robust", rng=np.random.default_rng(1))  # fmt: skip


def result(frame: pd.DataFrame, epsilon: float | None) -> StudyResult:
    ready = study(frame, epsilon)
    return run_study(ready.plan, ready.tables)


@pytest.mark.parametrize("epsilon", [0.01, 0.5])
def test_too_few_people_for_the_noise_is_not_published_and_says_how_many_it_takes(epsilon: float):
    found = result(people(300, 0.05), epsilon)
    assert not found.published
    assert "More people would be needed" in str(found.not_published_because)
    for outcome in found.outcomes:
        assert outcome.clip_low - outcome.clip_high <= outcome.low <= outcome.high <= outcome.clip_high


def test_a_study_that_is_not_published_says_how_many_people_helped_the_planner_asks_for():
    found = result(people(20_000, 0.003), 1.0)
    assert not found.published
    assert found.helped_needed is not None
    assert 126 < found.helped_needed < 2_000
    assert f"With about {found.helped_needed:,} people helped" in str(found.not_published_because)
    hopeless = result(people(300, 0.05), 0.5)
    assert hopeless.helped_needed is None
    assert "a larger epsilon" in str(hopeless.not_published_because)


def test_one_helped_person_is_never_a_headline():
    assert not result(people(400, 0.0), None).published


def test_everybody_helped_but_one_has_no_comparison():
    found = result(people(400, 1.0), None)
    assert next(check for check in found.checks if check.name == "overlap").state == "failed"


def test_an_outcome_that_never_happens_has_no_effect():
    frame = people(3000, 0.2).assign(visits="0", any="0")
    found = result(pd.concat([frame, people(2, 0.5).assign(visits="1", any="1")]), 2.0)
    assert all(abs(outcome.estimate) < 6 * outcome.se for outcome in found.outcomes)  # noise alone: 1 in 10^8


def released(plan: Plan, study_: TableStudy, lost_after: Mapping[str, str]) -> tuple[Answers, list[dict]]:
    """Every round's exact answers; a node takes no part after the round it was lost after."""
    analysis, answers, asked = Analysis(plan), {}, []
    arrays = {name: study_arrays(plan, table) for name, table in study_.tables.items()}
    for spec in analysis.schedule.rounds:
        parameters = analysis.parameters(spec.name, answers)
        asked.append(parameters)
        exact = {name: reduce_round(spec, parameters, each) for name, each in arrays.items()}
        answers[spec.name] = Separate(exact)
        arrays = {name: each for name, each in arrays.items() if lost_after.get(name) != spec.name}
    return answers, asked


@pytest.mark.parametrize("when", ["profile", "model_1", "residuals", "model_4", "levels"])
def test_a_lost_node_changes_who_is_estimated_and_no_parameter_that_was_sent(when: str):
    ready = study(people(3000, 0.3), 1.0)
    answers, asked = released(ready.plan, ready, {"node-2": when})
    again = Analysis(ready.plan)
    for spec, sent in zip(again.schedule.rounds, asked, strict=True):
        assert again.parameters(spec.name, answers) == sent
    nodes = tuple(NodeStatus(name=name, status="answered", rounds_answered=1) for name in answers["outcome"].nodes)
    found = again.result(answers, created="2026-01-01T00:00:00+00:00", nodes=nodes)
    left = sum(int(ready.tables[name].treated.sum()) for name in answers["outcome"].nodes)
    assert found.outcomes[0].n_treated == pytest.approx(left)
    assert found.attrition.steps[0].count == pytest.approx(left)


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), power=st.floats(0, 45), shift=st.floats(-1, 1))
def test_whatever_is_released_the_next_request_stays_within_the_signed_plan(seed: int, power: float, shift: float):
    """Noise alone, of any size: parameters stay declared, and the result is a value, not a crash."""
    rng, ready = np.random.default_rng(seed), study(people(50, 0.3), 1.0, nodes=1)
    analysis, answers = Analysis(ready.plan), {}
    for spec in analysis.schedule.rounds:
        checked_parameters(spec, analysis.parameters(spec.name, answers))
        vectors = {vector.name: rng.normal(shift, 1, vector.dimension) * 2**power for vector in spec.vectors}
        released = {name: values.astype(np.int64) for name, values in vectors.items()}
        answers[spec.name] = Separate({"node-1": released})
    nodes = (NodeStatus(name="node-1", status="answered", rounds_answered=len(answers)),)
    found = analysis.result(answers, created="2026-01-01T00:00:00+00:00", nodes=nodes)
    assert all(outcome.low <= outcome.high for outcome in found.outcomes)
