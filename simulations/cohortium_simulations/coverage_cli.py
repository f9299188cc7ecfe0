"""``cohortium-sim coverage``: the coverage study as a command."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from cohortium_protocols.errors import UsageFault
from cohortium_simulations.coverage.acceptance import Verdict, judged, summarised
from cohortium_simulations.coverage.monte_carlo import replicates
from cohortium_simulations.coverage.page import Study, as_json, pages, table_lines
from cohortium_simulations.coverage.scenarios import SCENARIOS, Scenario
from cohortium_simulations.out_folder import written
from cohortium_simulations.terminal import Progress

REJECTED = 1
"""Exit code when a scenario failed with enough replicates to say so."""


@click.command(
    epilog="""
\b
Examples:
  cohortium-sim coverage --list
  cohortium-sim coverage --scenario base,null --replicates 100 --json - | jq .scenarios
  cohortium-sim coverage --scenario base --replicates 100 --noise off
  cohortium-sim coverage --replicates 1000 --jobs 2 --out docs/validation

\b
Exit codes: 0 done, 1 a scenario failed with 1,000 replicates or more.
"""
)
@click.option("--scenario", "names", default="", metavar="NAME,...", help="Scenarios to try; all when not given.")
@click.option(
    "--replicates",
    "count",
    default=200,
    show_default=True,
    type=click.IntRange(1, 1_000_000),
    help="Studies of each scenario; verdicts count from 1,000 on.",
)
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0), help="Decides worlds and noise.")
@click.option(
    "--jobs",
    default=1,
    show_default=True,
    type=click.IntRange(1, 256),
    help="Processes at work; figures do not depend on it.",
)
@click.option(
    "--noise",
    default="on",
    show_default=True,
    type=click.Choice(["on", "off", "both"]),
    help="off: the same studies without privacy noise; both: each scenario twice.",
)
@click.option("--json", "json_to", metavar="FILE|-", help="Write figures and verdicts as JSON; - for standard output.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Write coverage.md, coverage.json and coverage.svg there.",
)
@click.option("--list", "listed", is_flag=True, help="Show the scenarios and end.")
def coverage(
    names: str, count: int, seed: int, jobs: int, noise: str, json_to: str | None, out: Path | None, listed: bool
) -> None:  # fmt: skip
    """Try the analysis in many made-up studies: does its interval hold the truth, and how wide is it?

    Studies run in memory through the real reduction, noise of the declared size and the real analysis, without keys and
    mail: about 3 a second.

    Each scenario is judged: coverage of the 95 % interval, bias in standard errors, width over that of the ideal
    ("floor ratio"), and the share of studies that would be published.
    """
    if listed:
        for scenario in SCENARIOS.values():
            click.echo(f"{scenario.name:<15}{scenario.meaning}")
        return
    study = Study(seed, _verdicts(wanted(names, noise), count, seed, jobs))
    _give(study, json_to, out)
    if study.failed:
        click.get_current_context().exit(REJECTED)


def wanted(names: str, noise: str) -> list[Scenario]:
    """Returns the scenarios that an option names, with commas between them, with noise `on`, `off` or `both`.

    Raises:
        UsageFault: there is no such scenario.
    """
    asked = [name.strip() for name in names.split(",") if name.strip()] or list(SCENARIOS)
    for name in asked:
        if name not in SCENARIOS:
            raise UsageFault(f"There is no scenario '{name}'.", do=f"choose from: {', '.join(SCENARIOS)}")
    chosen = [SCENARIOS[name] for name in dict.fromkeys(asked)]
    ways = {"on": (True,), "off": (False,), "both": (True, False)}[noise]
    return [scenario if noisy else scenario.without_noise() for scenario in chosen for noisy in ways]


def _verdicts(scenarios: list[Scenario], count: int, seed: int, jobs: int) -> tuple[Verdict, ...]:
    with Progress(sys.stderr) as progress:
        return tuple(_verdict(scenario, count, seed, jobs, progress) for scenario in scenarios)


def _verdict(scenario: Scenario, count: int, seed: int, jobs: int, progress: Progress) -> Verdict:
    text = scenario.name + ("" if scenario.noise else ", noise off")
    progress.step(text)
    found = []
    for each in replicates(scenario, count, seed, jobs=jobs):
        found.append(each)
        progress.detail(text, f"  {len(found):,} of {count:,}")
    return judged(scenario, summarised(found))


def _give(study: Study, json_to: str | None, out: Path | None) -> None:
    lines = table_lines(study.verdicts)
    if out is not None:
        lines += [f"Written: {path}" for path in written(pages(study), out)]
    for line in lines:
        click.echo(line, err=json_to == "-")
    if json_to is not None:
        with click.open_file(json_to, "w", encoding="utf-8") as stream:
            json.dump(as_json(study), stream, indent=1)
