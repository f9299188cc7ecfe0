"""Intervals of one outcome under each other on one axis: the drawing that several sections share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cohortium_coordinator.report import disclosure, text
from cohortium_coordinator.report.figures import Tick, hoped_side, place, round_up, symmetric_ticks
from cohortium_coordinator.report.scale import decimals, number, scale_of
from cohortium_coordinator.result import Limits, OutcomeEffect, OutcomeEstimate, PooledEffect, StudyResult

Span = PooledEffect | Limits


@dataclass(frozen=True)
class Strip:
    """One line of the figure; without places where nothing may be drawn. `leading` lines stand out."""

    title: str
    words: str
    description: str
    verdict: text.Verdict
    low: float | None
    high: float | None
    estimate: float | None
    leading: bool


@dataclass(frozen=True)
class Strips:
    """One outcome: all lines share an axis, on which the headline's estimate is marked."""

    title: str
    unit: str
    rows: tuple[Strip, ...]
    ticks: tuple[Tick, ...]
    headline: float
    left: str
    right: str
    better_side: str


@dataclass(frozen=True)
class Line:
    """What a line is about: its title and its interval, or the word in place of one."""

    title: str
    span: Span | str
    leading: bool = False


def strips(outcome: OutcomeEffect, lines: Iterable[Line]) -> Strips:
    """The figure of one outcome, as wide as the widest interval."""
    listed, scale = list(lines), scale_of(outcome)
    ends = [end for line in listed if not isinstance(line.span, str) for end in (line.span.low, line.span.high)]
    limit = round_up(1.05 * scale.factor * max(abs(end) for end in (outcome.estimate, *ends)))
    return Strips(
        title=outcome.title, unit=scale.amount, rows=tuple(_strip(outcome, line, limit) for line in listed),
        ticks=symmetric_ticks(limit), headline=place(scale.factor * outcome.estimate, limit),
        better_side=outcome.better, left=hoped_side(scale.less, outcome.better == "lower", outcome.better),
        right=hoped_side(scale.more, outcome.better == "higher", outcome.better),
    )  # fmt: skip


def _strip(outcome: OutcomeEffect, line: Line, limit: float) -> Strip:
    if isinstance(line.span, str):
        words = line.span.capitalize()
        return Strip(line.title, line.span, f"{words}.", text.Verdict("unclear", "?", words), None, None, None,
                     line.leading)  # fmt: skip
    like, scale, span = _like(outcome, line.span), scale_of(outcome), line.span
    mean = place(scale.factor * span.estimate, limit) if isinstance(span, PooledEffect) else None
    verdict = text.verdict(like)
    return Strip(
        title=line.title, words=text.span(like), description=f"{text.impact(like)} {verdict.words}.", verdict=verdict,
        low=place(scale.factor * span.low, limit), high=place(scale.factor * span.high, limit), estimate=mean,
        leading=line.leading,
    )  # fmt: skip


def _like(outcome: OutcomeEffect, span: Span) -> OutcomeEffect:
    """The outcome with another interval, to be said in the same words."""
    change = {"low": span.low, "high": span.high, "significant": span.low > 0 or span.high < 0}
    return outcome.model_copy(update=change)


def whole(outcome: OutcomeEffect) -> PooledEffect:
    """The outcome's own effect, to be drawn as one line."""
    return PooledEffect(estimate=outcome.estimate, se=outcome.se, low=outcome.low, high=outcome.high)


def shown(effect: PooledEffect | None, people: float) -> PooledEffect | str:
    """An effect where it may be shown, or the word in its place."""
    if effect is None:
        return disclosure.TOO_FEW
    return effect if disclosure.mean_may_be_shown(people) else "suppressed"


def interval(outcome: OutcomeEffect, span: Span | None) -> str:
    """An interval as "L to U" on the outcome's shown scale; empty where there is none."""
    if span is None:
        return ""
    factor = scale_of(outcome).factor
    low, high = factor * span.low, factor * span.high
    places = decimals(low, high)
    return f"{number(low, places)} to {number(high, places)}"


def outcome_of(result: StudyResult, name: str) -> OutcomeEstimate:
    """The outcome of that name."""
    return next(outcome for outcome in result.outcomes if outcome.name == name)
