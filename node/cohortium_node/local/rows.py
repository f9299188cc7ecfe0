"""What one person contributes to each vector of the doubly robust analysis (protocols, ``doubly_robust``).

Every function returns one row a person; names and columns are those of the declaration. Outcomes are scaled to [0, 1];
m is the outcome model's expected value, r a clipped residual in [-1, 1], w a person's weight in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from cohortium_node.features import Array
from cohortium_node.local.columns import Columns, InGroup, Times
from cohortium_node.local.people import Part
from cohortium_protocols.attrition import EXIT_STEPS
from cohortium_protocols.doubly_robust import (
    CLIPS,
    COUNT_SCALE,
    LEVEL_BINS,
    LEVELS,
    SQUARE_SCALE,
    WEIGHT_SCALE,
    effects,
)
from cohortium_protocols.links import link
from cohortium_protocols.plan import Outcome

Rows = Callable[[Part, int], Columns]
"""From people and an outcome's position to one row a person."""


def treated_profile(part: Part, k: int) -> Columns:
    """Returns (3, features)."""
    people = part.treated
    return np.full(len(people), COUNT_SCALE), Times(people.profile_factor, people.u)


def attrition(part: Part, k: int) -> Columns:
    """Returns the step at which a person's way ended, one-hot."""
    return (InGroup(part.exits, len(EXIT_STEPS), np.ones(len(part.exits))),)


def comparator_profile(part: Part, k: int) -> Columns:
    """Returns (1, features)."""
    people = part.comparators
    return np.ones(len(people)), Times(people.profile_factor, people.u)


def comparator_moments(part: Part, k: int) -> Columns:
    """Returns the features, whose outer products are summed."""
    return (Times(part.comparators.profile_factor, part.comparators.u),)


def comparator_levels(part: Part, k: int) -> Columns:
    """Returns y - 1/2; for a measured amount the bin it lies in, one-hot."""
    y = part.comparators.y[:, k]
    if part.outcomes[k].kind != "number":
        return (y - 0.5,)
    bins = np.minimum((y * LEVEL_BINS).astype(np.int64), LEVEL_BINS - 1)
    return (InGroup(bins, LEVEL_BINS, np.ones(len(y))),)


def score(part: Part, k: int) -> Columns:
    """Returns r times (1, features): the gradient of the quasi-likelihood."""
    r = part.comparators.r[:, k]
    return r, Times(r, part.comparators.model)


def curvature(part: Part, k: int) -> Columns:
    """Returns the square root of the slope of m, times (1, features), whose outer products are summed."""
    m = part.comparators.m[:, k]
    root = np.sqrt(link(part.outcomes[k]).slope(m))
    return root, Times(root, part.comparators.model)


def weighted_profile(part: Part, k: int) -> Columns:
    """Returns w times (1, features)."""
    people = part.comparators
    return people.w, Times(people.w, people.profile)


def weighted_moments(part: Part, k: int) -> Columns:
    """Returns sqrt(w) times the features, whose outer products are summed."""
    people = part.comparators
    return (Times(np.sqrt(people.w), people.profile),)


def pass_through(part: Part, k: int) -> Columns:
    """Yields, for each shape of effect and each clip, what of a small effect survives the clip; and squares."""
    y, m, outcome = part.comparators.y[:, k], part.comparators.m[:, k], part.outcomes[k]
    for effect in effects(outcome):
        yield from (_survives(effect, y, m, clip, outcome) for clip in CLIPS)
    yield from (_whole(effect, y) for effect in effects(outcome))
    yield from (np.clip(y - m, -clip, clip) ** 2 for clip in CLIPS)


def seen(part: Part, k: int) -> Columns:
    """Returns, one-hot by level of expectation, 1, what of a small effect survives the clip, and the effect."""
    people, outcome = part.comparators, part.outcomes[k]
    y, m, clip = people.y[:, k], people.m[:, k], float(people.parameters["clip"][k])
    level = np.searchsorted(np.sort(people.parameters["levels"][k]), people.level[:, k])
    numerators = [_survives(effect, y, m, clip, outcome) for effect in effects(outcome)]
    wholes = [_whole(effect, y) for effect in effects(outcome)]
    return (InGroup(level, LEVELS, np.column_stack([np.ones(len(y)), *numerators, *wholes])),)


def treated_outcome(part: Part, k: int) -> Columns:
    """Returns (r, 0.4 (r^2 - 1/2))."""
    r = part.treated.r[:, k]
    return r, SQUARE_SCALE * (r * r - 0.5)


def comparator_weights(part: Part, k: int) -> Columns:
    """Returns half of (w, w^2, w times features)."""
    people = part.comparators
    half = WEIGHT_SCALE * people.w
    return half, half * people.w, Times(half, people.profile)


def comparator_outcome(part: Part, k: int) -> Columns:
    """Returns (w r, 0.4 (w r)^2, 0.4 w r^2, w y / 2)."""
    people = part.comparators
    w, r = people.w, people.r[:, k]
    squares = SQUARE_SCALE * (w * w * r * r), SQUARE_SCALE * (w * r * r)
    return w * r, *squares, WEIGHT_SCALE * w * people.y[:, k]


def treated_product(part: Part, k: int) -> Columns:
    """Returns the product of two residuals."""
    return (part.product(part.treated, k),)


def comparator_product(part: Part, k: int) -> Columns:
    """Returns (w^2, w) times the product of two residuals."""
    product, w = part.product(part.comparators, k), part.comparators.w
    return w * w * product, w * product


ROWS: Mapping[str, Rows] = {
    rows.__name__: rows
    for rows in (
        treated_profile, attrition, comparator_profile, comparator_moments, comparator_levels, score, curvature,
        weighted_profile, weighted_moments, pass_through, seen, treated_outcome, comparator_weights,
        comparator_outcome, treated_product, comparator_product,
    )
} | {"treated_balance": treated_profile}  # fmt: skip
"""The rows of every declared vector, by the first part of its name."""


def _survives(effect: str, y: Array, m: Array, clip: float, outcome: Outcome) -> Array:
    """Returns what one person adds to the numerator of the pass-through of an effect's shape (``_whole``: below)."""
    seen = np.clip(y - m, -clip, clip)
    inside = (np.abs(seen) < clip).astype(np.float64)
    if effect == "shifted":
        return inside
    if effect == "scaled":
        return y * inside
    if effect == "none":
        return (y > 0) * (seen - np.clip(-m, -clip, clip))
    events = np.floor(y * (outcome.clip - outcome.low) + 1e-9)
    unit = 1 / (outcome.clip - outcome.low)
    return events * (seen - np.clip(y - unit - m, -clip, clip))


def _whole(effect: str, y: Array) -> Array:
    return np.ones_like(y) if effect == "shifted" else y
