"""The operator's configuration: one TOML file, read once, into a frozen value."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from cohortium_protocols.errors import InputError, SignatureError
from cohortium_protocols.signing import VerifyKey
from cohortium_protocols.tls import TlsFiles, check_name

CONFIG_FILE = "cohortium.toml"

_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_DURATION = re.compile(r"([0-9]{1,6}) (second|minute|hour|day)s?")
_TLS = ("authority", "authority_key", "server", "server_key", "operator", "operator_key")
_KEYS = {
    "": ("name", "data_dir", "signing_key", "listen", "address", "time_outs", "tls", "nodes"),
    "time_outs": ("decision", "round"),
    "tls": _TLS,
}


@dataclass(frozen=True)
class StudySettings:
    """What running studies needs.

    Attributes:
        name: the operator's name in every envelope.
        data_dir: folder of the studies' records, the mailbox and the reports.
        nodes: the pinned key of every node, by name.
        time_to_decide: how long nodes may take to approve or refuse a plan.
        time_to_answer: how long nodes may take to answer one round.
    """

    name: str
    data_dir: Path
    nodes: Mapping[str, VerifyKey]
    time_to_decide: timedelta = timedelta(days=14)
    time_to_answer: timedelta = timedelta(days=2)

    @property
    def reports(self) -> Path:
        """Folder of the reports: one folder a study."""
        return self.data_dir / "reports"


@dataclass(frozen=True)
class Config:
    """Everything an operator decides once.

    Attributes:
        path: the file it was read from.
        studies: what running studies needs.
        signing_key: file of the key that signs plans and requests.
        listen: address and port the relay listens at.
        address: address and port at which the operator's own commands reach it.
        server: files of the relay's certificate.
        operator: files of the certificate of the operator's own commands.
        authority_key: file of the key that issues nodes' certificates.
    """

    path: Path
    studies: StudySettings
    signing_key: Path
    listen: str
    address: str
    server: TlsFiles
    operator: TlsFiles
    authority_key: Path


def config_text(name: str, listen: str) -> str:
    """Returns the text of a new configuration, with its comments."""
    return f"""\
# The operator's configuration. Paths start from the folder of this file.

{f'name = "{name}"':<34} # the operator's name in every plan and message
data_dir = "data"                  # studies, messages and reports; back this folder up
signing_key = "keys/signing.pem"   # signs plans and requests; never leaves this machine
{f'listen = "{listen}"':<34} # address and port of the relay that nodes call
# address = "lab.example:7443"     # where this machine's own commands reach the relay, if not at `listen`

[time_outs]                        # seconds, minutes, hours or days
decision = "14 days"               # how long nodes may take to approve or refuse a plan
round = "2 days"                   # how long nodes may take to answer one round

[tls]                              # who may connect; made by `cohortium init`
authority = "tls/authority.pem"
authority_key = "tls/authority.key"
server = "tls/server.pem"
server_key = "tls/server.key"
operator = "tls/operator.pem"
operator_key = "tls/operator.key"

# Nodes whose answers are accepted; added by `cohortium enrol`.
"""


def node_text(name: str, key: VerifyKey) -> str:
    """Returns the lines that pin a node's key, to be added at the end of a configuration."""
    return f'\n[nodes.{name}]\nkey = "{key.text}"   # fingerprint {key.fingerprint}\n'


def load_config(path: Path) -> Config:
    """Returns the configuration in a file.

    Raises:
        InputError: the file is missing, or a value in it is not as it must be; the message names it.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"The configuration {path} cannot be read.",
            why=error.strerror or "" if isinstance(error, OSError) else "it is not UTF-8 text",
            do="make one with `cohortium init FOLDER`, or name it with --config",
        ) from error
    return parse_config(text, path)


def parse_config(text: str, path: Path) -> Config:
    """Returns the configuration in a text that is, or will be, in a file.

    Raises:
        InputError: it is not TOML, or a value in it is not as it must be; the message names it.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(
            f"The configuration {path} is not valid TOML.", why=str(error), do="correct that line"
        ) from error
    return _Reader(path, tables).config()


