"""What pairs cost: nearest neighbours without replacement within a caliper, beside a plain sort and scikit-learn.

    python benchmarks/pairs.py                                      # prints the table; about a minute
    python benchmarks/pairs.py --json -                             # the same as JSON
    python benchmarks/pairs.py --write docs/benchmarks/pairs.md

Seconds are CPU time of one thread, the best of several runs, taken in turn with what they are compared with. Peak
memory is measured in a process of its own, beyond the inputs.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import platform
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np
import psutil
from sklearn.neighbors import NearestNeighbors

from cohortium_node.local.matching import Order, Scored, matched

SORT_TARGET, NEIGHBOURS_TARGET, MEMORY_TARGET = 2.5, 5.0, 1.0
CALIPER = 0.2  # scores have a standard deviation of 1


@dataclass(frozen=True)
class Case:
    """One size and kind of matching."""

    name: str
    treated: int
    comparators: int
    ratio: int = 1
    order: Order = "hash"
    strata: int = 1
    decimals: int | None = None

    def sides(self) -> tuple[Scored, Scored]:
        rng = np.random.default_rng(1)
        return self._side(rng, self.treated, 0.5), self._side(rng, self.comparators, 0.0)

    def _side(self, rng: np.random.Generator, people: int, mean: float) -> Scored:
        score = rng.normal(mean, 1, people)
        if self.decimals is not None:
            score = score.round(self.decimals)
        return Scored(score, rng.integers(0, self.strata, people), rng.integers(0, 2**64, people, dtype=np.uint64))


@dataclass(frozen=True)
class Row:
    """What was measured; seconds of CPU."""

    name: str
    treated: int
    comparators: int
    pairs: int
    seconds: float
    sort_seconds: float
    times_sort: float
    gigabytes: float


BASE = Case("base", 100_000, 1_000_000)
CASES = [
    Case("a tenth", 10_000, 100_000),
    BASE,
    Case("largest score first", 100_000, 1_000_000, order="largest"),
    Case("three passes", 100_000, 1_000_000, ratio=3),
    Case("40 strata", 100_000, 1_000_000, strata=40),
    Case("scores of 3 decimals", 100_000, 1_000_000, decimals=3),
    Case("ten times", 1_000_000, 10_000_000),
]


def best_in_turn(works: list[Callable[[], object]], times: int) -> list[float]:
    """Returns the least CPU seconds of each, run one after another so many times."""
    seconds = [math.inf] * len(works)
    for _ in range(times):
        for place, work in enumerate(works):
            start = time.thread_time()
            work()
            seconds[place] = min(seconds[place], time.thread_time() - start)
    return seconds


def measured(case: Case) -> Row:
    treated, comparators = case.sides()
    pooled = np.concatenate([treated.score, comparators.score])

    def pair() -> int:
        pairs = matched(treated, comparators, caliper=CALIPER, ratio=case.ratio, order=case.order)
        return pairs.treated.size

    pairs = pair()
    sort, seconds = best_in_turn([lambda: np.argsort(pooled), pair], 15 if case.treated < 1_000_000 else 3)
    with multiprocessing.get_context("spawn").Pool(1) as alone:
        gigabytes = alone.apply(peak, (case,))
    return Row(case.name, case.treated, case.comparators, pairs, seconds, sort, seconds / sort, gigabytes)


def peak(case: Case) -> float:
    """Returns by how many gigabytes matching lifts a fresh process above what it needed for inputs and compiling."""
    matched(*Case("compile", 10, 20).sides())
    sides = case.sides()
    process, done = psutil.Process(), threading.Event()
    seen = [process.memory_info().rss]

    def watch() -> None:  # matching holds no lock of the interpreter, so that this looks on
        while not done.wait(0.001):
            seen.append(process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    matched(*sides, caliper=CALIPER, ratio=case.ratio, order=case.order)
    done.set()
    watcher.join()
    return (max(seen) - seen[0]) / 1e9


def against_neighbours() -> tuple[float, float]:
    """Returns the CPU seconds of scikit-learn's nearest neighbours with replacement, and ours, on the base case."""
    treated, comparators = BASE.sides()

    def neighbours() -> None:
        NearestNeighbors(n_neighbors=1).fit(comparators.score[:, None]).kneighbors(treated.score[:, None])

    theirs, ours = best_in_turn([neighbours, lambda: matched(treated, comparators, caliper=CALIPER)], 3)
    return theirs, ours


