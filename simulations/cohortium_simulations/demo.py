"""The demo: a whole study with five data holders on this machine, every program in a process of its own.

The world is made up, so its truth is known and stands beside every estimate. Everything else is what an
operator and five custodians run: command lines, gRPC over mutual TLS, keys made on the spot, a ledger each.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from cohortium_coordinator.channel import OperatorClient
from cohortium_coordinator.report import read_result
from cohortium_coordinator.result import StudyResult
from cohortium_protocols.errors import BY_CODE, ChannelError, InputError, RefusedError, StorageError
from cohortium_simulations.installation import OPERATOR, Approval, Installation, hand_out, install
from cohortium_simulations.processes import Processes
from cohortium_simulations.terminal import Progress
from cohortium_simulations.worlds import WorldSpec, make_world
from cohortium_simulations.write_world import write_world

STUDY = "befriending-2024"
DEMO_SEED = 1948
"""Fixed before its results were seen, and not among the seeds that the worlds were tuned on."""
MARKER = ".cohortium-demo"
OUTCOMES = (
    "ae_attendances", "any_emergency_admission", "emergency_admissions", "elective_admissions", "bed_days",
)  # fmt: skip

_PLAN = """\
# The demo's study. Look at what would leave each node:   cohortium plan show {study}.yaml
cohortium: 1
study: {study}
title: Telephone befriending and unplanned hospital use
question: >-
  Do people who used the service attend A&E less in the following year than similar people who did not?
intake: {{from: {first}, to: {last}}}
follow_up: {follow_up} days
washout: 0 days
population: {{age: [18, 110]}}
covariates: [age, sex, ethnicity, imd_decile, charlson, frailty, index_quarter, prior.ae_attendances,
             prior.emergency_admissions, prior.elective_admissions, prior.bed_days]
outcomes:
  - {{name: ae_attendances, clip: 8, primary: true}}
  - {{name: any_emergency_admission}}
  - {{name: emergency_admissions, clip: 4}}
  - {{name: elective_admissions, clip: 4}}
  - {{name: bed_days, clip: 30}}
analysis: {{method: doubly_robust, comparison: national}}
privacy: {{epsilon: {epsilon}, delta: 1.0e-6, aggregation: secure, tolerate_lost_nodes: {lost},
          assume_colluding_nodes: 1}}
nodes: {{roster: [{roster}], deadline: {deadline}}}
publish: {{minimum_treated: 60, balance: block}}
submitted: {submitted}
"""
_WEIGHTS = {"north": 26, "south": 19, "east": 12, "west": 8, "london": 40}
_MADE = (
    "world", "lab", "nodes", "logs", "study.key", f"{STUDY}.yaml", "report.html", "report.json", "report.csv",
)  # fmt: skip
_STEPS = {
    "announce": "announce their keys", "share": "share their secrets", "mask": "send masked sums",
    "acknowledge": "agree on whom to add up", "reveal": "take the masks off the sum",
}  # fmt: skip
_LOSES_NOBODY = 3  # with one that colludes, three nodes can lose nobody
_LOOK_EVERY = 0.1  # seconds
_PATIENCE = 300.0  # seconds without any news of the study


@dataclass(frozen=True)
class Demo:
    """What the demo is asked for.

    Attributes:
        folder: everything is made here.
        world: the people, and who was helped.
        epsilon: the privacy budget over all outcomes, at delta 1e-6.
    """

    folder: Path
    world: WorldSpec
    epsilon: float


def demo_world(people: int, helped: int, seed: int) -> WorldSpec:
    """Returns a world of five places of unlike sizes.

    Raises:
        ValueError: there are too few people to help so many.
    """
    whole = sum(_WEIGHTS.values())
    sizes = {name: people * weight // whole for name, weight in _WEIGHTS.items()}
    sizes["london"] += people - sum(sizes.values())
    return WorldSpec(nodes=sizes, helped=helped, seed=seed)


def run_demo(demo: Demo, progress: Progress) -> StudyResult:
    """Returns the result of the demo's study with the truth beside it; no process is left at its end.

    Raises:
        InputError: the folder holds something that is not the demo's.
        ChannelError: a process ended by itself, or the study did not move on.
        RefusedError: the study ended without a result.
        StorageError: the folder cannot be written.
        KeyboardInterrupt: on Ctrl-C, and on the signals TERM and HUP.
    """
    with _signals_interrupt(), _own_folder(demo.folder), progress:
        here, truth = _set_up(demo, progress)
        progress.step(f"Starting the relay and {len(here.nodes)} node daemons")
        with Processes(here.programs, demo.folder / "logs") as processes:
            processes.start(OPERATOR)
            processes.start(*here.nodes)
            with here.client() as client:
                progress.step("Submitting the signed plan")
                _run_study(client, (demo.folder / f"{STUDY}.yaml").read_bytes(), processes, progress)
            progress.step("Stopping the processes")
            processes.stop(*here.nodes)
        result = read_result(here.operator.parent / "data" / "reports" / STUDY / "report.json")
        return result.model_copy(update={"truth": truth})


def _set_up(demo: Demo, progress: Progress) -> tuple[Installation, Mapping[str, float]]:
    """Makes the world, the operator and its nodes; returns where they are, and each outcome's true effect."""
    spec, records = demo.world, demo.folder / "world"
    people, places = sum(spec.nodes.values()), len(spec.nodes)
    progress.step(f"Making up {people:,} people at {places} data holders, {spec.helped:,} of them helped")
    write_world(make_world(spec), records)
    progress.step("Making keys, certificates, configurations and policies")
    cohort = (records / "cohort.csv").read_bytes()
    approval = Approval(STUDY, OUTCOMES, demo.epsilon, total=2 * demo.epsilon)
    here = install(demo.folder, {name: records / name / "data" for name in spec.nodes}, approval)
    hand_out(cohort, STUDY, here)
    (demo.folder / f"{STUDY}.yaml").write_text(plan_text(demo, cohort.count(b"\n") - 1), encoding="utf-8")
    truth = json.loads((records / "truth.json").read_text(encoding="utf-8"))["outcomes"]
    return here, {name: truth[name]["effect"] for name in OUTCOMES}


