"""The privacy arithmetic, against published figures and an independent numerical curve."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohortium_protocols.privacy.accounting import (
    delta_of,
    epsilon_from_mu,
    mu2_charge,
    mu_from_epsilon,
    sigma_for,
    zcdp_rho,
)


@pytest.mark.parametrize(
    ("epsilon", "mu"), [(0.25, 0.0649), (0.5, 0.1241), (1, 0.2367), (2, 0.4483), (4, 0.8379), (8, 1.53)]
)
def test_mu_of_an_epsilon_is_the_figure_of_the_design(epsilon: float, mu: float):
    assert mu_from_epsilon(epsilon, 1e-6) == pytest.approx(mu, abs=5e-4 if epsilon < 8 else 5e-3)


def test_the_three_figures_of_a_study_at_epsilon_one():
    mu = mu_from_epsilon(1.0, 1e-6)
    figures = [epsilon_from_mu(factor * mu, 1e-6) for factor in (1, math.sqrt(2), 2)]
    assert figures == pytest.approx([1.00, 1.45, 2.12], abs=0.005)


@given(st.floats(0.02, 8), st.sampled_from([1e-4, 1e-6, 1e-9]))
def test_epsilon_and_mu_undo_each_other(epsilon: float, delta: float):
    assert epsilon_from_mu(mu_from_epsilon(epsilon, delta), delta) == pytest.approx(epsilon, rel=1e-6)


@pytest.mark.parametrize("mu", [0.1, 0.5, 1.5])
@pytest.mark.parametrize("epsilon", [0.0, 0.3, 1.0])
def test_delta_is_the_divergence_of_two_gaussians(mu: float, epsilon: float):
    """The definition, by integration: the integral of max(p - exp(eps) q, 0) over N(mu, 1) against N(0, 1)."""
    x = np.linspace(-12, 14, 2_000_001)
    p, q = (np.exp(-((x - centre) ** 2) / 2) / math.sqrt(2 * math.pi) for centre in (mu, 0.0))
    integral = np.trapezoid(np.maximum(p - math.exp(epsilon) * q, 0.0), x)
    assert delta_of(mu, epsilon) == pytest.approx(float(integral), rel=1e-6, abs=1e-12)


@given(st.integers(1, 10**9), st.floats(1e-4, 2))
def test_noise_made_for_a_charge_is_charged_no_more(d2: int, mu2: float):
    assert mu2_charge(d2, math.ceil(sigma_for(d2, mu2))) <= mu2 * (1 + 1e-12)


@given(st.integers(1, 10**6), st.floats(40, 1e9))
def test_the_charge_covers_the_proven_zcdp_statement(d2: int, sigma: float):
    """mu-GDP implies rho = mu^2 / 2 zCDP; the charge is never below twice the discrete Gaussian's rho."""
    assert mu2_charge(d2, sigma) >= 2 * zcdp_rho(d2, sigma)
