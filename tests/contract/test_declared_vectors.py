"""Whatever the data hold, one person moves a declared vector by at most its declared sensitivity.

Every test runs for every vector of a plan that declares every statistic there is; the last section says so. People are
added (and so removed), moved from comparators to the helped, and given other values.
"""

from __future__ import annotations

import math
from itertools import combinations_with_replacement, product
from pathlib import Path

import numpy as np
import pytest
from contract_people import (
    COMPARATOR,
    HELPED,
    LEFT,
    ROUNDS,
    SCHEDULE,
    Person,
    distance,
    exact,
    open_parameters,
    parameters,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cohortium_node.cohorts import CohortFolder
from cohortium_node.data.source import FolderSource
from cohortium_node.features import study_arrays
from cohortium_node.local.groups import KEYED
from cohortium_node.local.pairs import MATCHED
from cohortium_node.local.reduce import reduce_round
from cohortium_node.local.rows import ROWS
from cohortium_node.local.sums import integer_vector
from cohortium_protocols.attrition import EXIT_STEPS
from cohortium_protocols.estimates import split_name
from cohortium_protocols.plan import Plan
from cohortium_protocols.privacy.accounting import mu_from_epsilon
from cohortium_protocols.schedules import schedule
from cohortium_protocols.statistics import RoundSpec, VectorSpec

EVERY = [pytest.param(spec, vector, id=f"{spec.name}/{vector.name}") for spec in ROUNDS for vector in spec.vectors]
BLOCKS = {HELPED: {"treated", "matched"}, LEFT: {"treated"}, COMPARATOR: {"comparator", "matched"}}
"""Whose vectors a person can move."""
rounds = pytest.mark.parametrize("spec", ROUNDS, ids=lambda spec: spec.name)

anything = st.floats(allow_nan=True, allow_infinity=True, width=64) | st.sampled_from([0.0, 1.0, -1.0, 8.0, 1e308])
values = st.tuples(anything, anything, st.sampled_from(["north", "south", "elsewhere", "", "?"]),
                   st.tuples(*[anything] * 5), st.integers(0, len(EXIT_STEPS) - 1))  # fmt: skip
side = st.sampled_from([HELPED, COMPARATOR, LEFT])
person = st.tuples(side, values).map(lambda both: (both[0], *both[1]))


def moved(vector: VectorSpec, first: dict[str, NDArray[np.int64]], second: dict[str, NDArray[np.int64]]) -> float:
    """How far two worlds' vectors lie apart, in multiples of the declared sensitivity."""
    return distance(vector, second[vector.name] - first[vector.name]) / vector.d2


def steps(vector: VectorSpec) -> int:
    """How often the sensitivity counts for a person who leaves one side and comes to the other."""
    return 2 if vector.block == "matched" else 1


# Any people, any values, any parameters.


@rounds
@settings(max_examples=40)
@given(people=st.lists(person, max_size=6), one=person, place=st.integers(0, 6), seed=st.integers(0, 2**32 - 1))
def test_one_person_more_moves_every_vector_by_at_most_its_d2(
    spec: RoundSpec, people: list[Person], one: Person, place: int, seed: int
) -> None:
    drawn = parameters(spec, np.random.default_rng(seed))
    without, with_one = exact(spec, people, drawn), exact(spec, [*people[:place], one, *people[place:]], drawn)
    for vector in spec.vectors:
        assert moved(vector, without, with_one) <= (vector.block in BLOCKS[one[0]])


@rounds
@settings(max_examples=25)
@given(people=st.lists(person, max_size=3), one=values, seed=st.integers(0, 2**32 - 1))
def test_a_person_who_was_helped_after_all_moves_each_block_by_at_most_its_d2(
    spec: RoundSpec, people: list[Person], one: tuple, seed: int
) -> None:
    drawn = parameters(spec, np.random.default_rng(seed))
    comparator, helped = (exact(spec, [*people, (side, *one)], drawn) for side in (COMPARATOR, HELPED))
    assert all(moved(vector, comparator, helped) <= steps(vector) for vector in spec.vectors)


@rounds
@settings(max_examples=25)
@given(people=st.lists(person, max_size=3), side=side, one=values, other=values, seed=st.integers(0, 2**32 - 1))
def test_a_person_with_other_values_moves_every_vector_by_at_most_twice_its_d2(
    spec: RoundSpec, people: list[Person], side: str, one: tuple, other: tuple, seed: int
) -> None:
    drawn = parameters(spec, np.random.default_rng(seed))
    first, second = (exact(spec, [*people, (side, *facts)], drawn) for facts in (one, other))
    assert all(moved(vector, first, second) <= 2 for vector in spec.vectors)


# Every small world.

NAN, INF = math.nan, math.inf
VALUES = [
    (50.0, 1.0, "south", (1.0, 0.0, 2.0, 0.5, 5.0), 0),
    (110.0, 10.0, "elsewhere", (8.0, 1.0, 30.0, 1.0, 50.0), 0),
    (NAN, NAN, "", (NAN,) * 5, 1),
    (INF, -INF, "?", (INF,) * 5, 2),
    (-1e308, 1e308, "north", (-INF, -1e308, 1e308, -5.0, 1e308), 5),
]
KINDS = [(side, *facts) for side in (HELPED, COMPARATOR) for facts in VALUES] + [(LEFT, *VALUES[3])]
WORLDS = [list(world) for size in range(3) for world in combinations_with_replacement(range(len(KINDS)), size)]


@rounds
@pytest.mark.parametrize("seed", [None, 7], ids=["open", "drawn"])
def test_in_every_world_of_up_to_three_people_every_neighbour_is_within_d2(spec: RoundSpec, seed: int | None) -> None:
    """All people of eleven kinds, all worlds of up to two of them, everybody who could come or change sides."""
    drawn = open_parameters(spec) if seed is None else parameters(spec, np.random.default_rng(seed))
    known = {
        world: exact(spec, [KINDS[kind] for kind in world], drawn)
        for size in range(4)
        for world in combinations_with_replacement(range(len(KINDS)), size)
    }
    worst = {vector.name: 0.0 for vector in spec.vectors}
    for world, one in product(WORLDS, range(len(KINDS))):
        there = known[tuple(sorted([*world, one]))]
        away = known[tuple(world)]
        swapped = known[tuple(sorted([*world, (one + len(VALUES)) % (2 * len(VALUES))]))] if one < 10 else away
        for vector in spec.vectors:
            assert vector.block in BLOCKS[KINDS[one][0]] or moved(vector, away, there) == 0
            swap = moved(vector, swapped, there) / steps(vector)
            worst[vector.name] = max(worst[vector.name], moved(vector, away, there), swap)
    assert max(worst.values()) <= 1
    assert seed is not None or min(worst.values()) > 0, "a test of nothing"


@rounds
def test_an_empty_node_releases_vectors_of_zeros_of_the_declared_length(spec: RoundSpec) -> None:
    vectors = exact(spec, [], parameters(spec, np.random.default_rng(1)))
    assert list(vectors) == [vector.name for vector in spec.vectors]
    for vector in spec.vectors:
        assert vectors[vector.name].tolist() == [0] * vector.dimension


@pytest.mark.parametrize(("spec", "vector"), EVERY)
def test_the_bound_is_not_loose_by_carelessness(spec: RoundSpec, vector: VectorSpec) -> None:
    """Some person comes within a factor of two of the declared bound (four, for products); with a partner, in pairs."""
    corners = product([HELPED, COMPARATOR], [18.0, 110.0], [0.0, 10.0], ["north", "south", "elsewhere"],
                      [(0.0,) * 4 + (-40.0,), (8.0, 1.0, 30.0, 1.0, 50.0), (1.0, 0.0, 2.0, 0.5, 5.0)], [0])  # fmt: skip
    tried = [open_parameters(spec), *(parameters(spec, np.random.default_rng(seed)) for seed in (1, 2))]
    everything, nothing = (8.0, 1.0, 30.0, 1.0, 50.0), (0.0, 0.0, 0.0, 0.0, -40.0)
    alike = [(side, 110.0, 10.0, "elsewhere", y, 0) for side, y in ((HELPED, everything), (COMPARATOR, nothing))]
    pairs = [alike[0], *alike[1:] * (vector.changed // 2)]
    people = [pairs] if vector.block == "matched" else [[one] for one in corners]
    farthest = max(distance(vector, exact(spec, some, drawn)[vector.name]) for some, drawn in product(people, tried))
    assert farthest >= vector.d2 / (2 if vector.rule == "sum" else 4)


# Whatever made the rows: the bound is enforced where they are added up.


@settings(max_examples=300)
@given(
    rows=st.integers(1, 6).flatmap(lambda width: st.lists(st.tuples(*[anything] * width), min_size=1, max_size=3)),
    bound=st.floats(1e-3, 1e3),
    rule=st.sampled_from(["sum", "gram"]),
)
def test_rows_of_any_numbers_and_length_are_cut_to_the_declared_bound(rows: list, bound: float, rule: str) -> None:
    labels = tuple(str(column) for column in range(len(rows[0])))
    vector = VectorSpec("rows", "treated", labels, bound, 0.01, "steps", "", "", rule)
    fewer = rows[:-1] or [(0.0,) * len(labels)]
    first, second = (integer_vector(np.array(some, float), vector) for some in (rows, fewer))
    assert distance(vector, first - second) <= vector.d2


@pytest.mark.parametrize("rule", ["sum", "gram"])
@pytest.mark.parametrize("width", [1, 2, 4, 9, 16])
@pytest.mark.parametrize("bound", [0.5, 1.0, math.sqrt(2), 3.0])
def test_rows_on_the_bound_with_the_worst_rounding_are_within_d2(rule: str, width: int, bound: float) -> None:
    vector = VectorSpec("rows", "treated", tuple(map(str, range(width))), bound, 0.01, "steps", "", "", rule)
    step = (math.floor(vector.grid * bound / math.sqrt(width)) + 0.5) / vector.grid  # every number is rounded by a half
    for length in (step, -step, bound / math.sqrt(width), np.nextafter(bound / math.sqrt(width), 9.0)):
        assert distance(vector, integer_vector(np.full((1, width), length), vector)) <= vector.d2


# From the records on: a person is one row, however many records and cohort rows there are.

RECORDS = Plan.model_validate({
    "cohortium": 1, "study": "records", "title": "Records", "question": "Is a person one row?",
    "intake": {"from": "2022-01-01", "to": "2022-12-31"}, "follow_up": 365,
    "covariates": ["age", "prior.ae_attendances"], "outcomes": ["ae_attendances", "death"],
    "privacy": {"epsilon": 1.0, "aggregation": "local"}, "nodes": {"roster": ["north"], "deadline": "2199-12-31"},
})  # fmt: skip
ANN, BOB, CAT = 9434765919, 9434765870, 4010232137
ATTENDANCES = "".join(f"cat,202{1 + k % 3}-0{1 + k % 9}-1{k % 10},1,01\n" for k in range(500))


def node_of(folder: Path, *, cat: bool, rows: int) -> CohortFolder:
    """Ann was helped, Bob was not; Cat has five hundred attendances and stands in the cohort file so many times."""
    people = [f"ann,{ANN},1950-01-01,,,,false", f"bob,{BOB},1980-01-01,,,,false"]
    people += [f"cat,{CAT},1925-01-01,,,2022-12-01,false"] if cat else []
    heads = "person_id,nhs_number,birth_date,registered_from,registered_to,death_date,opt_out"
    starts = [f"{ANN},2022-06-01", *(f"{CAT},2022-0{1 + k % 9}-01" for k in range(rows))]
    folder.mkdir()
    for name, lines in (("person", [heads, *people]), ("records", ["nhs_number,start_date", *starts])):
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    heads = "person_id,arrived,attendance_category,department_type\n"
    (folder / "emergency_attendance.csv").write_text(heads + (ATTENDANCES if cat else ""))
    return CohortFolder(folder, FolderSource(folder), b"k" * 32, 1)


@pytest.mark.parametrize("rows", [0, 1, 30])
def test_one_person_of_many_records_and_cohort_rows_moves_every_vector_by_at_most_its_d2(
    tmp_path: Path, rows: int
) -> None:
    declared = schedule(RECORDS)
    without, there = (
        study_arrays(RECORDS, node_of(tmp_path / str(cat), cat=cat, rows=rows).analysis_table(RECORDS))
        for cat in (False, True)
    )
    for spec in declared.rounds:
        for drawn in (open_parameters(spec), parameters(spec, np.random.default_rng(3))):
            first, second = (reduce_round(spec, drawn, arrays) for arrays in (without, there))
            block = "treated" if rows else "comparator"
            assert all(moved(vector, first, second) <= (vector.block == block) for vector in spec.vectors)
            assert any(moved(vector, first, second) for vector in spec.vectors) or block not in {
                vector.block for vector in spec.vectors
            }


# What is declared.


def test_the_contract_holds_for_every_statistic_that_a_node_can_reduce() -> None:
    only_in_headlines = {"grouped_features"}
    declared = {split_name(vector.name)[0] for spec in ROUNDS for vector in spec.vectors}
    assert declared | only_in_headlines == ROWS.keys() | KEYED.keys() | MATCHED.keys()


@pytest.mark.parametrize(("spec", "vector"), EVERY)
def test_every_vector_is_declared_with_what_bounds_it_and_why(spec: RoundSpec, vector: VectorSpec) -> None:
    declared = vector.declaration()
    assert declared["block"] in ("treated", "comparator", "matched")
    assert len(declared["labels"]) == len(set(declared["labels"])) > 0
    assert all(declared[name] > 0 for name in ("dimension", "bound", "grid", "d2", "sigma", "mu2"))
    assert declared["d2"] >= declared["grid"] * declared["bound"]
    assert len(declared["figures"]) > 3
    assert len(declared["derivation"]) > 3


def test_the_derivation_of_every_statistic_is_in_the_reference(pytestconfig: pytest.Config) -> None:
    page = (pytestconfig.rootpath / "docs" / "reference" / "releases.md").read_text()
    reasons = page.partition("## Why one person's row is bounded")[2].partition("\n## ")[0]
    kinds = {split_name(vector.name)[0] for _, vector in SCHEDULE.vectors()}
    assert {kind for kind in kinds if f"| `{kind}` |" not in reasons} == set()


@pytest.mark.parametrize("block", ["treated", "comparator"])
def test_the_whole_study_never_costs_a_block_more_than_the_plan_says(block: str) -> None:
    allowed = mu_from_epsilon(1.0, 1e-6) ** 2
    assert 0.98 * allowed < SCHEDULE.cost(block) <= allowed


@pytest.mark.parametrize(("spec", "vector"), EVERY)
def test_noise_stays_above_the_floor_and_within_its_budget(spec: RoundSpec, vector: VectorSpec) -> None:
    assert vector.sigma >= 40
    assert vector.sigma_off_diagonal >= vector.sigma / math.sqrt(2)
    assert 0 < vector.mu2 <= vector.budget


@pytest.mark.parametrize(("spec", "vector"), EVERY)
def test_sums_over_the_most_people_stay_far_from_where_integers_end(spec: RoundSpec, vector: VectorSpec) -> None:
    assert math.log2(vector.d2) + 26 < 61
