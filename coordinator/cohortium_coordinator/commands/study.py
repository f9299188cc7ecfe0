"""Studies under way: the commands that talk to the running service."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from cohortium_coordinator.channel import OperatorClient
from cohortium_coordinator.commands.forecast import say_what_to_expect
from cohortium_coordinator.commands.shared import (
    configured,
    connected,
    echo_json,
    read_text,
    table,
    with_json,
    write_out,
)
from cohortium_coordinator.config import Config
from cohortium_coordinator.merged import MergedResult
from cohortium_coordinator.operations import REPORT_KINDS
from cohortium_coordinator.report.merged import disagreement, groups, notes, together, write_merged
from cohortium_coordinator.report.tables import Table
from cohortium_protocols.errors import BY_CODE, ChannelError, RefusedError
from cohortium_protocols.plan_check import load_plan
from cohortium_protocols.signed_plan import is_signed_plan

Status = dict[str, Any]


@click.group()
def study() -> None:
    """Submit studies, follow them and fetch their reports. `cohortium serve` must be running."""


@study.command()
@click.argument("file")
@configured
@with_json
def submit(file: str, config: Config, as_json: bool) -> None:
    """Submit the plan in FILE (or -): as written, or as signed by `plan sign`. Twice does no harm.

    \b
    Example:
      cohortium study submit examples/befriending-2024.yaml
    """
    text = read_text(file)
    plan = None if is_signed_plan(text) else load_plan(text, "standard input" if file == "-" else file)
    with connected(config) as client:
        _show(_parsed(client.operate("submit", body=text.encode())), as_json)
    if plan is not None:
        say_what_to_expect(plan)


@study.command("list")
@configured
@with_json
def list_studies(config: Config, as_json: bool) -> None:
    """List all studies, oldest first."""
    with connected(config) as client:
        found = _parsed(client.operate("list"))
    if as_json:
        return echo_json(found)
    if not found:
        return click.echo("No studies yet. Submit one with `cohortium study submit FILE`.", err=True)
    rows = [(each["study"], each["phase_text"], _time(each["submitted"])) for each in found]
    return click.echo(table([("study", "phase", "submitted"), *rows]))


@study.command()
@click.argument("name", metavar="STUDY")
@configured
@with_json
def status(name: str, config: Config, as_json: bool) -> None:
    """Show where STUDY stands, and each node's part in it."""
    with connected(config) as client:
        _show(_parsed(client.operate("status", name)), as_json)


@study.command()
@click.argument("name", metavar="STUDY")
@click.option(
    "--every",
    default=1.0,
    show_default=True,
    type=click.FloatRange(0.05, 3600),
    help="Seconds between looks.",
)
@click.option(
    "--patience",
    default=60.0,
    show_default=True,
    type=click.FloatRange(0),
    help="Seconds the service may be away.",
)
@configured
@with_json
def follow(name: str, every: float, patience: float, config: Config, as_json: bool) -> None:
    """Show STUDY's progress until its end. Exits with 0 when the result was published.

    Otherwise with 6 when it was refused, closed or not published, 7 when too few nodes answered, 5 when the
    plan expired. With --json, one line a change.
    """
    with connected(config) as client:
        watch = _Watch(client, name, patience)
        last: list[str] = []
        while True:
            found = watch.look()
            lines = _progress(found)
            for line in [line for line in lines if line not in last]:
                click.echo(line, err=True)
            if lines != last and as_json:
                click.echo(json.dumps(found, ensure_ascii=False))
            last = lines
            if found["ended"]:
                raise click.exceptions.Exit(_outcome(found))
            time.sleep(every)


@study.command()
@click.argument("name", metavar="STUDY")
@click.option("--format", "kind", type=click.Choice(REPORT_KINDS), default="html", show_default=True)
@click.option("--output", default="-", show_default=True, help="Where the report goes; - is standard output.")
@configured
def report(name: str, kind: str, output: str, config: Config) -> None:
    """Fetch STUDY's report.

    \b
    Example:
      cohortium study report befriending-2024 --format html --output report.html
    """
    with connected(config) as client:
        write_out(client.operate("report", name, kind.encode()), output)


