"""What a study can be expected to show: the planner's command, and its verdict for the other commands."""

from __future__ import annotations

from dataclasses import asdict

import click

from cohortium_coordinator.commands.forecast_text import brief, text
from cohortium_coordinator.commands.shared import echo_json, read_text, with_json, write_out
from cohortium_coordinator.forecast.expectation import (
    COMPARATORS_EACH,
    FEWEST_COMPARATORS,
    OVERLAP,
    Expectation,
    assumed_comparators,
)
from cohortium_coordinator.forecast.picture import picture
from cohortium_coordinator.forecast.study import StudyForecast, study_forecast
from cohortium_protocols.errors import UsageFault
from cohortium_protocols.plan import Plan
from cohortium_protocols.plan_check import load_plan

Amounts = dict[str, float]


class OutcomeAmount(click.ParamType[tuple[str, float]]):
    """``OUTCOME=NUMBER``."""

    name = "outcome=number"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, float]:
        """Returns the name and the number."""
        name, _, number = str(value).partition("=")
        try:
            return name.strip(), float(number)
        except ValueError:
            self.fail(f"'{value}' is not an outcome's name, = and a number; write, for example, ae_attendances=0.8")


@click.command()
@click.argument("file")
@click.option("--helped", type=click.IntRange(1), metavar="N",
              help="People helped who will be found, in all. Default: `submitted` of the plan.")
@click.option("--people", type=click.IntRange(2), metavar="N",
              help=f"People at the data holders who could take part, in all, helped or not. Default: "
              f"{COMPARATORS_EACH} to compare with for each person helped, and no fewer than {FEWEST_COMPARATORS:,}.")
@click.option("--level", "levels", type=OutcomeAmount(), multiple=True, metavar="OUTCOME=MEAN",
              help="What people like those helped have of an outcome, on average, without help. Default: a guess.")
@click.option("--spread", "spreads", type=OutcomeAmount(), multiple=True, metavar="OUTCOME=SD",
              help="Standard deviation of an outcome among people of whom the covariates expect the same.")
@click.option("--overlap", default=OVERLAP, show_default=True, type=click.FloatRange(1, 1000),
              help="How many times larger than after a lottery weighting makes the comparators' variance.")
@click.option("--svg", "drawn_to", metavar="FILE", help="Write a picture: width against people helped.")
@with_json
def forecast(
    file: str, helped: int | None, people: int | None, levels: tuple[tuple[str, float], ...],
    spreads: tuple[tuple[str, float], ...], overlap: float, drawn_to: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Say what the plan in FILE (or -) can be expected to show, before anybody is asked. It needs no data.

    \b
    Examples:
      cohortium plan forecast plan.yaml --helped 500 --people 50000
      cohortium plan forecast plan.yaml --helped 500 --level ae_attendances=1.2 --json
      cohortium plan forecast plan.yaml --helped 500 --svg forecast.svg
    """
    plan = load_plan(read_text(file), "standard input" if file == "-" else file)
    expected = _expectation(plan, helped, people, dict(levels), dict(spreads), overlap)
    found = study_forecast(plan, expected)
    if drawn_to is not None:
        _draw(plan, expected, drawn_to)
    if as_json:
        echo_json(asdict(found))
    else:
        click.echo(text(found))


def of_submitted(plan: Plan) -> StudyForecast | None:
    """Returns the forecast for as many people as the plan says were submitted; None where it does not say."""
    if plan.submitted is None:
        return None
    return study_forecast(plan, Expectation(plan.submitted, assumed_comparators(plan.submitted)))


def say_what_to_expect(plan: Plan) -> None:
    """Says the verdict on standard error, where the plan tells how many people were submitted."""
    found = of_submitted(plan)
    if found is not None:
        click.echo(f"{brief(found)} More: cohortium plan forecast.", err=True)


def _expectation(
    plan: Plan, helped: int | None, people: int | None, levels: Amounts, spreads: Amounts, overlap: float
) -> Expectation:
    """Returns what the operator expects.

    Raises:
        UsageFault: it does not fit the plan, or does not fit together.
    """
    helped = helped or plan.submitted
    if helped is None:
        raise UsageFault("How many people were helped is not known.", why="the plan has no `submitted`",
                         do="write --helped N, those you expect to be found")  # fmt: skip
    comparators = assumed_comparators(helped) if people is None else people - helped
    if comparators < 1:
        raise UsageFault(f"{people:,} people hold {helped:,} helped and nobody to compare with.",
                         why="--people counts both", do="write a larger --people")  # fmt: skip
    _fit(plan, levels, spreads)
    return Expectation(helped, comparators, levels, spreads, overlap)


def _fit(plan: Plan, levels: Amounts, spreads: Amounts) -> None:
    outcomes = {outcome.name: outcome for outcome in plan.outcomes}
    for name in (*levels, *spreads):
        if name not in outcomes:
            raise UsageFault(f"The plan has no outcome '{name}'.", do=f"choose from: {', '.join(outcomes)}")
    for name, level in levels.items():
        low, high = outcomes[name].low, outcomes[name].clip
        if not low < level < high:
            raise UsageFault(f"A mean of {level:g} does not lie between {low:g} and {high:g}.",
                             why=f"the plan bounds one person's {name} so", do="give a mean inside")  # fmt: skip
    for name, spread in spreads.items():
        size = outcomes[name].clip - outcomes[name].low
        if not 0 < spread <= size / 2:
            raise UsageFault(f"A standard deviation of {spread:g} is not possible for {name}.",
                             why=f"its range is {size:g}", do=f"give one above 0, up to {size / 2:g}")  # fmt: skip


def _draw(plan: Plan, expected: Expectation, path: str) -> None:
    write_out(picture(plan, expected).encode(), path)
