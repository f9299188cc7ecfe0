"""The generated pages of the reference are those that `python docs/generate` writes now."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every page as it is written today."""
    folder = tmp_path_factory.mktemp("reference")
    subprocess.run([sys.executable, "-B", ROOT / "docs/generate", folder], check=True)
    return folder


@pytest.mark.parametrize("name", ["commands.md", "data.md", "errors.md", "plan.md", "releases.md"])
def test_a_generated_page_is_up_to_date(made: Path, name: str) -> None:
    kept = ROOT / "docs/reference" / name
    assert kept.read_text() == (made / name).read_text(), "write it again: make reference"


def test_every_page_that_is_written_is_compared(made: Path) -> None:
    assert sorted(page.name for page in made.iterdir()) == sorted(
        page.name for page in (ROOT / "docs/reference").glob("*.md")
    )