@study.command("merge")
@click.argument("first")
@click.argument("late", nargs=-1, required=True)
@click.option("--to", type=click.Path(path_type=Path), help="Folder for merged.html, merged.json and merged.csv.")
@configured
@with_json
def merge_late(first: str, late: tuple[str, ...], to: Path | None, config: Config, as_json: bool) -> None:
    """Merge the result of FIRST with those of LATE studies that complete it, each a separate estimate.

    \b
    Example:
      cohortium study merge befriending-2024 befriending-2024-late --to merged
    """
    with connected(config) as client:
        merged = MergedResult.model_validate_json(client.operate("merge", first, "\n".join(late).encode()))
    if to is not None:
        places = write_merged(merged, to)
        click.echo(f"Written: {', '.join(map(str, places.values()))}.", err=True)
    if as_json:
        return echo_json(merged.model_dump(mode="json"))
    return click.echo("\n\n".join(_merged_parts(merged)))


@study.command()
@click.argument("name", metavar="STUDY")
@click.option("--reason", required=True, help="One sentence, which the nodes are told.")
@configured
@with_json
def close(name: str, reason: str, config: Config, as_json: bool) -> None:
    """End STUDY before its result: nodes are told to close it. What they released stays charged."""
    with connected(config) as client:
        _show(_parsed(client.operate("close", name, reason.encode())), as_json)


class _Watch:
    """Looks at a study again and again, and bears with a service that is being started again."""

    def __init__(self, client: OperatorClient, study: str, patience: float) -> None:
        self._client = client
        self._study = study
        self._patience = patience
        self._seen = 0.0

    def look(self) -> Status:
        while True:
            try:
                found: Status = _parsed(self._client.operate("status", self._study))
            except ChannelError:
                if not self._seen or time.monotonic() > self._seen + self._patience:
                    raise
                time.sleep(0.5)
            else:
                self._seen = time.monotonic()
                return found


def _parsed(body: bytes) -> Any:
    return json.loads(body)


def _merged_parts(merged: MergedResult) -> Iterator[str]:
    """Yields the tables of the page, for the main outcomes group by group, and what a reader must know."""
    yield _plain(together(merged))
    yield from (_plain(groups(each, number)) for number, each in enumerate(merged.headlines, 1))
    yield from (f"{each.title}: {said}" for each in merged.outcomes if (said := disagreement(each)))
    yield from notes(merged)


def _plain(shown: Table) -> str:
    rows = [tuple(", ".join(filter(None, (cell.text, cell.detail))) for cell in row) for row in shown.rows]
    return f"{shown.caption}\n{table([shown.columns, *rows])}"


def _outcome(found: Status) -> int:
    if found["phase"] == "published":
        return 0
    return BY_CODE.get(found["code"], RefusedError).exit_code


def _show(found: Status, as_json: bool) -> None:
    if as_json:
        return echo_json(found)
    click.echo(f"{found['study']}: {found['phase_text']}")
    if found["reason"]:
        click.echo(found["reason"])
    if found["waiting_until"]:
        click.echo(f"Waiting for nodes until {_time(found['waiting_until'])}.")
    click.echo(
        table([("node", "state", "rounds"), *(_node(node, found["rounds"]) for node in found["nodes"])])
    )
    for fault in found["faults"]:
        click.echo(f"Not accepted: {fault}")
    if found["trouble"]:
        click.echo(f"The service could not move the study on, and tries again: {found['trouble']}")
    return None


def _node(node: Status, rounds: int) -> tuple[str, str, str]:
    state = f"{node['state']} ({node['code']})" if node["code"] else node["state"]
    return (
        node["name"],
        state + (", closed" if node["closed"] else ""),
        f"{node['rounds_answered']} of {rounds}",
    )


def _progress(found: Status) -> list[str]:
    """Returns what there is to say now; a line that was said before is not said again."""
    part = [f"{node['name']}: {node['state']} ({node['code']})" for node in found["nodes"] if node["code"]]
    away = [f"{node['name']}: offline" for node in found["nodes"] if node["state"] == "offline"]
    faults = [f"not accepted: {fault}" for fault in found["faults"]]
    faults += [f"the service is in trouble, and tries again: {found['trouble']}"] if found["trouble"] else []
    return [*part, *away, *faults, ": ".join(filter(None, (found["phase_text"], found["reason"])))]


def _time(text: str) -> str:
    return f"{datetime.fromisoformat(text):%d %B %Y %H:%M} UTC"
