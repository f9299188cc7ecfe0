"""What the commands have in common: files, the configuration, the connection to the service."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import click

from cohortium_coordinator.channel import OperatorClient
from cohortium_coordinator.config import CONFIG_FILE, Config, load_config
from cohortium_protocols.errors import InputError, StorageError

F = TypeVar("F", bound=Callable[..., Any])


class ConfigFile(click.ParamType[Config]):
    """The path of a configuration, read when the command line is."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Config:
        """Returns the configuration in the file."""
        return value if isinstance(value, Config) else load_config(Path(value))


class Day(click.ParamType[date]):
    """A day, written as in a plan."""

    name = "YYYY-MM-DD"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        """Returns the day."""
        try:
            return date.fromisoformat(value)
        except ValueError:
            self.fail(f"'{value}' is not a day; write, for example, 2031-03-31", param, ctx)


def configured(command: F) -> F:
    """Gives a command the option --config, which it receives as ``config``."""
    text = "The operator's configuration."
    return click.option("--config", type=ConfigFile(), default=CONFIG_FILE, show_default=True, help=text)(
        command
    )


def with_json(command: F) -> F:
    """Gives a command the flag --json, which it receives as ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")(command)


def connected(config: Config) -> OperatorClient:
    """Returns a client of the running service."""
    return OperatorClient(config.address, config.operator)


def read_text(path: str) -> str:
    """Returns the text of a file, or of standard input for ``-``.

    Raises:
        InputError: it cannot be read, or is not UTF-8.
    """
    try:
        data = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        return data.decode("utf-8")
    except OSError as error:
        raise InputError(
            f"The file {path} cannot be read.", why=error.strerror or "", do="check the path"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"The file {path} is not UTF-8 text.", why=f"byte {error.start + 1} is none of such a text",
            do="name a text file, or save it as UTF-8",
        ) from error


def write_out(data: bytes, output: str) -> None:
    """Writes to a file, or to standard output for ``-``.

    Raises:
        StorageError: the file cannot be written.
    """
    if output == "-":
        sys.stdout.buffer.write(data)
        return
    try:
        Path(output).write_bytes(data)
    except OSError as error:
        do = "choose another path"
        raise StorageError(
            f"The file {output} cannot be written.", why=error.strerror or "", do=do
        ) from error


def echo_json(value: Any) -> None:
    """Prints a value as JSON."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def table(rows: list[tuple[str, ...]]) -> str:
    """Returns rows as aligned columns; columns of figures are aligned to the right."""
    columns = list(zip(*rows, strict=True))
    lines = zip(*(_aligned(column) for column in columns), strict=True)
    return "\n".join("  ".join(line).rstrip() for line in lines)


def _aligned(column: tuple[str, ...]) -> list[str]:
    width, figures = max(map(len, column)), all(cell[:1].isdecimal() for cell in column[1:])
    return [cell.rjust(width) if figures else cell.ljust(width) for cell in column]
