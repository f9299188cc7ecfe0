"""Who imports whom, and whether each package declares what it imports."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

STANDARD = sys.stdlib_module_names

# Declared though no shipped module imports them by name, and why.
NOT_IMPORTED_BY_NAME = {
    "flwr": "a required library; the Flower adapters are the third channel",
    "numba": "for the matching kernel to come; locked from the start",
    "sqlglot": "ibis writes SQL with it; pinned below a broken version",
}


def test_the_import_contracts_hold(root: Path) -> None:
    run = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize(
    ("project", "covered"),
    [
        (".", {"cohortium_protocols", "cohortium_node", "cohortium_coordinator", "cohortium_simulations"}),
        ("protocols", {"cohortium_protocols"}),
        ("node", {"cohortium_node"}),
    ],
)
def test_what_is_imported_is_declared_and_what_is_declared_is_imported(
    root: Path, packages: dict[str, Path], project: str, covered: set[str]
) -> None:
    files = [path for name in covered for path in (packages[name] / name).rglob("*.py")]
    imported = set().union(*(_imports(ast.parse(path.read_text(encoding="utf-8"))) for path in files))
    needed = _distributions(imported - STANDARD - covered)
    declared = _declared(root / project / "pyproject.toml")
    assert needed - declared == set(), f"{project}: imported and not declared"
    assert declared - needed - NOT_IMPORTED_BY_NAME.keys() == set(), f"{project}: declared and not imported"


def _imports(tree: ast.Module) -> set[str]:
    absolute = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level]
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    return {name.split(".")[0] for name in [*names, *(node.module or "" for node in absolute)]}


def _distributions(modules: set[str]) -> set[str]:
    known = packages_distributions()
    # the second half of pydantic, which pins it exactly; and the part of ours that node installs on its own
    named = {"pydantic_core": "pydantic", "cohortium_protocols": "cohortium-protocols"}
    return {_normal(named.get(name) or known[name][0]) for name in modules}


def _declared(pyproject: Path) -> set[str]:
    requirements = tomllib.loads(pyproject.read_text())["project"]["dependencies"]
    return {_normal(re.split(r"[\[<>=~! ]", line)[0]) for line in requirements}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()