class _Reader:
    """Takes values out of the tables of one file, and names what is wrong with them."""

    def __init__(self, path: Path, tables: dict[str, Any]) -> None:
        self._path = path
        self._tables = {"": tables} | {
            name: self._table(tables, name) for name in ("time_outs", "tls", "nodes")
        }
        for section, known in _KEYS.items():
            for key in self._tables[section]:
                if key not in known:
                    raise self._fault(
                        _place(section, key), "is not a setting", f"use one of: {', '.join(known)}"
                    )

    def config(self) -> Config:
        tls = {name: self._file("tls", name) for name in _TLS}
        listen = self._address("listen")
        return Config(
            path=self._path,
            studies=self._studies(),
            signing_key=self._file("", "signing_key"),
            listen=listen,
            address=self._address("address") if "address" in self._tables[""] else _reached(listen),
            server=TlsFiles(tls["authority"], tls["server"], tls["server_key"]),
            operator=TlsFiles(tls["authority"], tls["operator"], tls["operator_key"]),
            authority_key=tls["authority_key"],
        )

    def _studies(self) -> StudySettings:
        return StudySettings(
            name=check_name(self._text("", "name")),
            data_dir=self._file("", "data_dir"),
            nodes={name: self._node(name, node) for name, node in self._tables["nodes"].items()},
            time_to_decide=self._duration("decision"),
            time_to_answer=self._duration("round"),
        )

    def _node(self, name: str, node: Any) -> VerifyKey:
        if not isinstance(node, dict) or set(node) != {"key"} or not isinstance(node["key"], str):
            raise self._fault(f"nodes.{name}", "has no key", "enrol the node with `cohortium enrol`")
        try:
            return VerifyKey.from_text(node["key"])
        except SignatureError as error:
            raise self._fault(f"nodes.{name}.key", "is not a public key of Cohortium", error.do) from error

    def _table(self, tables: dict[str, Any], name: str) -> dict[str, Any]:
        table = tables.get(name, {})
        if not isinstance(table, dict):
            raise self._fault(name, "is not a section", f"write it as [{name}]")
        return table

    def _text(self, section: str, key: str) -> str:
        value = self._tables[section].get(key)
        if not isinstance(value, str) or not value:
            problem = "is missing" if value is None else "is not text in quotes"
            raise self._fault(_place(section, key), problem, f"write, for example, {_example(section, key)}")
        return value

    def _file(self, section: str, key: str) -> Path:
        return self._path.parent / self._text(section, key)

    def _address(self, key: str) -> str:
        text = self._text("", key)
        host, _, port = text.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise self._fault(
                key, f"is '{text}', not an address and a port", f"write, for example, {_example('', key)}"
            )
        return text

    def _duration(self, key: str) -> timedelta:
        text = self._text("time_outs", key)
        found = _DURATION.fullmatch(text)
        if found is None or not int(found[1]):
            raise self._fault(
                f"time_outs.{key}", f"is '{text}', not a length of time", 'write, for example, "2 days"'
            )
        return timedelta(seconds=int(found[1]) * _UNITS[found[2]])

    def _fault(self, place: str, problem: str, do: str) -> InputError:
        return InputError(f"In the configuration {self._path}, `{place}` {problem}.", do=do)


def _place(section: str, key: str) -> str:
    return f"{section}.{key}" if section else key


def _example(section: str, key: str) -> str:
    lines = tomllib.loads(config_text("lab", "127.0.0.1:7443"))
    value = (lines[section] if section else lines).get(key, "lab.example:7443")
    return f'{key} = "{value}"'


def _reached(listen: str) -> str:
    host, _, port = listen.rpartition(":")
    return f"localhost:{port}" if host in ("0.0.0.0", "[::]") else listen  # noqa: S104
