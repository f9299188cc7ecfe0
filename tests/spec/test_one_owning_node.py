"""One owning node: who moves between two registers is counted at exactly one of them, whoever they are.

The rule: a node counts a person who is registered with it on the index date. That date is the same everywhere: the
start date in the cohort file for those who were helped, and otherwise drawn from the key that the nodes share. So
nobody needs to say who is known elsewhere, and a plan for registers that do not overlap keeps
`max_nodes_per_person: 1`.
"""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from cohortium_node.data.cohort import Cohort
from cohortium_node.data.reference import Person, Records, reference_table
from cohortium_node.linkage.nhs_number import check_digit_holds
from cohortium_protocols.plan import Plan

PEOPLE = 120
FIRST, DAYS = dt.date(2022, 1, 1), 365
KEY = b"the key that the nodes share"


def plan() -> Plan:
    return Plan.model_validate({
        "cohortium": 1, "study": "owning", "title": "Owning", "question": "Who is counted where?",
        "intake": {"from": "2022-01-01", "to": "2022-12-31"}, "follow_up": 365, "covariates": ["age"],
        "outcomes": ["death"], "privacy": {"epsilon": 1.0, "aggregation": "local"},
        "nodes": {"roster": ["north", "south"], "deadline": "2099-12-31"},
    })  # fmt: skip


def numbers() -> list[int]:
    candidates = np.arange(9990000000, 9990000000 + 30 * PEOPLE)
    return [int(number) for number in candidates[check_digit_holds(candidates)][:PEOPLE]]


def moves(seed: int = 4) -> list[dt.date]:
    """The first day of each person at the second node."""
    days = np.random.default_rng(seed).integers(0, DAYS, PEOPLE)
    return [FIRST + dt.timedelta(days=int(day)) for day in days]


def registers(overlap: int = 0) -> tuple[Records, Records]:
    """North until the move, south from then on; with an overlap, north keeps them for so many days more."""
    kept = dt.timedelta(days=overlap - 1)
    people = list(zip(numbers(), moves(), strict=True))
    north = [Person(f"n{number}", str(number), registered_to=moved + kept) for number, moved in people]
    south = [Person(f"s{number}", str(number), registered_from=moved) for number, moved in people]
    return Records(tuple(north)), Records(tuple(south))


def cohort(count: int, seed: int = 5) -> Cohort:
    days = np.random.default_rng(seed).integers(0, DAYS, count)
    starts = np.datetime64(FIRST, "D") + np.sort(days)
    return Cohort(np.array(numbers()[:count]), starts, np.zeros(count, dtype=np.bool_), count)


def counted(helped: Cohort, overlap: int = 0, keys: tuple[bytes, bytes] = (KEY, KEY)) -> tuple[int, int]:
    """How many of those helped, and how many others, both nodes count together."""
    tables = [
        reference_table(plan(), helped, key, records)
        for key, records in zip(keys, registers(overlap), strict=True)
    ]
    return sum(int(t.treated.sum()) for t in tables), sum(int((~t.treated).sum()) for t in tables)


@pytest.mark.parametrize("helped", [0, 40, PEOPLE])
def test_registers_that_do_not_overlap_count_everybody_once(helped: int) -> None:
    assert counted(cohort(helped)) == (helped, PEOPLE - helped)


def test_registers_that_share_the_day_of_a_move_can_count_somebody_twice() -> None:
    """Both ends of a registration count: such registers need `max_nodes_per_person: 2`, as longer overlaps do."""
    days = np.array(moves(), dtype="datetime64[D]")
    at_the_move = Cohort(np.array(numbers()), days, np.zeros(PEOPLE, np.bool_), PEOPLE)
    assert counted(at_the_move, overlap=0) == (PEOPLE, 0)
    assert counted(at_the_move, overlap=1) == (2 * PEOPLE, 0)


def test_longer_overlaps_count_some_twice_and_nobody_more_often() -> None:
    helped, others = counted(cohort(40), overlap=120)
    assert PEOPLE < helped + others <= 2 * PEOPLE


def test_without_a_common_key_the_rule_does_not_hold_for_comparators() -> None:
    assert counted(cohort(0), keys=(KEY, b"another")) != (0, PEOPLE)
    assert counted(cohort(PEOPLE), keys=(KEY, b"another")) == (PEOPLE, 0)
