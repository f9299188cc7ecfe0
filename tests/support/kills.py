"""Kills a node at every step of a release, again and again: `kills.py COUNT` prints the table of what was found.

Each time a process of its own opens a node, handles a plan and a round request, and is killed with SIGKILL: at a fault
point of the one door, or at any moment. Then the node is opened again. What must hold:

- never an answer without a reservation, in the order of the chain;
- one charge and one answer for the request, whatever was killed, and the same bytes every time it is asked again;
- an answer that was stored before the kill is the one that leaves after it;
- what was charged never gets less.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from node_parts import NOW, content, make_plan, open_service, plan_message, round_message

from cohortium_node.accounts import Caps
from cohortium_node.ledger import Ledger
from cohortium_node.release.gate import FAULT_POINTS

PLAN = make_plan()
MOMENTS = (*FAULT_POINTS, "any moment")
LONGEST = 0.06
"""Seconds after which a node has usually answered."""


@dataclass
class Tally:
    """What was found at one moment.

    Attributes:
        moment: where the node was killed.
        kills: how often.
        reserved: of these, with the charge on the disk.
        answered: with the answer on the disk.
        broken: what did not hold; nothing, it is hoped.
    """

    moment: str
    kills: int = 0
    reserved: int = 0
    answered: int = 0
    broken: list[str] = field(default_factory=list)


def killed(moment: str, times: int, seed: int = 1) -> Tally:
    """Returns what so many kills at one moment did."""
    tally, draw = Tally(moment), random.Random(seed)
    for _ in range(times):
        with tempfile.TemporaryDirectory() as name:
            _kill_once(moment, Path(name), draw.uniform(0, LONGEST))
            _examine(Path(name), tally)
    return tally


def _kill_once(moment: str, folder: Path, delay: float) -> None:
    child = os.fork()
    if child == 0:
        _work(folder, moment)
    if moment == "any moment":
        time.sleep(delay)
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL, f"the process was not killed at {moment}"


def _work(folder: Path, moment: str) -> None:
    """Opens a node and handles the messages, in the child, until it is killed."""

    def kill_here(point: str) -> None:
        if point == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        with open_service(folder, faults=kill_here) as service:
            service.handle(plan_message(PLAN), NOW)
            service.handle(round_message(PLAN, "profile"), NOW)
        time.sleep(10 * LONGEST if moment == "any moment" else 0)
    finally:
        os._exit(1)


def _examine(folder: Path, tally: Tally) -> None:
    tally.kills += 1
    charged, stored = _on_disk(folder, tally)
    answers = {_asked_again(folder) for _ in range(2)}
    with closing(Ledger.read(folder / "ledger.sqlite")) as ledger:
        ledger.verify()
        kinds = [str(entry.body["kind"]) for entry in ledger.entries()]
        checks = {
            "one charge and one answer": kinds == ["opened", "reserved", "answered"],
            "the same bytes again": len(answers) == 1,
            "the stored answer stands": stored is None or answers == {stored},
            "a total that is not lower": ledger.accounts.charged >= charged,
            "a whole answer": all(content(answer)["code"] == "" for answer in answers),
        }
    tally.broken += [what for what, holds in checks.items() if not holds]


def _on_disk(folder: Path, tally: Tally) -> tuple[Fraction, bytes | None]:
    """Returns what was charged and answered when the node was killed."""
    if not (folder / "ledger.sqlite").exists():
        return Fraction(0), None
    with closing(Ledger.open(folder / "ledger.sqlite", Caps(1.0, 1.0))) as ledger:
        kinds = [str(entry.body["kind"]) for entry in ledger.entries()]
        if kinds != ["opened", "reserved", "answered"][: len(kinds)]:
            tally.broken.append(f"order of entries: {kinds}")
        tally.reserved += "reserved" in kinds
        tally.answered += "answered" in kinds
        stored = next((ledger.answer(request) for request in ledger.accounts.answers), None)
        return ledger.accounts.charged, stored


def _asked_again(folder: Path) -> bytes:
    with open_service(folder) as service:
        service.handle(plan_message(PLAN), NOW)
        (answer,) = service.handle(round_message(PLAN, "profile"), NOW)
    return answer


def table(tallies: Iterable[Tally]) -> str:
    """Returns the page that is kept under docs/validation."""
    rows = [
        f"| {each.moment.replace('_', ' ')} | {each.kills} | {each.reserved} | {each.answered} | {len(each.broken)} |"
        for each in tallies
    ]
    return "\n".join([_HEAD, *rows]) + "\n"


_HEAD = """\
# Killed at every step

Written by `make soak`. A node is killed with SIGKILL at a step of a release, or at any moment from its start on, and
started again; then the request is repeated twice. *Broken* counts every breach of: a reservation before an answer, one
charge and one answer for the request, the same bytes every time, an answer stored before the kill is the one that
leaves, a total that never gets less.

| killed | times | charge was on the disk | answer was on the disk | broken |
|---|---|---|---|---|"""


def main(times: int) -> None:
    """Prints the table; ends with 1 when something was broken."""
    tallies = [killed(moment, times) for moment in MOMENTS]
    sys.stdout.write(table(tallies))
    for tally in tallies:
        sys.stderr.writelines(f"{tally.moment}: {what}\n" for what in tally.broken)
    sys.exit(1 if any(tally.broken for tally in tallies) else 0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
