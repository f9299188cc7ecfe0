"""The sum is exact modulo 2**64, whoever is lost, whenever, up to what the plan tolerates."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from secure_group import Group, session

from cohortium_protocols.errors import TooFewNodes
from cohortium_protocols.secure_sum import Rules
from cohortium_protocols.secure_sum.messages import STAGES

MASK = STAGES.index("mask")


def check_exact(group: Group, lost: dict[str, int]) -> None:
    total = group.total(lost)
    assert total.survivors == tuple(node for node in group.session.roster if lost.get(node, len(STAGES)) > MASK)
    assert np.array_equal(total.values, group.expected(total.survivors))


@pytest.mark.parametrize(("nodes", "lost", "colluding"), [(5, 0, 0), (5, 1, 1), (20, 4, 3), (100, 20, 5)])
def test_groups_of_5_20_and_100_add_up_exactly_with_losses_at_every_step(nodes: int, lost: int, colluding: int) -> None:
    group = Group(session(Rules(nodes, lost, colluding), dimension=3))
    check_exact(group, {node: number % len(STAGES) for number, node in enumerate(group.session.roster[::-1][:lost])})


@st.composite
def losses(draw: st.DrawFn) -> tuple[Rules, list[int | None]]:
    """Feasible rules, and for every node the step at which it is lost, if it is."""
    lost, colluding = draw(st.integers(0, 3)), draw(st.integers(0, 2))
    nodes = draw(st.integers(max(3, 2 * lost + colluding + 1), 9))
    steps = draw(st.lists(st.integers(0, len(STAGES) - 1), max_size=lost))
    return Rules(nodes, lost, colluding), draw(st.permutations([*steps, *[None] * (nodes - len(steps))]))


@given(losses(), st.integers(0, 2**32))
@settings(max_examples=40)
def test_whoever_is_lost_at_whatever_step_the_survivors_add_up_exactly(
    case: tuple[Rules, list[int | None]], seed: int
) -> None:
    rules, steps = case
    group = Group(session(rules), seed)
    check_exact(group, {n: step for n, step in zip(group.session.roster, steps, strict=True) if step is not None})


@pytest.mark.parametrize("stage", range(len(STAGES)))
@pytest.mark.parametrize("lost", [2, 3])
def test_too_many_losses_end_in_a_typed_failure_that_says_where_and_what_it_may_have_cost(
    stage: int, lost: int
) -> None:
    group = Group(session(Rules(5, 1, 1)))
    gone = group.session.roster[:lost]
    with pytest.raises(TooFewNodes) as failure:
        group.total(dict.fromkeys(gone, stage))
    assert failure.value.stage == STAGES[stage]
    assert all(node in failure.value.why for node in gone)
    assert failure.value.charged == (group.session.roster if stage >= MASK else ())


def test_a_sum_wraps_round_and_comes_back_signed() -> None:
    group = Group(session(Rules(3, 0, 1), dimension=2))
    group.vectors = dict(
        zip(group.session.roster, np.array([[2**63 - 1, -5], [1, 2], [-1, 1]], dtype=np.int64), strict=True)
    )
    assert group.total().values.tolist() == [2**63 - 1, -2]
