"""The doubly robust analysis, declared: its rounds, their vectors, and how the budget is split.

Learn what can be learnt from comparators first; ask the treated for as little as possible (statistics.md). Rounds:

1. ``profile``: how many, and what kind of people, on each side.
2. ``model_1``, ``model_2``: Newton steps of an outcome model (``links``) on comparators; beside them, in these
   and the later steps, how the weighted comparators look, to improve the weights.
3. ``residuals``: how much of an effect survives clipping the residuals, on comparators. From here on residuals are
   clipped, in the model as in the estimate (not for measured amounts, whose residuals are clipped far out throughout).
4. ``model_3``, ``model_4``: Newton steps with clipped residuals.
5. ``levels``: how much of an effect is seen among comparators who expect as much as the people helped (likewise).
6. ``outcome``: residual sums of both sides, and an independent second profile to judge balance by.

Each block has its own account of the whole budget; the shares below add up to one for each.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from cohortium_protocols.attrition import EXIT_STEPS
from cohortium_protocols.estimates import Estimate
from cohortium_protocols.features import MODEL_NORM, PROFILE_NORM, features, radius
from cohortium_protocols.links import link
from cohortium_protocols.plan import Outcome, Plan
from cohortium_protocols.privacy.split import best_shares
from cohortium_protocols.statistics import Parameter, RoundSpec, VectorSpec

MODEL_ROUNDS = (1, 1, 2, 4)
"""Relative budgets of the Newton rounds."""
EARLY_ROUNDS = 2
"""Newton rounds before residuals are clipped."""
COUNT_SCALE = 3.0
"""The treated count is released as 3 n: more exactly than one feature's sum."""
SQUARE_SCALE = 0.4
"""Residual squares are released as 0.4 (r^2 - 1/2): they need less accuracy than the residuals."""
WEIGHT_SCALE = 0.5
"""Sums of weights, squared weights and weighted levels are released at half scale beside the weighted residuals."""
CLIPS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.45, 0.7, 1.0)
"""Residual clips to choose from, as shares of the outcome's range."""
LEVELS = 5
"""Levels of expectation, about as many people helped in each, at which the share of an effect seen is told apart."""
LEVEL_BINS = 24
"""Bins of the histogram that tells where a measured amount lies in its range."""

TREATED_SHARES = {"treated_profile": 0.11, "attrition": 0.02, "treated_balance": 0.08, "treated_outcome": 0.79}
COMPARATOR_SHARES = {
    "comparator_profile": 0.07, "comparator_levels": 0.03, "comparator_moments": 0.08, "score": 0.32, "curvature": 0.06,
    "weighted_profile": 0.05, "weighted_moments": 0.05, "pass_through": 0.03, "seen": 0.06,
    "comparator_weights": 0.05, "comparator_outcome": 0.20,
}  # fmt: skip


_FEATURES = "(1; features in public standard deviations)"
_PEOPLE_AND_FEATURES = "people; features in public standard deviations"
_WEIGHTED_FEATURES = "weights of people; features in public standard deviations"
_FEATURES_SQUARED = "products of features in public standard deviations"
_RANGES = "ranges of the outcome"
_FOR_CLIPPING = ("pass_through", "seen")

LONG_TAIL = 1.4
"""The last round's budget of an outcome in days, over that of another: its range is longest over its spread."""
RATIO_SHARE = 0.05
"""Part of what the last round spends on outcomes that goes to the products behind the intervals of ratios."""


@dataclass(frozen=True)
class Budget:
    """The mu squared of each block's account, handed out by share; nothing when the plan runs without noise.

    Attributes:
        treated, comparator: each block's.
        clipped: whether any outcome's residuals are clipped; where none are, what that costs goes to the others.
    """

    treated: float
    comparator: float
    clipped: bool = True

    def of(self, vector: str, part: float = 1.0) -> float:
        """Returns a part of a vector's share."""
        if vector in TREATED_SHARES:
            return self.treated * part * TREATED_SHARES[vector]
        spared = 0.0 if self.clipped else math.fsum(COMPARATOR_SHARES[name] for name in _FOR_CLIPPING)
        return self.comparator * part * COMPARATOR_SHARES[vector] / (1 - spared)


