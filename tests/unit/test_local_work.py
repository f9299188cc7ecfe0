"""A round worked out in blocks of people says, to the last integer, what the plain way of adding people up says."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from contract_people import (
    COMPARATOR,
    HELPED,
    LEFT,
    PLAN,
    SCHEDULE,
    Person,
    distance,
    open_parameters,
    parameters,
    table,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cohortium_node.features import Side, StudyArrays, clip_rows, study_arrays
from cohortium_node.local import reduce
from cohortium_node.local.columns import InGroup, Room, Times
from cohortium_node.local.pairs import Pairs
from cohortium_node.local.people import Part
from cohortium_node.local.reduce import checked_parameters, reduce_round
from cohortium_node.local.sums import MOST_ROWS, integer_vector
from cohortium_protocols.statistics import MAX_PEOPLE, RoundSpec, VectorSpec

NAN, INF = math.nan, math.inf
EXTREMES = [NAN, INF, -INF, 1e308, -1e308, 0.0, 1e-300]
rounds = pytest.mark.parametrize("spec", SCHEDULE.rounds, ids=lambda spec: spec.name)
numbers = st.floats(-4, 4) | st.sampled_from(EXTREMES)


def vector(width: int, rule: str = "sum", bound: float = 1.5) -> VectorSpec:
    labels = tuple(map(str, range(width)))
    return VectorSpec("rows", "treated", labels, bound, 0.01, unit="", figures="", derivation="", rule=rule)


# The plain way: one person after another, in Python's integers.


def plain(rows: list[list[float]], spec: VectorSpec) -> list[int]:
    steps = [[round(number * spec.grid) for number in shortened(row, spec.bound)] for row in rows]
    if spec.rule == "sum":
        return [sum(row[i] for row in steps) for i in range(spec.width)]
    pairs = [(i, j) for i in range(spec.width) for j in range(i, spec.width)]
    return [sum(row[i] * row[j] for row in steps) for i, j in pairs]


def shortened(row: list[float], norm: float) -> list[float]:
    row = [0.0 if math.isnan(x) else math.copysign(norm, x) if math.isinf(x) else x for x in row]
    length = math.sqrt(sum(x * x for x in row))
    return row if length <= norm else [x * (norm / length) for x in row]


def assert_same(found: NDArray[np.int64], spec: VectorSpec, rows: list[list[float]]) -> None:
    """Equal; but for the last bit of a length that was computed, which can turn a rounding of a shortened row."""
    cut = sum(not sum(x * x for x in row) <= spec.bound**2 for row in rows)
    allowed = cut if spec.rule == "sum" else cut * (2 * spec.grid * spec.bound + 2)
    differences = [abs(int(mine) - theirs) for mine, theirs in zip(found, plain(rows, spec), strict=True)]
    assert max(differences, default=0) <= allowed


@settings(max_examples=300)
@given(
    rows=st.integers(1, 5).flatmap(lambda width: st.lists(st.lists(numbers, min_size=width, max_size=width), min_size=1,
                                                          max_size=8)),
    rule=st.sampled_from(["sum", "gram"]),
    order=st.sampled_from(["C", "F"]),
)  # fmt: skip
def test_rows_of_any_madeadd_up_as_in_plain_integers(rows: list[list[float]], rule: str, order: str) -> None:
    spec = vector(len(rows[0]), rule)
    assert_same(integer_vector(np.array(rows, order=order), spec), spec, rows)


# Every family: block by block, people in groups spread out, against one row a person written in full.


def people(count: int, seed: int) -> list[Person]:
    rng = np.random.default_rng(seed)
    some = np.array([*EXTREMES, 1.0, 3.0, 40.0, 60.0, 80.0])
    return [
        (
            str(rng.choice([HELPED, COMPARATOR, COMPARATOR, LEFT])), float(rng.choice(some)), float(rng.choice(some)),
            str(rng.choice(["north", "south", "elsewhere", "", "?"])),
            tuple(rng.choice([*some, 0.5, 2.0], 5).tolist()), int(rng.integers(0, 6)),
        )
        for _ in range(count)
    ]  # fmt: skip


def of_side(side: str) -> list[Person]:
    return [person for person in people(30, 3) if person[0] == side]


def written_out(spec: RoundSpec, name: str, arrays: StudyArrays, drawn: dict) -> list[list[float]]:
    """Every person's whole row, made for this person alone, with the zeros of the groups it is not in."""
    declared, asked = spec.vector(name), checked_parameters(spec, drawn)
    if declared.block == "matched":
        everybody = Pairs(arrays, asked, 1).rows(declared)
    else:
        everybody = (reduce._columns(declared, Part(one, asked)) for one in arrays.parts(1))
    rows = ([number for column in columns for number in full(column)] for columns in everybody)
    return [row for row in rows if row]


def full(column: NDArray | Times | InGroup) -> list[float]:
    if isinstance(column, InGroup):
        mine = full(column.columns)
        return [number if group == column.group[0] else 0.0 for group in range(column.groups) for number in mine]
    if isinstance(column, Times):
        return [float(column.factor[0] * number) for number in column.table[0]] if len(column.table) else []
    return np.asarray(column, float).reshape(-1).tolist()


WORLDS = {"thirty": people(30, 1), "one helped": of_side(HELPED)[:1], "one comparator": of_side(COMPARATOR)[:1],
          "nobody helped": of_side(COMPARATOR), "no comparators": of_side(HELPED), "left": of_side(LEFT)}  # fmt: skip


