"""The custodian's command line: ``cohortium-node``."""

from __future__ import annotations

import json
import logging
import signal
import sys
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from cohortium_node import views, workplace
from cohortium_node.anchors import check_statement, read_anchors
from cohortium_node.approvals import Desk
from cohortium_node.config import Config, read_config
from cohortium_node.daemon import Daemon, stopping_on_signals
from cohortium_node.ledger import Ledger
from cohortium_node.policy import Policy
from cohortium_node.readiness import relay_channel, tried_out
from cohortium_node.service import NodeService
from cohortium_protocols.errors import BudgetRefusal, CohortiumError, InputError, UsageFault
from cohortium_protocols.plan import Plan
from cohortium_protocols.plan_check import load_plan
from cohortium_protocols.signed_plan import is_signed_plan, read_signed_plan
from cohortium_protocols.signing import SigningKey, VerifyKey

EXIT_CODES = """\b
Exit codes:
  0 done                     5 not from whom it must be
  1 a fault in Cohortium     6 understood, and refused
  2 wrong use                7 the relay cannot be reached
  3 a file cannot be used    8 this node's own records cannot be used
  4 a plan is not valid      130 interrupted
"""


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")


def main() -> None:
    """Runs the command line; every error a person can cause is a message and an exit code."""
    try:
        sys.exit(cli(standalone_mode=False))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        sys.exit(130)
    except CohortiumError as error:
        click.echo(str(error), err=True)
        sys.exit(error.exit_code)


@click.group(epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config", "-c", "path", type=click.Path(path_type=Path), default=Path("node.toml"), show_default=True,
    help="The node's configuration file.",
)  # fmt: skip
@click.pass_context
def cli(context: click.Context, path: Path) -> None:
    """Keeps a custodian's records where they are: only declared, noised sums leave, for plans you allow.

    \b
    Examples:
      cohortium-node init north --operator lab --relay relay.example.org:8443
      cohortium-node -c north/node.toml check
      cohortium-node -c north/node.toml run
      cohortium-node -c north/node.toml plans
      cohortium-node -c north/node.toml show befriending-2024
      cohortium-node -c north/node.toml approve befriending-2024
    """
    context.obj = path


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--name", help="The node's name on every roster.  [default: the folder's name]")
@click.option("--operator", required=True, help="Name of the data lab.")
@click.option("--operator-key", help="The lab's public key, compared by telephone: ed25519:...")
@click.option("--relay", required=True, help="The lab's relay, HOST:PORT.")
@click.option("--data", type=click.Path(path_type=Path), default=Path("data"), show_default=True,
              help="Folder of the canonical tables.")  # fmt: skip
@click.option("--cohorts", type=click.Path(path_type=Path), default=Path("cohorts"), show_default=True,
              help="Folder of the cohort files.")  # fmt: skip
@click.option("--study-key", type=click.Path(path_type=Path),
              help="The custodians' common key.  [default: a new one]")  # fmt: skip
def init(
    folder: Path, name: str | None, operator: str, operator_key: str | None, relay: str, data: Path,
    cohorts: Path, study_key: Path | None,
) -> None:  # fmt: skip
    """Make a node's keys, certificate request, configuration and policy in FOLDER.

    Relative folders are relative to FOLDER.
    """
    name = name or folder.absolute().name
    key = VerifyKey.from_text(operator_key) if operator_key else None
    config = workplace.make(workplace.Beginning(folder, name, operator, key, relay, data, cohorts, study_key))
    public = SigningKey.load(read_config(config).signing_key).public
    click.echo(f"Made {config}. Still to do:")
    request = folder / "tls" / f"{name}.csr"
    click.echo(f"  1. send {request} to the operator; put the certificate and ca.pem beside it")
    click.echo(
        f"  2. send them this node's key, and read its fingerprint out by telephone: {public.fingerprint}"
    )
    click.echo(f"     {public.text}")
    if key is None:
        click.echo(f"  3. pin the operator's key in {folder / 'policy.toml'}")
    if study_key is None:
        click.echo(
            f"  *  a new study key was made: {folder / 'study.key'}. Every custodian needs the same one;"
        )
        click.echo("     share it with them in a safe way, and never with the operator.")


