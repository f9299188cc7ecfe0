"""Geometry of the report's figures: horizontal places are percentages, so that a figure fits any page width.

A figure is a stack of strips, one drawing a row, with its label and its words beside it as text. The
templates draw; nothing here knows about SVG.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from cohortium_coordinator.report import disclosure, text
from cohortium_coordinator.report.scale import number, scale_of, significant_figures
from cohortium_coordinator.result import AttritionStep, BalanceRow, OutcomeEstimate, StudyResult

MARGIN = 6.0  # % of a strip's width kept free on either side
THRESHOLDS = (-0.10, -0.05, 0.05, 0.10)


@dataclass(frozen=True)
class Tick:
    """A labelled place on an axis."""

    at: float
    label: str


@dataclass(frozen=True)
class ForestRow:
    """One outcome on its own scale, the zero line in the middle."""

    title: str
    unit: str
    primary: bool
    words: str
    description: str
    verdict: text.Verdict
    low: float
    high: float
    estimate: float
    truth: float | None
    ticks: tuple[Tick, ...]
    left: str
    right: str
    better_side: str


@dataclass(frozen=True)
class LoveRow:
    """One covariate's standardised difference before and after weighting."""

    title: str
    description: str
    verdict: text.Verdict
    before: float
    after: float
    low: float
    high: float


@dataclass(frozen=True)
class LovePlot:
    """All rows share one axis: the thresholds and the ticks are places on it."""

    rows: tuple[LoveRow, ...]
    thresholds: tuple[float, ...]
    ticks: tuple[Tick, ...]


@dataclass(frozen=True)
class AttritionBar:
    """One step of the flow: a bar from `start`, `width` wide (both % of the rows submitted)."""

    label: str
    count: str
    percentage: str
    description: str
    start: float
    width: float
    tone: str


def round_up(value: float) -> float:
    """The next of 1, 2, 3, 4, 6, 8 times a power of ten at or above a value; 1 for zero."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 3, 4, 6, 8, 10) if step * power >= value * (1 - 1e-9))


def place(value: float, limit: float) -> float:
    """Where a value in [-limit, limit] lies on a strip with zero in the middle (%)."""
    return round(50 + (50 - MARGIN) * max(-1.0, min(1.0, value / limit)), 3)


def symmetric_ticks(limit: float) -> tuple[Tick, ...]:
    """Ticks at the ends, half way and at zero."""
    values = (-limit, -limit / 2, 0.0, limit / 2, limit)
    return tuple(Tick(place(value, limit), significant_figures(value)) for value in values)


def forest(result: StudyResult) -> tuple[ForestRow, ...]:
    """The effect on every outcome with its 95% interval, each on its own scale."""
    truth = result.truth or {}
    return tuple(_forest_row(outcome, truth.get(outcome.name)) for outcome in result.ordered_outcomes)


def _forest_row(outcome: OutcomeEstimate, truth: float | None) -> ForestRow:
    scale = scale_of(outcome)
    reach = max(abs(value) for value in (outcome.low, outcome.high, truth or 0.0))
    limit = round_up(1.05 * reach * scale.factor)
    at = {
        name: place(scale.factor * value, limit)
        for name, value in (("low", outcome.low), ("high", outcome.high), ("estimate", outcome.estimate))
    }
    described = f"{text.impact(outcome)} {text.verdict(outcome).words}."
    return ForestRow(
        title=outcome.title,
        unit=scale.amount,
        primary=outcome.primary,
        words=text.span_with_unit(outcome),
        description=described if truth is None else f"{described} The simulation's truth is marked.",
        verdict=text.verdict(outcome),
        truth=None if truth is None else place(scale.factor * truth, limit),
        ticks=symmetric_ticks(limit),
        left=hoped_side(scale.less, outcome.better == "lower", outcome.better),
        right=hoped_side(scale.more, outcome.better == "higher", outcome.better),
        better_side=outcome.better,
        **at,
    )


def hoped_side(word: str, hoped_for: bool, better: str) -> str:
    """The word at one side of a figure, with "better" or "worse" where a direction is hoped for."""
    if better == "neither":
        return word
    return f"{word}: better" if hoped_for else f"{word}: worse"


def love(result: StudyResult) -> LovePlot:
    """Standardised mean differences before and after weighting, with the 0.05 and 0.10 lines."""
    values = [abs(v) for row in result.balance for v in (row.smd_before, row.smd_after, row.low, row.high)]
    limit = round_up(max([0.2, *values]))
    return LovePlot(
        tuple(_love_row(row, limit) for row in result.balance),
        tuple(place(value, limit) for value in THRESHOLDS),
        symmetric_ticks(limit),
    )


def _love_row(row: BalanceRow, limit: float) -> LoveRow:
    verdict = text.balance_state(row.state)
    before, after, low, high = (number(v, 2) for v in (row.smd_before, row.smd_after, row.low, row.high))
    change = f"Before weighting {before}, after {after}"
    return LoveRow(
        title=row.title,
        description=f"{change}, 95% interval {low} to {high}. {verdict.words}.",
        verdict=verdict,
        before=place(row.smd_before, limit),
        after=place(row.smd_after, limit),
        low=place(row.low, limit),
        high=place(row.high, limit),
    )


def attrition(result: StudyResult) -> tuple[AttritionBar, ...]:
    """From the rows submitted to the people analysed; bars use the counts as shown, not as released."""
    flow = result.attrition
    whole = flow.submitted or sum(_shown(step) for step in flow.steps) or 1
    left, bars = whole, []
    if flow.submitted is not None:
        bars.append(AttritionBar(text.SUBMITTED, f"{whole:,}", "100%", "All rows submitted.", 0, 100, "whole"))
    for step in sorted(flow.steps, key=lambda step: step.name == "analysed"):
        final = step.name == "analysed"
        size = min(_shown(step), whole if final else left)
        left -= 0 if final else size
        bars.append(_bar(step, flow.submitted, 0 if final else 100 * left / whole, 100 * size / whole))
    return tuple(bars)


def _shown(step: AttritionStep) -> int:
    return disclosure.presented(step.count) or 0 if step.count is not None else 0


def _bar(step: AttritionStep, submitted: int | None, start: float, width: float) -> AttritionBar:
    count, share = disclosure.count(step.count), disclosure.percentage(step.count, submitted)
    said = "suppressed" if count == disclosure.SUPPRESSED else f"{count} people"
    return AttritionBar(
        label=step.label,
        count=count,
        percentage=share,
        description=f"{said}{f', {share} of those submitted' if share else ''}.",
        start=round(start, 3),
        width=round(width, 3),
        tone="kept" if step.name == "analysed" else "lost",
    )
