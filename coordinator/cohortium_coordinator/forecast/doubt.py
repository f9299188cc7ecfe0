"""What noise in the outcome model and in the weights adds to every estimate, foretold.

The model's coefficients are known up to the noise of the scores that they are fitted by; the people helped and the
weighted comparators are apart, because weights are made to fit a noisy profile. An error in the coefficients times the
distance is an error in the estimate. The estimator's own arithmetic (``combine.outcome_model``, ``combine.fitted``) is
run on usual sums: on people who vary as usual, and on scores that ask for no step, so that it tells how well it will
know the coefficients.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from scipy.special import ndtr

from cohortium_coordinator.combine.estimate import sampling_variance
from cohortium_coordinator.combine.fitted import Fitted
from cohortium_coordinator.combine.outcome_model import OutcomeModel, plain_curvature, start, stepped
from cohortium_coordinator.combine.profile import Means, Profile
from cohortium_coordinator.combine.residual_clip import UNCLIPPED
from cohortium_coordinator.combine.sums import NoisySum
from cohortium_coordinator.combine.tilt import LEAST_LARGEST, MOST_LARGEST, PER_HELPED
from cohortium_coordinator.forecast.expectation import Expectation
from cohortium_coordinator.forecast.planned import Planned
from cohortium_coordinator.forecast.typical import Typical, typical
from cohortium_protocols.doubly_robust import COUNT_SCALE, EARLY_ROUNDS, LEVEL_BINS, MODEL_ROUNDS, WEIGHT_SCALE
from cohortium_protocols.features import features
from cohortium_protocols.outcomes import Outcome

FEATURE_SD = 0.75
"""A feature's usual standard deviation among comparators, in public standard deviations."""
_BOUNDED = 1.7
"""How many times stronger selection usually is than it would seem by the weights, which are bounded."""
_SELECTED = 1.9
"""How many times what comparators have is usually expected of people helped."""
_STILL_OFF = 0.2
"""By how much a slope is usually still off after the first step, for the model is not quadratic, as a part of what it
was thought to be beforehand; half as much after each further one."""
_SEEN = 1.0
"""What the gap that is seen adds, as a part of what its noise adds: usually half, and more in some studies than less
in others."""
_UNLIKE_CENTRE = 1.1
"""How many times its noise at the public centre a mean feature of people helped usually carries, in variance."""


def sum_of_weights(expected: Expectation) -> float:
    """Returns what the comparators' weights, at most 1 each, will about add up to, as ``combine.tilt`` makes them."""
    largest = PER_HELPED * expected.comparators / expected.helped
    return expected.comparators / min(max(largest, LEAST_LARGEST), MOST_LARGEST)


def smd_noise(planned: Planned, expected: Expectation) -> float:
    """Returns the usual standard deviation of the noise in an SMD after weighting: how finely balance can be judged."""
    helped = _mean_noise(planned.noise("treated_balance"), expected.helped)
    return math.sqrt(helped + _compared_noise(planned, expected)) / FEATURE_SD


def count_noise(planned: Planned) -> float:
    """Returns the variance of the noise in the number of people helped that estimates are divided by."""
    return planned.noise("treated_balance") / COUNT_SCALE**2


def model_doubt(planned: Planned, expected: Expectation, outcome: Outcome, kind: Typical) -> float:
    """Returns the variance that the model's uncertainty adds to an outcome's estimate, in units of y squared.

    Args:
        planned: the plan and its noise.
        expected: what the operator expects.
        outcome: which.
        kind: what is typical of it.
    """
    profile = _profile(len(features(planned.plan)), expected)
    usual = _among_comparators(expected, outcome)
    others = typical(outcome, usual, expected.spreads.get(outcome.name))
    first = start(outcome, _levels(planned, outcome, usual, others, profile), profile)
    model = _learnt(planned, outcome, first, kind, profile)
    steep = float(model.link.slope(expected.level(outcome)))
    sampling = sampling_variance(model, profile, others.variance)
    fitted = Fitted(outcome, model, UNCLIPPED, sampling, profile.covariance, steep, _pull(profile, expected))
    return (1 + _SEEN) * fitted.doubt(profile.comparators.mean, _gap_noise(planned, expected))


def _profile(count: int, expected: Expectation) -> Profile:
    """Returns people who vary as usual: along one axis hardly, along others evenly more, up to twice the mean."""
    nothing = np.zeros(count)
    spectrum = 2 * FEATURE_SD**2 * (np.arange(count) + 0.5) / count
    treated, comparators = (Means(n, 0.0, nothing, 0.0) for n in (expected.helped, expected.comparators))
    return Profile(treated, comparators, np.diag(spectrum))


def _pull(profile: Profile, expected: Expectation) -> float:
    """Returns how strongly features decide who is helped, ``Tilt.pull``.

    Were features normal with covariance S, the overlap of weights exp(tilt' u) would be exp(tilt' S tilt); and
    tilt' S tilt is about pull times the trace of S.
    """
    return _BOUNDED * math.log(expected.overlap) / float(np.trace(profile.covariance))


def _among_comparators(expected: Expectation, outcome: Outcome) -> float:
    level = expected.level(outcome)
    return level if outcome.kind == "number" else level / _SELECTED


def _levels(planned: Planned, outcome: Outcome, level: float, kind: Typical, profile: Profile) -> NoisySum:
    """Returns the ``comparator_levels`` to be expected: of measured amounts, a normal histogram."""
    noise, people = planned.noise(f"comparator_levels.{outcome.name}", "profile"), profile.comparators.n
    if outcome.kind != "number":
        return NoisySum(np.array([(level - 0.5) * people]), noise)
    edges = np.linspace(0, 1, LEVEL_BINS + 1)
    return NoisySum(people * np.diff(ndtr((edges - level) / math.sqrt(kind.variance))), noise)


def _learnt(planned: Planned, outcome: Outcome, first: OutcomeModel, kind: Typical, profile: Profile) -> OutcomeModel:
    """Returns the model after all rounds, as well known as their noise lets it be."""
    model, curved = first, plain_curvature(first, profile)
    for index in range(len(MODEL_ROUNDS)):
        if index == EARLY_ROUNDS:
            model = replace(model, clip=kind.clip, seen=kind.seen)
        noise = planned.noise(f"score.{outcome.name}", f"model_{index + 1}")
        model = stepped(model, NoisySum(np.zeros(len(curved)), noise), curved, profile.comparators.n)
        off = (_STILL_OFF / 2**index) ** 2 * first.covariance
        model = replace(model, covariance=model.covariance + off)
    return model


def _gap_noise(planned: Planned, expected: Expectation) -> float:
    """Returns the variance of the noise in each mean feature's gap: the helped people's best reading, the weighted."""
    first, second = (
        _mean_noise(each, expected.helped)
        for each in (planned.noise("treated_profile", "profile"), planned.noise("treated_balance"))
    )
    return first * second / max(first + second, 1e-300) + _compared_noise(planned, expected)


def _mean_noise(noise: float, people: float) -> float:
    return _UNLIKE_CENTRE * noise / people**2


def _compared_noise(planned: Planned, expected: Expectation) -> float:
    return planned.noise("comparator_weights") / (WEIGHT_SCALE * sum_of_weights(expected)) ** 2
