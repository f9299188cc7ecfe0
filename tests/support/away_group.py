"""A lab and real nodes in one process, where a node's daemon can be away for a while and come back.

Daemons, their files and the coordinator are the real ones. The relay is in memory, and the lab's clock is the test's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from node_group import KEYS, TABLES, open_member, policy_of
from node_parts import LAB, POLICY

from cohortium_coordinator.config import StudySettings
from cohortium_coordinator.service import StudyService
from cohortium_coordinator.store import SqliteStore
from cohortium_coordinator.study.rounds import plan_text
from cohortium_coordinator.study.status import StudyStatus
from cohortium_node.accounts import StudyAccount
from cohortium_node.daemon import Daemon
from cohortium_node.data.table import AnalysisTable
from cohortium_node.policy import Policy
from cohortium_node.service import Node, NodeService
from cohortium_protocols.plan import Plan
from cohortium_protocols.signing import Envelope
from cohortium_simulations.memory_channel import MemoryRelay

TIME_TO_DECIDE, TIME_TO_ANSWER = timedelta(days=1), timedelta(hours=1)
_ENOUGH_TURNS = 200


class AwayGroup:
    """The nodes of a plan, each at work or away, and the lab to which the plan was submitted.

    Attributes:
        plan: the plan whose study is looked at: the last one submitted.
    """

    def __init__(
        self, folder: Path, plan: Plan, store: SqliteStore, tables: Mapping[str, AnalysisTable], policy: Policy
    ) -> None:
        self.plan, self.store, self.relay = plan, store, MemoryRelay()
        self.now = datetime.now(UTC)
        self._folder = folder
        self._tables = tables
        self._policies = {name: policy_of(name, plan, policy=policy) for name in plan.nodes.roster}
        self._nodes: dict[str, Node] = {}
        self._daemons: dict[str, Daemon] = {}
        self._open: dict[str, ExitStack] = {}
        self.start_lab()
        self.submit(plan)

    def submit(self, plan: Plan) -> None:
        """Submits a plan for some of the nodes."""
        self.plan = plan
        self.service.submit(plan_text(plan), self.now)

    def start_lab(self) -> None:
        """Starts the lab, or starts it again from what it stored."""
        keys = {name: KEYS[name].public for name in self._policies}
        settings = StudySettings("lab", self._folder / "lab", keys, TIME_TO_DECIDE, TIME_TO_ANSWER)
        self.service = StudyService(settings, self.store, self.relay, LAB)

    def start(self, *names: str) -> None:
        """Starts daemons, or starts them again from their files."""
        for name in names:
            self._open[name] = ExitStack()
            member = open_member(self._folder, name, self._policies[name], self._tables)
            node = self._nodes[name] = self._open[name].enter_context(member)
            self._daemons[name] = Daemon(NodeService(node), node.desk, self.relay.channel(name), poll=0.0)

    def lose(self, *names: str) -> None:
        """Ends daemons in the middle of their work: messages that they have fetched are not handled."""
        for name in names:
            self.relay.fetch(name, self._nodes[name].desk.position)
            del self._daemons[name]
            self._open.pop(name).close()

    def close(self) -> None:
        for each in self._open.values():
            each.close()

    def turn(self) -> StudyStatus:
        """Everybody who is not away takes a turn, the lab first; returns where the study stood before the nodes'."""
        self.service.advance(self.now)
        status = self.status()
        for daemon in self._daemons.values():
            daemon.step()
        return status

    def until(self, seen: Callable[[StudyStatus], bool]) -> StudyStatus:
        """Goes on until the lab stands where it should, with nobody having done anything about it yet."""
        for _ in range(_ENOUGH_TURNS):
            self.service.advance(self.now)
            if seen(status := self.status()):
                return status
            self.turn()
        raise AssertionError(status)

    def closed_by(self, names: Collection[str]) -> StudyStatus:
        """Goes on until the study is over and these nodes have closed it."""
        return self.until(lambda status: {node.name for node in status.nodes if node.closed} >= {*names})

    def status(self) -> StudyStatus:
        return self.service.status(self.plan.study, self.now)

    def waiting_for(self, name: str) -> list[str]:
        """The kinds of the messages about the study that a node will find when it is back."""
        with open_member(self._folder, name, self._policies[name]) as node:
            position = node.desk.position
        found = [Envelope.from_bytes(data) for _, data in self.relay.fetch(name, position)]
        return [each.kind for each in found if each.kind != "anchor"]

    def account(self, name: str) -> StudyAccount | None:
        """What a node that is at work has written down about the study; None when it never opened it."""
        return self._nodes[name].ledger.accounts.studies.get(self.plan.study)

    def reserved(self, name: str) -> list[str]:
        """The rounds of the study that a node at work has charged, as often as it has."""
        charges = [entry.body for entry in self._nodes[name].ledger.entries() if entry.body["kind"] == "reserved"]
        return [each["round"] for each in charges if each["study"] == self.plan.study]


@contextmanager
def away_group(
    folder: Path, plan: Plan, tables: Mapping[str, AnalysisTable] = TABLES, policy: Policy = POLICY
) -> Iterator[AwayGroup]:
    """A group, all of whose daemons are at work; everything is closed in the end."""
    with closing(SqliteStore(":memory:")) as store, closing(AwayGroup(folder, plan, store, tables, policy)) as group:
        group.start(*plan.nodes.roster)
        yield group
