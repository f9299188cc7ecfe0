"""COHORTIUM_REQUIRE: an absent part skips a test, and fails it where the variable names the part."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TEST = "def test_on_real_data(require):\n    require('validation')\n"


@pytest.fixture
def suite(tmp_path: Path, root: Path) -> Path:
    """A repository of its own with one test, and no data beside it."""
    (tmp_path / "repository/tests").mkdir(parents=True)
    shutil.copy(root / "tests/conftest.py", tmp_path / "repository/tests/conftest.py")
    (tmp_path / "repository/tests/test_one.py").write_text(TEST)
    return tmp_path / "repository/tests"


@pytest.mark.parametrize(
    ("required", "status", "words"),
    [
        ("", 0, "needs the published data sets in ../shared/validation"),
        ("chromium", 0, "1 skipped"),
        ("validation", 1, "COHORTIUM_REQUIRE names 'validation', but this machine lacks"),
        ("validatoin", 4, "COHORTIUM_REQUIRE: unknown ['validatoin']"),
    ],
)
def test_an_absent_part(suite: Path, required: str, status: int, words: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rs", str(suite)],
        cwd=suite,
        env={**os.environ, "COHORTIUM_REQUIRE": required},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == status
    assert words in run.stdout + run.stderr
