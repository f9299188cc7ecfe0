"""Array worlds: exact moments, a truth that is true, seeds that decide everything, and the ideal by brute force."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from cohortium_protocols.privacy.accounting import delta_of
from cohortium_simulations.coverage.array_worlds import ArrayWorld, ArrayWorldSpec, make_array_world
from cohortium_simulations.coverage.floor import ideal_width, noise_variance, sampling_variance
from cohortium_simulations.coverage.laws import BedDays, Counts, Law, Share, Yes
from cohortium_simulations.coverage.monte_carlo import LOST_NODE
from cohortium_simulations.coverage.scenarios import SCENARIOS, Scenario

LAWS: list[Law] = [Counts(), Yes(), Share(), BedDays()]
SMALL = ArrayWorldSpec(Counts(), -0.22, people=4_000, helped=300)


def world(spec: ArrayWorldSpec = SMALL, seed: int = 0) -> ArrayWorld:
    return make_array_world(spec, np.random.default_rng(seed))


def clipped(made: ArrayWorld) -> np.ndarray:
    return np.minimum(made.table.outcomes[:, 0], made.spec.law.clip)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
@pytest.mark.parametrize("change", [0.0, -0.4])
def test_moments_are_those_of_many_draws(law: Law, change: float):
    rng, level = np.random.default_rng(1), law.middle + law.slope * np.array([-0.5, 0.0, 1.0, 3.0])
    exact = law.moments(level, np.full(4, change))
    draws = [np.minimum(law.draw(level, np.full(4, change), rng), law.clip) for _ in range(20_000)]
    error = np.sqrt(exact.variance / len(draws))
    assert np.all(np.abs(np.mean(draws, axis=0) - exact.mean) < 5 * error)
    assert np.var(draws, axis=0) == pytest.approx(exact.variance, rel=0.12)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_outcomes_are_within_reason(law: Law):
    outcome = world(replace(SMALL, law=law)).table.outcomes
    assert outcome.min() >= 0
    assert np.mean(outcome > law.clip) < 0.01


def test_a_seed_decides_the_whole_world():
    one, same, other = world(seed=4), world(seed=4), world(seed=5)
    assert one.table.digest(b"") == same.table.digest(b"")
    assert np.array_equal(one.node, same.node)
    assert one.truth() == same.truth()
    assert one.table.digest(b"") != other.table.digest(b"")


def test_as_many_are_helped_as_was_asked_and_they_are_other_people():
    made = world(replace(SMALL, helped=137))
    assert made.table.treated.sum() == 137
    assert made.without_help.mean[made.table.treated].mean() > 1.5 * made.without_help.mean.mean()
    lottery = world(replace(SMALL, selection=0.0, people=40_000, helped=5_000))
    both = lottery.without_help.mean[lottery.table.treated].mean(), lottery.without_help.mean.mean()
    assert both[0] == pytest.approx(both[1], rel=0.05)


def test_too_many_cannot_be_helped():
    with pytest.raises(ValueError, match="a quarter of all people"):
        replace(SMALL, helped=1_001)


def test_no_effect_is_a_truth_of_zero():
    assert world(replace(SMALL, effect=0.0)).truth() == 0.0


def test_the_truth_is_the_mean_gain_of_the_people_helped_at_the_nodes_asked_about():
    made = world(replace(SMALL, heterogeneous=True, effect=-0.3))
    chosen = made.table.treated
    mu = np.exp(made.level[chosen])
    helped = np.exp(made.level[chosen] + made.change[chosen])
    gain = sum(np.exp(-mu) * mu**j / math.factorial(j) * (10 - j) for j in range(10))
    gain -= sum(np.exp(-helped) * helped**j / math.factorial(j) * (10 - j) for j in range(10))
    assert made.truth() == pytest.approx(gain.mean())
    here = made.node != 0
    assert made.truth(here[chosen]) == pytest.approx(gain[here[chosen]].mean())
    assert made.truth(here[chosen]) != made.truth()
    twice = np.where(here[chosen], 1, 2)
    assert made.truth(twice) == pytest.approx(np.append(gain, gain[~here[chosen]]).mean())
    assert np.ptp(made.change[chosen]) > 0.2


def test_nodes_differ_where_they_are_asked_to():
    shifted = world(replace(SMALL, people=40_000, node_shift=0.5))
    alike = world(replace(SMALL, people=40_000))
    spread = [np.std([made.level[made.node == node].mean() for node in range(10)]) for made in (shifted, alike)]
    assert spread[0] > 0.2 > 0.05 > spread[1]


def test_the_base_case_has_a_naive_bias_of_three_times_the_effect():
    spec = SCENARIOS["base"].world
    ratios = []
    for seed in range(4):
        made = world(spec, seed)
        chosen = made.table.treated
        naive = made.with_help.mean.mean() - made.without_help.mean[~chosen].mean()
        ratios.append(abs((naive - made.truth()) / made.truth()))
    assert 2.5 < np.mean(ratios) < 3.8


def test_people_at_some_nodes_are_a_table_of_their_own():
    made = world()
    parts = [made.at(made.node == node) for node in range(10)]
    assert sum(len(part.treated) for part in parts) == 4_000
    assert sum(part.treated.sum() for part in parts) == 300
    assert all(len(part.exits) == part.treated.sum() for part in parts)


# The ideal width


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_the_efficiency_bound_is_the_variance_of_who_knows_everything(law: Law):
    """Outcomes of one set of people are drawn again and again; the analyst knows law and odds."""
    made, everybody = world(replace(SMALL, law=law), 3), np.ones(4_000, dtype=bool)
    chosen, rng = made.table.treated, np.random.default_rng(0)
    odds = np.exp(made.log_odds[~chosen])
    change = np.where(chosen, made.change, 0.0)
    estimates = []
    for _ in range(3_000):
        residual = np.minimum(law.draw(made.level, change, rng), law.clip) - made.without_help.mean
        estimates.append(residual[chosen].mean() - odds @ residual[~chosen] / odds.sum())
    gain = made.with_help.mean - made.without_help.mean[chosen]
    bound = sampling_variance(made, everybody) - np.var(gain) / 300  # that others could have been helped
    assert np.var(estimates) == pytest.approx(bound, rel=0.12)
    assert np.mean(estimates) == pytest.approx(made.truth(), abs=5 * math.sqrt(bound / 3_000))


def test_the_ideal_adds_one_release_of_the_sums_with_the_whole_budget():
    scenario = replace(SCENARIOS["base"], world=SMALL)
    made, everybody = world(), np.ones(4_000, dtype=bool)
    sd = math.sqrt(noise_variance(scenario.plan, 300))
    mu = 10.0 / 300 / sd  # one person more or less moves the mean by at most clip / n, in standard deviations
    assert delta_of(mu, scenario.epsilon) == pytest.approx(scenario.delta, rel=1e-6)
    both = math.sqrt(sampling_variance(made, everybody) + sd**2)
    assert ideal_width(made, scenario.plan, everybody) == pytest.approx(2 * norm.ppf(0.975) * both)


def test_without_noise_the_ideal_is_sampling_alone_and_of_the_nodes_that_answered():
    silent, made = SCENARIOS["base"].without_noise(), world()
    here = made.node != LOST_NODE
    width = 2 * norm.ppf(0.975) * math.sqrt(sampling_variance(made, here))
    assert ideal_width(made, silent.plan, here) == pytest.approx(width)
    assert width > ideal_width(made, silent.plan, np.ones(4_000, dtype=bool))


def test_several_outcomes_share_one_release():
    plan = SCENARIOS["base"].plan
    second = plan.outcomes[0].model_copy(update={"name": "another"})
    two = plan.model_copy(update={"outcomes": (*plan.outcomes, second)})
    assert noise_variance(two, 500) == pytest.approx(2 * noise_variance(plan, 500))


# The scenarios


def test_every_standard_scenario_is_there_and_is_a_valid_plan():
    wanted = {"base", "null", "heterogeneous", "node_shift", "rare_binary", "bounded_share", "bed_days",
              "counts_gentle", "nodes_5", "nodes_42", "treated_200", "treated_2000", "eps_0.5", "eps_2", "eps_4",
              "node_lost", "local_noise"}  # fmt: skip
    assert wanted <= SCENARIOS.keys()
    assert sum(name.startswith("worst_") for name in SCENARIOS) == 5
    for scenario in SCENARIOS.values():
        assert len(scenario.plan.nodes.roster) == scenario.world.nodes
        assert scenario.plan.privacy.aggregation == scenario.aggregation
        assert len(scenario.plan.covariates) == 12


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=lambda scenario: scenario.name)
def test_a_scenario_without_noise_differs_in_nothing_else(scenario: Scenario):
    silent = scenario.without_noise()
    assert replace(silent, noise=True) == scenario
    assert silent.plan.privacy.noise is False
    assert all(vector.sigma == 0 for _, vector in silent.schedule.vectors())
