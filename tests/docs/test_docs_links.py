"""The documentation's links lead somewhere and its commands exist."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("*/README.md")])
FENCE = re.compile(r"^ *```.*?\n(.*?)^ *```", re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def test_every_link_to_a_file_or_heading_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", page.read_text()))
    assert [link for link in links if not re.match(r"[a-z]+:", link) and not _leads(page, link)] == []


def test_every_make_target_shown_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = set(re.findall(r"\bmake ([a-z]+)\b", _code(page.read_text())))
    assert shown <= targets


def test_every_command_shown_is_installed(page: Path) -> None:
    scripts = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"])
    command = re.compile(r"^[ $]*(?:\.venv/bin/)?(cohortium[a-z-]*) ", re.MULTILINE)
    shown = set(command.findall(_fenced(page.read_text())))
    assert shown <= scripts


def test_every_path_shown_exists(page: Path) -> None:
    shown = re.findall(r"`([a-z.]+)(/[^`\s*]+)`", page.read_text())
    paths = [folder + rest for folder, rest in shown if (ROOT / folder).is_dir()]
    assert [path for path in paths if not (ROOT / path).exists()] == []


def _leads(page: Path, link: str) -> bool:
    place, _, heading = link.partition("#")
    target = (page.parent / place).resolve() if place else page
    if not (target.exists() and target.is_relative_to(ROOT)):
        return False
    return not heading or heading in _headings(target.read_text())


def _headings(text: str) -> set[str]:
    titles = re.findall(r"^#+ +(.+?) *$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def _fenced(text: str) -> str:
    return "\n".join(FENCE.findall(text))


def _code(text: str) -> str:
    """Fenced blocks and `spans`."""
    return "\n".join([_fenced(text), *re.findall(r"`([^`\n]+)`", FENCE.sub("", text))])
