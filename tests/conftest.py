"""What every test shares: repeatable hypothesis runs, one worker for real processes, optional parts."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

ROOT = Path(__file__).parent.parent
REQUIRED = frozenset(filter(None, os.environ.get("COHORTIUM_REQUIRE", "").split(",")))

hypothesis.settings.register_profile("repeatable", derandomize=True, database=None, deadline=None)
hypothesis.settings.register_profile("explore", deadline=None, max_examples=1000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


def _validation() -> Path | None:
    folder = ROOT.parent / "shared" / "validation"
    return folder if (folder / "README.md").is_file() else None


def _chromium() -> Path | None:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    return Path(found) if found else None


def _postgres() -> Path | None:
    on_path = shutil.which("postgres")
    servers = [Path(on_path)] if on_path else sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    return servers[-1].parent if servers else None


PARTS: dict[str, tuple[str, Callable[[], Path | None]]] = {
    "validation": ("the published data sets in ../shared/validation, beside the repository", _validation),
    "chromium": ("the program chromium (Debian package chromium)", _chromium),
    "postgres": ("a PostgreSQL server's programs (Debian package postgresql)", _postgres),
}


@pytest.fixture(scope="session")
def require() -> Callable[[str], Path]:
    """A function that returns where an optional part is, and ends the test when it is absent.

    An absent part skips the test, or fails it when the part's name is in the environment variable
    COHORTIUM_REQUIRE (names with commas between them). Parts: a data folder, a program, a folder of programs.
    """
    return _require


def _require(name: str) -> Path:
    what, find = PARTS[name]
    place = find()
    if place is not None:
        return place
    if name in REQUIRED:
        pytest.fail(f"COHORTIUM_REQUIRE names {name!r}, but this machine lacks {what}.", pytrace=False)
    pytest.skip(f"needs {what}")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a name in COHORTIUM_REQUIRE that is no optional part: it would silently require nothing."""
    if unknown := REQUIRED - PARTS.keys():
        raise pytest.UsageError(f"COHORTIUM_REQUIRE: unknown {sorted(unknown)}; known are {sorted(PARTS)}.")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give tests that start processes to one worker."""
    for item in items:
        if item.get_closest_marker("process"):
            item.add_marker(pytest.mark.xdist_group("processes"))
