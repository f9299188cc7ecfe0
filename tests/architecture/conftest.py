"""The source files that architecture tests read."""

from __future__ import annotations

import ast
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "cohortium_protocols": ROOT / "protocols",
    "cohortium_node": ROOT / "node",
    "cohortium_coordinator": ROOT / "coordinator",
    "cohortium_simulations": ROOT / "simulations",
}


@dataclass(frozen=True)
class Module:
    """One Python file, read and parsed."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def name(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @property
    def package(self) -> str:
        return self.path.relative_to(ROOT).parts[1]

    def at(self, node: ast.expr | ast.stmt | ast.excepthandler) -> str:
        return f"{self.name}:{node.lineno}"


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def packages() -> dict[str, Path]:
    """Package name -> the folder that holds it and, for two of them, its own pyproject.toml."""
    return PACKAGES


@pytest.fixture(scope="session")
def shipped() -> list[Module]:
    """Every module of the four packages, generated stubs excepted."""
    paths = [path for name, folder in PACKAGES.items() for path in sorted((folder / name).rglob("*.py"))]
    texts = {path: path.read_text(encoding="utf-8") for path in paths if "_pb2" not in path.name}
    return [Module(path, text, ast.parse(text)) for path, text in texts.items()]


@pytest.fixture(scope="session")
def tree() -> dict[str, str]:
    """Every text file of the repository: its name -> its text."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    return {name: text for name in names if name and (text := _text(ROOT / name)) is not None}


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (UnicodeDecodeError, FileNotFoundError):
        return None
