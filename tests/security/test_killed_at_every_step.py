"""A node killed at every step of a release, a few times each; `make soak` does it 200 times and keeps the table."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from kills import MOMENTS, killed, table

KEPT = Path(__file__).parents[2] / "docs" / "validation" / "killed-at-every-step.md"


@pytest.mark.process
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_kill_leaves_one_charge_and_one_answer(moment: str) -> None:
    found = killed(moment, 5)
    assert (found.kills, found.broken) == (5, [])
    charge, answer = {"after_store": (5, 5), "any moment": (found.reserved, found.answered)}.get(moment, (5, 0))
    assert (found.reserved, found.answered) == (charge, answer)


def test_the_table_that_is_kept_is_of_every_moment_and_shows_no_breach() -> None:
    text = KEPT.read_text()
    assert text.startswith(table([]).rstrip())
    rows = re.findall(r"^\| ([a-z ]+) \| (\d+) \| \d+ \| \d+ \| (\d+) \|$", text, re.MULTILINE)
    assert [name for name, _, _ in rows] == [moment.replace("_", " ") for moment in MOMENTS]
    assert all(int(times) >= 200 and broken == "0" for _, times, broken in rows)
