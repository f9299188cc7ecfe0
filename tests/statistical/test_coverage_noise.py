"""The simulation's summed noise is that of the nodes: same variance as declared, same distribution as OpenDP's sums."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from scipy.stats import chi2, ks_2samp

from cohortium_coordinator.combine.sums import Separate, Together
from cohortium_node.release.noise import whole, with_noise
from cohortium_protocols.privacy.distributed import node_sigma
from cohortium_protocols.secure_rounds import rules_of
from cohortium_protocols.statistics import VectorSpec
from cohortium_simulations.coverage.scenarios import SCENARIOS
from cohortium_simulations.coverage.summed_noise import SummedNoise

RISK = 1e-7
BASE, LOCAL, LOST = (SCENARIOS[name] for name in ("base", "local_noise", "node_lost"))
SUM = BASE.schedule.round("profile").vector("treated_profile")
GRAM = BASE.schedule.round("profile").vector("comparator_moments")


def drawn(scenario_nodes: int, noise: SummedNoise, vector: VectorSpec, times: int) -> np.ndarray:
    rng = np.random.default_rng(5)
    return np.array([noise.draw(vector, scenario_nodes, rng) for _ in range(times)])


@pytest.mark.parametrize("vector", [SUM, GRAM], ids=lambda vector: vector.rule)
@pytest.mark.parametrize("nodes", [10, 9])
def test_the_variance_is_the_one_that_the_coordinator_reckons_with(vector: VectorSpec, nodes: int):
    names = BASE.plan.nodes.roster[:nodes]
    together = Together(names, {}, rules_of(BASE.plan)).noise(vector)
    separate = Separate({name: {} for name in names}).noise(vector)
    assert SummedNoise.of(BASE.plan).deviations(vector, nodes)[0] ** 2 == pytest.approx(together)
    assert SummedNoise.of(LOCAL.plan).deviations(vector, nodes)[0] ** 2 == pytest.approx(separate)


def test_nodes_that_may_be_lost_make_every_share_larger():
    assert SummedNoise.of(LOST.plan).deviations(SUM, 8)[0] == pytest.approx(SUM.sigma, rel=1e-6)


@pytest.mark.parametrize("vector", [SUM, GRAM], ids=lambda vector: vector.rule)
@pytest.mark.parametrize("scenario", [BASE, LOCAL], ids=["secure", "local"])
def test_sums_of_opendps_draws_have_the_same_distribution(vector: VectorSpec, scenario):
    noise, nodes, times = SummedNoise.of(scenario.plan), 10, 40
    share = whole if noise.rules is None else partial(node_sigma, rules=noise.rules)
    zeros = np.zeros(vector.dimension, dtype=np.int64)
    real = np.array([sum(with_noise(zeros, vector, share) for _ in range(nodes)) for _ in range(times)])
    made, spread = drawn(nodes, noise, vector, 40 * times), noise.deviations(vector, nodes)
    for draws in (real / spread, made / spread):
        low, high = (chi2.ppf(q, draws.size) / draws.size for q in (RISK / 2, 1 - RISK / 2))
        assert low < np.mean(draws**2) < high
    assert ks_2samp((real / spread).ravel(), (made / spread).ravel()).pvalue > RISK


def test_entries_are_drawn_independently():
    draws = drawn(10, SummedNoise.of(BASE.plan), SUM, 4_000) / SummedNoise.of(BASE.plan).deviations(SUM, 10)
    off = np.corrcoef(draws.T)[np.triu_indices(SUM.dimension, 1)]
    assert np.abs(off).max() < 6.5 / np.sqrt(4_000)


def test_without_noise_nothing_is_drawn():
    silent = BASE.without_noise()
    vector = silent.schedule.round("profile").vector("comparator_moments")
    assert not SummedNoise.of(silent.plan).draw(vector, 10, np.random.default_rng(0)).any()
