"""`make` on a machine whose Python is too old, or that has none."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

OLD = '#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.10.13" && exit 0\nexit 1\n'


@pytest.fixture
def bare(tmp_path: Path, root: Path) -> Path:
    """A fresh clone's Makefile and locks, and a folder of programs with little more than a shell."""
    for name in ("Makefile", "pyproject.toml", "requirements.lock", "requirements-dev.lock"):
        shutil.copy(root / name, tmp_path / name)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/sh").symlink_to(os.path.realpath(shutil.which("sh") or ""))
    return tmp_path


def _make(clone: Path, target: str) -> subprocess.CompletedProcess[str]:
    command, environment = [shutil.which("make") or "make", target], {"PATH": str(clone / "bin")}
    return subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("target", ["demo", "test"])
def test_an_old_python_is_named_and_nothing_is_made(bare: Path, target: str) -> None:
    (bare / "bin/python3").write_text(OLD)
    (bare / "bin/python3").chmod(0o755)
    run = _make(bare, target)
    assert run.returncode != 0
    assert "Cohortium needs Python 3.11, 3.12, 3.13 or 3.14; found: Python 3.10.13." in run.stderr
    assert f"make {target} PYTHON=/path/to/python3" in run.stderr
    assert not (bare / ".venv").exists()


def test_a_missing_python_is_said_to_be_missing(bare: Path) -> None:
    assert "found: none." in _make(bare, "demo").stderr
