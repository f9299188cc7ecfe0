"""The operator's own place: setting it up, enrolling nodes, and running the service."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import click

from cohortium_coordinator.commands.shared import configured, echo_json, with_json
from cohortium_coordinator.config import CONFIG_FILE, Config, config_text, node_text, parse_config
from cohortium_protocols.errors import InputError, StorageError, TrustError
from cohortium_protocols.signing import SigningKey, VerifyKey
from cohortium_protocols.tls import Authority, Party, check_name, make_request, write_certificate

_EVERYWHERE = ("0.0.0.0", "[::]")  # noqa: S104  (compared, never bound)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--name", default="lab", show_default=True, help="The operator's name in plans and messages.")
@click.option("--listen", default="127.0.0.1:7443", show_default=True, help="Address and port of the relay.")
@click.option("--host", "hosts", multiple=True, help="A name or address under which nodes reach the relay.")
def init(folder: Path, name: str, listen: str, hosts: Sequence[str]) -> None:
    """Make a new operator in FOLDER: keys, certificate authority and configuration.

    \b
    Example:
      cohortium init lab --listen 0.0.0.0:7443 --host lab.example.org
    """
    check_name(name)
    _check_new(folder)
    path = folder / CONFIG_FILE
    text = config_text(name, listen)
    config = parse_config(text, path)
    _write(path, text)
    host = listen.rpartition(":")[0]
    reached = dict.fromkeys(
        [*hosts, *([] if host in _EVERYWHERE else [host.strip("[]")]), "localhost", "127.0.0.1"]
    )
    authority = Authority.make(config.server.authority, config.authority_key, name)
    authority.issue_server(config.server.certificate, config.server.key, list(reached))
    request = make_request(config.operator.key, name)
    write_certificate(config.operator.certificate, authority.issue_client(request, Party(name, "operator")))
    key = SigningKey.generate()
    key.save(config.signing_key)
    click.echo(
        f"Made {path}. Nodes pin this key:\n  {key.public.text}\n  fingerprint {key.public.fingerprint}",
        err=True,
    )


@click.command()
@click.argument("name")
@click.option("--request", "request_file", required=True, help="The node's certificate request.")
@click.option("--key", "key_text", required=True, help="The node's public key: ed25519:...")
@click.option(
    "--output", help="Where the certificate goes.  [default: enrolled/NAME.pem beside the configuration]"
)
@configured
@with_json
def enrol(
    name: str, request_file: str, key_text: str, output: str | None, config: Config, as_json: bool
) -> None:
    """Let a node in: issue its certificate and pin its key.

    Compare the key's fingerprint with the custodian by telephone first. Then start a running service again.

    \b
    Example:
      cohortium enrol north --request north.csr --key ed25519:AAAA...
    """
    key = VerifyKey.from_text(key_text)
    _check_pin(check_name(name), key, config)
    authority = Authority.load(config.server.authority, config.authority_key)
    certificate = authority.issue_client(_read_request(request_file), Party(name, "node"))
    path = Path(output) if output else config.path.parent / "enrolled" / f"{name}.pem"
    write_certificate(path, certificate)
    if name not in config.studies.nodes:
        _write(config.path, config.path.read_text(encoding="utf-8") + node_text(name, key), replace=True)
    operator = SigningKey.load(config.signing_key).public
    if as_json:
        echo_json({"node": name, "fingerprint": key.fingerprint, "certificate": str(path),
                   "authority": str(config.server.authority), "operator": config.studies.name,
                   "operator_key": operator.text})  # fmt: skip
        return
    click.echo(f"Enrolled {name}, key fingerprint {key.fingerprint}.\nSend to the custodian:", err=True)
    click.echo(f"  {path}\n  {config.server.authority}, which is the node's ca.pem", err=True)
    click.echo(f"  the operator's name {config.studies.name} and key {operator.text}", err=True)


@click.command()
@configured
def serve(config: Config) -> None:
    """Run the relay and the studies until interrupted.

    Stopping it at any moment loses nothing: it goes on from there when it is started again.

    \b
    Example:
      cohortium serve --config lab/cohortium.toml
    """
    from cohortium_coordinator.serve import (
        Server,
    )  # here: it loads the statistics, which no other command needs

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    ended, signals = threading.Event(), list[int]()

    def stop(number: int, _frame: FrameType | None) -> None:
        signals.append(number)
        ended.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    server = Server(config)
    server.start()
    click.echo(f"{config.studies.name} listens at {config.listen}; stop with Ctrl-C.", err=True)
    ended.wait()
    server.stop()
    if signal.SIGINT in signals:
        raise KeyboardInterrupt


@click.group()
def key() -> None:
    """The key that signs plans and requests."""


@key.command("show")
@configured
@with_json
def show_key(config: Config, as_json: bool) -> None:
    """Print the operator's public key, which nodes pin, and its fingerprint to compare by telephone."""
    public = SigningKey.load(config.signing_key).public
    if as_json:
        echo_json({"operator": config.studies.name, "key": public.text, "fingerprint": public.fingerprint})
    else:
        click.echo(f"{public.text}\nfingerprint {public.fingerprint}")


def _check_new(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            f"The folder {folder} is not empty.",
            why="keys are never overwritten",
            do="choose a new folder, or move what is in it away first",
        )


def _check_pin(name: str, key: VerifyKey, config: Config) -> None:
    if config.studies.nodes.get(name, key) != key:
        raise TrustError(
            f"Another key of '{name}' is pinned already.",
            why="a node's key does not change unless its machine was set up again",
            do=f"ask the custodian by telephone; if it is right, remove [nodes.{name}] from {config.path}",
        )


def _read_request(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"The certificate request {path} cannot be read.", why=error.strerror or "",
                         do="check the path") from error  # fmt: skip


def _write(path: Path, text: str, *, replace: bool = False) -> None:
    """Writes a file whole or not at all."""
    draft = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise StorageError(f"The file {path} cannot be written.", why=error.strerror or "",
                           do="check the folder's permissions and the free space") from error  # fmt: skip
