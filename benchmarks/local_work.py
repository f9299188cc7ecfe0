"""What a round costs one node before noise: CPU seconds for every round of a study, and a Gram matrix against BLAS.

    python benchmarks/local_work.py                     # 10,000,000 x 20 and 1,000,000 people; 3 GB, a minute
    python benchmarks/local_work.py --quick --json -
    python benchmarks/local_work.py --write docs/benchmarks/local-work.md

Everything runs in one process and one thread. Features and outcomes are made up and ready; no record is read.
"""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before NumPy is loaded

import json
import platform
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from scipy.linalg.blas import dsyrk

from cohortium_node.data.table import AnalysisTable
from cohortium_node.features import Side, StudyArrays, study_arrays
from cohortium_node.local.reduce import reduce_round
from cohortium_protocols.features import PROFILE_NORM, features, radius
from cohortium_protocols.plan import Plan
from cohortium_protocols.schedules import schedule
from cohortium_protocols.statistics import Parameter, RoundSpec

COLUMNS = 20
PLAN = Plan.model_validate({
    "cohortium": 1, "study": "local-work", "title": "Local work", "question": "How long does a round take?",
    "intake": {"from": "2024-01-01", "to": "2024-12-31"}, "follow_up": 365,
    "covariates": ["age", "sex", "ethnicity", "imd_decile", "charlson", "frailty", "index_quarter",
                   "prior.ae_attendances", "prior.emergency_admissions", "prior.elective_admissions",
                   "prior.bed_days"],
    "outcomes": ["ae_attendances", "any_emergency_admission", "emergency_admissions", "elective_admissions",
                 "bed_days"],
    "privacy": {"epsilon": 1.0, "aggregation": "local"},
    "nodes": {"roster": ["north"], "deadline": "2099-01-01"},
})  # fmt: skip
ASKED = {"beta": 0.05, "clip": 0.2, "tilt": 0.05, "log_scale": -3.0}
"""Parameters of the requests: a model and weights that make ordinary rows; levels lie between -3 and 3."""


def fastest(work: Callable[[], Any], times: int = 3) -> float:
    """Returns the CPU seconds of the fastest of a few runs."""
    taken = []
    for _ in range(times):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return min(taken)


def extra_memory(work: Callable[[], Any]) -> int:
    """Returns the most bytes that the work held at once beyond what was there before."""
    tracemalloc.start()
    work()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def gram(people: int) -> dict[str, Any]:
    """Returns what one declared Gram vector costs, against BLAS on the same matrix; checks that both agree."""
    generator, matrix = np.random.default_rng(1), np.empty((people, COLUMNS), order="F")
    for column in range(COLUMNS):
        matrix[:, column] = generator.uniform(-1, 1, people)
    declared = schedule(PLAN).round("profile").vector("comparator_moments")
    labels = tuple(f"column {column + 1}" for column in range(COLUMNS))
    vector = replace(declared, labels=labels, bound=radius(COLUMNS, PROFILE_NORM))
    arrays = StudyArrays(Side(matrix[:0], np.empty((0, 0))), Side(matrix, np.empty((people, 0))), np.empty(0, int), ())
    spec = RoundSpec("gram", (vector,))
    released = reduce_round(spec, {}, arrays)[vector.name] / vector.grid**2
    if not np.allclose(released, (matrix.T @ matrix)[np.triu_indices(COLUMNS)], rtol=1e-3, atol=1e-3 * people):
        raise SystemExit("the Gram matrix is wrong")
    seconds = {
        "declared": fastest(lambda: reduce_round(spec, {}, arrays)),
        "dsyrk": fastest(lambda: dsyrk(1.0, matrix, trans=1)),
        "numpy": fastest(lambda: matrix.T @ matrix),
    }
    return {
        "people": people, "columns": COLUMNS, "seconds": seconds,
        "speed_of_dsyrk": seconds["dsyrk"] / seconds["declared"],
        "matrix_mb": matrix.nbytes / 1e6, "extra_mb": extra_memory(lambda: reduce_round(spec, {}, arrays)) / 1e6,
    }  # fmt: skip


def made_up(treated: int, comparators: int) -> AnalysisTable:
    """Returns people with values around every covariate's centre and outcomes that are mostly small."""
    generator, people = np.random.default_rng(2), treated + comparators
    covariates = {
        each.name: generator.choice(np.array(each.levels, object), people)
        if each.levels
        else generator.normal(each.centre, each.scale, people)
        for each in PLAN.covariates
    }
    outcomes = np.floor(generator.exponential(1.0, (people, len(PLAN.outcomes))))
    return AnalysisTable(np.arange(people) < treated, covariates, outcomes, np.zeros(treated, np.int64))


