"""A machine that is cloned between the masked vector and the acknowledgement: a clone counts as one colluder.

The clone can acknowledge a second list of survivors, and no anchor would stop it in time: who puts two lists forward
is the operator, who also carries every anchor. What stops it is the threshold: two lists share at least 2 T - n
acknowledgements, more than may collude. Here are four nodes, one of which may collude: T = 3.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from node_group import NodeGroup, Sum, content, kinds, node_group, secure_plan, step_for
from node_parts import send

from cohortium_protocols.errors import LedgerError
from cohortium_protocols.messages import Anchor
from cohortium_protocols.secure_rounds import rules_of
from cohortium_protocols.secure_sum.messages import Acknowledgements, SurvivorList
from cohortium_protocols.signing import Envelope

PLAN = secure_plan(nodes=4, lost=1, colluding=1)
NORTH, SOUTH, EAST, WEST = PLAN.nodes.roster


class Twins:
    """A group that masked its vectors, a copy of every machine as it was then, and two lists of survivors."""

    def __init__(self, group: NodeGroup, copy: NodeGroup, session: str) -> None:
        self.groups = (group, copy)
        self.session = session
        self.lists = (
            SurvivorList(session=session, alive=(NORTH, SOUTH, EAST, WEST), dead=()),
            SurvivorList(session=session, alive=(NORTH, SOUTH, EAST), dead=(WEST,)),
        )

    def acknowledge(self, name: str, number: int) -> str:
        """The machine that was told of a list acknowledges it: of a node's two, each is told of its own."""
        said = self.groups[number].ask(name, step_for(PLAN, name, "acknowledge", self.lists[number]))
        assert Envelope.from_bytes(said).kind == "secure_acknowledgement"
        return said.decode()

    def opened(self, told: Mapping[str, tuple[int, ...]]) -> set[int]:
        """Tells nodes of lists, one or both of them; returns the lists that somebody then reveals secrets for."""
        said = {number: self.told(told, number) for number in (0, 1)}
        return {number for number in said if any(self.reveals(name, number, said[number]) for name in said[number])}

    def told(self, told: Mapping[str, tuple[int, ...]], number: int) -> dict[str, str]:
        return {name: self.acknowledge(name, number) for name, numbers in told.items() if number in numbers}

    def reveals(self, name: str, number: int, said: Mapping[str, str]) -> bool:
        proof = Acknowledgements(session=self.session, envelopes=tuple(said.values()))
        answer = self.groups[number].ask(name, step_for(PLAN, name, "reveal", proof))
        return Envelope.from_bytes(answer).kind == "secure_reveal"


@pytest.fixture
def twins(tmp_path: Path) -> Iterator[Twins]:
    (tmp_path / "machines").mkdir()
    with node_group(tmp_path / "machines", PLAN) as group:
        led = Sum(group)
        led.until("acknowledge")
        group.close()
        shutil.copytree(tmp_path / "machines", tmp_path / "clones")
        for name in PLAN.nodes.roster:
            group.start(name)
        with node_group(tmp_path / "clones", PLAN) as copy:
            yield Twins(group, copy, led.aggregator.session.digest)


@pytest.mark.parametrize("south", [0, 1])
@pytest.mark.parametrize("east", [0, 1])
def test_with_no_more_clones_than_may_collude_only_one_list_is_opened(twins: Twins, south: int, east: int) -> None:
    assert rules_of(PLAN).colluding == 1
    assert len(twins.opened({NORTH: (0, 1), SOUTH: (south,), EAST: (east,), WEST: (0,)})) == 1


def test_with_one_more_clone_both_lists_are_opened(twins: Twins) -> None:
    """The limit, and that the attempt above is a true one."""
    assert 2 * rules_of(PLAN).threshold - rules_of(PLAN).nodes == 2
    assert twins.opened({NORTH: (0, 1), SOUTH: (0, 1), EAST: (1,), WEST: (0,)}) == {0, 1}


def test_two_acknowledgements_stand_in_two_chains_and_the_next_statement_stops_the_clone(twins: Twins) -> None:
    group, copy = twins.groups
    for number in (0, 1):
        twins.acknowledge(NORTH, number)
    assert kinds(group) == kinds(copy) == ["opened", "reserved", "answered", "acknowledged"]
    assert group.ledger(NORTH).head != copy.ledger(NORTH).head
    led = Sum(group, attempt=2)
    led.until("mask")
    head = content(led.take(NORTH))["head"]
    anchor = send("anchor", "weights", Anchor(node=NORTH, head=head).body(), to=NORTH)
    with pytest.raises(LedgerError, match="another machine works with a copy of it"):
        copy.ask(NORTH, anchor)
    with pytest.raises(LedgerError, match="another machine works with a copy of it"):
        twins.reveals(NORTH, 1, {})