@cli.command()
@as_json
@click.pass_obj
def check(path: Path, as_json: bool) -> None:
    """Try out everything the daemon needs, and say what is wrong and what to do."""
    config = read_config(path)
    results = tried_out(config)
    _out(as_json, [{"what": what, "ok": error is None, "message": said} for what, said, error in results], [
        f"{'ok  ' if error is None else 'FAULT'} {what}: {said}" for what, said, error in results
    ])  # fmt: skip
    for _, _, error in results:
        if error is not None:
            sys.exit(error.exit_code)


@cli.command()
@click.pass_obj
def run(path: Path) -> None:
    """Run the daemon until it is stopped (Ctrl-C, or the signal TERM)."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    config = read_config(path)
    if not config.data.folder.is_dir():
        raise InputError(
            f"The data folder {config.data.folder} is not there.", do="check [data] in the configuration"
        )
    with workplace.opened(config) as node, relay_channel(config) as channel:
        daemon = Daemon(NodeService(node), node.desk, channel, poll=config.relay.poll)
        with stopping_on_signals(daemon) as signals:
            click.echo(f"Node {config.name} is at work. Relay: {config.relay.address}.", err=True)
            daemon.run()
    if signal.SIGINT in signals:
        raise KeyboardInterrupt


@cli.group()
def key() -> None:
    """This node's own key."""


@key.command("show")
@as_json
@click.pass_obj
def key_show(path: Path, as_json: bool) -> None:
    """Print the public key and its fingerprint, to be read out by telephone."""
    config = read_config(path)
    public = SigningKey.load(config.signing_key).public
    facts = {"name": config.name, "key": public.text, "fingerprint": public.fingerprint}
    _out(as_json, facts, [public.text, f"fingerprint: {public.fingerprint}"])


@cli.command()
@as_json
@click.pass_obj
def plans(path: Path, as_json: bool) -> None:
    """List the plans that arrived, and what became of them."""
    with _desk(path) as desk:
        found = [views.listed(study) for study in desk.studies()]
    lines = [
        f"{each['study']}: {each['state']}{_wished(each['wish'])}, epsilon {each['epsilon']:g}"
        for each in found
    ]
    _out(as_json, found, lines or ["No plan has arrived yet."])


@cli.command()
@click.argument("study")
@as_json
@click.pass_obj
def show(path: Path, study: str, as_json: bool) -> None:
    """Show what STUDY asks and, in exact numbers, what would leave this node."""
    config = read_config(path)
    with _desk(path) as desk:
        found = desk.find(study)
        view = views.shown(found, config.name, workplace.pinned_policy(config), desk.get(views.completed(found)))
    _out(as_json, view, views.plan_text(view))


@cli.command()
@click.argument("study")
@click.pass_obj
def approve(path: Path, study: str) -> None:
    """Approve STUDY: the daemon freezes its data and answers its rounds.

    When its cohort file is missing or faulty, the approval stands and waits for the file; the exit code is then 3.
    """
    config = read_config(path)
    with _desk(path) as desk:
        desk.wish(study, "approve")
    try:
        workplace.source(config, workplace.pinned_policy(config)).cohort(study)
    except CohortiumError as error:  # the approval stands, and waits for this
        click.echo(f"Approved '{study}', but it cannot start yet.\n{error}", err=True)
        sys.exit(error.exit_code)
    click.echo(f"Approved '{study}'. The daemon opens it within {config.relay.poll:g} s, if it runs.", err=True)


@cli.command()
@click.argument("study")
@click.pass_obj
def refuse(path: Path, study: str) -> None:
    """Refuse STUDY: nothing about it will leave this node."""
    with _desk(path) as desk:
        desk.wish(study, "refuse")
    click.echo(f"Refused '{study}'. The daemon tells the operator.", err=True)


@cli.group()
def ledger() -> None:
    """The privacy ledger: what was reserved and answered."""


@ledger.command("show")
@as_json
@click.pass_obj
def ledger_show(path: Path, as_json: bool) -> None:
    """Print every entry, oldest first."""
    with _ledger(path) as opened:
        entries = [{**entry.body, "hash": entry.hash} for entry in opened.entries()]
    lines = [
        "  ".join(
            str(entry.get(name, "")) for name in ("sequence", "at", "kind", "study", "round", "hash")
        ).rstrip()
        for entry in entries
    ]
    _out(as_json, entries, lines or ["The ledger has no entries yet."])


