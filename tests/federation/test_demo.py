"""The demo: one command, real processes, the truth beside every estimate, and nothing left behind."""

from __future__ import annotations

import fcntl
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest

from cohortium_node.ledger import Ledger
from cohortium_protocols.errors import ChannelError
from cohortium_protocols.plan_check import load_plan
from cohortium_simulations.cli import main
from cohortium_simulations.demo import MARKER, OUTCOMES, STUDY, Demo, demo_world, plan_text
from cohortium_simulations.processes import Processes, Program
from cohortium_simulations.terminal import Progress
from cohortium_simulations.truth import DEFAULT_CLIPS

NODES = ("north", "south", "east", "west", "london")
REPORT = ("report.html", "report.json", "report.csv")
SMALL = ("--people", "6000", "--helped", "300", "--seed", "5")
DEMO = [sys.executable, "-c", "from cohortium_simulations.cli import main; main()", "demo"]


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a small demo in a folder, and sees to it that it is gone in the end."""
    started: list[subprocess.Popen[str]] = []

    def start(folder: Path, *more: str) -> subprocess.Popen[str]:
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen([*DEMO, "--folder", str(folder), *SMALL, *more], **pipes))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def processes_of(folder: Path) -> list[psutil.Process]:
    """The relay and the daemons that work in the folder."""
    found = psutil.process_iter(["cmdline"])
    return [each for each in found if any(str(folder / part) in " ".join(each.info["cmdline"] or ())
                                          for part in ("lab", "nodes"))]  # fmt: skip


def eventually(look: Callable[[], Any], seconds: float = 60.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)
    return seen


def logged(folder: Path, name: str, words: str) -> bool:
    path = folder / "logs" / f"{name}.log"
    return path.exists() and words in path.read_text()


def at_work(folder: Path) -> bool:
    return logged(folder, "lab", "lab listens at") and all(logged(folder, node, "is at work") for node in NODES)


def run_here(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """The exit code of `cohortium-sim` with these words, in this process."""
    monkeypatch.setattr(sys, "argv", ["cohortium-sim", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


# One whole demo.


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A small demo that ran to its end, with its result on standard output."""
    folder = tmp_path_factory.mktemp("done") / "demo"
    command = [*DEMO, "--folder", str(folder), *SMALL, "--json", "-"]
    return folder, subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.process
def test_it_prints_the_truth_beside_every_estimate_and_says_where_the_report_is(done) -> None:
    folder, run = done
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout)
    assert [outcome["name"] for outcome in result["outcomes"]] == list(OUTCOMES) == list(result["truth"])
    assert result["truth"] == _truth(folder)
    assert result["privacy"]["epsilon"] == pytest.approx(2.0)
    for words in ("95 % interval   truth", "A&E attendances (per 100 people)", "Privacy spent: epsilon 2.00",
                  "5 nodes", *(str(folder / name) for name in REPORT)):  # fmt: skip
        assert words in " ".join(run.stderr.split(" ")), words
    assert "Traceback" not in run.stderr


def _truth(folder: Path) -> dict[str, float]:
    outcomes = json.loads((folder / "world" / "truth.json").read_text())["outcomes"]
    return {name: outcomes[name]["effect"] for name in OUTCOMES}


@pytest.mark.process
def test_progress_is_shown_a_line_a_change(done) -> None:
    said = done[1].stderr
    steps = ("Making up 6,000 people at 5 data holders, 300 of them helped", "Starting the relay and 5 node daemons",
             "Submitting the signed plan", "Study: round 1 of 8 (profile)", "published")  # fmt: skip
    assert [step for step in steps if step not in said] == []
    lines = [line.split(" s  ")[-1] for line in said.splitlines()]
    assert all(before != after for before, after in pairwise(lines))


@pytest.mark.process
def test_the_report_shows_the_truth(done) -> None:
    folder, run = done
    assert (folder / "report.json").read_text() == run.stdout
    assert "truth of the simulation,bed_days" in (folder / "report.csv").read_text()
    assert "truth" in (folder / "report.html").read_text().lower()


@pytest.mark.process
def test_every_node_has_a_ledger_of_its_own_and_the_study_is_closed(done) -> None:
    folder, _ = done
    heads = set()
    for name in NODES:
        ledger = Ledger.read(folder / "nodes" / name / "state" / "ledger.sqlite")
        ledger.verify()
        heads.add(ledger.head)
        assert [entry.body["kind"] for entry in ledger.entries()][-1] == "closed"
        ledger.close()
    assert len(heads) == len(NODES)


@pytest.mark.process
def test_it_leaves_no_process(done) -> None:
    assert processes_of(done[0]) == []


@pytest.mark.process
def test_it_runs_again_in_its_folder_and_leaves_what_is_not_its_own(done, demo) -> None:
    folder, _ = done
    before = (folder / "report.json").read_bytes()
    (folder / "notes.txt").write_text("mine")
    (folder / "nodes" / "old").mkdir()
    out, err = demo(folder).communicate(timeout=120)
    assert "truth" in out, err
    assert (folder / "report.json").read_bytes() != before
    assert (folder / "notes.txt").read_text() == "mine"
    assert not (folder / "nodes" / "old").exists()


# Interrupted, killed.