def learning(plan: Plan, budget: Budget) -> tuple[RoundSpec, ...]:
    """Returns the rounds before the last: who is there, and what comparators teach."""
    names = tuple(feature.name for feature in features(plan))
    shaped = tuple(outcome for outcome in plan.outcomes if effects(outcome))
    models = tuple(_model(index, plan.outcomes, names, budget) for index in range(len(MODEL_ROUNDS)))
    rounds = (
        _profile(plan.outcomes, names, budget),
        *models[:EARLY_ROUNDS],
        _residuals(shaped, plan.outcomes, names, budget),
        *models[EARLY_ROUNDS:],
        _levels_of_expectation(shaped, plan.outcomes, names, budget),
    )
    return tuple(spec for spec in rounds if spec.vectors)


def _profile(outcomes: tuple[Outcome, ...], names: tuple[str, ...], budget: Budget) -> RoundSpec:
    norm = radius(len(names), PROFILE_NORM)
    return RoundSpec("profile", (
        VectorSpec("treated_profile", "treated", ("count", *names), math.hypot(COUNT_SCALE, norm),
                   budget.of("treated_profile"), _PEOPLE_AND_FEATURES,
                   "group size for publishing, profile, balance before",
                   f"({COUNT_SCALE} for the count; features clipped to norm {norm:.4f})"),
        VectorSpec("attrition", "treated", EXIT_STEPS, 1.0, budget.of("attrition"), "people", "attrition",
                   "one-hot: a person ends in one step"),
        VectorSpec("comparator_profile", "comparator", ("count", *names), math.hypot(1.0, norm),
                   budget.of("comparator_profile"), _PEOPLE_AND_FEATURES, "comparison pool, balance before",
                   "(1; features)"),
        VectorSpec("comparator_moments", "comparator", names, norm, budget.of("comparator_moments"),
                   _FEATURES_SQUARED, "standard deviations, weights", "features clipped as in treated_profile", "gram"),
        *_levels(outcomes, budget),
    ))  # fmt: skip


def _levels(outcomes: tuple[Outcome, ...], budget: Budget) -> Iterator[VectorSpec]:
    bounds = [1.0 if outcome.kind == "number" else 0.5 for outcome in outcomes]
    for outcome, bound, part in zip(outcomes, bounds, best_shares(bounds), strict=True):
        measured = outcome.kind == "number"
        labels = tuple(f"bin {index + 1}" for index in range(LEVEL_BINS)) if measured else ("y",)
        why = "one-hot: a value lies in one bin" if measured else "y - 1/2 for y in [0, 1]"
        yield VectorSpec(f"comparator_levels.{outcome.name}", "comparator", labels, bound,
                         budget.of("comparator_levels", part), "people" if measured else _RANGES,
                         f"starting level of the outcome model{', E-value' if measured else ''}", why)  # fmt: skip


def _model(index: int, outcomes: tuple[Outcome, ...], names: tuple[str, ...], budget: Budget) -> RoundSpec:
    part = MODEL_ROUNDS[index] / sum(MODEL_ROUNDS) / len(outcomes)
    labels, norm = ("intercept", *names), math.hypot(1.0, radius(len(names), MODEL_NORM))
    vectors = []
    for outcome in outcomes:
        curved = outcome.kind != "number"
        extra = 0.0 if curved else budget.of("curvature", part)
        vectors.append(VectorSpec(
            f"score.{outcome.name}", "comparator", labels, norm, budget.of("score", part) + extra,
            f"residual clips times {_FEATURES}", "outcome model",
            "residual clipped and scaled to [-1, 1], times (1; features)"))  # fmt: skip
        if curved:
            steepest = math.sqrt(link(outcome).steepest)
            vectors.append(VectorSpec(
                f"curvature.{outcome.name}", "comparator", labels, norm * steepest, budget.of("curvature", part),
                _FEATURES_SQUARED, "outcome model",
                f"square root of the slope of m, at most {steepest:.3g}, times (1; features)", "gram"))  # fmt: skip
    part, norm = 1 / len(MODEL_ROUNDS), radius(len(names), PROFILE_NORM)
    vectors += [
        VectorSpec("weighted_profile", "comparator", ("weight", *names), math.hypot(1.0, norm),
                   budget.of("weighted_profile", part), _WEIGHTED_FEATURES, "weights",
                   "weight in [0, 1], times (1; features)"),
        VectorSpec("weighted_moments", "comparator", names, norm, budget.of("weighted_moments", part),
                   _FEATURES_SQUARED, "weights", "square root of the weight in [0, 1], times the features", "gram"),
    ]  # fmt: skip
    beta, clip, *_ = _residual_parameters(outcomes, names)
    return RoundSpec(f"model_{index + 1}", tuple(vectors), (beta, clip, *_weight_parameters(len(names))))


