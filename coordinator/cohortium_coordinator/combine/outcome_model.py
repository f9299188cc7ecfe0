"""The outcome model, learnt from comparators in noisy Newton steps.

The expected value is a curve of beta_0 + beta' u (``links``): a fractional logit (Papke and Wooldridge 1996), or nearly
a log link for counts; it is fitted by sum (y - m) (1, u) = 0 either way. Every step is also a Kalman update:
what a noisy gradient says is weighed against what is known already, so that with many comparators a step is Newton's,
and with few the coefficients stay near where they were instead of following the noise. Features have long tails and the
curve is steep, so that Newton's steps from nothing go too far and then back: the first is shortened, and each later one
makes use of how the gradient changed over the last (a secant).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cohortium_coordinator.combine.profile import Profile
from cohortium_coordinator.combine.sums import Array, NoisySum, floored
from cohortium_protocols.doubly_robust import LEVEL_BINS, effects
from cohortium_protocols.links import Link, link
from cohortium_protocols.plan import Outcome

FAR_OUT = 3.5
"""Residuals of a measured amount are clipped at this many times its spread."""
_EARLY_CLIP = 0.45
"""Where residuals are clipped while a model is only sketched, if they will be clipped later: noise is less than half,
and later steps put right what that cuts off."""
_LONGEST_STEP = 1.5
_FIRST_STEP = 0.7
"""Part of Newton's first step, from no slopes, that is gone: all of it is 1.3 to 1.9 times too far (docs/adr/0008)."""
_SLOPE_PRIOR = 0.7
_AMOUNT_PRIOR = 0.12
"""Prior standard deviation of a slope: of the linear predictor; for measured amounts, in standard deviations of y."""
_UNLIKE_PLAIN = 0.2
"""By what share of itself a curvature may be thought to differ from the plain one, along each of its axes."""
_CURVED = 0.35
"""Share of a step's length that the next step doubts, for the model is not quadratic: what is stated of the last
coefficients is then what they are off by (docs/adr/0008)."""
_UNLIKE_SECANT = 1.0
"""By what share of itself a curvature may be thought to differ along the last step from what the scores say."""


@dataclass(frozen=True)
class Step:
    """A step that was made, and what it was made by.

    Attributes:
        moved: (1 + p,) by how much.
        score: (1 + p,) sum of residuals times (1, features) before it, as it would be if nothing were clipped.
        noise: variance of the noise in each entry of that.
    """

    moved: Array
    score: Array
    noise: float


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
        last: the last step; None before the first.
    """

    beta: Array
    covariance: Array
    clip: float
    spread: float
    link: Link
    level: float
    seen: float = 1.0
    straight: bool = False
    last: Step | None = None

    @property
    def usual(self) -> float:
        """The expected value at the centre of all features."""
        return float(self.link.mean(self.beta[0]))

    def moved(self, level: float, gap: Array) -> float:
        """Returns an expected value in [0, 1], moved along a gap in mean features, (p,), by the model."""
        predictor = self.link.predictor(float(np.clip(level, 1e-6, 1 - 1e-6))) + float(self.beta[1:] @ gap)
        return float(self.link.mean(predictor))


def start(outcome: Outcome, levels: NoisySum, profile: Profile) -> OutcomeModel:
    """Returns the model with the overall level alone, and no slopes."""
    count = len(profile.comparators.mean)
    if outcome.kind == "number":
        level, spread = _located(levels)
        clip, slope = FAR_OUT * spread, _AMOUNT_PRIOR * spread / (level * (1 - level))
    else:
        level = 0.5 + float(levels.values[0]) / profile.comparators.n
        clip, slope, spread = _EARLY_CLIP if effects(outcome) else 1.0, _SLOPE_PRIOR, 0.5
    least = min(max(1e-4, 2 * np.sqrt(levels.noise) / profile.comparators.n), 0.45)
    level, curve = float(np.clip(level, least, 1 - least)), link(outcome)
    beta = np.zeros(1 + count)
    beta[0] = curve.predictor(level)
    return OutcomeModel(beta, np.diag([1.0, *[slope**2] * count]), min(clip, 1.0) if levels.noise else 1.0, spread,
                        curve, level, straight=outcome.kind == "number")  # fmt: skip


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

    Both are held against each other in units in which the plain one is the identity. The noise, alike in all
    directions, is small there where people differ much and large where they differ little; so that where little is
    released but noise the plain one stays, and steps are neither too long nor too short.
    """
    sizes, axes = np.linalg.eigh(plain)
    scaled = axes * np.sqrt(sizes)
    alike = np.sqrt(np.outer(sizes, sizes))
    unlike = axes.T @ (released.values - plain) @ axes / alike
    noise = released.noise / 2 / alike**2
    half = np.eye(len(plain)) / 2
    believed = half + _UNLIKE_PLAIN**2 / (_UNLIKE_PLAIN**2 + noise) * unlike
    return np.asarray(scaled @ (half + floored(believed, 0.0)) @ scaled.T, dtype=np.float64)


def stepped(model: OutcomeModel, score: NoisySum, curved: Array, people: float) -> OutcomeModel:
    """Returns the model after one noisy Newton step.

    Args:
        model: what was known.
        score: sum of clipped residuals, as shares of the clip, times (1, features), at the model's beta.
        curved: sum of the slope of m times the outer products of (1, features), there.
        people: number of comparators.
    """
    noise = max(score.noise * model.clip**2, 1e-6 * people)
    here = Step(np.zeros(len(curved)), score.values * model.clip / model.seen, noise / model.seen**2)
    h = model.seen * _along_last(floored(curved, 1e-6 * people), model.last, here)
    posterior = np.linalg.inv(np.linalg.inv(model.covariance) + h @ h / noise)
    step = posterior @ h @ (score.values * model.clip) / noise
    if model.last is None and not model.straight:
        step = _FIRST_STEP * step
    step = step * min(1.0, _LONGEST_STEP / max(float(np.linalg.norm(step)), 1e-12))
    doubt = np.diag((_CURVED * step) ** 2)
    return replace(model, beta=np.clip(model.beta + step, -40, 40), covariance=posterior + doubt,
                   last=replace(here, moved=step))  # fmt: skip


def _along_last(curved: Array, last: Step | None, here: Step) -> Array:
    """Returns the curvature, made to agree along the last step with how the score changed over it.

    The change over a step s is the average curvature there times s, so that s' (change) / s' H s is by how much H is
    too small along it; that is believed as far as it is not noise. H never falls below half along s.
    """
    if last is None:
        return curved
    along = curved @ last.moved
    foreseen = max(float(last.moved @ along), 1e-12)
    excess = float(last.moved @ (last.score - here.score)) / foreseen - 1
    noise = float(last.moved @ last.moved) * (last.noise + here.noise) / foreseen**2
    believed = _UNLIKE_SECANT**2 / (_UNLIKE_SECANT**2 + noise) * excess
    return np.asarray(curved + max(believed, -0.5) * np.outer(along, along) / foreseen, dtype=np.float64)
