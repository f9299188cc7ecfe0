"""Whatever the data hold, one person moves a declared vector by at most its declared sensitivity."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cohortium_node.data.table import AnalysisTable
from cohortium_node.features import study_arrays
from cohortium_node.local.reduce import reduce_round
from cohortium_protocols.attrition import EXIT_STEPS
from cohortium_protocols.plan import Plan
from cohortium_protocols.privacy.accounting import mu_from_epsilon
from cohortium_protocols.schedules import schedule
from cohortium_protocols.statistics import RoundSpec, VectorSpec

PLAN = Plan.model_validate({
    "cohortium": 1, "study": "contract", "title": "Contract", "question": "Does it hold?", "data": "table",
    "covariates": [
        {"name": "age", "low": 18, "high": 110},
        {"name": "use", "low": 0, "high": 10, "centre": 0.4, "scale": 2.8},
        {"name": "area", "levels": ["north", "south", "elsewhere"]},
    ],
    "outcomes": [
        {"name": "visits", "clip": 8, "kind": "count"}, {"name": "any", "clip": 1, "kind": "binary"},
        {"name": "days", "clip": 30, "kind": "days"}, {"name": "part", "clip": 1, "kind": "share"},
        {"name": "weight", "low": -40, "clip": 50, "kind": "number"},
    ],
    "privacy": {"epsilon": 1.0, "delta": 1e-6, "aggregation": "local"},
    "nodes": {"roster": ["one"], "deadline": "2099-01-01"},
})  # fmt: skip
SCHEDULE = schedule(PLAN)
EVERY = [pytest.param(spec, vector, id=f"{spec.name}/{vector.name}") for spec, vector in SCHEDULE.vectors()]

anything = st.floats(allow_nan=True, allow_infinity=True, width=64) | st.sampled_from(
    [0.0, 1.0, -1.0, 8.0, 1e308]
)
person = st.tuples(st.booleans(), anything, anything, st.sampled_from(["north", "south", "elsewhere", "?"]),
                   st.tuples(*[anything] * 5), st.integers(0, len(EXIT_STEPS) - 1))  # fmt: skip


def table(people: list[tuple]) -> AnalysisTable:
    treated, age, use, area, outcomes, exits = (
        zip(*people, strict=True) if people else ([], [], [], [], [], [])
    )
    helped = np.array(treated, dtype=bool)
    return AnalysisTable(
        helped,
        {"age": np.array(age, float), "use": np.array(use, float), "area": np.array(area, object)},
        np.array(outcomes, float).reshape(-1, 5),
        np.array(exits, np.int64)[helped],
    )


def parameters(spec: RoundSpec, rng: np.random.Generator) -> dict:
    """Parameters anywhere within their declared bounds, the bounds themselves included."""
    drawn = {}
    for parameter in spec.parameters:
        ends = rng.choice([parameter.low, parameter.high], size=parameter.shape)
        inside = rng.normal(0, 1, size=parameter.shape).clip(parameter.low, parameter.high)
        drawn[parameter.name] = np.where(rng.random(parameter.shape) < 0.2, ends, inside).tolist()
    return drawn


def distance(vector: VectorSpec, moved: NDArray[np.int64]) -> float:
    """The norm that ``d2`` bounds: Frobenius, for a Gram matrix of which the upper triangle is released."""
    if vector.rule == "sum":
        return float(np.linalg.norm(moved.astype(float)))
    i, j = np.triu_indices(vector.width)
    return math.sqrt(float(np.sum(np.where(i == j, 1.0, 2.0) * moved.astype(float) ** 2)))


def released(spec: RoundSpec, people: list[tuple], drawn: dict) -> dict[str, NDArray[np.int64]]:
    return reduce_round(spec, drawn, study_arrays(PLAN, table(people)))


@pytest.mark.parametrize("spec", SCHEDULE.rounds, ids=lambda spec: spec.name)
@settings(max_examples=40)
@given(people=st.lists(person, max_size=4), one=person, seed=st.integers(0, 2**32 - 1))
def test_one_person_more_moves_every_vector_by_at_most_its_d2(
    spec: RoundSpec, people: list, one: tuple, seed: int
):
    drawn = parameters(spec, np.random.default_rng(seed))
    without, with_one = released(spec, people, drawn), released(spec, [*people, one], drawn)
    for vector in spec.vectors:
        moved = with_one[vector.name] - without[vector.name]
        assert distance(vector, moved) <= vector.d2
        assert vector.block == ("treated" if one[0] else "comparator") or not moved.any()


@pytest.mark.parametrize(("spec", "vector"), EVERY)
def test_the_bound_is_not_loose_by_carelessness(spec: RoundSpec, vector: VectorSpec):
    """Some person comes within a factor of two of the declared bound (four, for products)."""
    corners = product([True, False], [18.0, 110.0], [0.0, 10.0], ["north", "south", "elsewhere"],
                      [(0.0,) * 4 + (-40.0,), (8.0, 1.0, 30.0, 1.0, 50.0), (1.0, 0.0, 2.0, 0.5, 5.0)], [0])  # fmt: skip
    farthest = 0.0
    for one, seed in product(corners, range(3)):
        drawn = parameters(spec, np.random.default_rng(seed))
        if seed == 0:  # a model that expects a half, and weights of 1
            drawn |= {
                name: np.zeros(np.shape(drawn[name])).tolist() for name in ("beta", "tilt") if name in drawn
            }
            drawn |= {"log_scale": 60.0} if "log_scale" in drawn else {}
        farthest = max(farthest, distance(vector, released(spec, [one], drawn)[vector.name]))
    assert farthest >= vector.d2 / (2 if vector.rule == "sum" else 4)


@pytest.mark.parametrize("spec", SCHEDULE.rounds, ids=lambda spec: spec.name)
def test_an_empty_node_releases_vectors_of_zeros_of_the_declared_length(spec: RoundSpec):
    vectors = released(spec, [], parameters(spec, np.random.default_rng(1)))
    assert list(vectors) == [vector.name for vector in spec.vectors]
    for vector in spec.vectors:
        assert vectors[vector.name].tolist() == [0] * vector.dimension


@pytest.mark.parametrize("block", ["treated", "comparator"])
def test_the_whole_study_never_costs_a_block_more_than_the_plan_says(block: str):
    allowed = mu_from_epsilon(1.0, 1e-6) ** 2
    assert 0.98 * allowed < SCHEDULE.cost(block) <= allowed


@pytest.mark.parametrize(("spec", "vector"), EVERY)
def test_noise_stays_above_the_floor_and_within_its_budget(spec: RoundSpec, vector: VectorSpec):
    assert vector.sigma >= 40
    assert vector.sigma_off_diagonal >= vector.sigma / math.sqrt(2)
    assert 0 < vector.mu2 <= vector.budget