HEAD = f"""# What pairs cost

Measured with `python benchmarks/pairs.py` on one thread of {{machine}}, Python {platform.python_version()},
numpy {np.__version__}: nearest neighbours without replacement, caliper {CALIPER} standard deviations, every person with
a keyed hash for the order and for ties. Seconds are CPU time. A sort is one `numpy.argsort` (its default, unstable) of
both sides' scores together. Memory is the peak beyond the inputs. Compiling takes {{compiling:.0f}} s, once a process.

| case | helped : comparators | pairs | s | one sort, s | times a sort | GB |
|---|---|---|---|---|---|---|
"""

TAIL = """
- Target at 100,000 : 1,000,000: at most {sort:g} times a sort; found {times_sort:.2f}.
- scikit-learn's nearest neighbours *with* replacement: {theirs:.2f} s there; pairs take {ours:.3f} s,
  {faster:.0f} times less (target: {neighbours:g}).
- Largest case: {gigabytes:.2f} GB (target: below {memory:g}).
- What is sorted is one 64-bit number a person, the leading bits of the score and then the position: several times
  faster than `argsort`. Where many scores are equal a plain sort gets cheaper, and ours does not: equal scores are
  sorted by hash.
"""


def figures() -> dict[str, object]:
    start = time.process_time()
    matched(*Case("compile", 10, 20).sides())
    compiling = time.process_time() - start
    rows = []
    for case in CASES:
        rows.append(measured(case))
        click.echo(line(rows[-1]), err=True)
    theirs, ours = against_neighbours()
    return {"compiling": compiling, "rows": rows, "theirs": theirs, "ours": ours}


def line(row: Row) -> str:
    return (
        f"| {row.name} | {row.treated:,} : {row.comparators:,} | {row.pairs:,} | {row.seconds:.3f} "
        f"| {row.sort_seconds:.3f} | {row.times_sort:.2f} | {row.gigabytes:.2f} |"
    )


def page(found: dict, machine: str) -> str:
    base = next(row for row in found["rows"] if row.name == BASE.name)
    tail = TAIL.format(
        sort=SORT_TARGET, times_sort=base.times_sort, theirs=found["theirs"], ours=found["ours"],
        faster=found["theirs"] / found["ours"], neighbours=NEIGHBOURS_TARGET,
        gigabytes=max(row.gigabytes for row in found["rows"]), memory=MEMORY_TARGET,
    )  # fmt: skip
    head = HEAD.format(machine=machine, compiling=found["compiling"])
    return head + "\n".join(map(line, found["rows"])) + "\n" + tail


@click.command()
@click.option("--json", "as_json", type=click.File("w"), help="Write the figures as JSON to this file; - prints them.")
@click.option("--write", type=click.Path(path_type=Path), help="Write the page to this file as well.")
@click.option("--machine", default=f"a {platform.machine()} machine", help="How the page names the machine.")
def main(as_json: click.utils.LazyFile | None, write: Path | None, machine: str) -> None:
    """Measures pairs and prints a table."""
    found = figures()
    if as_json:
        json.dump({**found, "rows": [asdict(row) for row in found["rows"]]}, as_json, indent=2)
    else:
        sys.stdout.write(page(found, machine))
    if write:
        write.write_text(page(found, machine), encoding="utf-8")


if __name__ == "__main__":
    main()