def _weight_parameters(count: int) -> tuple[Parameter, ...]:
    """Weights are min(exp(tilt' u + log_scale), 1): largest 1, whatever the parameters."""
    return Parameter("tilt", (count,), -20.0, 20.0), Parameter("log_scale", (), -60.0, 60.0)


def pass_through_labels(outcome: Outcome) -> tuple[str, ...]:
    """Returns the columns of an outcome's ``pass_through`` vector: what an effect is, and what of it survives."""
    return (*(f"{effect} {clip}" for effect in effects(outcome) for clip in CLIPS), *effects(outcome),
            *(f"square {clip}" for clip in CLIPS))  # fmt: skip


def effects(outcome: Outcome) -> tuple[str, ...]:
    """Returns the shapes of effect that an outcome's pass-through is worked out for.

    None for a measured amount: no shape can be taken for granted there, so its residuals are clipped far out. None
    for yes or no, and for time observed, of which all is kept: a clip would cut off the one event that there is.
    """
    shapes = {"count": ("fewer", "scaled"), "days": ("none", "scaled"), "share": ("shifted",)}
    return shapes.get(outcome.kind, ())


def _residuals(
    shaped: tuple[Outcome, ...], outcomes: tuple[Outcome, ...], names: tuple[str, ...], budget: Budget
) -> RoundSpec:
    vectors = tuple(_pass_through(outcome, budget.of("pass_through", 1 / len(shaped))) for outcome in shaped)
    return RoundSpec("residuals", vectors, _residual_parameters(outcomes, names)[:1])


def _levels_of_expectation(
    shaped: tuple[Outcome, ...], outcomes: tuple[Outcome, ...], names: tuple[str, ...], budget: Budget
) -> RoundSpec:
    vectors = tuple(_seen(outcome, budget.of("seen", 1 / len(shaped))) for outcome in shaped)
    levels = Parameter("levels", (len(outcomes), LEVELS - 1), -500.0, 500.0)
    return RoundSpec("levels", vectors, (*_residual_parameters(outcomes, names), levels))


def _pass_through(outcome: Outcome, budget: float) -> VectorSpec:
    columns = len(effects(outcome)) * (len(CLIPS) + 1)
    bound = math.sqrt(columns + math.fsum(clip**4 for clip in CLIPS))
    return VectorSpec(f"pass_through.{outcome.name}", "comparator", pass_through_labels(outcome), bound, budget,
                      _RANGES, "residual clip, share of an effect seen, share cut",
                      "effects in [0, 1], squares of clipped residuals in [0, clip^2]")  # fmt: skip


def _seen(outcome: Outcome, budget: float) -> VectorSpec:
    shapes = effects(outcome)
    whats = ("people", *(f"{effect} seen" for effect in shapes), *shapes)
    labels = tuple(f"{what}, level {level + 1}" for level in range(LEVELS) for what in whats)
    return VectorSpec(f"seen.{outcome.name}", "comparator", labels, math.sqrt(1 + 2 * len(shapes)), budget,
                      f"people; {_RANGES}", "share of an effect seen",
                      "one-hot by expectation, times (1, effects in [0, 1])")  # fmt: skip


def _residual_parameters(outcomes: tuple[Outcome, ...], names: tuple[str, ...]) -> tuple[Parameter, ...]:
    """Residuals are (y - m) / clip, clipped to [-1, 1]."""
    count = len(outcomes)
    return (
        Parameter("beta", (count, len(names) + 1), -50.0, 50.0),
        Parameter("clip", (count,), 1e-3, 1.0),
    )


