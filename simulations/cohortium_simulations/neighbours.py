"""Two data sets that differ in one person, and how what a node makes of them differs: for the audit and for attacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cohortium_node.data.table import AnalysisTable
from cohortium_protocols.plan import Plan
from cohortium_protocols.statistics import Parameter, RoundSpec, VectorSpec
from cohortium_simulations.distinguish import Array

Vectors = Mapping[str, NDArray[np.int64]]
Study = Mapping[str, Vectors]
"""Round -> vector -> integers."""

DELTA = 1e-6
PLAN = Plan.model_validate({
    "cohortium": 1, "study": "audit", "title": "Audit", "question": "Is the noise as declared?", "data": "table",
    "covariates": [{"name": "age", "low": 18, "high": 110}],
    "outcomes": [{"name": "admitted", "clip": 1, "kind": "binary"}],
    "privacy": {"epsilon": 10.0, "delta": DELTA, "aggregation": "local"},
    "nodes": {"roster": ["one"], "deadline": "2199-01-01"},
})  # fmt: skip
"""Small, so that a study takes milliseconds, and with a large epsilon, so that few studies show a fault."""
_PAIRS = {"sensitivity": [{"method": "matched_pairs", "share": 0.1}]}
WITH_PAIRS = Plan.model_validate(PLAN.model_dump(mode="json", by_alias=True) | {"analysis": _PAIRS})
"""The same with matched pairs beside the headline."""

WORST = (110.0, 1.0)
"""Age and outcome of the person who moves the vectors of ``PLAN`` most (a test looks at every corner)."""


def people(one: tuple[float, float] | None, *, helped: bool) -> AnalysisTable:
    """Returns a table of forty ordinary people, a quarter of them helped, and one more person.

    Args:
        one: the person's age and outcome; nobody more when not given.
        helped: whether that person was helped.
    """
    extra = [] if one is None else [one]
    ages = np.array([*np.linspace(20, 100, 40), *(age for age, _ in extra)])
    outcomes = np.array([*(np.arange(40) % 3 == 0), *(outcome for _, outcome in extra)], dtype=np.float64)
    treated = np.array([*(np.arange(40) % 4 == 0), *(helped for _ in extra)], dtype=np.bool_)
    return AnalysisTable(treated, {"age": ages}, outcomes[:, None], np.zeros(int(treated.sum()), dtype=np.int64))


def parameters(spec: RoundSpec) -> dict[str, Any]:
    """Returns parameters by which one person's rows are long: weights of 1, a model that expects a half."""
    return {parameter.name: _longest(parameter) for parameter in spec.parameters}


def _longest(parameter: Parameter) -> Any:
    return np.full(parameter.shape, {"clip": 0.5, "log_scale": 60.0}.get(parameter.name, 0.0)).tolist()


def sigmas(vector: VectorSpec) -> Array:
    """Returns the declared standard deviation of every number of a vector, shape (dimension,)."""
    if vector.rule == "sum":
        return np.full(vector.dimension, vector.sigma)
    rows, columns = np.triu_indices(vector.width)
    return np.where(rows == columns, vector.sigma, vector.sigma_off_diagonal)


def shift(first: Study, second: Study, spec: RoundSpec, vector: VectorSpec) -> Array:
    """Returns how far apart two studies are in one vector, in units of its noise, shape (dimension,)."""
    moved = second[spec.name][vector.name] - first[spec.name][vector.name]
    return np.asarray(moved / sigmas(vector), dtype=np.float64)


def along(studies: list[Study], spec: RoundSpec, vector: VectorSpec, moved: Array) -> Array:
    """Returns each release along the line between the neighbours: all that independent noise leaves to learn.

    Args:
        studies: n released studies.
        spec: the round.
        vector: its vector.
        moved: from ``shift``.

    Returns:
        In units of the noise, shape (n,).
    """
    direction = moved / max(float(np.linalg.norm(moved)), 1e-12)
    return np.array([study[spec.name][vector.name] / sigmas(vector) for study in studies]) @ direction
