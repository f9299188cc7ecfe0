"""A federation of real processes that loses daemons for good, each study at its own moment.

Five nodes, two hundred people each. A loss is set up in two steps, so that it happens at exactly its step of a secure
sum and still is a real one: the victim is cut off from the study when the moment has come, and then killed. One kill
serves many studies, and they wait for the dead side by side.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from losing_daemon import program, write_cuts
from node_group import ROSTER
from node_parts import PLAN
from small_federation import Federation

from cohortium_coordinator.store import SqliteStore
from cohortium_node.accounts import StudyAccount
from cohortium_protocols.canonical import unpack_integers
from cohortium_protocols.messages import RoundRequest, read
from cohortium_protocols.secure_sum.messages import STAGES
from cohortium_protocols.signing import Envelope
from cohortium_simulations.installation import OPERATOR, Approval, install
from cohortium_simulations.processes import Processes

EPSILON, CAP = 1.0, 100.0
TIME_LIMIT = 8
"""Seconds for a step of a secure sum; without anybody lost, one takes a fraction of a second."""


@dataclass(frozen=True)
class Loss:
    """A study, and the daemons that it loses.

    Attributes:
        victims: who is lost.
        moment: when; one of ``losing_daemon.MOMENTS``, or "never".
        tolerated: how many nodes the plan may lose.
        noise: whether the nodes add noise; without it the total can be held against the exact sum.
    """

    victims: tuple[str, ...]
    moment: str
    tolerated: int
    noise: bool

    @property
    def study(self) -> str:
        noise = "noisy" if self.noise else "exact"
        return f"{noise}-{len(self.victims)}-of-{self.tolerated}-{self.moment.replace(' ', '-')}"

    @property
    def survivors(self) -> tuple[str, ...]:
        return tuple(name for name in ROSTER if name not in self.victims)

    @property
    def plan(self) -> str:
        """The plan as an operator writes it; five nodes can lose two only where none is thought to collude."""
        rules = (
            f"aggregation: secure, tolerate_lost_nodes: {self.tolerated}, noise: {str(self.noise).lower()}, "
            f"assume_colluding_nodes: {1 if self.tolerated < 2 else 0}"
        )
        text = PLAN.format(study=self.study, epsilon=EPSILON).replace("aggregation: local", rules)
        return text.replace("[north, south]", f"[{', '.join(ROSTER)}]")


@dataclass(frozen=True)
class Sum:
    """What the coordinator recovered of a round: whose vectors are in it, the total, and what nodes had been given."""

    nodes: tuple[str, ...]
    total: list[int]
    given: Mapping[str, Any]


@dataclass(frozen=True)
class End:
    """What all sides wrote down about a study when it was over."""

    status: Mapping[str, Any]
    sums: Mapping[str, Sum]
    entries: Mapping[str, list[Mapping[str, Any]]]
    accounts: Mapping[str, StudyAccount]

    def reserved(self, node: str) -> list[tuple[str, int]]:
        """The attempts that a node's ledger has charged: round and number."""
        return [(each["round"], each["attempt"]) for each in self.entries[node] if each["kind"] == "reserved"]


@dataclass
class LosingFederation(Federation):
    """The operator's service and five daemons that can be cut off and killed."""

    losses: dict[str, Loss] = field(default_factory=dict)

    def plan(self, study: str, epsilon: float = EPSILON) -> str:
        return self.losses[study].plan

    def run(self, victims: tuple[str, ...], losses: Collection[Loss]) -> dict[Loss, End]:
        """Runs studies that lose the same victims side by side; kills them when they are cut off from every study."""
        self.all_running()
        self.losses |= {loss.study: loss for loss in losses}
        for name in victims:
            cut = {study: loss.moment for study, loss in self.losses.items() if name in loss.victims}
            write_cuts(_cuts(self.here.node(name)), cut)
        for loss in losses:
            self.submit(loss.study)
        self.until(lambda: all(self.said(loss.study, "cut off", name) for loss in losses for name in victims))
        self.processes.kill(*victims)
        status = {loss: self._closed(loss.study, loss.survivors) for loss in losses}
        with self.store() as store:
            return {loss: self._end(loss.study, status[loss], store) for loss in losses}

    def _closed(self, study: str, nodes: Collection[str]) -> dict[str, Any]:
        """Waits until a study is over and exactly these nodes have closed it; returns where it stands."""

        def over() -> dict[str, Any]:
            self.processes.check()
            status = self.status(study)
            closed = {node["name"] for node in status.get("nodes", ()) if node["closed"]}
            return status if status.get("ended") and closed == {*nodes} else {}

        status: dict[str, Any] = self.until(over)
        return status

    def _account(self, node: str, study: str) -> StudyAccount:
        with self.ledger(node) as ledger:
            return ledger.accounts.studies[study]

    def _end(self, study: str, status: Mapping[str, Any], store: SqliteStore) -> End:
        records, totals = store.records(study), store.totals(study)
        assert records is not None
        asked = {sent.round: store.envelope(study, sent) for sent in records.sent if sent.stage == STAGES[0]}
        given = {name: read(Envelope.from_bytes(data), RoundRequest).parameters for name, data in asked.items()}
        sums = {
            each.round: Sum(each.nodes, unpack_integers(totals[each.round]).tolist(), given[each.round])
            for each in records.sums
        }
        entries = {name: self.entries(name, study) for name in ROSTER}
        return End(status, sums, entries, {name: self._account(name, study) for name in ROSTER})


def _cuts(node: Path) -> Path:
    return node / "cuts.json"


@contextmanager
def losing_federation(folder: Path) -> Iterator[LosingFederation]:
    """A federation in a folder; its processes are at work, and end when this does."""
    records = {name: folder / "records" / name for name in ROSTER}
    here = install(folder, records, Approval("*", ("weight",), EPSILON, CAP))
    here.operator.write_text(here.operator.read_text().replace('"2 days"', f'"{TIME_LIMIT} seconds"'))
    programs = dict(here.programs)
    for name in ROSTER:
        write_cuts(_cuts(here.node(name)), {})
        programs[name] = program(here.node(name) / "node.toml", _cuts(here.node(name)))
    with pytest.MonkeyPatch.context() as patch, Processes(programs, folder / "logs") as processes:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
        with here.client() as client:
            processes.start(OPERATOR)
            processes.start(*ROSTER)
            yield LosingFederation(here, processes, b"", client)
