"""What one person contributes to each vector of the doubly robust analysis (protocols, ``doubly_robust``).

Every function returns one row a person; names and columns are those of the declaration. Outcomes are scaled to [0, 1];
m is the outcome model's expected value, w a person's weight in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from cohortium_node.features import Array, Side, StudyArrays
from cohortium_protocols.attrition import EXIT_STEPS
from cohortium_protocols.doubly_robust import (
    CLIPS,
    COUNT_SCALE,
    LEVEL_BINS,
    SQUARE_SCALE,
    WEIGHT_SCALE,
    effects,
)
from cohortium_protocols.plan import Outcome

Parameters = Mapping[str, NDArray[np.float64]]
Rows = Callable[[StudyArrays, Parameters, int], Array]


def with_one(features: Array, one: float = 1.0) -> Array:
    """Returns the features with a constant before them, shape (n, 1 + p)."""
    return np.column_stack([np.full(len(features), one), features])


def predictor(side: Side, parameters: Parameters, k: int) -> Array:
    """Returns the outcome model's linear predictor, on the logit scale, shape (n,)."""
    beta = parameters["beta"][k]
    return np.asarray(beta[0] + side.model @ beta[1:], dtype=np.float64)


def expected(side: Side, parameters: Parameters, k: int) -> Array:
    """Returns the outcome model's expected value m_k(u) in (0, 1), shape (n,)."""
    return np.asarray(expit(predictor(side, parameters, k)), dtype=np.float64)


def weights(side: Side, parameters: Parameters) -> Array:
    """Returns min(exp(tilt' u + log_scale), 1), shape (n,)."""
    exponent = side.profile @ parameters["tilt"] + float(parameters["log_scale"])
    return np.asarray(np.exp(np.minimum(exponent, 0.0)), dtype=np.float64)


def treated_profile(arrays: StudyArrays, parameters: Parameters, k: int) -> Array:
    """Returns (3, features)."""
    return with_one(arrays.treated.profile, COUNT_SCALE)


def attrition(arrays: StudyArrays, parameters: Parameters, k: int) -> Array:
    """Returns the step at which a person's way ended, one-hot."""
    return np.eye(len(EXIT_STEPS))[arrays.exits]


def comparator_profile(arrays: StudyArrays, parameters: Parameters, k: int) -> Array:
    """Returns (1, features)."""
    return with_one(arrays.comparators.profile)


def comparator_moments(arrays: StudyArrays, parameters: Parameters, k: int) -> Array:
    """Returns the features, whose outer products are summed."""
    return arrays.comparators.profile


def comparator_levels(arrays: StudyArrays, parameters: Parameters, k: int) -> Array:
    """Returns y - 1/2; for a measured amount the bin it lies in, one-hot."""
    y = arrays.comparators.y[:, k]
    if arrays.outcomes[k].kind != "number":
        return y[:, None] - 0.5
    return np.eye(LEVEL_BINS)[np.minimum((y * LEVEL_BINS).astype(np.int64), LEVEL_BINS - 1)]


def score(arrays: StudyArrays, parameters: Parameters, k: int) -> Array:
    """Returns the clipped residual in [-1, 1], times (1, features): the gradient of the quasi-likelihood."""
    side = arrays.comparators
    clip = parameters["clip"][k]
    residual = np.clip(side.y[:, k] - expected(side, parameters, k), -clip, clip) / clip
    return np.asarray(residual[:, None] * with_one(side.model), dtype=np.float64)


def curvature(arrays: StudyArrays, parameters: Parameters, k: int) -> Array:
    """Returns sqrt(m (1 - m)) times (1, features), whose outer products are summed."""
    m = expected(arrays.comparators, parameters, k)
    return np.sqrt(m * (1 - m))[:, None] * with_one(arrays.comparators.model)


def weighted_profile(arrays: StudyArrays, parameters: Parameters, k: int) -> Array:
    """Returns w times (1, features)."""
    side = arrays.comparators
    return weights(side, parameters)[:, None] * with_one(side.profile)


def weighted_moments(arrays: StudyArrays, parameters: Parameters, k: int) -> Array:
    """Returns sqrt(w) times the features, whose outer products are summed."""
    side = arrays.comparators
    return np.asarray(np.sqrt(weights(side, parameters))[:, None] * side.profile, dtype=np.float64)


