"""The shortcut of the coverage study is the real thing: the same people, noise off, through a whole federation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from cohortium_coordinator.result import StudyResult
from cohortium_node.data.table import AnalysisTable
from cohortium_simulations.coverage.array_worlds import ArrayWorld, make_array_world
from cohortium_simulations.coverage.scenarios import SCENARIOS, Scenario
from cohortium_simulations.coverage.study import MemoryStudy
from cohortium_simulations.coverage.summed_noise import SummedNoise
from cohortium_simulations.federation import run_study

RNG = np.random.default_rng(0)


def small(name: str, aggregation: str) -> Scenario:
    scenario = SCENARIOS[name].without_noise()
    world = replace(scenario.world, people=3_000, helped=200, nodes=4)
    return replace(scenario, world=world, aggregation=aggregation)


def tables(scenario: Scenario, world: ArrayWorld):
    return {name: world.at(world.node == place) for place, name in enumerate(scenario.plan.nodes.roster)}


def result(study: MemoryStudy, people: Mapping[str, AnalysisTable], lost: Mapping[str, str] | None = None):
    return study.result(study.answered(people, RNG, lost))


def assert_same(found: StudyResult, expected: StudyResult) -> None:
    for mine, real in zip(found.outcomes, expected.outcomes, strict=True):
        for figure in ("estimate", "low", "high", "se", "n_treated", "n_compared", "comparison_mean"):
            assert getattr(mine, figure) == pytest.approx(getattr(real, figure), rel=1e-9, abs=1e-9), figure
    for mine, real in zip(found.balance, expected.balance, strict=True):
        assert mine.smd_after == pytest.approx(real.smd_after, rel=1e-9, abs=1e-9)
    assert found.published == expected.published


@pytest.mark.parametrize("name", ["base", "bed_days", "rare_binary", "bounded_share", "pairs", "strata", "within_node"])
@pytest.mark.parametrize("aggregation", ["local", "secure"])
def test_the_memory_study_says_what_a_federation_says(name: str, aggregation: str):
    scenario = small(name, aggregation)
    world = make_array_world(scenario.world, np.random.default_rng(2))
    study = MemoryStudy(scenario.plan, SummedNoise.of(scenario.plan))
    real = run_study(scenario.plan, tables(scenario, world))
    assert_same(result(study, tables(scenario, world)), real)
    if scenario.analysis.comparison == "national":
        assert_same(result(study, {scenario.plan.nodes.roster[0]: world.table}), real)


@pytest.mark.parametrize("aggregation", ["local", "secure"])
def test_a_lost_node_takes_its_people_with_it(aggregation: str):
    scenario = replace(small("node_lost", aggregation))
    world = make_array_world(scenario.world, np.random.default_rng(2))
    study = MemoryStudy(scenario.plan, SummedNoise.of(scenario.plan))
    found = result(study, tables(scenario, world), {"node-3": "model_2"})
    left = world.table.treated & (world.node != 2)
    assert found.outcomes[0].n_treated == pytest.approx(left.sum())
    assert [node.status for node in found.nodes] == ["answered", "answered", "offline", "answered"]
    early = result(study, {n: t for n, t in tables(scenario, world).items() if n != "node-3"})
    assert found.outcomes[0].estimate == pytest.approx(early.outcomes[0].estimate, abs=early.outcomes[0].se)


def test_the_pairs_that_the_truth_counts_are_those_that_the_nodes_released():
    scenario = small("pairs", "local")
    world = make_array_world(scenario.world, np.random.default_rng(2))
    study, people = MemoryStudy(scenario.plan, SummedNoise.of(scenario.plan)), tables(scenario, world)
    answered = study.answered(people, RNG)
    pairs = [study.pairs_of(table, name, answered).sum() for name, table in people.items()]
    assert 0 < sum(pairs) == round(study.result(answered).outcomes[0].n_compared)
