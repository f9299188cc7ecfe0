"""What a study promises a person: three figures, and what a person who is known to several nodes pays."""

from __future__ import annotations

import math
from typing import Any

import pytest
from node_parts import make_plan

from cohortium_node.accounts import prices, whole
from cohortium_protocols.guarantee import guarantee, times_one_node
from cohortium_protocols.plan import Nodes, Plan
from cohortium_protocols.privacy.accounting import epsilon_from_mu, mu_from_epsilon
from cohortium_protocols.schedules import schedule

ROSTER = tuple(f"node-{number}" for number in range(9))


def plan(aggregation: str = "local", known_to: int = 1, **privacy: Any) -> Plan:
    plain = make_plan()
    changes = {"aggregation": aggregation, "max_nodes_per_person": known_to, **privacy}
    nodes = Nodes(roster=ROSTER, deadline=plain.nodes.deadline)
    return plain.model_copy(update={"privacy": plain.privacy.model_copy(update=changes), "nodes": nodes})


def test_the_three_figures_are_those_of_one_block_of_both_and_of_two_rows() -> None:
    found = guarantee(plan(), schedule(plan()))
    assert found is not None
    costs = [schedule(plan()).cost(block) for block in ("treated", "comparator")]
    expected = [epsilon_from_mu(math.sqrt(mu2), 1e-6) for mu2 in (max(costs), sum(costs), 4 * max(costs))]
    assert (found.presence, found.membership, found.known_member) == pytest.approx(expected)
    assert expected[0] == pytest.approx(1.00, abs=0.001)
    assert expected[1] <= 1.455
    assert expected[2] == pytest.approx(2.12, abs=0.005)
    assert found.presence < found.presence_zcdp < 1.1 * found.presence


def test_without_noise_nothing_is_promised() -> None:
    assert guarantee(plan(noise=False), schedule(plan(noise=False))) is None


@pytest.mark.parametrize(
    ("aggregation", "known_to", "factor"),
    [("local", 1, 1), ("local", 4, 2), ("secure", 1, 1), ("secure", 4, 4), ("local", 100, 3), ("secure", 100, 9)],
)
def test_a_person_at_several_nodes_moves_separate_answers_by_the_root_and_one_sum_by_all(
    aggregation: str, known_to: int, factor: float
) -> None:
    """More nodes than the roster has cannot know anybody."""
    assert times_one_node(plan(aggregation, known_to)) == pytest.approx(factor)


@pytest.mark.parametrize(("aggregation", "known_to"), [("local", 2), ("local", 9), ("secure", 2), ("secure", 9)])
def test_a_plans_epsilon_is_what_a_person_pays_over_all_nodes_and_what_each_node_charges(
    aggregation: str, known_to: int
) -> None:
    asked = plan(aggregation, known_to)
    declared, alone = schedule(asked), schedule(plan())
    allowed = mu_from_epsilon(1.0, 1e-6) ** 2
    assert 0.999 * allowed < declared.mu2 <= allowed
    assert float(whole(prices(declared))) == pytest.approx(declared.mu2)
    factor = times_one_node(asked)
    for (_, vector), (_, single) in zip(declared.vectors(), alone.vectors(), strict=True):
        assert vector.d2 == single.d2
        assert vector.sigma == pytest.approx(factor * single.sigma, rel=1e-3)


def test_what_one_node_alone_gives_away_of_a_person_adds_up_to_the_price() -> None:
    """Local: m answers of D2^2 / sigma^2 each. Secure: one sum, moved by m D2."""
    for aggregation, total in (("local", lambda d2, m: m * d2**2), ("secure", lambda d2, m: (m * d2) ** 2)):
        for _, vector in schedule(plan(aggregation, 3)).vectors():
            assert vector.mu2 >= total(vector.d2, 3) / vector.sigma**2
            assert vector.mu2 == pytest.approx(total(vector.d2, 3) / vector.sigma**2, rel=1e-3)