@pytest.mark.process
@pytest.mark.parametrize(("number", "code"), [
    (signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGHUP, 130), (signal.SIGKILL, -signal.SIGKILL),
])  # fmt: skip
def test_however_it_ends_no_process_is_left(demo, tmp_path: Path, number: signal.Signals, code: int) -> None:
    folder = tmp_path / "demo"
    process = demo(folder)
    eventually(lambda: at_work(folder))
    assert len(processes_of(folder)) == 6
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, "Traceback" in err) == (code, False)
    eventually(lambda: not processes_of(folder), seconds=5)


@pytest.mark.process
def test_whoever_is_killed_is_started_again_and_the_study_ends(demo, tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    process = demo(folder)
    for name, log, words in (("south", "south", "is at work"), ("lab", "lab", "round model_1 asked"),
                             ("east", "lab", "round outcome asked")):  # fmt: skip
        eventually(lambda log=log, words=words: logged(folder, log, words))
        _kill(folder, name)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "Privacy spent" in out
    for name in NODES:
        ledger = Ledger.read(folder / "nodes" / name / "state" / "ledger.sqlite")
        kinds = [entry.body["kind"] for entry in ledger.entries()]
        assert kinds.count("reserved") == kinds.count("answered") == 8
        ledger.close()


def _kill(folder: Path, name: str) -> None:
    place = str(folder / "lab") if name == "lab" else str(folder / "nodes" / name)
    (process,) = (each for each in processes_of(folder) if place in " ".join(each.cmdline()))
    process.kill()


# What is refused.


def test_a_folder_of_something_else_is_refused_and_left_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "report.html").write_text("mine")
    assert run_here(monkeypatch, "demo", "--folder", tmp_path) == 3
    assert "holds something that is not a demo's" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert run_here(monkeypatch, "demo", "--folder", tmp_path / "report.html") == 3
    assert (tmp_path / "report.html").read_text() == "mine"


def test_a_folder_in_which_another_demo_is_at_work_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "report.html").write_text("of the other one")
    with (tmp_path / MARKER).open("w") as marker:
        fcntl.flock(marker, fcntl.LOCK_EX)
        assert run_here(monkeypatch, "demo", "--folder", tmp_path) == 3
    assert "Another demo is at work" in capsys.readouterr().err
    assert (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [(("--people", "1000", "--helped", "900"), "a quarter of all people can be helped"),
     (("--helped", "10"), "'--helped'"), (("--epsilon", "0"), "'--epsilon'"), (("--seed", "-1"), "'--seed'"),
     (("--nodes", "9"), "No such option")],
)  # fmt: skip
def test_a_demo_that_cannot_be_is_a_wrong_use(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: Any, sentence: str
) -> None:
    assert run_here(monkeypatch, "demo", "--folder", tmp_path / "demo", *words) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "demo").exists()


# Its parts.


@pytest.mark.parametrize("epsilon", [0.3, 1.0, 2.0, 7.77])
def test_the_plan_asks_for_what_the_truth_is_known_of(tmp_path: Path, epsilon: float) -> None:
    plan = load_plan(plan_text(Demo(tmp_path, demo_world(210_000, 1_200, 1), epsilon), 1_250))
    assert (plan.study, plan.nodes.roster, plan.submitted) == (STUDY, NODES, 1_250)
    assert {outcome.name: outcome.clip for outcome in plan.outcomes} == {name: DEFAULT_CLIPS[name] for name in OUTCOMES}
    assert plan.privacy.epsilon == epsilon


@pytest.mark.parametrize("people", [1_000, 6_001, 210_000])
def test_the_demos_world_has_as_many_people_as_asked_for(people: int) -> None:
    assert sum(demo_world(people, 60, 1).nodes.values()) == people


class _Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_progress_is_one_line_that_changes_for_each_step() -> None:
    screen = _Terminal()
    with Progress(screen) as progress:
        progress.step("Running")
        progress.detail("Round 1", ", 2 of 5 nodes answered")
        progress.step("Stopping")
    shown = [line.split("\r\x1b[2K")[-1].split(" s  ")[-1] for line in screen.getvalue().split("\n") if line]
    assert shown == ["Round 1, 2 of 5 nodes answered", "Stopping"]


@pytest.mark.process
def test_a_program_that_ends_by_itself_is_named_with_the_last_lines_of_its_log(tmp_path: Path) -> None:
    program = Program("cohortium_node.cli", ("-c", str(tmp_path / "absent.toml"), "run"), "is at work")
    with Processes({"north": program}, tmp_path) as processes, pytest.raises(ChannelError) as caught:
        processes.start()
    assert "'north' ended by itself with exit code 3." in caught.value.what
    assert "absent.toml cannot be read." in caught.value.why
    assert str(tmp_path / "north.log") in caught.value.do


@pytest.mark.process
def test_a_program_that_is_never_ready_is_given_up_and_stopped(tmp_path: Path) -> None:
    program = Program("http.server", (), "never said")
    with Processes({"north": program}, tmp_path, patience=0.0) as processes:
        with pytest.raises(ChannelError, match="was not at work after 0 seconds"):
            processes.start()
        pid = processes.pid("north")
    assert not psutil.pid_exists(pid)
