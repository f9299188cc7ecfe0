"""Small pieces of Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(heading: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Returns a table; bars in cells are escaped."""
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def code(text: object) -> str:
    """Returns text as code; nothing for nothing."""
    return f"`{text}`" if text not in ("", None) else ""


def fenced(text: str) -> str:
    """Returns text as a block of code."""
    return f"```\n{text}\n```"


def page(*parts: str) -> str:
    """Returns a page: its parts with a blank line between them."""
    return "\n\n".join(part for part in parts if part) + "\n"


def _cell(cell: object) -> str:
    return str(cell).replace("|", "\\|").replace("\n", " ")
