"""The coordinator's steps, one by one: what noise may and may not do to them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from scipy.stats import poisson

from cohortium_coordinator.combine.diagnostics import balance_state
from cohortium_coordinator.combine.estimate import Compared, _fieller, effect
from cohortium_coordinator.combine.fitted import Fitted
from cohortium_coordinator.combine.levels import levels
from cohortium_coordinator.combine.outcome_model import OutcomeModel, curvature, stepped
from cohortium_coordinator.combine.profile import Means, Profile, pooled
from cohortium_coordinator.combine.residual_clip import UNCLIPPED, Price, ResidualClip, choose, corrected
from cohortium_coordinator.combine.sums import NoisySum, Separate, Together, national_sums
from cohortium_coordinator.combine.tilt import first_tilt, retilted
from cohortium_protocols.doubly_robust import CLIPS, LEVELS, effects
from cohortium_protocols.links import link
from cohortium_protocols.outcomes import Outcome
from cohortium_protocols.privacy.distributed import node_sigma
from cohortium_protocols.secure_rules import Rules
from cohortium_protocols.statistics import RoundSpec, VectorSpec

VISITS = Outcome(name="visits", title="Visits", low=0.0, clip=8.0, kind="count", unit="visits", better="lower")
YES = Outcome(name="admitted", title="Admitted", low=0.0, clip=1.0, kind="binary", unit="people", better="lower")
RNG = np.random.default_rng(5)


def profile(noise: float, gap: float = 0.5, people: float = 1e6) -> Profile:
    """Standard normal comparators, and people helped who differ in the first of two features."""
    treated = Means(1000.0, noise, np.array([gap, 0.0]), noise)
    return Profile(treated, Means(people, 0.0, np.zeros(2), 0.0), np.eye(2))


# Weights


def test_exact_weights_move_normal_comparators_to_the_people_helped():
    tilt = first_tilt(profile(0.0))
    u = RNG.normal(size=(200_000, 2))
    w = np.exp(np.minimum(u @ tilt.tilt + tilt.log_scale, 0.0))
    assert w @ u / w.sum() == pytest.approx([0.5, 0.0], abs=0.02)
    assert w.max() <= 1.0


@given(st.floats(1e-4, 10))
def test_noise_in_the_treated_profile_holds_the_weights_back(noise: float):
    assert abs(first_tilt(profile(noise)).tilt[0]) < abs(first_tilt(profile(0.0)).tilt[0])


def moments(total: float, mean: float, noise: float = 0.0) -> NoisySum:
    """Weighted second moments of comparators with unit variances round (mean, 0)."""
    return NoisySum(total * np.array([[1 + mean**2, 0.0], [0.0, 1.0]]), noise)


def test_a_newton_step_corrects_weights_that_went_too_far():
    tilt = first_tilt(profile(0.0))
    overshot = NoisySum(np.array([5e4, 5e4 * 0.8, 0.0]), 0.0)
    corrected = retilted(tilt, overshot, moments(5e4, 0.8), profile(0.0))
    assert corrected.tilt[0] == pytest.approx(tilt.tilt[0] - 0.3, abs=0.02)


def test_newton_steps_reach_the_people_helped_although_features_are_skewed():
    u = RNG.exponential(size=(100_000, 2)) - 1.0
    tilt = first_tilt(profile(0.0, people=1e5))
    for _ in range(4):
        w = np.exp(np.minimum(u @ tilt.tilt + tilt.log_scale, 0.0))
        sums = NoisySum(np.array([w.sum(), *(w @ u)]), 0.0), NoisySum((u * w[:, None]).T @ u, 0.0)
        tilt = retilted(tilt, *sums, profile(0.0, people=1e5))
    w = np.exp(np.minimum(u @ tilt.tilt + tilt.log_scale, 0.0))
    assert w @ u / w.sum() == pytest.approx([0.5, 0.0], abs=0.02)


def test_a_newton_step_that_is_all_noise_changes_nothing_much():
    tilt = first_tilt(profile(0.0))
    wild = NoisySum(np.array([5e4, 5e4 * 1.0, 0.0]), (5e4 * 10) ** 2)
    moved = retilted(tilt, wild, moments(5e4, 1.0, (5e4 * 10) ** 2), profile(0.0))
    assert moved.tilt == pytest.approx(tilt.tilt, abs=0.01)


def test_two_noisy_readings_are_better_than_one():
    both = pooled(Means(10, 1, np.array([1.0]), 0.2), Means(10, 1, np.array([2.0]), 0.1))
    assert both.noise < 0.1
    assert both.mean == pytest.approx([1 + 2 / 3])


# What left the nodes


def test_separate_answers_and_a_secure_total_are_one_sum_with_the_noise_that_is_in_it():
    spec = VectorSpec("v", "treated", ("a", "b"), 1.0, 0.01, "steps", "", "")
    one = RoundSpec("r", (spec,))
    nodes = {name: {"v": RNG.integers(-(2**40), 2**40, 2)} for name in "abcde"}
    rules = Rules(5, 1, 1)
    survivors = ("a", "b", "c", "d")
    total = Together(survivors, {"v": sum(nodes[name]["v"] for name in survivors)}, rules)
    separate = national_sums(one, Separate(nodes).of(survivors))["v"]
    together = national_sums(one, total)["v"]
    assert together.values == pytest.approx(separate.values)
    share = node_sigma(spec.sigma, rules)
    assert together.noise == pytest.approx(4 * share**2 / spec.grid**2)
    assert separate.noise / together.noise == pytest.approx(3, rel=1e-6)  # 5 - 1 - 1 nodes must make enough


# The outcome model


def data(count: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    z = np.column_stack([np.ones(count), RNG.normal(size=(count, 2))])
    return z, (RNG.random(count) < expit(z @ [-1.0, 0.8, -0.3])).astype(float)


def fitted(noise: float, steps: int = 6) -> OutcomeModel:
    z, y = data()
    model = OutcomeModel(np.array([-1.0, 0.0, 0.0]), np.diag([1.0, 9.0, 9.0]), 1.0, 0.5, link(YES), 0.3)
    for _ in range(steps):
        m = expit(z @ model.beta)
        score = NoisySum(z.T @ (y - m) + math.sqrt(noise) * RNG.normal(size=3), noise)
        model = stepped(model, score, (z * (m * (1 - m))[:, None]).T @ z, len(y))
    return model


def test_exact_steps_reach_the_maximum_likelihood_fit():
    model = fitted(0.0)
    assert model.beta == pytest.approx([-1.0, 0.8, -0.3], abs=0.08)
    assert np.max(np.abs(np.diag(model.covariance))) < 1e-3


def test_steps_that_are_all_noise_leave_the_slopes_near_where_they_were_and_say_so():
    model = fitted(1e12)
    assert np.max(np.abs(model.beta[1:])) < 1
    assert np.min(np.diag(model.covariance)[1:]) > 4


def test_the_stated_uncertainty_is_about_the_error_that_noise_makes():
    errors = [fitted(4e5).beta[1] - 0.8 for _ in range(40)]
    stated = math.sqrt(fitted(4e5).covariance[1, 1])
    assert 0.5 < np.std(errors) / stated < 1.5


PLAIN = np.diag([10_000.0, 100.0])


def believed(unlike: np.ndarray, noise: float) -> np.ndarray:
    return curvature(NoisySum(PLAIN * unlike, noise), PLAIN)


def test_a_curvature_without_noise_is_believed():
    assert believed(np.array([[1.5, 0.0], [0.0, 2.5]]), 0.0) == pytest.approx(np.diag([15_000.0, 250.0]))


def test_noise_in_a_curvature_counts_where_people_hardly_differ():
    found = believed(np.array([[1.5, 0.0], [0.0, 2.5]]), 100.0**2)
    assert found[0, 0] == pytest.approx(15_000.0, rel=0.01)
    assert found[1, 1] == pytest.approx(100.0, rel=0.2)


@given(st.floats(-5, 5), st.floats(-5, 5), st.floats(0, 1e6))
def test_a_curvature_never_falls_below_half_of_the_plain_one(first: float, second: float, noise: float):
    found = believed(np.array([[first, 0.0], [0.0, second]]), noise)
    assert np.linalg.eigvalsh(found - PLAIN / 2).min() > -1e-6


# What the model's uncertainty adds


def model_doubt(gap: list[float], noise: float, beta: float = 0.01) -> float:
    model = OutcomeModel(np.array([-2.0, 1.0, 0.0]), np.diag([0.0, beta, beta]), 1.0, 0.5, link(YES), 0.1)
    narrow = np.diag([1.0, 0.01])  # people hardly differ in the second feature
    return Fitted(YES, model, UNCLIPPED, np.zeros((3, 3)), narrow, steep=0.1, pull=0.2).doubt(np.array(gap), noise)


def test_doubt_grows_with_the_gap_and_with_what_is_unsure_of_it():
    assert 0 == model_doubt([0.0, 0.0], 0.0) < model_doubt([0.1, 0.0], 0.0) < model_doubt([0.2, 0.0], 0.0)
    assert model_doubt([0.1, 0.0], 0.01) > model_doubt([0.1, 0.0], 0.0)


def test_a_gap_where_people_hardly_differ_is_taken_for_noise():
    unsure = model_doubt([0.0, 0.0], 0.01)
    assert model_doubt([0.0, 0.3], 0.01) - unsure < (model_doubt([0.3, 0.0], 0.01) - unsure) / 100
    assert model_doubt([0.0, 0.3], 0.0) == pytest.approx(model_doubt([0.3, 0.0], 0.0))  # unless there is none


# The spread of a yes or no


def spread(chance: float, noise: float) -> float:
    """The variance of residuals among 1,000 people helped, of whom ``chance`` say yes; of others, 6 in 100 do."""
    against = Compared(residual=0.0, sampling=0.0, noise=0.0, square=0.06 * 0.94, square_noise=0.0, level=0.06)
    treated = NoisySum(np.array([(chance - 0.06) * 1000, 0.0]), noise)
    found = effect(treated, against, count=Means(1000.0, 0.0, np.zeros(1), 0.0), clip=UNCLIPPED,
                   model_variance=0.0, level=0.06, yes_no=True)  # fmt: skip
    return found.sampling * 1000


def test_the_spread_of_a_yes_or_no_follows_its_mean():
    for chance in (0.03, 0.06, 0.09):
        assert spread(chance, 0.0) == pytest.approx(chance * (1 - chance), rel=0.1)


def test_a_spread_seen_through_much_noise_is_that_of_the_comparators():
    assert spread(0.03, 1e8) == pytest.approx(0.06 * 0.94, rel=0.01)


# Residual clips


def pass_through(level: float = 0.06, people: float = 1e5) -> NoisySum:
    shapes, clips = len(effects(VISITS)), np.array(CLIPS)
    seen = np.tile(1 - 0.5 * (1 - clips) ** 3, (shapes, 1)) * level * people
    squares = np.minimum(0.02, clips**2) * people
    return NoisySum(np.concatenate([seen.ravel(), np.full(shapes, level * people), squares]), 25.0)


def chosen(noise: float) -> float:
    return choose(VISITS, pass_through(), people=1e5, level=0.06, price=Price(1e-3, noise)).clip


def test_without_noise_nothing_is_clipped():
    assert choose(VISITS, pass_through(), people=1e5, level=0.06, price=Price(1e-3, 0.0)) is UNCLIPPED


def test_more_noise_asks_for_a_closer_clip():
    found = [chosen(noise) for noise in (1e-8, 1e-5, 1e-3)]
    assert found == sorted(found, reverse=True)
    assert found[-1] < 1.0


def test_most_of_an_effect_is_always_seen():
    assert choose(VISITS, pass_through(), people=1e5, level=0.06, price=Price(1e-3, 1.0)).pass_through >= 0.6


# Levels of expectation


def test_levels_part_the_people_helped_about_evenly():
    model = OutcomeModel(np.array([-2.0, 1.0, 0.0]), np.eye(3), 1.0, 0.5, link(VISITS), 0.1)
    limits = levels(model, profile(0.0), 5)
    assert np.all(np.diff(limits) > 0)
    assert np.median(limits) == pytest.approx(-2.0 + 0.5, abs=0.2)  # the people helped are half a deviation higher


def by_level(kappa: float, noise: float) -> NoisySum:
    """Comparators' released levels: everybody sees the share ``kappa`` of an effect."""
    shapes = len(effects(VISITS))
    row = [1e4, *[kappa * 800] * shapes, *[800.0] * shapes]
    return NoisySum(np.tile(row, LEVELS), noise)


