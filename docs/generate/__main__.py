"""Writes the generated pages of ``docs/reference``: ``python docs/generate [FOLDER]``."""

from __future__ import annotations

import sys
from pathlib import Path

import commands_page
import data_page
import errors_page
import plan_page
import releases_page

PAGES = {
    "commands.md": commands_page,
    "data.md": data_page,
    "errors.md": errors_page,
    "plan.md": plan_page,
    "releases.md": releases_page,
}


def main(folder: Path) -> None:
    """Writes every page into a folder, over what is there."""
    for name, made in PAGES.items():
        (folder / name).write_text(made.text(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "reference")
