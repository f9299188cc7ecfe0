"""A federation's files on this machine: an operator and its nodes, made with their own command lines.

What people do by hand and by telephone is done here at once: certificates and keys go from one to the other,
the custodians share a study key, and each pins the operator and the other nodes in a policy with a standing approval.
"""

from __future__ import annotations

import json
import random
import secrets
import socket
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import click

from cohortium_coordinator.channel import OperatorClient
from cohortium_coordinator.cli import cli as operator_commands
from cohortium_coordinator.config import load_config
from cohortium_node.cli import cli as node_commands
from cohortium_protocols.errors import ChannelError
from cohortium_simulations.processes import Program

OPERATOR = "lab"

_POLICY = """\
# Written for a simulation: no custodian would let every study of a lab through.

minimum_rows = 60

[caps]
per_study_epsilon = {epsilon}
total_epsilon = {total}
delta = 1e-6

[operators]
lab = "{operator}"

[peers]
{peers}

[[standing_approvals]]
operator = "lab"
study = "{study}"
epsilon = {epsilon}
methods = ["doubly_robust"]
outcomes = {outcomes}
until = 2999-12-31
"""
_CALLS = range(20_000, 32_000)


@dataclass(frozen=True)
class Approval:
    """What every custodian of the simulation allows.

    Attributes:
        study: name of the study, * for anything.
        outcomes: names of the outcomes that may be asked for.
        epsilon: the most for one study.
        total: the most for all studies together.
    """

    study: str
    outcomes: tuple[str, ...]
    epsilon: float
    total: float


@dataclass(frozen=True)
class Installation:
    """Where everything is.

    Attributes:
        folder: holds ``lab`` and ``nodes``.
        nodes: the names of the nodes.
    """

    folder: Path
    nodes: tuple[str, ...]

    @property
    def operator(self) -> Path:
        """The operator's configuration."""
        return self.folder / "lab" / "cohortium.toml"

    def node(self, name: str) -> Path:
        """Returns the folder of a node."""
        return self.folder / "nodes" / name

    @property
    def programs(self) -> dict[str, Program]:
        """The operator's service and every node's daemon."""
        serve = ("serve", "--config", str(self.operator))
        service = Program("cohortium_coordinator.cli", serve, f"{OPERATOR} listens at")
        return {OPERATOR: service} | {name: self._daemon(name) for name in self.nodes}

    def client(self) -> OperatorClient:
        """Returns a client of the operator's running service."""
        config = load_config(self.operator)
        return OperatorClient(config.address, config.operator)

    def _daemon(self, name: str) -> Program:
        run = ("--config", str(self.node(name) / "node.toml"), "run")
        return Program("cohortium_node.cli", run, f"Node {name} is at work")


def install(folder: Path, data: Mapping[str, Path], approval: Approval) -> Installation:
    """Makes an operator and its nodes in a folder, and returns where they are.

    Args:
        folder: an existing folder without ``lab``, ``nodes`` and ``study.key``.
        data: node -> the folder of its records.
        approval: what every custodian allows.

    Raises:
        CohortiumError: a file is there already or cannot be written, or there is no free port.
    """
    here, address = Installation(folder, tuple(data)), f"127.0.0.1:{_free_port()}"
    _run(operator_commands, "init", here.operator.parent, "--name", OPERATOR, "--listen", address)
    key = str(_asked(operator_commands, "key", "show", "--json", "--config", here.operator)["key"])
    (folder / "study.key").touch(mode=0o600)
    (folder / "study.key").write_text(secrets.token_hex(32) + "\n", encoding="ascii")
    for name, records in data.items():
        _run(node_commands, "init", here.node(name), "--operator", OPERATOR, "--operator-key", key,
             "--relay", address, "--data", records.absolute(),
             "--study-key", folder / "study.key")  # fmt: skip
    keys = {name: _key(here, name) for name in data}
    for name in data:
        peers = {peer: pinned for peer, pinned in keys.items() if peer != name}
        (here.node(name) / "policy.toml").write_text(_policy(approval, key, peers), encoding="utf-8")
        _enrol(here, name, keys[name])
    return here


def hand_out(cohort: bytes, study: str, installation: Installation) -> None:
    """Puts the provider's cohort file for a study into every node's folder."""
    for name in installation.nodes:
        (installation.node(name) / "cohorts" / f"{study}.csv").write_bytes(cohort)


def _key(here: Installation, name: str) -> str:
    """Returns a node's public key, as its custodian reads it out to the others."""
    return _asked(node_commands, "--config", here.node(name) / "node.toml", "key", "show", "--json")["key"]


def _enrol(here: Installation, name: str, key: str) -> None:
    tls = here.node(name) / "tls"
    enrolled = _asked(operator_commands, "enrol", name, "--request", tls / f"{name}.csr", "--key", key,
                      "--output", tls / f"{name}.pem", "--config", here.operator, "--json")  # fmt: skip
    (tls / "ca.pem").write_bytes(Path(enrolled["authority"]).read_bytes())


def _policy(approval: Approval, operator: str, peers: Mapping[str, str]) -> str:
    return _POLICY.format(
        operator=operator, study=approval.study, epsilon=approval.epsilon, total=approval.total,
        outcomes=json.dumps(approval.outcomes),
        peers="\n".join(f'{name} = "{key}"' for name, key in peers.items()),
    )  # fmt: skip


def _asked(commands: click.Group, *arguments: object) -> dict[str, str]:
    """Runs a command and returns the JSON that it prints."""
    answer: dict[str, str] = json.loads(_run(commands, *arguments))
    return answer


def _run(commands: click.Group, *arguments: object) -> str:
    """Runs a command in this process and returns what it prints; what it says to people is not shown."""
    with redirect_stdout(StringIO()) as printed, redirect_stderr(StringIO()):
        commands.main([str(argument) for argument in arguments], standalone_mode=False)
    return printed.getvalue()


def _free_port() -> int:
    """Returns a port below those of outgoing calls, so that a service that starts again can have it again."""
    for port in random.SystemRandom().sample(_CALLS, k=100):
        with socket.socket() as trial:
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ChannelError("This machine has no free port.", do="stop a program that listens on many ports")