@ledger.command("verify")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--anchors", type=click.Path(path_type=Path, dir_okay=False),
              help="What witnesses hold: a copy of anchors.json.  [default, without FILE: this node's]")  # fmt: skip
@as_json
@click.pass_obj
def ledger_verify(path: Path, file: Path | None, anchors: Path | None, as_json: bool) -> None:
    """Walk the chain of the ledger, or of a copy of it in FILE, and name the first broken link.

    With anchors, say also whether the ledger is behind what witnesses hold of it. Works offline.

    \b
    Example:
      cohortium-node ledger verify copy.sqlite --anchors anchors.json
    """
    if file is None and anchors is None and read_config(path).anchors.exists():
        anchors = read_config(path).anchors
    mine = read_anchors(anchors)[0] if anchors else {}
    with closing(Ledger.read(file)) if file else _ledger(path) as opened:
        facts = {"entries": opened.verify(), "head": opened.head, "witnesses": list(mine)}
        for witness, statement in mine.items():
            check_statement(witness, statement, opened)
    held = f"at or after what these witnesses hold: {', '.join(mine)}" if mine else "held against no anchor"
    lines = [f"The chain holds: {facts['entries']} entries.", f"head: {facts['head']}", f"It is {held}."]
    _out(as_json, facts, lines)


@ledger.command("export")
@click.option("--format", "kind", type=click.Choice(views.EXPORTS), default="csv", show_default=True)
@click.option("--from", "file", type=click.Path(path_type=Path), help="A copy of a ledger.  [default: this node's]")
@click.pass_obj
def ledger_export(path: Path, kind: str, file: Path | None) -> None:
    """Write every entry to standard output, oldest first, for a spreadsheet or a program."""
    with closing(Ledger.read(file)) if file else _ledger(path) as opened:
        click.echo(views.exported(opened.entries(), kind), nl=False)


@cli.command()
@click.option("--if", "plan", type=click.Path(path_type=Path, allow_dash=True),
              help="A plan, as written or as signed: show what would be left after it.")  # fmt: skip
@as_json
@click.pass_obj
def budget(path: Path, plan: Path | None, as_json: bool) -> None:
    """Show what was spent, what is set aside for open studies, and what is left, under every cap.

    \b
    Examples:
      cohortium-node budget
      cohortium-node budget --if plan.yaml
    """
    config, today = read_config(path), datetime.now(UTC).date()
    policy = workplace.pinned_policy(config)
    with _ledger(path) as opened:
        accounts = opened.accounts
    if plan is None:
        view = views.budget(accounts, policy, today.year)
        return _out(as_json, view, views.budget_text(view))
    asked, operator = _asked(plan, config, policy)
    view = views.what_if(accounts, policy, asked, operator, config.name, today)
    _out(as_json, view, views.what_if_text(view))
    if view["refusals"]:
        sys.exit(BudgetRefusal.exit_code)
    return None


def _asked(file: Path, config: Config, policy: Policy) -> tuple[Plan, str]:
    """Returns a plan as written, or as signed, and who asks."""
    try:
        with click.open_file(str(file), encoding="utf-8") as opened:
            text = opened.read()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror or "" if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InputError(f"The file {file} cannot be read.", why=why, do="name a plan: YAML, or as signed") from error
    if not is_signed_plan(text):
        return load_plan(text, str(file)), config.operator
    message, envelopes = read_signed_plan(text, policy.operators)
    return message.plan, envelopes[0].sender


def _wished(wish: str) -> str:
    return {"approve": " (you approved it)", "refuse": " (you refused it)"}.get(wish, "")


def _desk(path: Path) -> closing[Desk]:
    config = read_config(path)
    if not config.studies.exists():
        raise UsageFault("No plan has arrived yet.", do="start the daemon first: cohortium-node run")
    return closing(Desk(config.studies))


def _ledger(path: Path) -> closing[Ledger]:
    config = read_config(path)
    if not config.ledger.exists():
        raise UsageFault("There is no ledger yet.", do="start the daemon first: cohortium-node run")
    return closing(Ledger.read(config.ledger))


def _out(as_json: bool, value: Any, lines: Iterable[str]) -> None:
    if as_json:
        click.echo(json.dumps(value, ensure_ascii=False, indent=2))
    else:
        for line in lines:
            click.echo(line)
