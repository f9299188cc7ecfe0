"""Comparisons inside groups, declared: strata of the expected outcome, exact categories, data holders, subgroups.

Everybody is in one group. The people helped of group g, n_g of them, are compared with the comparators of g:

    tau = sum_t r / n - sum_g (n_g / n) (sum_cg w r / sum_cg w)

with r the residual of the outcome model and w the weight that the doubly robust analysis uses; in strata of the
expected outcome too (fine stratification on the prognostic score, Hansen 2008): noise blurs the score, so that people
of one stratum are not as alike as they seem. For subgroups the sums of the people helped are released for each group,
and each has an estimate of its own.

One-hot by group does not lengthen anybody's row, so that any number of groups costs the same; noise per group is what
it costs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from cohortium_protocols.doubly_robust import SQUARE_SCALE, WEIGHT_SCALE, outcome_parts
from cohortium_protocols.errors import PlanError
from cohortium_protocols.estimates import Estimate
from cohortium_protocols.features import PROFILE_NORM, features, radius
from cohortium_protocols.plan import Covariate, Plan
from cohortium_protocols.statistics import Parameter, VectorSpec

GROUP_COUNT = 0.5
"""Where only shares of groups matter, n_g is released at this scale beside the residuals."""
MOST_GROUPS = 2000
OTHER = "(other)"
"""The level of a person whose category is missing or not listed."""


@dataclass(frozen=True)
class Grouping:
    """How people are put into groups.

    Attributes:
        nodes: the data holders, where each is a group of its own.
        exact: categories in which people of one group agree.
        bins: strata of the expected outcome.
    """

    nodes: tuple[str, ...]
    exact: tuple[Covariate, ...]
    bins: int

    @property
    def labels(self) -> tuple[str, ...]:
        """One name a group: data holders outermost, then categories, then strata."""
        labels = list(self.nodes) or [""]
        for covariate in self.exact:
            levels = (*covariate.levels, OTHER)
            labels = [_joined(label, f"{covariate.name}={level}") for label in labels for level in levels]
        if self.bins > 1:
            labels = [_joined(label, f"stratum {bin + 1}") for label in labels for bin in range(self.bins)]
        return tuple(label or "all" for label in labels)


def grouping(plan: Plan, estimate: Estimate) -> Grouping:
    """Returns the groups of an estimate."""
    approach = estimate.approach
    names = (estimate.by,) if estimate.by is not None else approach.exact
    known = {covariate.name: covariate for covariate in plan.covariates}
    nodes = plan.nodes.roster if approach.comparison == "within_node" else ()
    return Grouping(nodes, tuple(known[name] for name in names), approach.strata if approach.method == "strata" else 1)


def is_grouped(estimate: Estimate) -> bool:
    """Returns whether an estimate compares people inside groups."""
    approach = estimate.approach
    if approach.method == "doubly_robust":
        return estimate.by is not None or approach.comparison == "within_node" or bool(approach.exact)
    return approach.method == "strata"


def vectors(plan: Plan, estimate: Estimate, treated: float, comparators: float) -> tuple[VectorSpec, ...]:
    """Returns the estimate's vectors in the last round.

    Args:
        plan: whose.
        estimate: compared inside groups.
        treated: mu squared for what is released about the people helped.
        comparators: mu squared for what is released about comparators.

    Raises:
        PlanError: there are too many groups.
    """
    labels = _labels(plan, estimate)
    found = []
    for outcome, part in zip(plan.outcomes, outcome_parts(plan), strict=True):
        found.append(_treated(estimate, outcome.name, labels, treated * part))
        found.append(_comparators(estimate, outcome.name, labels, comparators * part))
    return tuple(found)


def balance_vector(plan: Plan, estimate: Estimate, budget: float) -> VectorSpec:
    """Returns the comparators' features by group, to judge how alike the groups are."""
    names = tuple(feature.name for feature in features(plan))
    labels = tuple(f"{group}: {name}" for group in _labels(plan, estimate) for name in names)
    return VectorSpec(
        estimate.name("grouped_features"), "comparator", labels, radius(len(names), PROFILE_NORM), budget,
        "features in public standard deviations", "balance after",
        "one-hot by group, times the weight in [0, 1] and the features")  # fmt: skip


def parameters(plan: Plan, estimate: Estimate) -> tuple[Parameter, ...]:
    """Returns what a request says about the groups: the limits of the strata, on the model's linear predictor."""
    bins = grouping(plan, estimate).bins
    return (Parameter(estimate.name("edges"), (len(plan.outcomes), bins - 1), -500.0, 500.0),) if bins > 1 else ()


def _labels(plan: Plan, estimate: Estimate) -> tuple[str, ...]:
    labels = grouping(plan, estimate).labels
    if len(labels) > MOST_GROUPS:
        raise PlanError(
            f"'{estimate.title}' has {len(labels):,} groups; at most {MOST_GROUPS:,} can be compared.",
            why="every group gets its own noise",
            do="name fewer categories in `exact`, or fewer `strata`",
        )
    return labels


def _treated(estimate: Estimate, outcome: str, labels: tuple[str, ...], budget: float) -> VectorSpec:
    if estimate.by is None:
        columns = (*(f"people: {label}" for label in labels), "residual", "square")
        count, why = GROUP_COUNT, f"one-hot by group, times {GROUP_COUNT}; (r, {SQUARE_SCALE} (r^2 - 1/2))"
    else:
        columns = tuple(f"{what}: {label}" for label in labels for what in ("people", "residual", "square"))
        count, why = 1.0, f"one-hot by group, times (1, r, {SQUARE_SCALE} (r^2 - 1/2))"
    bound = math.sqrt(count**2 + 1 + SQUARE_SCALE**2 / 4)
    return VectorSpec(
        estimate.name("grouped_treated", outcome), "treated", columns, bound, budget,
        "people; residual clips, and their squares", _figures(estimate), f"{why} with r in [-1, 1]")  # fmt: skip


def _comparators(estimate: Estimate, outcome: str, labels: tuple[str, ...], budget: float) -> VectorSpec:
    whats = ("weight", "residual", "square", "spread", "level")
    bound = math.sqrt(2 * WEIGHT_SCALE**2 + 1 + 2 * SQUARE_SCALE**2)
    return VectorSpec(
        estimate.name("grouped_comparators", outcome), "comparator",
        tuple(f"{what}: {label}" for label in labels for what in whats), bound, budget,
        "weights of people; residual clips, and their squares; ranges of the outcome", _figures(estimate),
        f"one-hot by group, times ({WEIGHT_SCALE} w, w r, {SQUARE_SCALE} (w r)^2, {SQUARE_SCALE} w r^2, "
        f"{WEIGHT_SCALE} w y) with w and y in [0, 1]")  # fmt: skip


def _figures(estimate: Estimate) -> str:
    if estimate.by is not None:
        return "subgroups"
    return "sensitivity analyses" if estimate.key else "estimate, interval, outcome levels"


def _joined(*labels: str) -> str:
    return ", ".join(filter(None, labels))
