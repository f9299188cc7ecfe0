"""From a node's analysis table to the arrays that its statistics are reduced from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cohortium_node.data.table import AnalysisTable
from cohortium_protocols.features import MODEL_NORM, PROFILE_NORM, Feature, features, radius
from cohortium_protocols.plan import Outcome, Plan

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Side:
    """The treated people, or the comparators, of one node.

    Attributes:
        model: (n, p) features clipped to the model's norm.
        profile: (n, p) features clipped to the profile's tighter norm.
        y: (n, K) outcomes, clipped and scaled to [0, 1].
    """

    model: Array
    profile: Array
    y: Array


@dataclass(frozen=True)
class StudyArrays:
    """All that the statistics of one study see at one node.

    Attributes:
        treated: the people helped.
        comparators: the people not helped.
        exits: (m,) position in ``EXIT_STEPS`` for each person of the cohort who was found here.
        outcomes: the plan's outcomes, which say what y's columns are.
    """

    treated: Side
    comparators: Side
    exits: NDArray[np.int64]
    outcomes: tuple[Outcome, ...]


def study_arrays(plan: Plan, table: AnalysisTable) -> StudyArrays:
    """Returns the table's people as features and scaled outcomes, treated apart from comparators."""
    u = feature_matrix(features(plan), table)
    y = scaled_outcomes(plan.outcomes, table.outcomes)
    sides = (_side(u[chosen], y[chosen]) for chosen in (table.treated, ~table.treated))
    return StudyArrays(next(sides), next(sides), table.exits, plan.outcomes)


def feature_matrix(wanted: tuple[Feature, ...], table: AnalysisTable) -> Array:
    """Returns the features, shape (n_people, n_features); a missing value counts as its centre."""
    columns = [_column(feature, table) for feature in wanted]
    return np.column_stack(columns) if columns else np.empty((len(table.treated), 0))


def scaled_outcomes(outcomes: tuple[Outcome, ...], values: Array) -> Array:
    """Returns the outcomes clipped to [low, clip] and scaled to [0, 1], shape (n_people, n_outcomes)."""
    low = np.array([outcome.low for outcome in outcomes])
    high = np.array([outcome.clip for outcome in outcomes])
    return np.asarray(np.clip((np.nan_to_num(values, nan=0.0) - low) / (high - low), 0.0, 1.0), dtype=np.float64)


def clip_rows(rows: Array, norm: float) -> Array:
    """Returns the rows with each longer than ``norm`` (L2) shortened to it; anything not a number counts as 0."""
    finite = np.nan_to_num(rows, nan=0.0, posinf=norm, neginf=-norm)
    length = np.sqrt(np.einsum("ij,ij->i", finite, finite))
    return np.asarray(finite * np.minimum(1.0, norm / np.maximum(length, norm))[:, None], dtype=np.float64)


def _side(u: Array, y: Array) -> Side:
    model, profile = (clip_rows(u, radius(u.shape[1], norm)) for norm in (MODEL_NORM, PROFILE_NORM))
    return Side(model, profile, y)


def _column(feature: Feature, table: AnalysisTable) -> Array:
    values = table.covariates[feature.covariate]
    if feature.level is not None:
        values = np.where(values == "", np.nan, (values == feature.level).astype(np.float64))
    clipped = np.clip(values.astype(np.float64), feature.low, feature.high)
    moved = 2 * (np.sqrt(1 + clipped) - 1) if feature.transform == "root" else clipped
    return np.nan_to_num((moved - feature.centre) / feature.scale, nan=0.0)
