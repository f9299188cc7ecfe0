"""The outcome model, learnt from comparators in noisy Newton steps.

The expected value is a curve of beta_0 + beta' u (``links``): a fractional logit (Papke and Wooldridge 1996), or nearly
a log link for counts; it is fitted by sum (y - m) (1, u) = 0 either way. Every step is also a Kalman update:
what a noisy gradient says is weighed against what is known already, so that with many comparators a step is Newton's,
and with few the coefficients stay near where they were instead of following the noise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cohortium_coordinator.combine.profile import Profile
from cohortium_coordinator.combine.sums import Array, NoisySum, floored
from cohortium_protocols.doubly_robust import LEVEL_BINS
from cohortium_protocols.links import Link, link
from cohortium_protocols.plan import Outcome

FAR_OUT = 3.5
"""Residuals of a measured amount are clipped at this many times its spread."""
_LONGEST_STEP = 1.5
_SLOPE_PRIOR = 3.0
_AMOUNT_PRIOR = 0.12
"""Prior standard deviation of a slope: of the linear predictor; for measured amounts, in standard deviations of y."""
_UNLIKE_PLAIN = 0.3
"""By how much of its typical entry a curvature may be thought to differ from the plain one."""
_CURVED = 0.25
"""Share of a step's length that the next step doubts, for the model is not quadratic."""


Group = tuple[float, Array]
"""A group's mean outcome, in units of y, and its mean features, (p,)."""


@dataclass(frozen=True)
class OutcomeModel:
    """What is known of one outcome's model.

    Attributes:
        beta: (1 + p,) intercept and slopes of the linear predictor.
        covariance: (1 + p, 1 + p) uncertainty that the noise leaves in them.
        clip: bound on a residual in the gradient, in units of y.
        spread: about the standard deviation of y, or its largest possible value where the whole range is used.
        link: from linear predictor to expected value.
        level: mean of y, about.
        straight: whether the curve hardly bends over the values there are, as for measured amounts.
        seen: share of a change in m that shows in clipped residuals.
    """

    beta: Array
    covariance: Array
    clip: float
    spread: float
    link: Link
    level: float
    seen: float = 1.0
    straight: bool = False

    @property
    def usual(self) -> float:
        """The expected value at the centre of all features."""
        return float(self.link.mean(self.beta[0]))

    def lever(self, here: Group, there: Group, covariance: Array) -> Array:
        """Returns by how much each coefficient moves the difference of two groups' expected values, shape (1 + p,).

        Inside a group, those who expect more count for more, as in ``plain_curvature``.
        """
        lean = covariance @ self.beta[1:]
        ends = []
        for level, mean in (here, there):
            inside = float(np.clip(level, 1e-6, 1 - 1e-6))
            ends.append(float(self.link.slope(inside)) * np.array([1.0, *(mean + self.link.bend(inside) * lean)]))
        return np.asarray(ends[0] - ends[1], dtype=np.float64)

    def moved(self, level: float, gap: Array) -> float:
        """Returns an expected value in [0, 1], moved along a gap in mean features, (p,), by the model."""
        predictor = self.link.predictor(float(np.clip(level, 1e-6, 1 - 1e-6))) + float(self.beta[1:] @ gap)
        return float(self.link.mean(predictor))


def start(outcome: Outcome, levels: NoisySum, profile: Profile) -> OutcomeModel:
    """Returns the model with the overall level alone, and no slopes."""
    count = len(profile.comparators.mean)
    if outcome.kind == "number":
        level, spread = _located(levels)
        clip, slope = min(FAR_OUT * spread, 1.0), _AMOUNT_PRIOR * spread / (level * (1 - level))
    else:
        level = 0.5 + float(levels.values[0]) / profile.comparators.n
        clip, slope, spread = 1.0, _SLOPE_PRIOR, 0.5
    least = min(max(1e-4, 2 * np.sqrt(levels.noise) / profile.comparators.n), 0.45)
    level, curve = float(np.clip(level, least, 1 - least)), link(outcome.kind)
    beta = np.zeros(1 + count)
    beta[0] = curve.predictor(level)
    return OutcomeModel(beta, np.diag([1.0, *[slope**2] * count]), clip, spread, curve, level,
                        straight=outcome.kind == "number")  # fmt: skip


def _located(levels: NoisySum) -> tuple[float, float]:
    """Returns the middle of a noisy histogram on [0, 1], and its spread: half of the middle 70 %, about one sd.

    Where the middle 70 % lie in one or two bins, as of changes that most people do not have, the spread is the standard
    deviation of what stands out of the noise.
    """
    share = np.cumsum(np.maximum(levels.values, 0.0))
    share = share / max(float(share[-1]), 1.0)
    edges = np.linspace(0, 1, LEVEL_BINS + 1)
    low, middle, high = np.interp([0.15, 0.5, 0.85], [0.0, *share], edges)
    spread = float(high - low) / 2
    if spread < 1 / LEVEL_BINS:
        clear = np.where(levels.values > 3 * np.sqrt(levels.noise), levels.values, 0.0)
        square = (edges[:-1] + 0.5 / LEVEL_BINS - middle) ** 2
        spread = max(spread, float(np.sqrt(clear @ square / max(float(clear.sum()), 1.0))), 0.5 / LEVEL_BINS)
    return float(np.clip(middle, 0.02, 0.98)), spread


def plain_curvature(model: OutcomeModel, profile: Profile) -> Array:
    """Returns the curvature that follows from the profile's moments, shape (1 + p, 1 + p).

    Were features normal and the slope of m an exponential of the predictor, weighting people by it would move their
    mean by S beta, times its bend, and leave their covariance S.
    """
    lean = model.link.bend(model.level) * profile.covariance @ model.beta[1:]
    slope = float(model.link.slope(model.level))
    return profile.comparators.n * slope * moments(profile.comparators.mean + lean, profile.covariance)


def moments(mean: Array, covariance: Array) -> Array:
    """Returns the mean outer product of (1, features) from their mean and covariance."""
    second = covariance + np.outer(mean, mean)
    return np.block([[np.ones((1, 1)), mean[None]], [mean[:, None], second]])


def curvature(released: NoisySum, plain: Array) -> Array:
    """Returns a released curvature, drawn to the plain one as far as it is noise; never below half of that.

    Raising the eigenvalues of the released one above their noise instead would shorten every step.
    """
    typical = float(np.trace(plain)) / len(plain)
    prior, noise = (_UNLIKE_PLAIN * typical) ** 2, released.noise / 2
    mixed = plain + prior / (prior + noise) * (released.values - plain)
    return floored(mixed - plain / 2, 0.0) + plain / 2


def stepped(model: OutcomeModel, score: NoisySum, curved: Array, people: float) -> OutcomeModel:
    """Returns the model after one noisy Newton step.

    Args:
        model: what was known.
        score: sum of clipped residuals, as shares of the clip, times (1, features), at the model's beta.
        curved: sum of the slope of m times the outer products of (1, features), there.
        people: number of comparators.
    """
    noise = max(score.noise * model.clip**2, 1e-6 * people)
    h = model.seen * floored(curved, 1e-6 * people)
    posterior = np.linalg.inv(np.linalg.inv(model.covariance) + h @ h / noise)
    step = posterior @ h @ (score.values * model.clip) / noise
    step = step * min(1.0, _LONGEST_STEP / max(float(np.linalg.norm(step)), 1e-12))
    doubt = np.diag((_CURVED * step) ** 2)
    return replace(model, beta=np.clip(model.beta + step, -40, 40), covariance=posterior + doubt)
