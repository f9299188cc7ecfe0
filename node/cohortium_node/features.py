"""From a node's analysis table to the arrays that its statistics are reduced from.

People are rows; memory runs down the columns, so that a block of people is worked on column by column.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cohortium_node.data.table import AnalysisTable
from cohortium_protocols.estimates import Estimate, estimates
from cohortium_protocols.expansion import Feature, Level, Measure, Product, Range
from cohortium_protocols.features import MODEL_NORM, PROFILE_NORM, features, radius
from cohortium_protocols.grouped import Grouping, grouping, is_grouped
from cohortium_protocols.plan import Covariate, Outcome, Plan, Ratio
from cohortium_protocols.plan_analysis import Approach

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Side:
    """The treated people, or the comparators, of one node, or some of them.

    Attributes:
        u: (n, p) features, not yet clipped.
        y: (n, K) outcomes, clipped and scaled to [0, 1].
        codes: category -> (n,) position of each person's level; one after the last for a level that is not listed.
    """

    u: Array
    y: Array
    codes: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.u)

    def part(self, some: slice) -> Side:
        """Returns the people at those positions, without copying them."""
        return Side(self.u[some], self.y[some], {name: codes[some] for name, codes in self.codes.items()})

    def chosen(self, places: NDArray[np.int64]) -> Side:
        """Returns the people at those positions, as often as each is named; columns stay columns in memory."""
        codes = {name: codes[places] for name, codes in self.codes.items()}
        return Side(np.asfortranarray(self.u[places]), np.asfortranarray(self.y[places]), codes)

    @cached_property
    def model(self) -> Array:
        """The features clipped to the model's norm, shape (n, p): a copy, so ask a part for it, not everybody."""
        return clip_rows(self.u, radius(self.u.shape[1], MODEL_NORM))

    @cached_property
    def profile(self) -> Array:
        """The features clipped to the profile's tighter norm, shape (n, p): a copy like ``model``."""
        return clip_rows(self.u, radius(self.u.shape[1], PROFILE_NORM))

    @cached_property
    def profile_factor(self) -> Array:
        """What ``u`` is multiplied by to make ``profile``, for vectors that need no copy of it, shape (n,)."""
        return clip_factors(self.u, radius(self.u.shape[1], PROFILE_NORM))


@dataclass(frozen=True)
class Form:
    """One of the plan's comparisons inside groups, at this node.

    Attributes:
        grouping: how people are put into groups.
        node: this node's position among data holders that are groups of their own; 0 where they are not.
        apart: whether every group has an estimate of its own.
    """

    grouping: Grouping
    node: int
    apart: bool

    @cached_property
    def groups(self) -> int:
        """How many groups there are, over all nodes."""
        return len(self.grouping.labels)


@dataclass(frozen=True)
class Pairing:
    """How one of the plan's estimates matches people.

    Attributes:
        approach: the score, the ratio, and whether the outcome model is taken off.
        exact: categories in which the two people of a pair agree.
    """

    approach: Approach
    exact: tuple[Covariate, ...]


@dataclass(frozen=True)
class StudyArrays:
    """All that the statistics of one study see at one node.

    Attributes:
        treated: the people helped, in the order of the table.
        comparators: the people not helped, likewise.
        exits: (m,) position in ``EXIT_STEPS`` for each person of the cohort who was found here.
        outcomes: the plan's outcomes, which say what y's columns are.
        ratios: the plan's ratios of them.
        forms: an estimate's key -> its groups.
        pairings: an estimate's key -> how it matches people.
    """

    treated: Side
    comparators: Side
    exits: NDArray[np.int64]
    outcomes: tuple[Outcome, ...]
    ratios: tuple[Ratio, ...] = ()
    forms: Mapping[str, Form] = field(default_factory=dict)
    pairings: Mapping[str, Pairing] = field(default_factory=dict)

    @property
    def longest(self) -> int:
        """How many people the longest of the three lists holds."""
        return max(len(self.treated), len(self.comparators), len(self.exits))

    def parts(self, people: int) -> Iterator[StudyArrays]:
        """Yields everybody once, at most so many people of each list at a time; a list may end before the others."""
        for start in range(0, self.longest, people):
            some = slice(start, start + people)
            yield self.of(self.treated.part(some), self.comparators.part(some), self.exits[some])

    def of(self, treated: Side, comparators: Side, exits: NDArray[np.int64]) -> StudyArrays:
        """Returns these people of the same study and node."""
        return replace(self, treated=treated, comparators=comparators, exits=exits)


