"""The noise that is really drawn has the variance that is declared."""

import numpy as np
import pytest
from scipy.stats import chi2, kstest, norm

from cohortium_protocols.privacy.accounting import SIGMA_FLOOR
from cohortium_protocols.privacy.opendp_backend import discrete_gaussian


@pytest.mark.parametrize("sigma", [SIGMA_FLOOR, 12345.0, 2.0**36])
def test_noise_has_the_declared_variance_and_shape(sigma: float):
    """4,000 draws catch noise that is 10 % too small; the false alarm rate is 1 in 10^6."""
    draws = discrete_gaussian(np.zeros(4000, dtype=np.int64), sigma).astype(float)
    low, high = (chi2.ppf(q, len(draws)) / len(draws) for q in (5e-7, 1 - 5e-7))
    assert low < np.mean(draws**2) / sigma**2 < high
    assert kstest(draws / sigma, norm.cdf).pvalue > 1e-6


def test_a_tenth_less_noise_would_be_caught():
    draws = discrete_gaussian(np.zeros(4000, dtype=np.int64), 1e6 / 1.1).astype(float)
    assert np.mean(draws**2) / 1e12 < chi2.ppf(5e-7, 4000) / 4000


def test_every_entry_gets_noise_of_its_own():
    first, second = discrete_gaussian(np.zeros((2000), dtype=np.int64), 1e6).reshape(2, 1000).astype(float)
    assert abs(np.corrcoef(first, second)[0, 1]) < 5 / np.sqrt(1000)


def test_exact_values_are_the_middle_of_what_is_released():
    values = np.full(4000, 10**12, dtype=np.int64)
    assert np.mean(discrete_gaussian(values, 1e6) - values) == pytest.approx(0, abs=5 * 1e6 / np.sqrt(4000))


def test_noise_below_the_floor_is_refused():
    with pytest.raises(ValueError, match="floor"):
        discrete_gaussian(np.zeros(2, dtype=np.int64), 39.0)


def test_values_that_could_saturate_are_refused():
    with pytest.raises(ValueError, match="too large"):
        discrete_gaussian(np.array([2**61 + 1]), 100.0)
