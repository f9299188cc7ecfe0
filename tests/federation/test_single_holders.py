"""A study without secure sums shows what each data holder's own people say, and whether data holders agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from cohortium_coordinator.combine.by_node import heterogeneity
from cohortium_coordinator.combine.sums import Together
from cohortium_coordinator.report import holders, read_result, render_html, to_csv, write_report
from cohortium_coordinator.result import Heterogeneity, StudyResult
from cohortium_protocols.schedules import schedule
from cohortium_protocols.secure_rules import Rules
from cohortium_simulations.federation import run_study
from cohortium_simulations.table import Column, Question, table_study

PLACES = ("east", "north", "south", "west")
SMALL = "yonder"
NODES, SMALL_NODE = ("node-1", "node-2", "node-3", "node-4"), "node-5"
"""The places by name; a table's nodes are numbered in that order."""


def people(
    effect: dict[str, float] | None = None, level: dict[str, float] | None = None, small: int = 0
) -> pd.DataFrame:
    """People of four places, with the effect and the level of each, and ``small`` helped people of a fifth."""
    rng, count = np.random.default_rng(1), 3000
    place = rng.choice(PLACES, count)
    age, prior = rng.integers(18, 95, count), rng.poisson(0.8, count)
    helped = rng.random(count) < 1 / (1 + np.exp(2.2 - 0.02 * (age - 50) - 0.4 * prior))
    place[rng.choice(np.flatnonzero(helped), small, replace=False)] = SMALL
    place[rng.choice(np.flatnonzero(~helped), 25 * small, replace=False)] = SMALL
    by_place = np.array([(effect or {}).get(name, 2.0) for name in place])
    weight = 70 + 0.1 * age + 4 * rng.normal(size=count) + helped * by_place
    weight += np.array([(level or {}).get(name, 0.0) for name in place])
    visits = rng.poisson(np.exp(-1 + 0.4 * prior - 0.2 * helped))
    return pd.DataFrame({"helped": helped.astype(int), "age": age, "prior": prior, "place": place, "visits": visits,
                         "weight": weight}).astype(str)  # fmt: skip


def study(frame: pd.DataFrame, epsilon: float | None = None) -> Any:
    question = Question("helped", [Column("weight", 40, 120), Column("visits", 0, 8)],
                        [Column("age", 18, 110), Column("prior", 0, 10)], [])  # fmt: skip
    return table_study(frame, question, source="people", nodes=0, split="by:place", epsilon=epsilon, delta=1e-6,
                       method="doubly_robust", rng=np.random.default_rng(0))  # fmt: skip


def result(frame: pd.DataFrame, epsilon: float | None = None) -> StudyResult:
    ready = study(frame, epsilon)
    return run_study(ready.plan, ready.tables)


def block(found: StudyResult, outcome: str = "weight", compared_with: str = "all data holders") -> Heterogeneity:
    assert found.heterogeneity is not None
    (one,) = (b for b in found.heterogeneity if (b.outcome, b.compared_with) == (outcome, compared_with))
    return one


@pytest.fixture(scope="module")
def exact() -> StudyResult:
    return result(people(small=6))


def test_every_outcome_has_an_estimate_at_every_data_holder_of_some_size(exact: StudyResult):
    assert exact.heterogeneity is not None
    assert len(exact.heterogeneity) == 2 * len(exact.outcomes)
    for each in exact.heterogeneity:
        assert {node.node for node in each.nodes if node.effect} == set(NODES)
        assert each.combined is not None
        assert each.combined.prediction is not None


def test_noise_off_data_holders_estimates_average_to_the_national_one():
    found = result(people())
    for outcome in found.outcomes:
        nodes = block(found, outcome.name).nodes
        estimates = [node.effect.estimate for node in nodes if node.effect]
        weights = [node.n_treated for node in nodes]
        assert np.average(estimates, weights=weights) == pytest.approx(outcome.estimate, abs=1e-9)
        for compared_with in ("all data holders", "same data holder"):
            together = block(found, outcome.name, compared_with).combined
            assert together is not None
            assert together.fixed.estimate == pytest.approx(outcome.estimate, abs=outcome.se / 2)
            assert together.fixed.se == pytest.approx(outcome.se, rel=0.1)


def test_the_released_sums_of_all_average_to_the_national_estimate_under_noise_too():
    found = result(people(), 4.0)
    assert found.privacy.noise
    nodes = block(found).nodes
    estimates = [node.effect.estimate for node in nodes if node.effect]
    assert len(estimates) == len(PLACES)
    mean = np.average(estimates, weights=[node.n_treated for node in nodes])
    assert mean == pytest.approx(found.outcomes[0].estimate, abs=1e-9)


def test_noise_is_part_of_every_data_holders_variance(exact: StudyResult):
    noisy = result(people(small=6), 2.0)
    plain = {node.node: node.own_se for node in block(exact).nodes}
    for node in block(noisy).nodes:
        assert node.effect is None or (node.own_se or 0) > 1.2 * (plain[node.node] or 0)


def test_too_few_people_are_said_to_be_too_few(exact: StudyResult):
    (few,) = (node for node in block(exact).nodes if node.node == SMALL_NODE)
    assert (few.effect, few.own_se, few.without) == (None, None, None)
    assert "too few people to tell" in render_html(exact)
    assert f"weight/all data holders/{SMALL_NODE},n_treated,*" in to_csv(exact)


def test_effects_that_differ_are_seen_to_differ():
    apart = {"east": -2.0, "north": 6.0, "south": 2.0, "west": 2.0}
    found = block(result(people(effect=apart))).combined
    assert found is not None
    assert found.q_p_value < 0.001
    assert found.i2 > 0.8
    assert found.random.high - found.random.low > 2 * (found.fixed.high - found.fixed.low)


def test_places_that_differ_as_a_whole_agree_once_each_is_compared_with_its_own_people():
    found = result(people(level={"east": -4.0, "north": 4.0}))
    everywhere, own = block(found).combined, block(found, compared_with="same data holder").combined
    assert everywhere is not None
    assert own is not None
    assert everywhere.q_p_value < 0.001
    assert own.q_p_value > 0.01
    assert own.random.low < 2.0 < own.random.high


def test_the_page_draws_the_main_outcome_and_puts_all_in_a_table(exact: StudyResult, tmp_path: Any):
    written = write_report(exact, tmp_path)
    assert read_result(written["report.json"]) == exact
    page = written["report.html"].read_text()
    for words in ("Single data holders", "holders-1-caption", "table-holders-1", "table-agreement", "tau²"):
        assert words in page
    (drawn,) = holders.shown(exact)
    rows = holders.plot(exact, drawn).rows
    assert [row.title for row in rows[:-2]] == [*NODES, SMALL_NODE]
    assert all(0 < row.low < row.high < 100 for row in rows if row.low is not None and row.high is not None)


def test_a_secure_sum_says_nothing_of_single_data_holders():
    plan = study(people()).plan
    total = Together(PLACES, {}, Rules(5, 1, 1))
    nothing: Any = None
    assert heterogeneity(schedule(plan), total, total, nothing) is None