def asked(parameter: Parameter) -> Any:
    if parameter.name == "levels":
        return np.broadcast_to(np.linspace(-3, 3, parameter.shape[1]), parameter.shape).tolist()
    return np.full(parameter.shape, ASKED[parameter.name]).tolist()


def rounds(treated: int, comparators: int) -> dict[str, Any]:
    """Returns what every round of the plan costs a node with so many people."""
    arrays = study_arrays(PLAN, made_up(treated, comparators))
    seconds, memory = {}, 0
    for spec in schedule(PLAN).rounds:
        parameters = {parameter.name: asked(parameter) for parameter in spec.parameters}
        seconds[spec.name] = fastest(lambda: reduce_round(spec, parameters, arrays))  # noqa: B023 - called at once
        memory = max(memory, extra_memory(lambda: reduce_round(spec, parameters, arrays)))  # noqa: B023
    return {
        "treated": treated, "comparators": comparators, "outcomes": len(PLAN.outcomes),
        "features": len(features(PLAN)), "seconds": seconds, "slowest": max(seconds, key=lambda name: seconds[name]),
        "vectors": {spec.name: len(spec.vectors) for spec in schedule(PLAN).rounds},
        "kept_mb": sum(side.u.nbytes + side.y.nbytes for side in (arrays.treated, arrays.comparators)) / 1e6,
        "extra_mb": memory / 1e6,
    }  # fmt: skip


PAGE = """# What a round costs one node

Measured with `python benchmarks/local_work.py{quick}` on one thread of {machine}, Python {python},
NumPy {numpy}: CPU seconds of the fastest of three runs. Features are ready and noise is not yet drawn; each figure is
everything between.

## A Gram matrix of {gram[people]:,} x {gram[columns]}

The declared vector is clipped twice (the features' own norm, then the declared bound), rounded to its grid, and exact
in integers. The others multiply the same matrix as it is.

| what | seconds | speed against `dsyrk` |
|---|---|---|
| declared vector `comparator_moments` | {gram[seconds][declared]:.2f} | {gram[speed_of_dsyrk]:.2f} |
| SciPy's BLAS `dsyrk`, one call | {gram[seconds][dsyrk]:.2f} | 1 |
| NumPy's `X.T @ X` | {gram[seconds][numpy]:.2f} | {numpy_ratio:.2f} |

The matrix is {gram[matrix_mb]:,.0f} MB; the declared vector takes {gram[extra_mb]:,.1f} MB more while it is worked out.

## Every round of a study

{rounds[treated]:,} people helped and {rounds[comparators]:,} comparators at one node, {rounds[outcomes]} outcomes and
{rounds[features]} features. {rounds[kept_mb]:,.0f} MB are kept between rounds; a round uses at most
{rounds[extra_mb]:,.1f} MB more.

| round | vectors | seconds |
|---|---|---|
{rows}

The slowest is `{rounds[slowest]}`.
"""


def page(found: dict[str, Any], machine: str, quick: bool) -> str:
    rows = (
        f"| `{name}` | {found['rounds']['vectors'][name]} | {taken:.2f} |"
        for name, taken in found["rounds"]["seconds"].items()
    )
    seconds = found["gram"]["seconds"]
    return PAGE.format(
        **found, machine=machine, rows="\n".join(rows), numpy_ratio=seconds["dsyrk"] / seconds["numpy"],
        quick=" --quick" if quick else "", python=platform.python_version(), numpy=np.__version__,
    )  # fmt: skip


@click.command()
@click.option("--quick", is_flag=True, help="A hundredth of the people.")
@click.option("--json", "figures", type=click.Path(allow_dash=True), help="Write the figures; - prints them.")
@click.option("--write", type=click.Path(path_type=Path), help="Write the page to this file as well.")
@click.option("--machine", default=f"a {platform.machine()} machine", help="How the page names the machine.")
def main(quick: bool, figures: str | None, write: Path | None, machine: str) -> None:
    """Measures a node's work in every round and prints a page."""
    share = 100 if quick else 1
    found = {"gram": gram(10_000_000 // share), "rounds": rounds(5_000 // share, 1_000_000 // share)}
    text = page(found, machine, quick)
    if figures:
        with click.open_file(figures, "w") as file:
            file.write(json.dumps(found, indent=2) + "\n")
    if figures != "-":
        click.echo(text)
    if write:
        write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