def study_arrays(plan: Plan, table: AnalysisTable, node: str = "") -> StudyArrays:
    """Returns the table's people as features and scaled outcomes, treated apart from comparators.

    Args:
        plan: the study.
        table: the node's people.
        node: its name on the roster; needed where data holders are groups of their own.

    Raises:
        ValueError: the name is needed, and is not on the roster.
    """
    treated, comparators = (_side(plan, table, chosen) for chosen in (table.treated, ~table.treated))
    forms = {each.key: _form(plan, each, node) for each in estimates(plan) if is_grouped(each)}
    pairings = {
        each.key: Pairing(each.approach, grouping(plan, each).exact)
        for each in estimates(plan)
        if each.approach.method == "matched_pairs"
    }
    return StudyArrays(treated, comparators, table.exits, plan.outcomes, plan.ratios, forms, pairings)


def clip_rows(rows: Array, norm: float, grid: float = 1.0, out: Array | None = None) -> Array:
    """Returns the rows, each longer than ``norm`` (L2) shortened to it; anything not a number counts as 0.

    Args:
        rows: any numbers, shape (n, width).
        norm: largest norm of a row.
        grid: a power of two by which the clipped rows are multiplied, without another pass over them.
        out: where to put the result; may be ``rows``.
    """
    factor = clip_factors(rows, norm) * grid
    if not (factor > 0).all():
        rows = np.nan_to_num(rows, nan=0.0, posinf=norm, neginf=-norm)
        factor = clip_factors(rows, norm) * grid
    return np.asarray(np.multiply(rows, factor[:, None], out=out), dtype=np.float64)


def clip_factors(rows: Array, norm: float) -> Array:
    """Returns what shortens each longer row to the L2 norm ``norm``, in (0, 1], shape (n,).

    Not above 0 for a row that holds something which is not a number, or whose square is too large for one. Added up
    column by column, so that a row's last digit is the same whoever else is there.
    """
    square = np.zeros(len(rows))
    with np.errstate(over="ignore", invalid="ignore"):
        for column in rows.T:
            square += column * column
        return np.asarray(norm / np.maximum(np.sqrt(square), norm), dtype=np.float64)


def _side(plan: Plan, table: AnalysisTable, chosen: NDArray[np.bool_]) -> Side:
    people = int(np.count_nonzero(chosen))
    u = _feature_matrix(features(plan), table, chosen, people)
    y = np.empty((people, len(plan.outcomes)), order="F")
    for k, outcome in enumerate(plan.outcomes):
        y[:, k] = _scaled(outcome, table.outcomes[chosen, k])
    categories = (covariate for covariate in plan.covariates if covariate.kind == "category")
    return Side(u, y, {each.name: _codes(each, table.covariates[each.name][chosen]) for each in categories})


def _feature_matrix(wanted: tuple[Feature, ...], table: AnalysisTable, chosen: NDArray[np.bool_], people: int) -> Array:
    """Returns the features, shape (people, p); where a value is missing, every feature made from it is 0."""
    u = np.empty((people, len(wanted)), order="F")
    columns = {feature.name: u[:, j] for j, feature in enumerate(wanted)}
    for feature in wanted:
        source = feature.source
        if isinstance(source, Product):
            values = columns[source.first] * columns[source.second]
        else:
            values = _values(source, table.covariates[source.covariate][chosen])
        columns[feature.name][:] = (values - feature.centre) / feature.scale
    for column in columns.values():
        np.nan_to_num(column, copy=False, nan=0.0)
    return u


def _values(source: Measure | Level | Range, written: NDArray[Any]) -> Array:
    """Returns what a feature centres and scales, from a covariate's values, shape (n,); NaN where one is missing."""
    if isinstance(source, Level):
        return np.where(written == "", np.nan, (written == source.level).astype(np.float64))
    numbers = written.astype(np.float64)
    if isinstance(source, Range):
        below = source.end is None or numbers < source.end
        return np.where(np.isnan(numbers), np.nan, (numbers >= source.start) & below)
    clipped = np.clip(numbers, source.low, source.high)
    return np.log1p(clipped) if source.transform == "log" else clipped


def _codes(covariate: Covariate, values: NDArray[Any]) -> NDArray[np.int64]:
    codes = np.full(len(values), len(covariate.levels), dtype=np.int64)
    for position, level in enumerate(covariate.levels):
        codes[values == level] = position
    return codes


def _form(plan: Plan, estimate: Estimate, node: str) -> Form:
    groups = grouping(plan, estimate)
    return Form(groups, groups.nodes.index(node) if groups.nodes else 0, estimate.by is not None)


def _scaled(outcome: Outcome, values: Array) -> Array:
    """Returns one outcome clipped to [low, clip] and scaled to [0, 1], shape (n,); a missing value counts as 0."""
    clipped = np.clip(np.nan_to_num(values, nan=0.0), outcome.low, outcome.clip)
    return np.asarray((clipped - outcome.low) / (outcome.clip - outcome.low), dtype=np.float64)