def plan_text(demo: Demo, submitted: int) -> str:
    """Returns the demo's plan, as an operator writes it, for a cohort file of so many rows."""
    spec, deadline = demo.world, datetime.now(UTC) + timedelta(days=30)
    lost = 1 if len(spec.nodes) > _LOSES_NOBODY else 0
    return _PLAN.format(
        study=STUDY, first=spec.intake_from, last=spec.intake_to, follow_up=spec.follow_up,
        epsilon=demo.epsilon, roster=", ".join(spec.nodes), deadline=deadline.date(), submitted=submitted, lost=lost,
    )  # fmt: skip


def _run_study(client: OperatorClient, plan: bytes, processes: Processes, progress: Progress) -> None:
    """Submits the plan; returns when the study has ended and every node has confirmed that it closed it."""
    last: Mapping[str, Any] = {}
    moved = time.monotonic()
    while not _is_over(last):
        for name in processes.revive():
            progress.step(f"Somebody stopped '{name}': it was started again")
        status = _status(client, plan if not last else b"") or last
        if status:
            progress.detail(f"Study: {status['phase_text']}", _done(status))
        if status != last:
            last, moved = status, time.monotonic()
        if time.monotonic() > moved + _PATIENCE:
            raise _stuck(last)
        time.sleep(_LOOK_EVERY)


def _status(client: OperatorClient, plan: bytes) -> Mapping[str, Any]:
    """Returns where the study stands, after submitting the plan if there is one; nothing while nobody answers."""
    try:
        verb = "submit" if plan else "status"
        found: Mapping[str, Any] = json.loads(client.operate(verb, STUDY, plan))
    except ChannelError:
        return {}
    return found


def _is_over(status: Mapping[str, Any]) -> bool:
    """Returns whether nothing more will happen; a study without a result is an error."""
    if status.get("phase") in ("failed", "closed"):
        kind = BY_CODE.get(status["code"], RefusedError)
        raise kind("The study ended without a result.", why=status["reason"])
    return bool(status) and status["ended"] and all(node["closed"] for node in status["nodes"])


def _done(status: Mapping[str, Any]) -> str:
    nodes = status["nodes"]
    if status["phase"] == "waiting for approval":
        return f", {sum(node['state'] == 'approved' for node in nodes)} of {len(nodes)} nodes approved"
    return f", nodes {_STEPS[status['step']]}" if status["phase"] == "round" else ""


def _stuck(status: Mapping[str, Any]) -> ChannelError:
    states = ", ".join(f"{node['name']} {node['state']}" for node in status.get("nodes", ()))
    return ChannelError(
        f"The study has not moved on for {_PATIENCE:.0f} seconds.",
        why=f"{status.get('phase_text', 'the service is away')}: {states}. {status.get('trouble', '')}".strip(),
        do="read the logs in the demo's folder",
    )


@contextmanager
def _own_folder(folder: Path) -> Iterator[None]:
    """Makes the folder ready, without what an earlier demo made, and keeps other demos out until the end."""
    marker = folder / MARKER
    if folder.exists() and not marker.is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            f"The folder {folder} holds something that is not a demo's.",
            why="the demo replaces only what an earlier demo made",
            do="choose another folder with --folder, or move what is in this one away",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with marker.open("a", encoding="utf-8") as held:
            _lock(held, folder)
            for name in _MADE:
                _remove(folder / name)
            yield
    except OSError as error:
        raise StorageError(f"The folder {folder} cannot be used.", why=str(error),
                           do="choose another folder with --folder") from error  # fmt: skip


def _lock(marker: TextIO, folder: Path) -> None:
    try:
        fcntl.flock(marker, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        do = "wait for it, or choose another folder with --folder"
        raise InputError(f"Another demo is at work in {folder}.", do=do) from error


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """Treats the signals TERM and HUP like Ctrl-C, so that the processes are stopped first."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    heeded = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
