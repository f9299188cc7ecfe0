"""What one person contributes to comparisons inside groups (protocols, ``grouped``).

A person's group is decided by their own categories, their own expected outcome, the node, and public limits alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from cohortium_node.features import Side
from cohortium_node.local.columns import Columns, InGroup, Times
from cohortium_node.local.people import Part, People
from cohortium_protocols.doubly_robust import SQUARE_SCALE, WEIGHT_SCALE
from cohortium_protocols.estimates import first_primary
from cohortium_protocols.grouped import GROUP_COUNT
from cohortium_protocols.plan import Covariate

KeyedRows = Callable[[Part, int, str], Columns]
"""From people, an outcome's position and an estimate's key to one row a person."""


def grouped_treated(part: Part, k: int, key: str) -> Columns:
    """Returns, one-hot by group, 0.5, and (r, 0.4 (r^2 - 1/2)); of subgroups all three stand at the group."""
    people, form = part.treated, part.forms[key]
    group, r = _group(part, people, k, key), people.r[:, k]
    square = SQUARE_SCALE * (r * r - 0.5)
    if form.apart:
        return (InGroup(group, form.groups, np.column_stack([np.ones(len(r)), r, square])),)
    return InGroup(group, form.groups, np.full(len(r), GROUP_COUNT)), r, square


def grouped_comparators(part: Part, k: int, key: str) -> Columns:
    """Returns, one-hot by group, (w / 2, w r, 0.4 (w r)^2, 0.4 w r^2, w y / 2)."""
    people = part.comparators
    w, r, y = people.w, people.r[:, k], people.y[:, k]
    table = np.column_stack([WEIGHT_SCALE * w, w * r, SQUARE_SCALE * (w * w * r * r), SQUARE_SCALE * (w * r * r),
                             WEIGHT_SCALE * w * y])  # fmt: skip
    return (InGroup(_group(part, people, k, key), part.forms[key].groups, table),)


def grouped_features(part: Part, k: int, key: str) -> Columns:
    """Returns, one-hot by the group for the first primary outcome, w times the features."""
    people = part.comparators
    rows = Times(people.w, people.profile)
    return (InGroup(_group(part, people, first_primary(part.outcomes), key), part.forms[key].groups, rows),)


def _group(part: Part, people: People, k: int, key: str) -> NDArray[np.int64]:
    """Returns each person's group: the data holder outermost, then categories, then strata."""
    form = part.forms[key]
    group = alike(people, form.grouping.exact, form.node)
    if form.grouping.bins > 1:
        name = f"edges@{key}" if key else "edges"
        edges = np.sort(people.parameters[name][k])
        group = group * form.grouping.bins + np.searchsorted(edges, people.level[:, k])
    return group


def alike(people: Side, exact: tuple[Covariate, ...], start: int | NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns a code for each person, shape (n,), the same for people of one start who agree in every category."""
    code = np.full(len(people), start, dtype=np.int64)
    for covariate in exact:
        code = code * (len(covariate.levels) + 1) + people.codes[covariate.name]
    return code


KEYED: Mapping[str, KeyedRows] = {
    rows.__name__: rows for rows in (grouped_treated, grouped_comparators, grouped_features)
}
"""The rows of every vector that belongs to one estimate, by the first part of its name."""
