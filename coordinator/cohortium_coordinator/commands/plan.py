"""Plans before they are submitted: checked, shown, signed."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, date, datetime

import click

from cohortium_coordinator.commands.forecast import forecast, of_submitted, say_what_to_expect
from cohortium_coordinator.commands.shared import (
    Day,
    configured,
    echo_json,
    read_text,
    table,
    with_json,
    write_out,
)
from cohortium_coordinator.config import Config
from cohortium_coordinator.study.late_plan import Aggregation, late_plan_text
from cohortium_coordinator.study.rounds import Writer, check_current, plan_message
from cohortium_protocols.errors import PlanError
from cohortium_protocols.guarantee import Guarantee, guarantee
from cohortium_protocols.plan import plan_digest, plan_schema
from cohortium_protocols.plan_check import check_plan, load_plan
from cohortium_protocols.schedules import schedule
from cohortium_protocols.signed_plan import signed_plan_text
from cohortium_protocols.signing import SigningKey
from cohortium_protocols.statistics import Schedule, VectorSpec


@click.group()
def plan() -> None:
    """Check, forecast, show and sign plans before they are submitted."""


plan.add_command(forecast)


@plan.command()
@click.argument("file")
@with_json
def check(file: str, as_json: bool) -> None:
    """Say whether the plan in FILE (or - for standard input) is valid; name every fault with its place.

    \b
    Example:
      cohortium plan check examples/befriending-2024.yaml
    """
    text, source = read_text(file), _source(file)
    if as_json:
        return _check_for_programs(text, source)
    checked = load_plan(text, source)
    check_current(checked, datetime.now(UTC))
    rounds, vectors = len(schedule(checked).rounds), len(list(schedule(checked).vectors()))
    nodes = len(checked.nodes.roster)
    click.echo(f"{source} has no faults: {vectors} vectors in {rounds} rounds from {nodes} node{'s' * (nodes > 1)}.")
    say_what_to_expect(checked)
    return None


@plan.command("schema")
def print_schema() -> None:
    """Print the JSON Schema of a plan, for editors."""
    echo_json(plan_schema())


@plan.command()
@click.argument("file")
@with_json
def show(file: str, as_json: bool) -> None:
    """Show what would leave each node under the plan in FILE (or -), with its noise and its price.

    \b
    Example:
      cohortium plan show examples/befriending-2024.yaml
    """
    shown = load_plan(read_text(file), _source(file))
    resolved = schedule(shown)
    cost = guarantee(shown, resolved)
    if as_json:
        echo_json({"study": shown.study, "plan_digest": plan_digest(shown), "rounds": resolved.declaration(),
                   "privacy": asdict(cost) if cost else None})  # fmt: skip
        return
    click.echo(f"{shown.title}\n{shown.question}\n")
    click.echo(_releases(resolved))
    click.echo(f"\n{_price(cost)}")


@plan.command()
@click.argument("file")
@click.option(
    "--output", default="-", show_default=True, help="Where the signed plan goes; - is standard output."
)
@configured
def sign(file: str, output: str, config: Config) -> None:
    """Sign the plan in FILE (or -) with everything that would leave the nodes, for `study submit`.

    \b
    Example:
      cohortium plan sign plan.yaml --output plan.signed.json
    """
    signed = load_plan(read_text(file), _source(file))
    now = datetime.now(UTC)
    check_current(signed, now)
    writer = Writer(config.studies.name, signed.study, SigningKey.load(config.signing_key))
    messages = writer.plan(plan_message(signed, now), now)
    write_out(signed_plan_text([message.envelope for message in messages]).encode(), output)
    click.echo(f"Signed the plan of '{signed.study}' for {', '.join(signed.nodes.roster)}.", err=True)
    say_what_to_expect(signed)


@plan.command()
@click.argument("file")
@click.option("--study", required=True, help="Name of the late study.")
@click.option("--nodes", required=True, help="The late data holders, with commas between them.")
@click.option("--aggregation", type=click.Choice(["local", "secure"]), help="How they add up; as in FILE by default.")
@click.option("--deadline", type=Day(), help="Last day on which they answer; as in FILE by default.")
def late(file: str, study: str, nodes: str, aggregation: Aggregation | None, deadline: date | None) -> None:
    """Print the plan by which data holders that were too late for the plan in FILE (or -) are asked the same.

    Fewer than three of them answer each by itself (`aggregation: local`).

    \b
    Example:
      cohortium plan late plan.yaml --study befriending-2024-late --nodes london
    """
    names = [name.strip() for name in nodes.split(",")]
    click.echo(late_plan_text(read_text(file), study, names, aggregation, deadline, _source(file)), nl=False)


def _source(file: str) -> str:
    return "standard input" if file == "-" else file


def _check_for_programs(text: str, source: str) -> None:
    faults = check_plan(text, source)
    found = None if faults else of_submitted(load_plan(text, source))
    echo_json({"valid": not faults, "faults": [asdict(fault) for fault in faults], "forecast": found and asdict(found)})
    if faults:
        raise click.exceptions.Exit(PlanError.exit_code)


def _releases(resolved: Schedule) -> str:
    heading = (
        "round",
        "vector",
        "about",
        "numbers",
        "one person moves it by",
        "noise (sd)",
        "price (mu squared)",
    )
    rows = [
        (spec.name, vector.name, vector.block, str(vector.dimension), f"{_moves(vector):.4g}",
         f"{_noise(vector):.4g}", f"{vector.mu2:.5f}")
        for spec, vector in resolved.vectors()
    ]  # fmt: skip
    return table([heading, *rows])


def _moves(vector: VectorSpec) -> float:
    return vector.d2 / _unit(vector)


def _noise(vector: VectorSpec) -> float:
    return vector.sigma / _unit(vector)


def _unit(vector: VectorSpec) -> float:
    """Grid steps a unit of the vector's own sums."""
    return vector.grid if vector.rule == "sum" else vector.grid**2


def _price(cost: Guarantee | None) -> str:
    if cost is None:
        return "NO NOISE: nothing in this study is protected. Nodes refuse it outside simulations."
    return (
        f"Privacy spent, at delta {cost.delta:g} (mu {cost.mu:.4f}):\n"
        f"  epsilon {cost.presence:.2f}  whether a person is in the data at all (presence)\n"
        f"  epsilon {cost.membership:.2f}  whether a registered person was helped (membership)\n"
        f"  epsilon {cost.known_member:.2f}  outcomes of a person known to have been helped (known member)\n"
        f"Cross-check of the first by zero-concentrated privacy, which is proven and looser: {cost.presence_zcdp:.2f}."
    )
