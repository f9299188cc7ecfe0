"""``cohortium-sim``: the researcher's door."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
import numpy as np

from cohortium_coordinator.report import to_json, write_report
from cohortium_coordinator.result import StudyResult
from cohortium_protocols.errors import CohortiumError, UsageFault
from cohortium_protocols.plan_analysis import METHODS
from cohortium_protocols.plan_check import load_plan
from cohortium_simulations.balance_cli import balance_rule
from cohortium_simulations.checks_cli import attack, audit
from cohortium_simulations.coverage_cli import coverage
from cohortium_simulations.demo import DEMO_SEED, Demo, demo_world, plan_text, run_demo
from cohortium_simulations.federation import run_study
from cohortium_simulations.forecast_cli import forecast
from cohortium_simulations.replicates import replicates, replicates_json, seed_range, summaries, summary_lines
from cohortium_simulations.table import Column, Question, read_table, table_study
from cohortium_simulations.terminal import Progress, outcome_lines
from cohortium_simulations.worlds import WorldSpec

_EXIT_CODES = """
\b
Exit codes:
  0    done
  1    a check of the audit failed, an attack got through, or a scenario of the coverage study failed
  2    the command line was not understood
  3    a file of data is not as it must be
  4    a plan is not valid
  6    understood, and refused
  7    a part of the demo could not be reached
  8    files could not be written
  130  interrupted
"""


class _Epsilon(click.ParamType[float | str]):
    """A privacy budget, or ``off``."""

    name = "E|off"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        if value == "off" or isinstance(value, float):
            return value if isinstance(value, float) else "off"
        try:
            epsilon = float(str(value))
        except ValueError:
            epsilon = 0.0
        if not 0 < epsilon <= 10:
            self.fail(f"'{value}' is neither a number above 0 and up to 10, nor 'off'", param, ctx)
        return epsilon


@click.group(epilog=_EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
def commands() -> None:
    """Simulate federations on one machine, with the real node and coordinator."""


@commands.command(epilog="""
\b
Examples:
  cohortium-sim demo
  cohortium-sim demo --folder try --people 50000 --helped 600 --seed 7 --json - | jq .outcomes
""")
@click.option("--folder", default="demo", show_default=True, type=click.Path(path_type=Path),
              help="Everything is made here.")
@click.option("--people", default=210_000, show_default=True, type=click.IntRange(1_000, 5_000_000),
              help="People at all nodes.")
@click.option("--helped", default=1_200, show_default=True, type=click.IntRange(60),
              help="People who were helped.")
@click.option("--seed", default=DEMO_SEED, show_default=True, type=click.IntRange(0),
              help="Decides the world; keys and privacy noise have no seed.")
@click.option("--epsilon", default=2.0, show_default=True, type=click.FloatRange(0, 10, min_open=True),
              help="Privacy budget over all outcomes.")
@click.option("--json", "json_to", metavar="FILE|-",
              help="Write the whole result as JSON; - for standard output.")
def demo(folder: Path, people: int, helped: int, seed: int, epsilon: float, json_to: str | None) -> None:
    """Run a whole study with five data holders on this machine, and compare it with the truth.

    Starts one relay and five node daemons as processes of their own, submits a signed plan, and writes the
    report to the folder. No process is left, also when it is interrupted. An earlier demo in the folder is
    replaced.
    """
    result = run_demo(Demo(folder, _world(people, helped, seed), epsilon), Progress(sys.stderr))
    _give(result, json_to, folder)


@commands.command(epilog="""
\b
Examples:
  cohortium-sim worlds
  cohortium-sim worlds --seeds 500..509 --epsilon 1 --json - | jq .summaries
""")
@click.option("--seeds", default="300..319", show_default=True, metavar="FIRST..LAST", help="One world each.")
@click.option("--people", default=210_000, show_default=True, type=click.IntRange(1_000, 5_000_000),
              help="People at all nodes.")
@click.option("--helped", default=1_200, show_default=True, type=click.IntRange(60), help="People who were helped.")
@click.option("--epsilon", default=2.0, show_default=True, type=click.FloatRange(0, 10, min_open=True),
              help="Privacy budget over all outcomes.")
@click.option("--aggregation", default="secure", show_default=True, type=click.Choice(["secure", "local"]),
              help="local: every node adds all of the noise.")
@click.option("--json", "json_to", metavar="FILE|-", help="Write every estimate as JSON; - for standard output.")
def worlds(
    seeds: str, people: int, helped: int, epsilon: float, aggregation: str, json_to: str | None
) -> None:  # fmt: skip
    """Run the demo's study in many worlds, in memory: how often does its interval hold the truth?

    Every world is studied with noise and without. About 10 seconds a world.
    """
    spec = _world(people, helped, 0)
    plan = load_plan(plan_text(Demo(Path(), spec, epsilon), helped), "the demo's plan")
    if aggregation == "local":
        alone = plan.privacy.model_copy(update={"aggregation": "local", "tolerate_lost_nodes": 0})
        plan = plan.model_copy(update={"privacy": alone})
    found = replicates(spec, seed_range(seeds), plan, lambda seed: _say(f"world {seed}"))
    for line in summary_lines(summaries(found)):
        click.echo(line, err=json_to == "-")
    if json_to is not None:
        with click.open_file(json_to, "w", encoding="utf-8") as out:
            json.dump(replicates_json(found), out, indent=1)


@commands.command(epilog="""
\b
Examples:
  cohortium-sim table nhefs.csv --treated qsmk --outcome wt82_71 \\
      --covariates sex,race,age,wt71 --categorical education --epsilon off
  cohortium-sim table visits.csv --treated helped --outcome visits:10 \\
      --covariates age:18..110,prior:0..10 --nodes 5 --epsilon 1 --json - | jq .outcomes
