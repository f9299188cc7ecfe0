"""Noise off, a federation says what one holder of all the data would say, however people are split."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cohortium_coordinator.result import StudyResult
from cohortium_protocols.plan import Plan
from cohortium_simulations.federation import run_study
from cohortium_simulations.table import Column, Question, TableStudy, table_study

QUESTION = Question(
    treated="helped",
    outcomes=[Column("visits", 0, 8), Column("any", 0, 1), Column("weight")],
    covariates=[Column("age", 18, 110), Column("prior", 0, 10)],
    categorical=["area"],
)


def people(count: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    age, prior = rng.integers(18, 95, count), rng.poisson(0.8, count)
    helped = rng.random(count) < 1 / (1 + np.exp(2.2 - 0.02 * (age - 50) - 0.4 * prior))
    visits = rng.poisson(np.exp(-1 + 0.4 * prior - 0.2 * helped))
    frame = {
        "helped": helped.astype(int), "age": age, "prior": prior, "area": rng.choice(["a", "b", "c"], count),
        "visits": visits, "any": (visits > 0).astype(int), "weight": 70 + 9 * rng.normal(size=count) + 2 * helped,
    }  # fmt: skip
    return pd.DataFrame(frame).astype(str)


def study(frame: pd.DataFrame, nodes: int, seed: int = 0) -> TableStudy:
    rng = np.random.default_rng(seed)
    return table_study(frame, QUESTION, source="people", nodes=nodes, split="random", epsilon=None, delta=1e-6,
                       method="doubly_robust", rng=rng)  # fmt: skip


def result(frame: pd.DataFrame, nodes: int, seed: int = 0) -> StudyResult:
    ready = study(frame, nodes, seed)
    return run_study(ready.plan, ready.tables)


FRAME = people(1200, 1)
POOLED = result(FRAME, 1)


def assert_same(found: StudyResult, expected: StudyResult = POOLED) -> None:
    for mine, pooled in zip(found.outcomes, expected.outcomes, strict=True):
        for figure in ("estimate", "low", "high", "se", "treated_mean", "comparison_mean", "n_compared"):
            assert getattr(mine, figure) == pytest.approx(getattr(pooled, figure), rel=1e-9, abs=1e-9), figure
    for mine, pooled in zip(found.balance, expected.balance, strict=True):
        assert mine.smd_after == pytest.approx(pooled.smd_after, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("nodes", [5, 42])
def test_many_nodes_say_what_one_says(nodes: int):
    assert_same(result(FRAME, nodes))


def bent(ready: TableStudy) -> TableStudy:
    """The same study with a square, ranges and products; prior use, nearly always 0 or 1, has one range too many."""
    written = ready.plan.model_dump(mode="json", by_alias=True)
    age, prior, area = written["covariates"]
    shapes = [age | {"square": True, "bins": [40, 65]}, prior | {"square": True, "bins": [1, 9.5]}, area]
    pairs = [["age", "prior"], ["area", "age"]]
    return replace(ready, plan=Plan.model_validate(written | {"covariates": shapes, "interactions": pairs}))


def test_squares_ranges_and_products_are_the_same_however_the_people_are_split():
    pooled, parted = (bent(study(FRAME, nodes)) for nodes in (1, 5))
    expected = run_study(pooled.plan, pooled.tables)
    assert len(expected.balance) == 13
    assert expected.outcomes[0].estimate != pytest.approx(POOLED.outcomes[0].estimate, rel=1e-4)
    assert_same(run_study(parted.plan, parted.tables), expected)


@settings(max_examples=8)
@given(nodes=st.integers(2, 8), seed=st.integers(0, 2**32 - 1))
def test_however_the_people_are_split(nodes: int, seed: int):
    assert_same(result(FRAME, nodes, seed))


def test_a_node_of_one_person_and_a_node_without_helped_people_change_nothing():
    lonely = FRAME.assign(place=np.where(np.arange(len(FRAME)) == 7, "one", FRAME["helped"]))
    ready = table_study(lonely, QUESTION, source="people", nodes=0, split="by:place", epsilon=None, delta=1e-6,
                        method="doubly_robust", rng=np.random.default_rng(0))  # fmt: skip
    assert sorted(len(table.treated) for table in ready.tables.values())[0] == 1
    assert_same(run_study(ready.plan, ready.tables))


def test_without_noise_nothing_is_clipped_and_everything_says_so():
    assert not POOLED.privacy.noise
    assert POOLED.privacy.epsilon is None
    assert all(outcome.pass_through == 1 and outcome.noise_share == 0 for outcome in POOLED.outcomes)


def test_the_effect_that_was_put_in_is_found():
    weight = next(outcome for outcome in POOLED.outcomes if outcome.name == "weight")
    assert weight.low < 2 < weight.high
    assert weight.high - weight.low < 4


def test_more_noise_makes_wider_intervals():
    """In the middle of seven studies: one study's width is noisy too, and a clip can make up for a little noise."""
    frame = people(3000, 2)
    rng = np.random.default_rng(0)
    middle = []
    for epsilon in (8.0, 2.0, 0.5):
        widths = []
        for _ in range(7):
            ready = table_study(frame, QUESTION, source="people", nodes=3, split="random", epsilon=epsilon, delta=1e-6,
                                method="doubly_robust", rng=rng)  # fmt: skip
            first = run_study(ready.plan, ready.tables).outcomes[0]
            widths.append(first.high - first.low)
        middle.append(float(np.median(widths)))
    assert all(narrow < wide for narrow, wide in pairwise(middle)), middle
