"""Geometry of the figures: places in percent of a strip's width."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohortium_coordinator.report import figures, read_result
from cohortium_coordinator.result import Attrition, AttritionStep

EXAMPLE = read_result(Path(__file__).parents[2] / "docs" / "reference" / "report.example.json")


@pytest.mark.parametrize(
    ("value", "limit"), [(0, 1), (1, 1), (1.2, 2), (2.5, 3), (33.1, 40), (0.07, 0.08), (95, 100), (-1, 1)]
)
def test_axes_end_at_round_numbers(value: float, limit: float) -> None:
    assert figures.round_up(value) == pytest.approx(limit)


@given(st.floats(1e-6, 1e6))
def test_an_axis_holds_what_it_must(value: float) -> None:
    assert value * (1 - 1e-9) <= figures.round_up(value) <= 2.0001 * value


def test_zero_stands_in_the_middle_and_the_interval_on_its_side() -> None:
    by_title = {row.title: row for row in figures.forest(EXAMPLE)}
    lower = by_title["A&E attendances"]
    assert lower.low < lower.estimate < lower.high < 50
    higher = by_title["Bed-days"]
    assert 50 < higher.low < higher.estimate < higher.high
    spans = by_title["Death"]
    assert spans.low < 50 < spans.high
    assert [tick.at for tick in lower.ticks][2] == 50


def test_the_hoped_for_side_is_named_in_words() -> None:
    by_title = {row.title: row for row in figures.forest(EXAMPLE)}
    assert (by_title["Bed-days"].left, by_title["Bed-days"].right) == ("fewer: better", "more: worse")
    assert (by_title["Elective admissions"].left, by_title["Elective admissions"].right) == ("fewer", "more")


def test_truth_is_drawn_only_where_it_is_known() -> None:
    assert all(row.truth is not None for row in figures.forest(EXAMPLE))
    real = EXAMPLE.model_copy(update={"truth": None})
    assert all(row.truth is None for row in figures.forest(real))


def test_the_love_plot_has_its_lines_at_five_and_ten_hundredths() -> None:
    plot = figures.love(EXAMPLE)
    outer, inner = plot.thresholds[3] - 50, plot.thresholds[2] - 50
    assert outer == pytest.approx(2 * inner)
    assert 50 - plot.thresholds[0] == pytest.approx(outer)
    assert all(0 <= place <= 100 for row in plot.rows for place in (row.before, row.after, row.low, row.high))


def test_the_people_who_left_are_taken_off_from_the_right_and_those_analysed_come_last() -> None:
    bars = figures.attrition(EXAMPLE)
    assert (bars[0].label, bars[0].width) == ("Submitted by the provider", 100)
    lost = [bar for bar in bars if bar.tone == "lost"]
    assert lost[0].start + lost[0].width == pytest.approx(100)
    assert all(a.start >= b.start for a, b in pairwise(lost))
    assert (bars[-1].label, bars[-1].start, bars[-1].count) == ("Analysed", 0, "1,085")


def test_a_suppressed_count_has_no_length() -> None:
    few = AttritionStep(name="opted_out", label="Opted out", count=6.2, low=1, high=11)
    all_in = AttritionStep(name="analysed", label="Analysed", count=94.0, low=90, high=98)
    flow = Attrition(submitted=100, steps=(few, all_in))
    bar = figures.attrition(EXAMPLE.model_copy(update={"attrition": flow}))[1]
    assert (bar.count, bar.width, bar.description) == ("*", 0, "suppressed.")
