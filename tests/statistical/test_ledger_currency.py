"""The ledger's charge covers the exact curve of the discrete Gaussian, and wastes little (decision 3)."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cohortium_protocols.privacy.accounting import delta_of, mu2_charge


def exact_delta(shift: int, sigma: float, epsilon: float) -> float:
    """The smallest delta of discrete Gaussian noise on integers `shift` apart, summed over every integer."""
    x = np.arange(-math.ceil(45 * sigma), math.ceil(45 * sigma) + 1, dtype=np.float64)
    here = np.exp(-(x**2) / (2 * sigma**2))
    excess = here - np.exp(epsilon - (x - shift) ** 2 / (2 * sigma**2))
    return float(excess[excess > 0].sum() / here.sum())


@settings(max_examples=300)
@given(sigma=st.floats(40, 400), mu=st.floats(0.05, 3), epsilon=st.floats(0, 8))
def test_the_charge_covers_the_exact_curve_and_wastes_under_half_a_per_cent(
    sigma: float, mu: float, epsilon: float
) -> None:
    shift = max(1, round(mu * sigma))
    exact = exact_delta(shift, sigma, epsilon)
    assume(exact > 1e-12)
    charged = delta_of(math.sqrt(mu2_charge(shift, sigma)), epsilon)
    assert 0.995 * charged <= exact <= (1 + 1e-9) * charged


def test_the_plain_gaussian_figure_would_not_cover_coarse_noise() -> None:
    assert exact_delta(2, 4.0, 3.45) > 1.12 * delta_of(2 / 4.0, 3.45)