@rounds
@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("seed", [None, 7], ids=["open", "drawn"])
def test_every_vector_is_the_plain_sum_of_its_people(
    spec: RoundSpec, world: str, seed: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = open_parameters(spec) if seed is None else parameters(spec, np.random.default_rng(seed))
    arrays = study_arrays(PLAN, table(WORLDS[world]), "one")
    for people_at_a_time in (1, 7, 64):
        monkeypatch.setattr(reduce, "PEOPLE_AT_A_TIME", people_at_a_time)
        found = reduce_round(spec, drawn, arrays)
        for each in spec.vectors:
            rows = written_out(spec, each.name, arrays, drawn)
            # the last bit of a model's prediction may differ between one person and a block of them
            near = np.array(plain(rows, each)) if rows else np.zeros(each.dimension)
            assert distance(each, found[each.name] - near) <= 1e-9 * each.d2, each.name


def test_features_and_outcomes_that_are_no_numbers_stay_within_the_bound() -> None:
    """Features are clean when they are made; were they not, a person would still move a vector by at most d2."""
    clean = study_arrays(PLAN, table(people(40, 2)), "one")
    for spec in SCHEDULE.rounds:
        for wrong in EXTREMES:
            codes = {name: values[:1] for name, values in clean.treated.codes.items()}
            bad = Side(np.full((1, clean.treated.u.shape[1]), wrong), np.full((1, 5), 0.5), codes)
            arrays = replace(clean, treated=bad, comparators=bad, exits=clean.exits[:1])
            found = reduce_round(spec, open_parameters(spec), arrays)
            assert all(distance(each, found[each.name]) <= each.d2 for each in spec.vectors)


# Exact, however many and however large.


@pytest.mark.parametrize("rule", ["sum", "gram"])
def test_the_largest_rows_of_a_whole_block_add_up_exactly(rule: str) -> None:
    spec, rng = vector(6, rule, bound=3.0), np.random.default_rng(4)
    rows = clip_rows(rng.normal(size=(MOST_ROWS, 6)) * 100, 2.999)
    steps = np.rint(rows * spec.grid).astype(np.int64)
    expected = steps.sum(axis=0) if rule == "sum" else (steps.T @ steps)[np.triu_indices(6)]
    assert integer_vector(rows, spec).tolist() == expected.tolist()


def test_thousands_of_groups_take_no_room() -> None:
    rng, groups, spec = np.random.default_rng(5), 2000, vector(2 * 2000 + 1)
    group, values, last = rng.integers(0, groups, 50), rng.random((50, 2)) / 2, rng.random(50) / 2
    rows, spread = Room(50).side_by_side((InGroup(group, groups, Times(last, values)), last))
    assert rows.shape == (50, 3)
    whole = np.zeros((50, groups, 2))
    whole[np.arange(50), group] = last[:, None] * values
    expected = integer_vector(np.column_stack([whole.reshape(50, -1), last]), spec)
    assert integer_vector(rows, spec, spread).tolist() == expected.tolist()


def test_rooms_grow_to_the_widest_row() -> None:
    room, wide = Room(3), np.arange(300.0).reshape(3, 100)
    rows, spread = room.side_by_side((np.ones(3), wide))
    assert rows.tolist() == np.column_stack([np.ones(3), wide]).tolist()
    assert spread == ()
    assert room.side_by_side((wide[:2, 0],))[0].tolist() == [[0.0], [100.0]]


# What is refused.


def test_rows_of_another_width_or_groups_that_are_not_declared_are_refused() -> None:
    group = np.array([0, 2])
    rows, spread = Room(2).side_by_side((InGroup(group, 2, np.ones(2)),))
    for made, spec, how in [
        (np.zeros((2, 3)), vector(2), ()),
        (np.zeros((2, 2)), vector(3, "gram"), ()),
        (rows, vector(2, "gram"), spread),
        (rows, vector(3), spread),
        (rows, vector(2), spread),
        (np.broadcast_to(0.0, (MOST_ROWS + 1, 2)), vector(2), ()),
    ]:
        with pytest.raises(ValueError):  # noqa: PT011 - each says its own
            integer_vector(made, spec, how)


def test_more_people_than_sums_stay_exact_for_are_refused() -> None:
    nobody = Side(np.zeros((0, 4)), np.zeros((0, 5)))
    crowd = StudyArrays(nobody, nobody, np.broadcast_to(np.int64(0), MAX_PEOPLE + 1), PLAN.outcomes)
    with pytest.raises(ValueError, match="at most"):
        reduce_round(SCHEDULE.rounds[0], {}, crowd)


# The benchmark.


def test_the_benchmark_of_local_work_runs(pytestconfig: pytest.Config, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    script = pytestconfig.rootpath / "benchmarks" / "local_work.py"
    run = subprocess.run([sys.executable, script, "--quick", "--json", "-", "--write", page], check=True,
                         capture_output=True, text=True)  # fmt: skip
    found = json.loads(run.stdout)
    assert found["gram"]["speed_of_dsyrk"] > 0
    assert found["gram"]["extra_mb"] < found["gram"]["matrix_mb"]
    assert found["rounds"]["seconds"].keys() >= {"profile", "model_1", "residuals", "levels", "outcome"}
    assert f"The slowest is `{found['rounds']['slowest']}`" in page.read_text()
