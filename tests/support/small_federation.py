"""A small federation of real processes: three nodes, 6,000 people, and what each side wrote down about a study."""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cohortium_coordinator.store import SqliteStore
from cohortium_node.ledger import Ledger
from cohortium_protocols.errors import ChannelError
from cohortium_protocols.plan_check import load_plan
from cohortium_protocols.schedules import schedule
from cohortium_protocols.signing import Envelope
from cohortium_protocols.statistics import Schedule
from cohortium_simulations.demo import OUTCOMES, STUDY, Demo, plan_text
from cohortium_simulations.installation import OPERATOR, Approval, Installation, hand_out, install
from cohortium_simulations.processes import Processes
from cohortium_simulations.worlds import WorldSpec, make_world
from cohortium_simulations.write_world import write_world

WORLD = WorldSpec(nodes={"north": 2_500, "south": 2_000, "east": 1_500}, helped=300, seed=5)
EPSILON, CAP = 1.0, 100.0
Answers = set[tuple[str, bytes]]
"""Node, and an envelope in which its numbers left: masked, for every round is a secure sum."""


@dataclass
class Federation:
    """An operator and three nodes, each a process of its own."""

    here: Installation
    processes: Processes
    cohort: bytes
    client: Any

    def plan(self, study: str, epsilon: float = EPSILON) -> str:
        """A plan under another name than the demo's."""
        text = plan_text(Demo(self.here.folder, WORLD, epsilon), self.cohort.count(b"\n") - 1)
        return text.replace(STUDY, study)

    def schedule(self, study: str) -> Schedule:
        return schedule(load_plan(self.plan(study)))

    def all_running(self) -> None:
        if stopped := [name for name in self.here.programs if not self.processes.runs(name)]:
            self.processes.start(*stopped)

    def submit(self, study: str) -> None:
        """Hands out the cohort file, and submits the plan to the running service."""
        hand_out(self.cohort, study, self.here)
        self.until(lambda: self._asked("submit", study, self.plan(study).encode()))

    def status(self, study: str) -> dict[str, Any]:
        """Where the study stands; nothing while the service is away."""
        return self._asked("status", study)

    def ended(self, study: str) -> dict[str, Any]:
        """Waits until the study is over and all nodes have closed it; returns where it stands then."""

        def over() -> dict[str, Any]:
            self.processes.check()
            status = self.status(study)
            return status if status.get("ended") and all(node["closed"] for node in status["nodes"]) else {}

        status: dict[str, Any] = self.until(over)
        return status

    def until(self, look: Callable[[], Any], seconds: float = 120.0) -> Any:
        """Looks again and again until there is something to see."""
        deadline = time.monotonic() + seconds
        while not (seen := look()):
            assert time.monotonic() < deadline, self._everything_said()
            time.sleep(0.002)
        return seen

    def said(self, study: str, words: str, name: str = OPERATOR) -> bool:
        """Whether a program has logged these words about the study."""
        return f"study {study}: {words}" in self.processes.log(name)

    @contextmanager
    def ledger(self, node: str) -> Iterator[Ledger]:
        with closing(Ledger.read(self.here.node(node) / "state" / "ledger.sqlite")) as ledger:
            yield ledger

    def entries(self, node: str, study: str) -> list[Mapping[str, Any]]:
        """The ledger's entries about a study, answers too; none before there is a ledger."""
        if not (self.here.node(node) / "state" / "ledger.sqlite").exists():
            return []
        with self.ledger(node) as ledger:
            bodies = [entry.body for entry in ledger.entries()]
        requests = {body["request"] for body in bodies if body.get("study") == study and "request" in body}
        return [body for body in bodies if body.get("study") == study or body.get("reserved") in requests]

    def released(self, study: str) -> Answers:
        """What the nodes' ledgers keep as their answers."""
        return set().union(*(self._released(node, study) for node in self.here.nodes))

    def _released(self, node: str, study: str) -> Answers:
        requests = [body["request"] for body in self.entries(node, study) if body["kind"] == "answered"]
        if not requests:
            return set()
        with self.ledger(node) as ledger:
            return {(node, ledger.answer(request) or b"") for request in requests}

    def received(self, study: str) -> Answers:
        """What the coordinator's records keep as masked vectors."""
        with self.store() as store:
            rounds = [spec.name for spec in self.schedule(study).rounds]
            masked = [data for name in rounds for data in store.steps(study, name).get("mask", ())]
        return {(Envelope.from_bytes(data).sender, data) for data in masked}

    @contextmanager
    def store(self) -> Iterator[SqliteStore]:
        """The coordinator's records, read from a copy: the service holds the file."""
        with TemporaryDirectory() as folder:
            for path in self._lab.glob("studies.sqlite*"):
                shutil.copy(path, folder)
            with closing(SqliteStore(Path(folder) / "studies.sqlite")) as store:
                yield store

    def mailed(self, study: str) -> list[Envelope]:
        """Every envelope of the study that the relay carried, in order."""
        with closing(sqlite3.connect(f"file:{self._lab / 'mailbox.sqlite'}?mode=ro", uri=True)) as mailbox:
            rows = mailbox.execute("SELECT bytes FROM envelopes ORDER BY sequence").fetchall()
        envelopes = [Envelope.from_bytes(row[0]) for row in rows]
        return [envelope for envelope in envelopes if envelope.study == study]

    @property
    def _lab(self) -> Path:
        return self.here.operator.parent / "data"

    def _asked(self, verb: str, study: str, body: bytes = b"") -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(self.client.operate(verb, study, body))
        except ChannelError:
            return {}
        return found

    def _everything_said(self) -> str:
        return "\n".join(f"{name}:\n{self.processes.log(name)[-2000:]}" for name in self.here.programs)


@contextmanager
def small_federation(folder: Path) -> Iterator[Federation]:
    """A federation in a folder; its processes are at work, and end when this does."""
    write_world(make_world(WORLD), folder / "world")
    records = {name: folder / "world" / name / "data" for name in WORLD.nodes}
    here = install(folder, records, Approval("*", OUTCOMES, EPSILON, CAP))
    cohort = (folder / "world" / "cohort.csv").read_bytes()
    with Processes(here.programs, folder / "logs") as processes, here.client() as client:
        processes.start(OPERATOR)
        processes.start(*here.nodes)
        yield Federation(here, processes, cohort, client)
