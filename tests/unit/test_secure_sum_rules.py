"""Which combinations of lost and colluding nodes a secure sum can bear."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from secure_group import session

from cohortium_protocols.errors import PlanError
from cohortium_protocols.secure_sum import Rules


@pytest.mark.parametrize(
    ("nodes", "lost", "colluding", "threshold"),
    [(3, 0, 1, 3), (3, 1, 0, 2), (5, 1, 1, 4), (20, 4, 1, 11), (20, 4, 6, 14), (100, 20, 20, 61)],
)
def test_the_threshold_is_the_smallest_that_is_safe(nodes: int, lost: int, colluding: int, threshold: int) -> None:
    assert Rules(nodes, lost, colluding).threshold == threshold


def test_three_nodes_of_which_one_may_collude_tolerate_no_dropout() -> None:
    with pytest.raises(PlanError) as refusal:
        Rules(3, 1, 1)
    assert refusal.value.do == (
        "ask at least 4 nodes, or write `tolerate_lost_nodes: 0`, or write `assume_colluding_nodes: 0`"
    )


@given(st.integers(0, 40), st.integers(-1, 40), st.integers(-1, 40))
def test_rules_exist_exactly_when_a_threshold_does(nodes: int, lost: int, colluding: int) -> None:
    thresholds = [t for t in range(1, nodes + 1) if nodes + colluding < 2 * t and t <= nodes - lost]
    if nodes >= 3 and lost >= 0 and colluding >= 0 and thresholds:
        rules = Rules(nodes, lost, colluding)
        assert rules.threshold == thresholds[0]
        assert rules.noise_parts >= 1
    else:
        with pytest.raises(PlanError) as refusal:
            Rules(nodes, lost, colluding)
        assert refusal.value.do


@given(st.integers(3, 40), st.integers(0, 20), st.integers(0, 20))
def test_every_remedy_that_is_offered_helps(nodes: int, lost: int, colluding: int) -> None:
    try:
        Rules(nodes, lost, colluding)
    except PlanError as error:
        for remedy in error.do.split(", or "):
            figure = int("".join(filter(str.isdigit, remedy)))
            changed = {"ask at": (figure, lost, colluding), "write ": (nodes, figure, colluding)}[remedy[:6]]
            Rules(*((nodes, lost, figure) if "assume" in remedy else changed))


def test_a_roster_names_each_node_once() -> None:
    whole = session(Rules(5, 1, 1))
    for roster in (whole.roster[:4], (*whole.roster[:4], whole.roster[0])):
        with pytest.raises(PlanError, match="each of its nodes once"):
            type(whole)("s", "lab", "a", "r", 1, "b", roster, whole.rules, 4)


def test_sessions_that_differ_in_anything_differ_in_their_digest() -> None:
    rules = Rules(5, 1, 1)
    others = [
        session(rules, attempt=2),
        session(rules, dimension=5),
        session(rules, round="outcome"),
        session(rules, plan_digest="c" * 64),
        session(rules, request_digest="c" * 64),
        session(Rules(5, 1, 0)),
        session(Rules(6, 1, 1)),
    ]
    assert len({each.digest for each in [session(rules), *others]}) == 8
