"""Matched pairs, from released sums (protocols, ``matched_pairs``): tau = (sum_t r - sum_c r) / pairs.

The variance is that of two groups of their own, from each side's sum of squares (of a yes or no, from the mean on the
side of the people helped): how pairs go together cannot be released, for one person can change who is whose partner
everywhere. Where the outcome model is taken off there is little left that partners have in common; where it is not, the
interval is wider than it need be.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from scipy.special import ndtri

from cohortium_coordinator.combine.estimate import Compared, Weighted, effect_with, variance_of
from cohortium_coordinator.combine.expected import Level, expected
from cohortium_coordinator.combine.fitted import Fitted
from cohortium_coordinator.combine.found import Found, Headline
from cohortium_coordinator.combine.learned import Learned
from cohortium_coordinator.combine.part import Part
from cohortium_coordinator.combine.profile import Means
from cohortium_coordinator.combine.residual_clip import UNCLIPPED, ResidualClip
from cohortium_coordinator.combine.rules import least_counted
from cohortium_coordinator.combine.sums import Array, NoisySum
from cohortium_protocols.doubly_robust import WEIGHT_SCALE
from cohortium_protocols.estimates import Estimate, first_primary
from cohortium_protocols.matched_pairs import BANDS, PAIR_SCALE
from cohortium_protocols.schedules import LAST

_PRIOR_CV = 0.5
"""How well all comparators' residual variance foretells that of matched people, likewise."""
_MOST_SPREAD = 4.0
"""Most times over that people as likely to be helped may vary more, for they expect more."""
_NOBODY = Compared(residual=0.0, sampling=0.0, noise=0.0, square=0.0, square_noise=0.0, level=0.0)
"""The comparators are in the difference already."""


def calipers(learned: Learned, estimate: Estimate) -> list[float]:
    """Returns the farthest match for each outcome, in units of the score, from the released spread of the score."""
    approach, tilt = estimate.approach, learned.tilt.tilt
    scores = [tilt if approach.score == "propensity" else model.beta[1:] for model in learned.models]
    return [min(approach.caliper * _sd(learned, slopes), 1000.0) for slopes in scores]


def bands(learned: Learned) -> list[float]:
    """Returns the limits between bands of the people helped by how likely they were to be, for normal log odds."""
    tilt = learned.tilt
    middle = tilt.log_scale + float(tilt.tilt @ learned.profile.treated.mean)
    limits = middle + _sd(learned, tilt.tilt) * ndtri(np.arange(1, BANDS) / BANDS)
    return [float(each) for each in np.clip(limits, -1000.0, 1000.0)]


def found(learned: Learned, estimate: Estimate) -> Iterator[Found]:
    """Yields the estimate's effect on every outcome; beside the headline, only where there are enough pairs."""
    for k, outcome in enumerate(learned.plan.outcomes):
        count = _count(learned, estimate, k)
        enough = count.n > least_counted(count.n_noise)
        part = _part(learned, estimate, k, count) if enough or not estimate.key else None
        yield Found(estimate, "", outcome, part, count.n / estimate.approach.ratio)


def headline(learned: Learned, estimate: Estimate) -> Headline:
    """Returns the effects, and both sides of the first primary outcome's pairs."""
    k = first_primary(learned.plan.outcomes)
    count, features = _count(learned, estimate, k), learned.sums(LAST)[estimate.name("matched_features")]
    treated, comparators = (
        Means(n, count.n_noise, mean, features.noise / count.n**2)
        for n, mean in zip(
            (count.n / estimate.approach.ratio, count.n), features.values.reshape(2, -1) / count.n, strict=True
        )
    )
    clips = [_fitted(learned, estimate, k).clip for k in range(len(learned.plan.outcomes))]
    return Headline(tuple(found(learned, estimate)), Weighted(count.n, count.n_noise, count.n, comparators), treated,
                    clips, matched=treated.n / learned.second.n)  # fmt: skip


def _part(learned: Learned, estimate: Estimate, k: int, count: Means) -> Part:
    released, fitted, approach = _released(learned, estimate, k), _fitted(learned, estimate, k), estimate.approach
    unit = 1.0 if approach.adjusted else 0.5  # of the difference: residual clips, or 2 y - 1
    difference = NoisySum(unit * released.values[1:2], unit**2 * released.noise)
    level = _level(learned, k, released, count)
    start, mean = 0.0 if approach.adjusted else level.mean, float(difference.values[0]) / count.n
    helped, others = _variances(learned, k, released, count, (start + mean, start), fitted.clip)
    if fitted.outcome.kind == "binary":
        change = Level(mean, difference.noise / count.n**2 + 2 * others / count.n)
        helped = _variance_of_yes_no(others, change, level.mean)
    seen = effect_with(approach.ratio * helped + others, difference, _NOBODY, count=count, clip=fitted.clip,
                       level=level.mean, model_variance=fitted.doubt(*_gap(learned, estimate)))  # fmt: skip
    by_chance = (fitted.clip.clip / fitted.clip.pass_through) ** 2 / count.n
    clip = learned.corrected(k)
    return Part(
        fitted.outcome, seen, level.variance, shared=by_chance * others,
        chance=(by_chance * approach.ratio * helped, by_chance * others if approach.score == "propensity" else 0.0),
        counts=(0.0, 0.0), helped=seen.estimate * clip.pass_through / clip.clip, compared=0.0,
        spread=math.sqrt(_variance(learned, k, clip)),
    )  # fmt: skip