def parameters(plan: Plan) -> tuple[Parameter, ...]:
    """Returns what the last round's request says: the model, the clips, the weights."""
    names = tuple(feature.name for feature in features(plan))
    return *_residual_parameters(plan.outcomes, names), *_weight_parameters(len(names))


def groups(plan: Plan, budget: Budget) -> tuple[VectorSpec, ...]:
    """Returns what the last round says of the two groups, whatever the estimate: their size and their features."""
    names = tuple(feature.name for feature in features(plan))
    norm = radius(len(names), PROFILE_NORM)
    return (
        VectorSpec("treated_balance", "treated", ("count", *names), math.hypot(COUNT_SCALE, norm),
                   budget.of("treated_balance"), _PEOPLE_AND_FEATURES, "group size of the estimate, balance after",
                   "as treated_profile"),
        VectorSpec("comparator_weights", "comparator", ("weight", "square", *names),
                   WEIGHT_SCALE * math.sqrt(2 + norm**2), budget.of("comparator_weights"),
                   _WEIGHTED_FEATURES, "effective group size, balance after",
                   "weight in [0, 1], its square, and times the features"),
    )  # fmt: skip


def vectors(plan: Plan, estimate: Estimate, treated: float, comparators: float) -> tuple[VectorSpec, ...]:
    """Returns the estimate's vectors in the last round.

    Args:
        plan: whose.
        estimate: by weighted comparators of all nodes.
        treated: mu squared for what is released about the people helped.
        comparators: mu squared for what is released about comparators.
    """
    treated_bound = math.sqrt(1 + SQUARE_SCALE**2 / 4)
    weighted_bound = math.sqrt(1 + 2 * SQUARE_SCALE**2 + WEIGHT_SCALE**2)
    unit = "residual clips, and their squares"
    figures = "sensitivity analyses" if estimate.key else "estimate, interval, outcome levels"
    found = []
    for outcome, part in zip(plan.outcomes, outcome_parts(plan), strict=True):
        found.append(VectorSpec(
            estimate.name("treated_outcome", outcome.name), "treated", ("residual", "square"), treated_bound,
            treated * part, unit, figures, f"(r, {SQUARE_SCALE} (r^2 - 1/2)) with r in [-1, 1]"))  # fmt: skip
        found.append(VectorSpec(
            estimate.name("comparator_outcome", outcome.name), "comparator",
            ("residual", "square", "spread", "level"), weighted_bound, comparators * part, unit, figures,
            f"(w r, {SQUARE_SCALE} (w r)^2, {SQUARE_SCALE} w r^2, {WEIGHT_SCALE} w y)"))  # fmt: skip
    return tuple(found)


def outcome_parts(plan: Plan) -> tuple[float, ...]:
    """Returns each outcome's part of what the last round spends on outcomes; they add up to one.

    The parts make the noise, weighted by importance, least: a quarter of the importance is half of the budget.
    """
    needs = [LONG_TAIL if outcome.kind == "days" else 1.0 for outcome in plan.outcomes]
    return best_shares(needs, [outcome.importance for outcome in plan.outcomes])


def ratio_vectors(plan: Plan, treated: float, comparators: float) -> tuple[VectorSpec, ...]:
    """Returns what the intervals of ratios need: how numerator and denominator go together in the same people.

    Args:
        plan: whose.
        treated: mu squared for what is released about the people helped.
        comparators: mu squared for what is released about comparators.
    """
    part = 1 / max(len(plan.ratios), 1)
    unit, figures = "products of residual clips", "intervals of ratios"
    found = []
    for ratio in plan.ratios:
        found.append(VectorSpec(f"treated_product.{ratio.name}", "treated", ("product",), 1.0, treated * part, unit,
                                figures, "product of two residuals r in [-1, 1]"))  # fmt: skip
        found.append(VectorSpec(f"comparator_product.{ratio.name}", "comparator", ("product", "spread"),
                                math.sqrt(2), comparators * part, unit, figures,
                                "(w^2, w) times the product of two residuals"))  # fmt: skip
    return tuple(found)