def test_the_pass_through_is_that_of_people_who_expect_as_much():
    others = ResidualClip(0.2, 0.9, 0.02, 0.0)
    assert corrected(others, VISITS, by_level(0.75, 1.0)).pass_through == pytest.approx(0.75, abs=0.005)


def test_a_pass_through_that_is_all_noise_stays_that_of_all_comparators():
    others = ResidualClip(0.2, 0.9, 0.02, 0.0)
    assert corrected(others, VISITS, by_level(0.5, 1e9)).pass_through == pytest.approx(0.9, abs=0.01)


# Links


COUNTS = [VISITS.model_copy(update={"clip": clip}) for clip in (2.0, 4.0, 10.0, 30.0)]


@given(st.floats(1e-4, 0.999), st.sampled_from([YES, *COUNTS]))
def test_a_link_and_its_inverse_agree(mean: float, outcome: Outcome):
    assert float(link(outcome).mean(link(outcome).predictor(mean))) == pytest.approx(mean, rel=1e-6)


@given(st.floats(-6, 3), st.sampled_from([YES, *COUNTS]))
def test_the_slope_of_a_link_is_its_derivative_and_never_above_the_steepest(predictor: float, outcome: Outcome):
    curve, step = link(outcome), 1e-5
    numeric = float(curve.mean(predictor + step) - curve.mean(predictor - step)) / (2 * step)
    assert float(curve.slope(curve.mean(predictor))) == pytest.approx(numeric, rel=1e-4, abs=1e-9)
    assert numeric <= curve.steepest + 1e-9