def _variances(
    learned: Learned, k: int, released: NoisySum, count: Means, means: tuple[float, float], clip: ResidualClip
) -> tuple[float, float]:
    """Returns how what is compared varies among the matched people of either side, in clips squared."""
    prior = _variance(learned, k, clip)
    helped, others = (
        variance_of(NoisySum(square, released.noise), each, count, prior=prior, doubt=(_PRIOR_CV * prior) ** 2)
        for square, each in zip((released.values[3:4], released.values[4:5]), means, strict=True)
    )
    return helped, others


def _variance_of_yes_no(others: float, change: Level, level: float) -> float:
    """Returns how a yes or no varies among the matched people helped, from their mean, which is far less noisy.

    With y of 0 or 1 the mean square differs from the comparators' by 1 - 2 m times what the mean differs by, whether a
    model m is taken off or not (``estimate``).

    Args:
        others: the variance among the matched comparators.
        change: what the means differ by.
        level: the comparators' mean of y.
    """
    times = 1 - 2 * level
    seen = Level(others + times * change.mean - change.mean**2, times**2 * change.variance)
    return max(Level(others, (_PRIOR_CV * others) ** 2).drawn_to(seen).mean, others / 4)


def _variance(learned: Learned, k: int, clip: ResidualClip) -> float:
    """Returns how residuals are thought to vary among matched people, in clips squared.

    As among comparators, where they vary with what is expected as the model's curve is steep there; a yes or no as its
    mean says.
    """
    model = learned.models[k]
    here, usual = (float(model.link.slope(level)) for level in (expected(learned, k).mean, model.level))
    if learned.plan.outcomes[k].kind == "binary":
        return max(here, 1e-5)
    square = learned.residual_square(k, clip.clip) / clip.clip**2
    return float(np.clip(square * np.clip(here / usual, 1.0, _MOST_SPREAD), 1e-5, 1.0))


def _fitted(learned: Learned, estimate: Estimate, k: int) -> Fitted:
    """Returns the outcome's model and clip; outcomes whose model is not taken off are not clipped any further."""
    fitted = learned.fitted(k)
    return fitted if estimate.approach.adjusted else replace(fitted, clip=UNCLIPPED)


def _released(learned: Learned, estimate: Estimate, k: int) -> NoisySum:
    return learned.sums(LAST)[estimate.name("matched_sums", learned.plan.outcomes[k].name)]


def _count(learned: Learned, estimate: Estimate, k: int) -> Means:
    """Returns the number of pairs, at least the size of its noise."""
    released = _released(learned, estimate, k)
    noise = released.noise / (2 * PAIR_SCALE) ** 2
    return Means(max(float(released.values[0]) / (2 * PAIR_SCALE), math.sqrt(noise), 1.0), noise, np.empty(0), 0.0)


def _level(learned: Learned, k: int, released: NoisySum, count: Means) -> Level:
    """Returns the matched comparators' mean outcome, drawn towards what the model expects as far as it is noise.

    Matched people are alike in what is expected, so that by chance it varies with the residuals alone.
    """
    usual, seen = expected(learned, k), float(released.values[2]) / WEIGHT_SCALE / count.n
    by_noise = (released.noise / WEIGHT_SCALE**2 + seen**2 * count.n_noise) / count.n**2
    found = Level(seen + 0.5, by_noise + _variance(learned, k, UNCLIPPED) / count.n).drawn_to(usual)
    return Level(float(np.clip(found.mean, 0.0, 1.0)), found.variance)


def _gap(learned: Learned, estimate: Estimate) -> tuple[Array, float]:
    """Returns how far the two sides may be apart in mean features, and the noise in it.

    People alike in the expected outcome may differ in all else as much as everybody does; people alike in the
    likelihood of being helped differ about as much as where comparators are weighted by it.
    """
    alike = learned.profile.comparators if estimate.approach.score == "prognostic" else learned.weighted.means
    return learned.best.mean - alike.mean, learned.best.noise + alike.noise


def _sd(learned: Learned, slopes: Array) -> float:
    """Returns the comparators' standard deviation of a linear score, from their released covariance."""
    return math.sqrt(max(float(slopes @ learned.profile.covariance @ slopes), 1e-6))
