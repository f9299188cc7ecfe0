"""Many replicates of a scenario: a seed for each, so that the figures do not depend on how many processes work.

Replicate number i of every scenario starts from the i-th child of one seed, and draws its world and its noise from two
streams of its own. Scenarios that share a specification so share their worlds, and their figures can be compared pair
by pair.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from numpy.random import SeedSequence

from cohortium_node.data.table import AnalysisTable
from cohortium_simulations.arrays import Integers, Mask
from cohortium_simulations.coverage.array_worlds import ArrayWorld, make_array_world
from cohortium_simulations.coverage.floor import ideal_width
from cohortium_simulations.coverage.scenarios import Scenario
from cohortium_simulations.coverage.study import Answered, MemoryStudy
from cohortium_simulations.coverage.summed_noise import SummedNoise

LOST_NODE = 2
"""Position of the node that is lost where a scenario loses one."""


@dataclass(frozen=True)
class Replicate:
    """One study beside its truth; amounts in the outcome's own unit per person.

    Attributes:
        truth: the effect on the people helped whom the study is about, on the clipped outcome: those at the nodes that
            answered to the end, and of pairs, those who were matched.
        estimate, low, high, se: what the study says.
        ideal: width of the ideal interval (``floor``).
        published: whether the study would publish a headline.
    """

    truth: float
    estimate: float
    low: float
    high: float
    se: float
    ideal: float
    published: bool

    @property
    def covered(self) -> bool:
        """Whether the interval holds the truth."""
        return self.low <= self.truth <= self.high


def replicates(scenario: Scenario, count: int, seed: int, *, jobs: int = 1, factor: float = 1.0) -> Iterator[Replicate]:
    """Yields the replicates in order.

    Args:
        scenario: what is tried.
        count: how many replicates.
        seed: of all of them.
        jobs: processes at work; with 1, this one.
        factor: on the noise's standard deviation; 1 but in tests that want noise other than declared.
    """
    one = partial(replicate, scenario, factor=factor)
    seeds = SeedSequence(seed).spawn(count)
    if jobs == 1:
        yield from map(one, seeds)
        return
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(one, seeds, chunksize=4)


def replicate(scenario: Scenario, seed: SeedSequence, *, factor: float = 1.0) -> Replicate:
    """Returns one replicate; ``seed`` decides it."""
    for_world, for_noise = map(np.random.default_rng, _children(seed))
    world = make_array_world(scenario.world, for_world)
    study, here, tables = _study(scenario, factor), _answering(scenario, world), _tables(scenario, world)
    lost = {scenario.plan.nodes.roster[LOST_NODE]: scenario.lost_after} if scenario.lost_after else {}
    answered = study.answered(tables, for_noise, lost)
    result = study.result(answered)
    pairs = scenario.analysis.method == "matched_pairs"
    times = _matched(study, world, tables, answered) if pairs else here[world.table.treated]
    outcome = result.outcomes[0]
    return Replicate(
        truth=world.truth(times), estimate=outcome.estimate, low=outcome.low, high=outcome.high, se=outcome.se,
        ideal=ideal_width(world, study.plan, here), published=result.published,
    )  # fmt: skip


def _children(seed: SeedSequence) -> list[SeedSequence]:
    """Returns two children, the same ones however often it is asked (``spawn`` would go on counting)."""
    return SeedSequence(seed.entropy, spawn_key=seed.spawn_key).spawn(2)


@lru_cache(maxsize=64)
def _study(scenario: Scenario, factor: float) -> MemoryStudy:
    return MemoryStudy(scenario.plan, SummedNoise(SummedNoise.of(scenario.plan).rules, factor))


def _tables(scenario: Scenario, world: ArrayWorld) -> dict[str, AnalysisTable]:
    """Returns the nodes' people; all at the first node where it makes no difference who is where."""
    roster = scenario.plan.nodes.roster
    if scenario.lost_after is None and scenario.analysis.comparison == "national":
        return {roster[0]: world.table}
    return {name: world.at(world.node == place) for place, name in enumerate(roster)}


def _matched(
    study: MemoryStudy, world: ArrayWorld, tables: Mapping[str, AnalysisTable], answered: Answered
) -> Integers:
    """Returns how many pairs each of the people helped is in, in the order of the world's table, shape (helped,)."""
    where, times = world.node[world.table.treated], np.zeros(world.spec.helped, dtype=np.int64)
    for place, name in enumerate(tables):
        if name in answered.here:
            times[where == place] = study.pairs_of(tables[name], name, answered)
    return times


def _answering(scenario: Scenario, world: ArrayWorld) -> Mask:
    """Returns who is at a node that answers to the end, shape (n,)."""
    return np.asarray(world.node != LOST_NODE) if scenario.lost_after else np.ones(len(world.node), dtype=np.bool_)