@pytest.mark.parametrize("outcome", COUNTS)
def test_the_link_of_counts_is_the_mean_of_a_clipped_poisson_count_to_within_two_hundredths(outcome: Outcome):
    clip = int(outcome.clip)
    means = np.linspace(0.05, clip, 40)
    clipped = np.array([np.minimum(np.arange(200), clip) @ poisson.pmf(np.arange(200), mean) for mean in means]) / clip
    assert np.max(np.abs(link(outcome).mean(np.log(means / clip)) - clipped)) < 0.02


# Intervals and rules


@given(st.floats(-0.5, 0.5), st.floats(50, 5000), st.floats(1e-6, 1e-2))
def test_fieller_is_the_plain_interval_when_the_count_is_exact(ratio: float, n: float, rest: float):
    low, high = _fieller(ratio, n, 4.0, 0.0, rest)
    half = 1.959964 * math.sqrt(rest + 4.0 / n**2)
    assert (low, high) == pytest.approx((ratio - half, ratio + half), abs=1e-6)


def test_fieller_has_no_ends_when_the_count_could_be_nothing():
    assert _fieller(0.1, 10.0, 4.0, 100.0, 1e-3) == (-math.inf, math.inf)


def test_a_noisy_count_makes_the_interval_wider():
    exact, noisy = (_fieller(0.4, 100.0, 4.0, noise, 1e-3) for noise in (0.0, 400.0))
    assert noisy[1] - noisy[0] > exact[1] - exact[0]


@pytest.mark.parametrize(
    ("smd", "half", "state"),
    [(0.02, 0.05, "green"), (-0.02, 0.05, "green"), (0.3, 0.1, "red"), (-0.3, 0.1, "red"), (0.05, 0.1, "cannot tell"),
     (0.12, 0.05, "cannot tell"), (0.101, 0.0, "red"), (0.099, 0.0, "green")],
)  # fmt: skip
def test_balance_is_judged_by_the_whole_interval(smd: float, half: float, state: str):
    assert balance_state(smd, half) == state
