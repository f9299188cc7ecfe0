"""The three command lines: every command with its options, and what the exit codes mean."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import click
from markup import code, fenced, page, table

from cohortium_coordinator.cli import cli as operator_commands
from cohortium_node.cli import cli as node_commands
from cohortium_protocols.errors import CohortiumError
from cohortium_simulations.cli import commands as simulation_commands

_PROGRAMS = {
    "cohortium": (operator_commands, "For operators."),
    "cohortium-node": (node_commands, "For custodians."),
    "cohortium-sim": (simulation_commands, "For researchers."),
}
_HEAD = """\
# Commands

Made from the programs themselves; they say the same with `--help`.

- Results go to standard output, talk and errors to standard error.
- `-` in the place of a file is standard input or output.
- `--json` prints the same facts for programs, in place of the text. In `cohortium-sim` it takes the name of
  a file, into which it writes them beside the text; `--json -` is standard output.
- `--help` works after every command.
- `cohortium-node` takes its configuration before the command: `cohortium-node -c north/node.toml check`."""
_OTHER_CODES = {0: "done", 1: "a fault in Cohortium itself: please report it", 130: "interrupted (Ctrl-C)"}


def text() -> str:
    """Returns the page."""
    return page(
        _HEAD,
        "## Exit codes",
        "The same in all three programs; [errors](errors.md) lists them one by one.",
        table(("code", "meaning"), sorted(_exit_codes().items())),
        *(part for name in _PROGRAMS for part in _program(name)),
    )


def _exit_codes() -> dict[int, str]:
    families = {error.exit_code: _sentence(error) for error in CohortiumError.__subclasses__()}
    return _OTHER_CODES | families


def _sentence(error: type[CohortiumError]) -> str:
    words = (inspect.getdoc(error) or "").partition("\n")[0].partition(";")[0].rstrip(".")
    return words[:1].lower() + words[1:]


def _program(name: str) -> Iterator[str]:
    group, reader = _PROGRAMS[name]
    yield f"## {name}"
    yield f"{reader} {' '.join(_paragraphs(group.help)[:1])}"
    yield _options(group)
    for path, command in _leaves(group, name):
        yield from _command(path, command)


def _leaves(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from _leaves(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def _command(path: str, command: click.Command) -> Iterator[str]:
    arguments = [each for each in command.params if isinstance(each, click.Argument)]
    metavars = [each.make_metavar(click.Context(command)) for each in arguments]
    yield f"### {path}"
    yield fenced(" ".join([path, *(["[OPTIONS]"] if _shown(command) else []), *metavars]))
    yield from _paragraphs(command.help)
    yield _options(command)
    yield from _paragraphs(command.epilog)


def _paragraphs(text: str | None) -> list[str]:
    """Splits a help text as click does: a block that begins with a backspace keeps its lines."""
    return [_block(part) for part in re.split(r"\n\s*\n", inspect.cleandoc(text or "")) if part.strip()]


def _block(part: str) -> str:
    if not part.startswith("\b"):
        return " ".join(part.split())
    first, _, rest = part.removeprefix("\b").lstrip("\n").partition("\n")
    return f"{first}\n\n{fenced(inspect.cleandoc(rest))}" if rest.strip() else first


def _options(command: click.Command) -> str:
    rows = [_option(option, command) for option in _shown(command)]
    return table(("option", "what", "default"), rows) if rows else ""


def _shown(command: click.Command) -> list[click.Option]:
    return [each for each in command.params if isinstance(each, click.Option) and each.name != "version"]


def _option(option: click.Option, command: click.Command) -> tuple[str, str, str]:
    described = option.get_help_record(click.Context(command)) or ("", "")
    names = ", ".join(sorted(option.opts, key=len, reverse=True))
    metavar = "" if option.is_flag else f" {option.make_metavar(click.Context(command))}"
    what, _, brackets = " ".join(described[1].split()).partition("[")  # click: "what  [default: x; range]"
    return code(names + metavar), what.strip(), brackets.rstrip("]").removeprefix("default: ")
