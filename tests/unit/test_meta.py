"""Meta-analysis: published examples, statsmodels, and what must hold for any studies."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from statsmodels.stats.meta_analysis import combine_effects

from cohortium_coordinator.combine.meta import Combined, Mean, Study, combined, merged_with_late

# Trials of the BCG vaccine against tuberculosis: cases and others among the vaccinated, then among those not.
# Colditz et al. 1994, JAMA 271:698, as in the R package metafor (dat.bcg).
BCG = [
    (4, 119, 11, 128), (6, 300, 29, 274), (3, 228, 11, 209), (62, 13536, 248, 12619), (33, 5036, 47, 5761),
    (180, 1361, 372, 1079), (8, 2537, 10, 619), (505, 87886, 499, 87892), (29, 7470, 45, 7232), (17, 1699, 65, 1600),
    (186, 50448, 141, 27197), (5, 2493, 3, 2338), (27, 16886, 29, 17825),
]  # fmt: skip

# Trials of low-dose aspirin in pregnancy (CLASP): events and people, helped and not.
# DerSimonian and Kacker 2007, Contemporary Clinical Trials 28:105, example 2.
CLASP = [(5, 156, 8, 74), (5, 303, 17, 303), (12, 565, 9, 477), (69, 1570, 94, 1565), (9, 103, 11, 105),
         (313, 4659, 352, 4650)]  # fmt: skip

# Six standardised mean differences and their variances, rounded.
# Borenstein, Hedges, Higgins and Rothstein 2009, Introduction to Meta-Analysis, chapter 14.
BORENSTEIN = [(0.095, 0.033), (0.277, 0.031), (0.367, 0.050), (0.664, 0.011), (0.462, 0.043), (0.185, 0.023)]


def studies(pairs: list[tuple[float, float]]) -> list[Study]:
    return [Study(f"s{index}", y, v) for index, (y, v) in enumerate(pairs)]


def risk_ratios() -> list[Study]:
    return studies([(math.log(a / (a + b) / (c / (c + d))), 1 / a - 1 / (a + b) + 1 / c - 1 / (c + d))
                    for a, b, c, d in BCG])  # fmt: skip


def odds_ratios() -> list[Study]:
    return studies([(math.log(a * (m - c) / (c * (n - a))), 1 / a + 1 / (n - a) + 1 / c + 1 / (m - c))
                    for a, n, c, m in CLASP])  # fmt: skip


# Published examples


def test_the_bcg_trials_as_metafor_and_stata_have_them():
    found = combined(risk_ratios())
    assert (found.fixed.estimate, found.fixed.low, found.fixed.high) == pytest.approx(
        (-0.4303, -0.5097, -0.3509), abs=5e-5
    )
    assert found.q == pytest.approx(152.2330, abs=5e-5)
    assert found.q_p_value < 1e-20
    dl = found.dersimonian_laird
    assert (dl.estimate, dl.low, dl.high) == pytest.approx((-0.7141, -1.0644, -0.3638), abs=5e-5)
    assert found.tau2_dl == pytest.approx(0.3088, abs=5e-5)
    assert found.i2 == pytest.approx(0.921173, abs=5e-7)
    assert found.tau2 == pytest.approx(0.3181, abs=5e-5)


def test_the_aspirin_trials_as_dersimonian_and_kacker_have_them():
    found = combined(odds_ratios())
    assert math.sqrt(found.tau2) == pytest.approx(0.3681, abs=5e-5)
    assert found.random.estimate == pytest.approx(-0.3811, abs=5e-5)
    assert found.random.se == pytest.approx(0.2060, abs=5e-5)
    assert math.sqrt(found.tau2_dl) == pytest.approx(0.2323, abs=5e-5)
    assert found.dersimonian_laird.estimate == pytest.approx(-0.3240, abs=5e-5)
    assert found.dersimonian_laird.se == pytest.approx(0.1540, abs=5e-5)


def test_laboratories_that_measured_one_thing_as_kacker_has_them():
    y = [61.00, 61.40, 62.21, 62.30, 62.34, 62.60, 62.70, 62.84, 65.90]
    v = [0.2025, 1.2100, 0.0900, 0.2025, 0.3844, 0.5625, 0.0676, 0.0225, 1.8225]
    found = combined(studies(list(zip(y, v, strict=True))))  # Kacker 2004, Metrologia 41:132, table 1
    assert math.sqrt(found.tau2) == pytest.approx(0.8399, abs=6e-5)


# statsmodels


@pytest.mark.parametrize("example", [risk_ratios(), odds_ratios(), studies(BORENSTEIN)], ids=["bcg", "clasp", "book"])
def test_statsmodels_says_the_same(example: list[Study]):
    y, v = np.array([s.estimate for s in example]), np.array([s.variance for s in example])
    found = combined(example)
    pm, dl = combine_effects(y, v, method_re="pm", atol=1e-11), combine_effects(y, v, method_re="dl")
    assert (found.fixed.estimate, found.fixed.se) == pytest.approx((dl.mean_effect_fe, dl.sd_eff_w_fe))
    assert (found.tau2, found.tau2_dl, found.q, found.i2) == pytest.approx((pm.tau2, dl.tau2, dl.q, dl.i2))
    assert found.q_p_value == pytest.approx(dl.test_homogeneity().pvalue)
    plain, adjusted = dl.conf_int(use_t=False)[1], pm.conf_int(use_t=True)[3]
    assert (found.dersimonian_laird.low, found.dersimonian_laird.high) == pytest.approx(plain)
    assert (found.random.low, found.random.high) == pytest.approx(adjusted, rel=1e-6)
    assert found.random.se == pytest.approx(pm.sd_eff_w_re_hksj, rel=1e-6)


# Edges


def test_one_study_is_itself():
    found = combined([Study("one", -0.2, 0.04)])
    itself = Mean(-0.2, 0.2, pytest.approx(-0.2 - 1.959964 * 0.2), pytest.approx(-0.2 + 1.959964 * 0.2))
    assert found.fixed == found.random == found.dersimonian_laird == itself
    assert (found.tau2, found.tau2_dl, found.q, found.q_p_value, found.i2) == (0, 0, 0, 1, 0)
    assert found.prediction is None
    assert found.without == {}


def test_two_studies_have_one_degree_of_freedom_and_predict_nothing():
    found = combined(studies([(0.0, 1.0), (1.0, 1.0)]))
    assert found.tau2 == 0
    assert found.random.high - found.random.estimate == pytest.approx(12.7062 * math.sqrt(0.5), rel=1e-5)
    assert found.prediction is None
    assert found.without["s0"].estimate == 1.0


def test_three_studies_predict_with_one_degree_of_freedom():
    found = combined(studies([(0.0, 1.0), (3.0, 1.0), (9.0, 1.0)]))
    low, high = found.prediction or (0, 0)
    plain = math.sqrt(found.tau2 + (1 + found.tau2) / 3)
    assert (high - low) / 2 == pytest.approx(12.7062 * plain, rel=1e-5)
    assert found.tau2 == pytest.approx(21 - 1)  # with equal variances: the sample variance less the variance


def test_studies_that_agree_too_well_have_no_heterogeneity_and_no_narrower_interval():
    found = combined(studies([(1.0, 1.0), (1.01, 1.0), (0.99, 1.0)]))
    assert (found.tau2, found.tau2_dl, found.i2) == (0, 0, 0)
    assert found.random.se == pytest.approx(found.dersimonian_laird.se)


def test_tau2_is_found_however_small_the_unit():
    tiny = [Study(study.name, 1e-6 * study.estimate, 1e-12 * study.variance) for study in risk_ratios()]
    assert combined(tiny).tau2 == pytest.approx(1e-12 * combined(risk_ratios()).tau2, rel=1e-9)


@pytest.mark.parametrize("variance", [0.0, -1.0, math.inf, math.nan])
def test_a_variance_must_be_one(variance: float):
    with pytest.raises(ValueError, match="north: the variance is .*must be above 0 and finite"):
        Study("north", 0.0, variance)


@pytest.mark.parametrize("estimate", [math.inf, math.nan])
def test_an_estimate_must_be_a_number(estimate: float):
    with pytest.raises(ValueError, match="north: the estimate is .*not a finite number"):
        Study("north", estimate, 1.0)


def test_nothing_cannot_be_combined_and_nobody_counts_twice():
    with pytest.raises(ValueError, match="no study to combine"):
        combined([])
    with pytest.raises(ValueError, match="given twice: north, north"):
        combined([Study("north", 0.0, 1.0), Study("north", 1.0, 1.0)])
    for shared in (-1e-9, math.inf, math.nan):
        with pytest.raises(ValueError, match="shared variance"):
            combined([Study("north", 0.0, 1.0)], shared)


# What the studies have in common


def test_a_common_error_widens_the_mean_once_and_changes_neither_weights_nor_heterogeneity():
    alone, common = combined(risk_ratios()), combined(risk_ratios(), 0.25)
    assert (common.tau2, common.q, common.i2) == (alone.tau2, alone.q, alone.i2)
    for mine, theirs in ((common.fixed, alone.fixed), (common.random, alone.random)):
        assert mine.estimate == theirs.estimate
        assert mine.se**2 == pytest.approx(theirs.se**2 + 0.25)
        assert mine.high - mine.estimate == pytest.approx(math.hypot(theirs.high - theirs.estimate, 1.959964 * 0.5))


def test_the_mean_is_generalised_least_squares_under_a_common_error():
    example = studies(BORENSTEIN)
    y, v = np.array([s.estimate for s in example]), np.array([s.variance for s in example])
    inverse = np.linalg.inv(np.diag(v) + 0.02)
    variance = 1 / inverse.sum()
    found = combined(example, 0.02).fixed
    assert (found.estimate, found.se) == pytest.approx((variance * inverse.sum(axis=0) @ y, math.sqrt(variance)))


# Late nodes


def test_a_late_node_is_weighed_by_its_own_variance_with_its_full_noise():
    first, sampling, noise = Study("first group", -0.20, 0.0025), 0.01, 0.03
    found = merged_with_late(first, [Study("west", 0.10, sampling + noise)])
    weight = 0.04 / (0.04 + 0.0025)
    assert found.fixed.estimate == pytest.approx(weight * -0.20 + (1 - weight) * 0.10)
    assert found.fixed.se**2 == pytest.approx(1 / (1 / 0.0025 + 1 / 0.04))
    assert found.without["west"].estimate == -0.20


def test_a_second_group_and_a_node_join_the_first():
    groups = [Study("second group", -0.1, 0.005), Study("west", 0.1, 0.04)]
    found = merged_with_late(Study("first group", -0.2, 0.0025), groups)
    assert set(found.without) == {"first group", "second group", "west"}
    assert found.prediction is not None


def test_somebody_must_be_late():
    with pytest.raises(ValueError, match="no late estimate"):
        merged_with_late(Study("first group", -0.2, 0.0025), [])


# Whatever the studies


estimates = st.floats(-10, 10).map(lambda value: round(value, 6))
variances = st.floats(1e-3, 10)
several = st.lists(st.tuples(estimates, variances), min_size=2, max_size=9)


def figures(found: Combined) -> list[float]:
    means = [found.fixed, found.random, found.dersimonian_laird]
    return [figure for mean in means for figure in (mean.estimate, mean.se, mean.low, mean.high)]


@given(several, st.randoms(use_true_random=False))
def test_the_order_of_studies_means_nothing(pairs: list[tuple[float, float]], shuffled: object):
    example = studies(pairs)
    mixed = example.copy()
    shuffled.shuffle(mixed)  # type: ignore[attr-defined]
    one, other = combined(example), combined(mixed)
    assert figures(one) == pytest.approx(figures(other), rel=1e-7, abs=1e-7)
    assert (one.tau2, one.tau2_dl, one.q, one.i2) == pytest.approx(
        (other.tau2, other.tau2_dl, other.q, other.i2), rel=1e-7, abs=1e-7
    )


@given(several, st.floats(1e-3, 1e3), st.sampled_from([-1, 1]))
def test_a_change_of_unit_is_a_change_of_unit(pairs: list[tuple[float, float]], unit: float, sign: int):
    one = combined(studies(pairs))
    other = combined(studies([(sign * unit * y, unit**2 * v) for y, v in pairs]))
    assert other.random.estimate == pytest.approx(sign * unit * one.random.estimate, rel=1e-6, abs=1e-6 * unit)
    assert other.random.se == pytest.approx(unit * one.random.se, rel=1e-6)
    assert (other.tau2, other.tau2_dl) == pytest.approx(
        (unit**2 * one.tau2, unit**2 * one.tau2_dl), rel=1e-6, abs=1e-6 * unit**2
    )
    assert (other.q, other.i2) == pytest.approx((one.q, one.i2), rel=1e-6, abs=1e-6)


@given(st.lists(estimates, min_size=2, max_size=9), variances)
def test_equally_exact_studies_have_their_mean(values: list[float], variance: float):
    found = combined(studies([(value, variance) for value in values]))
    for mean in (found.fixed, found.random, found.dersimonian_laird):
        assert mean.estimate == pytest.approx(np.mean(values), abs=1e-9)
    assert found.tau2 == pytest.approx(max(0.0, np.var(values, ddof=1) - variance), abs=1e-9)
    assert found.tau2_dl == pytest.approx(found.tau2, abs=1e-9)


@given(several)
def test_paule_and_mandel_solve_their_equation(pairs: list[tuple[float, float]]):
    found = combined(studies(pairs))
    y, v = np.array(pairs).T
    w = 1 / (v + found.tau2)
    q = w @ (y - w @ y / w.sum()) ** 2
    assert q == pytest.approx(len(y) - 1, rel=1e-6) if found.tau2 > 0 else q <= len(y) - 1 + 1e-9


@given(several)
def test_the_adjusted_interval_is_never_narrower_than_the_plain_one_and_predictions_are_wider_still(
    pairs: list[tuple[float, float]],
):
    found = combined(studies(pairs))
    plain = math.sqrt(1 / sum(1 / (v + found.tau2) for _, v in pairs))
    assert found.random.high - found.random.estimate >= 1.95996 * plain
    assume(found.prediction is not None)
    assert found.prediction is not None
    assert found.prediction[0] <= found.random.low + 1e-12
    assert found.prediction[1] >= found.random.high - 1e-12


@given(several, st.integers(0, 8), st.floats(1.5, 100))
def test_noise_at_a_node_costs_it_weight(pairs: list[tuple[float, float]], index: int, times: float):
    at = index % len(pairs)
    noisy = [(y, v * times if k == at else v) for k, (y, v) in enumerate(pairs)]
    before, after = combined(studies(pairs)), combined(studies(noisy))
    assert after.fixed.se > before.fixed.se
    assert abs(after.fixed.estimate - pairs[at][0]) >= abs(before.fixed.estimate - pairs[at][0]) - 1e-9
