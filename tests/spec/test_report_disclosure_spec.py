"""How a count may be shown: rules applied after noise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohortium_coordinator.report import disclosure

COUNTS = [
    (None, "not released"),
    (-12.3, "0"),
    (0.0, "0"),
    (0.4, "0"),
    (0.6, "*"),
    (1.0, "*"),
    (7.4, "*"),
    (7.6, "10"),
    (8.0, "10"),
    (12.4, "10"),
    (13.0, "15"),
    (1184.2, "1,185"),
]


@pytest.mark.parametrize(("released", "shown"), COUNTS)
def test_count(released: float | None, shown: str) -> None:
    assert disclosure.count(released) == shown


INTERVALS = [
    (None, 0.0, 10.0, ""),
    (4.0, -3.0, 11.0, ""),
    (0.0, -12.0, 12.0, "0 to 15"),
    (58.4, 46.1, 70.0, "45 to 70"),
    (1084.3, 1072.0, 1096.0, "1,070 to 1,100"),
]


@pytest.mark.parametrize(("count", "low", "high", "shown"), INTERVALS)
def test_an_interval_is_shown_only_with_its_count(
    count: float | None, low: float, high: float, shown: str
) -> None:
    assert disclosure.count_interval(count, low, high) == shown


@given(st.floats(-50, 1e6))
def test_no_small_count_is_ever_shown(released: float) -> None:
    shown = disclosure.presented(released)
    assert shown is None or shown == 0 or (shown >= 10 and shown % 5 == 0)


def test_a_percentage_is_taken_from_the_count_as_shown() -> None:
    assert disclosure.percentage(13.0, 100) == "15%"
    assert disclosure.percentage(3.0, 100) == ""
    assert disclosure.percentage(13.0, None) == ""


def test_a_mean_is_shown_from_eight_people() -> None:
    assert not disclosure.mean_may_be_shown(7.9)
    assert disclosure.mean_may_be_shown(8)


def test_five_reasons_for_an_empty_cell_are_five_words() -> None:
    meanings = " ".join(disclosure.EMPTY_CELLS.values())
    assert {"refused", "offline", "over budget"} < disclosure.EMPTY_CELLS.keys()
    assert "suppressed" in meanings
    assert "zero" in meanings
    assert len(set(disclosure.EMPTY_CELLS.values())) == len(disclosure.EMPTY_CELLS)
