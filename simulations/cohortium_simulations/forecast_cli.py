"""``cohortium-sim forecast``: the planner held against made-up studies, as a command."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from cohortium_simulations.coverage.foretold import JUDGED, Comparison, compared, page, table_lines
from cohortium_simulations.coverage.monte_carlo import replicates
from cohortium_simulations.coverage.scenarios import Scenario
from cohortium_simulations.coverage_cli import wanted
from cohortium_simulations.out_folder import written
from cohortium_simulations.terminal import Progress


@click.command(
    epilog="""
\b
Examples:
  cohortium-sim forecast --replicates 30
  cohortium-sim forecast --scenario base,eps_4 --json - | jq .scenarios
"""
)
@click.option("--scenario", "names", default=",".join(JUDGED), metavar="NAME,...", help="Scenarios to try.")
@click.option("--replicates", "count", default=30, show_default=True, type=click.IntRange(1, 1_000_000),
              help="Studies of each scenario.")
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0), help="Decides worlds and noise.")
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(1, 256), help="Processes at work.")
@click.option("--json", "json_to", metavar="FILE|-", help="Write the figures as JSON; - for standard output.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), metavar="FOLDER",
              help="Write forecast.md there.")
def forecast(names: str, count: int, seed: int, jobs: int, json_to: str | None, out: Path | None) -> None:
    """Hold the planner against made-up studies: how near do the widths that it foretells come?"""
    with Progress(sys.stderr) as progress:
        found = [_compared(scenario, count, seed, jobs, progress) for scenario in wanted(names, "on")]
    lines = table_lines(found)
    if out is not None:
        lines += [f"Written: {path}" for path in written({"forecast.md": page(found, seed)}, out)]
    for line in lines:
        click.echo(line, err=json_to == "-")
    if json_to is not None:
        with click.open_file(json_to, "w", encoding="utf-8") as stream:
            scenarios = [asdict(each) | {"error": each.error} for each in found]
            json.dump({"seed": seed, "scenarios": scenarios}, stream, indent=1)


def _compared(scenario: Scenario, count: int, seed: int, jobs: int, progress: Progress) -> Comparison:
    progress.step(scenario.name)
    return compared(scenario, replicates(scenario, count, seed, jobs=jobs))
