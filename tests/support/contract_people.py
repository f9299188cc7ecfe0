"""For contract tests of declared vectors: a plan with every kind of statistic, people of every kind, and distances."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cohortium_node.data.table import AnalysisTable
from cohortium_node.features import study_arrays
from cohortium_node.local.reduce import reduce_round
from cohortium_protocols.plan import Plan
from cohortium_protocols.schedules import LAST, schedule
from cohortium_protocols.statistics import RoundSpec, VectorSpec

PLAN = Plan.model_validate({
    "cohortium": 1, "study": "contract", "title": "Contract", "question": "Does it hold?", "data": "table",
    "covariates": [
        {"name": "age", "low": 18, "high": 110, "square": True, "bins": [40, 65]},
        {"name": "use", "low": 0, "high": 10, "centre": 0.4, "scale": 0.8, "transform": "log", "square": True},
        {"name": "area", "levels": ["north", "south", "elsewhere"]},
    ],
    "interactions": [["age", "use"], ["area", "age"]],
    "outcomes": [
        {"name": "visits", "clip": 8, "kind": "count"}, {"name": "any", "clip": 1, "kind": "binary"},
        {"name": "days", "clip": 30, "kind": "days"}, {"name": "part", "clip": 1, "kind": "share"},
        {"name": "weight", "low": -40, "clip": 50, "kind": "number"},
    ],
    "ratios": [
        {"name": "days a visit", "numerator": "days", "denominator": "visits"},
        {"name": "days of the part", "numerator": "days", "denominator": "part"},
    ],
    "analysis": {
        "sensitivity": [
            {"method": "strata", "strata": 4, "exact": ["area"], "share": 0.1},
            {"method": "doubly_robust", "comparison": "within_node", "share": 0.1},
            {"method": "doubly_robust", "share": 0.1},
            {"method": "matched_pairs", "ratio": 2, "score": "both", "exact": ["area"], "share": 0.1},
        ],
        "subgroups": [{"by": "area", "share": 0.1}],
    },
    "privacy": {"epsilon": 1.0, "delta": 1e-6, "aggregation": "local"},
    "nodes": {"roster": ["other", "one"], "deadline": "2099-01-01"},
})  # fmt: skip
SCHEDULE = schedule(PLAN)
_WRITTEN = PLAN.model_dump(mode="json", by_alias=True) | {"ratios": []}
PAIRS = Plan.model_validate(_WRITTEN | {"analysis": {"method": "matched_pairs", "adjusted": False}})
"""The same study with a headline of matched pairs."""
ROUNDS = (*SCHEDULE.rounds, schedule(PAIRS).round(LAST))
"""Every round of the one plan, and what the other adds to it."""

HELPED, COMPARATOR, LEFT = "helped", "comparator", "left"
"""What a person is to a study; one who left is in the cohort and not analysed."""

Person = tuple[str, float, float, str, tuple[float, ...], int]
"""Side, age, use, area, the five outcomes, and the exit step if the person is in the cohort."""


def table(people: list[Person]) -> AnalysisTable:
    """The analysis table of these people."""
    rows = [person for person in people if person[0] != LEFT]
    side, age, use, area, outcomes, _ = zip(*rows, strict=True) if rows else ([], [], [], [], [], [])
    return AnalysisTable(
        np.array([each == HELPED for each in side], dtype=bool),
        {"age": np.array(age, float), "use": np.array(use, float), "area": np.array(area, object)},
        np.array(outcomes, float).reshape(-1, 5),
        np.array([person[5] for person in people if person[0] != COMPARATOR], np.int64),
    )


def parameters(spec: RoundSpec, rng: np.random.Generator) -> dict[str, Any]:
    """Parameters anywhere within their declared bounds, the bounds themselves included."""
    drawn = {}
    for parameter in spec.parameters:
        ends = rng.choice([parameter.low, parameter.high], size=parameter.shape)
        inside = rng.normal(0, 1, size=parameter.shape).clip(parameter.low, parameter.high)
        drawn[parameter.name] = np.where(rng.random(parameter.shape) < 0.2, ends, inside).tolist()
    return drawn


def open_parameters(spec: RoundSpec) -> dict[str, Any]:
    """Parameters by which rows are long: a model that expects a half, and weights of 1."""
    drawn = parameters(spec, np.random.default_rng(0))
    zeros = {name: np.zeros(np.shape(drawn[name])).tolist() for name in ("beta", "tilt") if name in drawn}
    return drawn | zeros | ({"log_scale": 60.0} if "log_scale" in drawn else {})


def distance(vector: VectorSpec, moved: NDArray[np.int64]) -> float:
    """The norm that ``d2`` bounds: Frobenius, for a Gram matrix of which the upper triangle is released."""
    if vector.rule == "sum":
        return float(np.linalg.norm(moved.astype(float)))
    i, j = np.triu_indices(vector.width)
    return math.sqrt(float(np.sum(np.where(i == j, 1.0, 2.0) * moved.astype(float) ** 2)))


def exact(spec: RoundSpec, people: list[Person], drawn: dict[str, Any]) -> dict[str, NDArray[np.int64]]:
    """The round's vectors of these people, before noise."""
    return reduce_round(spec, drawn, study_arrays(PLAN if spec in SCHEDULE.rounds else PAIRS, table(people), "one"))