def pass_through(arrays: StudyArrays, parameters: Parameters, k: int) -> Array:
    """Returns, for each shape of effect and each clip, what of a small effect survives the clip; and squares."""
    y, m = arrays.comparators.y[:, k], expected(arrays.comparators, parameters, k)
    outcome = arrays.outcomes[k]
    numerators = [_survives(effect, y, m, clip, outcome) for effect in effects(outcome) for clip in CLIPS]
    wholes = [_whole(effect, y, m) for effect in effects(outcome)]
    squares = [np.clip(y - m, -clip, clip) ** 2 for clip in CLIPS]
    return np.column_stack([*numerators, *wholes, *squares])


def residual_means(arrays: StudyArrays, parameters: Parameters, k: int) -> Array:
    """Returns the nearest knot to the linear predictor, one-hot, times (1, r)."""
    side, knots = arrays.comparators, np.sort(parameters["knots"][k])
    nearest = np.searchsorted((knots[1:] + knots[:-1]) / 2, predictor(side, parameters, k))
    hot = np.eye(len(knots))[nearest]
    return np.column_stack([hot, hot * _clipped(side, parameters, k)[:, None]])


def treated_outcome(arrays: StudyArrays, parameters: Parameters, k: int) -> Array:
    """Returns (r, 0.4 (r^2 - 1/2)) with r the clipped residual in [-1, 1]."""
    r = _residual(arrays.treated, parameters, k)
    return np.column_stack([r, SQUARE_SCALE * (r * r - 0.5)])


def comparator_weights(arrays: StudyArrays, parameters: Parameters, k: int) -> Array:
    """Returns half of (w, w^2, w times features)."""
    side = arrays.comparators
    w = weights(side, parameters)
    return WEIGHT_SCALE * np.column_stack([w, w * w, w[:, None] * side.profile])


def comparator_outcome(arrays: StudyArrays, parameters: Parameters, k: int) -> Array:
    """Returns (w r, 0.4 (w r)^2, 0.4 w r^2, w y / 2)."""
    side = arrays.comparators
    w, r = weights(side, parameters), _residual(side, parameters, k)
    squares = SQUARE_SCALE * np.column_stack([w * w * r * r, w * r * r])
    return np.column_stack([w * r, squares, WEIGHT_SCALE * w * side.y[:, k]])


ROWS: Mapping[str, Rows] = {
    rows.__name__: rows
    for rows in (
        treated_profile, attrition, comparator_profile, comparator_moments, comparator_levels, score, curvature,
        weighted_profile, weighted_moments, pass_through, residual_means, treated_outcome, comparator_weights,
        comparator_outcome,
    )
} | {"treated_balance": treated_profile}  # fmt: skip
"""The rows of every declared vector, by the first part of its name."""


def _clipped(side: Side, parameters: Parameters, k: int) -> Array:
    clip: Any = parameters["clip"][k]
    return np.asarray(np.clip((side.y[:, k] - expected(side, parameters, k)) / clip, -1.0, 1.0), dtype=np.float64)


def _residual(side: Side, parameters: Parameters, k: int) -> Array:
    """Returns the clipped residual less what it averages to at its level of expectation, in [-1, 1], shape (n,)."""
    level = predictor(side, parameters, k)
    offset = np.interp(level, np.sort(parameters["knots"][k]), parameters["offsets"][k])
    return np.asarray(np.clip(_clipped(side, parameters, k) - offset, -1.0, 1.0), dtype=np.float64)


def _survives(effect: str, y: Array, m: Array, clip: float, outcome: Outcome) -> Array:
    """Returns what one person adds to the numerator of the pass-through of an effect's shape (``_whole``: below)."""
    seen = np.clip(y - m, -clip, clip)
    inside = (np.abs(y - m) < clip).astype(np.float64)
    if effect == "shifted":
        return inside
    if effect == "scaled":
        return y * inside
    if effect == "none":
        return (y > 0) * (seen - np.clip(-m, -clip, clip))
    if effect == "more":
        return (1 - y) * m * (np.clip(1 - m, -clip, clip) - seen)
    events = np.floor(y * (outcome.clip - outcome.low) + 1e-9)
    unit = 1 / (outcome.clip - outcome.low)
    return events * (seen - np.clip(y - unit - m, -clip, clip))


def _whole(effect: str, y: Array, m: Array) -> Array:
    return {"shifted": np.ones_like(y), "more": (1 - y) * m}.get(effect, y)
