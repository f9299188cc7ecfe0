"""What a person at a terminal sees: progress while a study runs, and its result as a few lines."""

from __future__ import annotations

import shutil
import time
from typing import Self, TextIO

from cohortium_coordinator.result import OutcomeEstimate, StudyResult

_HEAD = ("outcome", "estimate", "95 % interval", "truth")


class Progress:
    """Steps with the seconds since the first: on a terminal one line that changes, elsewhere a line a change.

    Args:
        stream: where people look, as a rule standard error.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._terminal = stream.isatty()
        self._began = time.monotonic()
        self._text = ""

    def step(self, text: str) -> None:
        """Begins a step: what is shown of the one before stays."""
        if self._terminal and self._text:
            self._stream.write("\n")
        self._show(text)

    def detail(self, text: str, more: str = "") -> None:
        """Says how far the step is, in the place of what was said before; ``more`` is for a terminal only."""
        if self._terminal or text != self._text:
            self._show(text, more)

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        if self._terminal and self._text:
            self._stream.write("\n")
        self._stream.flush()

    def _show(self, text: str, more: str = "") -> None:
        self._text = text
        line = f"{time.monotonic() - self._began:5.1f} s  {text}"
        if self._terminal:
            width = shutil.get_terminal_size().columns - 1
            self._stream.write(f"\r\x1b[2K{f'{line}{more}'[:width]}")
        else:
            self._stream.write(f"{line}\n")
        self._stream.flush()


def outcome_lines(result: StudyResult) -> list[str]:
    """Returns a short table of the outcomes, what was spent, and every warning that belongs beside it."""
    rows = [_HEAD, *(_row(outcome, result) for outcome in result.findings)]
    columns = 4 if result.truth else 3
    widths = [max(len(row[column]) for row in rows) for column in range(columns)]
    table = ["  ".join(cell.rjust(width) if place else cell.ljust(width)
                       for place, (cell, width) in enumerate(zip(row, widths, strict=False)))
             for row in rows]  # fmt: skip
    return [*_warnings(result), *table, _spent(result)]


def _row(outcome: OutcomeEstimate, result: StudyResult) -> tuple[str, str, str, str]:
    each = 1 if outcome.kind == "number" else 100
    truth = (result.truth or {}).get(outcome.name)
    figures = (outcome.estimate, outcome.low, outcome.high)
    estimate, low, high = (f"{each * figure:+.2f}" for figure in figures)
    name = f"{outcome.title} (per {'person' if each == 1 else '100 people'})"
    return name, estimate, f"{low} to {high}", "" if truth is None else f"{each * truth:+.2f}"


def _warnings(result: StudyResult) -> list[str]:
    warnings = []
    if not result.privacy.noise:
        warnings.append("NOT PRIVATE: noise is off. Never show this for real people.")
    if result.privacy.bounds_from_data:
        warnings.append("NOT PRIVATE: bounds were read from the data.")
    if not result.published:
        warnings.append(f"NOT PUBLISHED: {result.not_published_because}")
    return warnings


def _spent(result: StudyResult) -> str:
    privacy = result.privacy
    if not privacy.noise:
        return f"Privacy: none; {_nodes(result)}"
    return f"Privacy spent: epsilon {privacy.epsilon:.2f} at delta {privacy.delta:g}; {_nodes(result)}"


def _nodes(result: StudyResult) -> str:
    return f"{len(result.nodes)} node{'s' * (len(result.nodes) != 1)}"