""")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--treated", required=True, metavar="COL", help="Column of 0 and 1: 1 for people who were helped.")
@click.option("--outcome", "outcomes", required=True, multiple=True, metavar="COL[:HIGH|:LOW..HIGH]",
              help="Column to compare, with its bounds. Can be given several times.")
@click.option("--covariates", default="", metavar="COL[:LOW..HIGH],...", help="Numbers in which people must be alike.")
@click.option("--categorical", default="", metavar="COL,...", help="Columns whose values are categories.")
@click.option("--nodes", default=5, show_default=True, type=click.IntRange(1, 500),
              help="Nodes to share people out to.")
@click.option("--split", default="random", show_default=True, metavar="random|by:COL", help="How they are shared out.")
@click.option("--epsilon", default=1.0, show_default=True, type=_Epsilon(), help="Privacy budget; off: no noise.")
@click.option("--delta", default=1e-6, show_default=True, type=click.FloatRange(0, 1e-4, min_open=True),
              help="Its delta.")
@click.option("--method", default="doubly_robust", show_default=True, help="Method of analysis.",
              type=click.Choice(METHODS))
@click.option("--seed", default=1, show_default=True,
              help="Decides how people are shared out; privacy noise has no seed.")
@click.option("--json", "json_to", metavar="FILE|-", help="Write the whole result as JSON; - for standard output.")
@click.option("--report", "report_to", type=click.Path(path_type=Path), metavar="FOLDER",
              help="Write the report there.")
def table(
    file: Path, treated: str, outcomes: tuple[str, ...], covariates: str, categorical: str, nodes: int, split: str,
    epsilon: float | str, delta: float, method: str, seed: int, json_to: str | None, report_to: Path | None,
) -> None:  # fmt: skip
    """Run a real study in memory on any table with one row a person.

    FILE is a CSV file with a header; - reads standard input. Bounds that are not given are read from the table: handy,
    and not private, and every output then says so.
    """
    question = Question(
        treated, [Column.parse(text) for text in outcomes], [Column.parse(text) for text in _names(covariates)],
        _names(categorical),
    )  # fmt: skip
    budget = None if isinstance(epsilon, str) else epsilon
    source = "standard input" if str(file) == "-" else file.name
    rng = np.random.default_rng(seed)
    study = table_study(read_table(file), question, source=source, nodes=nodes, split=split, epsilon=budget,
                        delta=delta, method=method, rng=rng)  # fmt: skip
    result = run_study(study.plan, study.tables, bounds_from_data=study.bounds_from_data, progress=_say)
    _give(result, json_to, report_to)


commands.add_command(audit)
commands.add_command(attack)
commands.add_command(coverage)
commands.add_command(balance_rule)
commands.add_command(forecast)


def _world(people: int, helped: int, seed: int) -> WorldSpec:
    try:
        return demo_world(people, helped, seed)
    except ValueError as error:
        do = "choose more --people or fewer --helped"
        raise UsageFault("This world cannot be made.", why=str(error), do=do) from error


def _give(result: StudyResult, json_to: str | None, report_to: Path | None) -> None:
    lines = outcome_lines(result)
    if report_to is not None:
        lines += [f"Report: {path}" for path in write_report(result, report_to).values()]
    for line in lines:
        click.echo(line, err=json_to == "-")
    if json_to is not None:
        with click.open_file(json_to, "w", encoding="utf-8") as out:
            out.write(to_json(result))


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _say(text: str) -> None:
    click.echo(text, err=True)


def main() -> None:
    """Runs the command line; ends the process with the documented exit code."""
    try:
        sys.exit(commands.main(standalone_mode=False))  # None, or the code that a command ended with
    except click.Abort:
        _say("Interrupted.")
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(UsageFault.exit_code)
    except CohortiumError as error:
        _say(str(error))
        sys.exit(error.exit_code)
