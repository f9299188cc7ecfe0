"""Every command line in the documentation names a command and options that there are."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from cohortium_coordinator.cli import cli as operator_commands
from cohortium_node.cli import cli as node_commands
from cohortium_simulations.cli import commands as simulation_commands

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("*/README.md")])
PROGRAMS = {"cohortium": operator_commands, "cohortium-node": node_commands, "cohortium-sim": simulation_commands}
FENCE = re.compile(r"^ *```(?:sh)?\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
PLACEHOLDERS = {"[OPTIONS]"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_command_line_shown_could_be_typed(page: Path) -> None:
    faults = {line: fault for line in _command_lines(page.read_text()) if (fault := _fault(line))}
    assert faults == {}


def _command_lines(text: str) -> Iterator[str]:
    blocks = re.sub(r"\\\n\s*", "", "\n".join(FENCE.findall(text)))
    found = re.findall(r"^\s*(?:[\w./]+/bin/)?(cohortium(?:-node|-sim)? .*)$", blocks, re.MULTILINE)
    found += re.findall(r"\$\((cohortium[^)|]*)", blocks)
    for line in found:
        yield re.split(r" [|>;] ?", re.sub(r"\$\([^)]*\)", "X", line))[0]


def _fault(line: str) -> str:
    """What is wrong with a command line; nothing as a rule."""
    program, *words = shlex.split(line, comments=True)
    command: click.Command = PROGRAMS[program]
    options = _options(command)
    while words:
        word = words.pop(0)
        name = word.partition("=")[0]
        if name.startswith("-") and name != "-":
            if name not in options and name not in ("-h", "--help"):
                return f"{command.name} has no option {name}"
            if name in options and not options[name].is_flag and "=" not in word:
                words = words[1:]
        elif isinstance(command, click.Group) and word not in PLACEHOLDERS:
            if word not in command.commands:
                return f"there is no command {word}"
            command = command.commands[word]
            options = _options(command)
    return ""


def _options(command: click.Command) -> dict[str, click.Option]:
    return {name: each for each in command.params if isinstance(each, click.Option) for name in each.opts}
