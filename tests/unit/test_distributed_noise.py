"""Noise in shares: enough when t_d are lost and t_c tell."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2
from secure_group import Group, session

from cohortium_protocols.privacy.accounting import SIGMA_FLOOR, epsilon_from_mu, mu2_charge, sigma_for
from cohortium_protocols.privacy.distributed import (
    epsilon_if_all_others_collude,
    largest_noise,
    node_sigma,
    summation_slack,
)
from cohortium_protocols.privacy.opendp_backend import discrete_gaussian
from cohortium_protocols.secure_sum import Rules


@st.composite
def rules(draw: st.DrawFn) -> Rules:
    lost, colluding = draw(st.integers(0, 20)), draw(st.integers(0, 20))
    return Rules(draw(st.integers(max(3, 2 * lost + colluding + 1), 200)), lost, colluding)


@given(rules(), st.floats(40, 1e9))
def test_the_shares_that_are_certain_add_up_to_the_declared_noise(rules: Rules, sigma: float) -> None:
    share = node_sigma(sigma, rules)
    certain = rules.nodes - rules.lost - rules.colluding
    assert share * math.sqrt(certain) >= sigma * (1 - 1e-12)
    assert share - 1 < sigma / math.sqrt(certain)


@pytest.mark.parametrize(("nodes", "gain"), [(5, 2.0), (20, 4.0), (100, 8.9)])
def test_gain_over_local_noise_with_a_fifth_of_the_nodes_written_off(nodes: int, gain: float) -> None:
    # every node's noise in a sum without losses or collusion, against sqrt(n - t_d) nodes' full noise
    rules = Rules(nodes, nodes // 5, 0)
    assert math.sqrt(rules.floor) == pytest.approx(gain, abs=0.06)
    assert largest_noise(1e9, rules) == pytest.approx(1e9 * math.sqrt(nodes / rules.noise_parts), rel=1e-6)


def test_the_noise_in_a_released_sum_is_the_declared_one() -> None:
    rules, sigma, dimension = Rules(5, 1, 1), 400.0, 4000
    group = Group(session(rules, dimension=dimension))
    share = node_sigma(sigma, rules)
    nothing = np.zeros(dimension, dtype=np.int64)
    group.vectors = {node: discrete_gaussian(nothing, share) for node in group.session.roster}
    total = group.total(lost={group.session.roster[0]: 2})
    assert len(total.survivors) == rules.floor
    expected = share**2 * rules.floor
    low, high = chi2.ppf([1e-9, 1 - 1e-9], dimension) / dimension
    assert low < np.mean(total.values.astype(float) ** 2) / expected < high
    assert expected * (rules.noise_parts / rules.floor) >= sigma**2


def test_epsilon_when_everybody_else_colludes_is_that_of_one_share_alone() -> None:
    rules, d2, mu = Rules(5, 1, 1), 2**20, 0.2367
    sigma = sigma_for(d2, mu * mu)
    alone = epsilon_if_all_others_collude([(d2, sigma)], rules, 1e-6)
    assert alone == pytest.approx(epsilon_from_mu(mu * math.sqrt(3), 1e-6), rel=1e-4)
    assert alone > epsilon_from_mu(math.sqrt(mu2_charge(d2, sigma)), 1e-6)
    assert epsilon_if_all_others_collude([], rules, 1e-6) == 0.0


def test_a_sum_of_shares_at_the_floor_of_noise_cannot_be_told_from_a_single_draw() -> None:
    assert summation_slack(SIGMA_FLOOR, 200) == 0.0
    assert summation_slack(0.5, 2) == pytest.approx(10 * math.exp(-(math.pi**2) / 4))
