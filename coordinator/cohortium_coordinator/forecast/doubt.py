"""What noise in the outcome model and in the weights adds to every estimate, foretold.

The model's coefficients are known up to the noise of the scores that they are fitted by; the people helped and the
weighted comparators are apart, because weights are made to fit a noisy profile. An error in the coefficients times the
distance is an error in the estimate (``combine.estimate.model_variance``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

from cohortium_coordinator.combine.tilt import LEAST_LARGEST, MOST_LARGEST, PER_HELPED
from cohortium_coordinator.forecast.expectation import Expectation
from cohortium_coordinator.forecast.planned import Planned
from cohortium_coordinator.forecast.typical import Typical
from cohortium_protocols.doubly_robust import COUNT_SCALE, EARLY_ROUNDS, MODEL_ROUNDS, WEIGHT_SCALE
from cohortium_protocols.features import features
from cohortium_protocols.links import link
from cohortium_protocols.outcomes import Outcome, OutcomeKind

FEATURE_SD = 0.73
"""A feature's usual standard deviation among comparators, in public standard deviations."""
_OWN_VARIANCE: Mapping[OutcomeKind, float] = MappingProxyType(
    {"count": 0.25, "binary": 0.42, "days": 0.40, "time": 0.3, "share": 0.2, "number": 0.3}
)
"""Kind of outcome -> a feature's usual variance that others do not share, where the model's curve is steep: what a
slope is learnt from. It is larger where an outcome is rare, for people at risk of it differ more."""
_SELECTED = 1.8
"""How many times what comparators have is usually expected of people helped."""
_GAP = 0.08
"""Squared distance in features that weighting usually leaves where there is no noise."""
_UNLIKE_CENTRE = 1.1
"""How many times its noise at the public centre a mean feature of people helped usually carries, in variance."""
_BENT = 2.0
"""The model's error over that of its linear approximation, as in ``combine.estimate``."""
_WIDEST_SLOPE, _WIDEST_OF_AMOUNTS = 0.7, 0.12
"""What slopes are thought to be before anything is learnt, as in ``combine.outcome_model``: standard deviations, of
measured amounts in standard deviations of the amount."""


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
    level, curve = expected.level(outcome), link(outcome)
    among_comparators = level if outcome.kind == "number" else level / _SELECTED
    steep, usual = (float(curve.slope(each)) for each in (level, among_comparators))
    coefficient = 1 / (_learnt(planned, expected, outcome, kind, usual) + 1 / _widest(outcome, kind, steep) ** 2)
    bent = 1.0 if outcome.kind == "number" else _BENT
    return bent * steep**2 * _distance(planned, expected) * coefficient


def _learnt(planned: Planned, expected: Expectation, outcome: Outcome, kind: Typical, slope: float) -> float:
    """Returns what all rounds tell of one coefficient, as one over a variance: noise, then chance."""
    own = _OWN_VARIANCE[outcome.kind]
    curved = expected.comparators * slope * own
    by_noise = 0.0
    for index in range(len(MODEL_ROUNDS)):
        early = index < EARLY_ROUNDS and outcome.kind != "number"
        clip, seen = (1.0, 1.0) if early else (kind.clip, kind.seen)
        noise = planned.noise(f"score.{outcome.name}", f"model_{index + 1}") * clip**2
        by_noise += (seen * curved) ** 2 / max(noise, 1e-9)
    by_chance = expected.comparators * slope**2 * own / kind.variance
    return 1 / (1 / by_noise + 1 / by_chance)


def _widest(outcome: Outcome, kind: Typical, steep: float) -> float:
    return _WIDEST_OF_AMOUNTS * math.sqrt(kind.variance) / steep if outcome.kind == "number" else _WIDEST_SLOPE


def _distance(planned: Planned, expected: Expectation) -> float:
    """Returns the squared distance in mean features that the estimator reckons with: what it sees, and its noise."""
    first, second = (
        _mean_noise(each, expected.helped)
        for each in (planned.noise("treated_profile", "profile"), planned.noise("treated_balance"))
    )
    both = first * second / max(first + second, 1e-300)
    return 2 * len(features(planned.plan)) * (both + _compared_noise(planned, expected)) + _GAP


def _mean_noise(noise: float, people: float) -> float:
    return _UNLIKE_CENTRE * noise / people**2


def _compared_noise(planned: Planned, expected: Expectation) -> float:
    return planned.noise("comparator_weights") / (WEIGHT_SCALE * sum_of_weights(expected)) ** 2
