"""The forecast as one picture: the interval's width against the number of people helped, a panel a headline outcome."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from xml.sax.saxutils import escape

from scipy.special import ndtri

from cohortium_coordinator.combine.estimate import Z95
from cohortium_coordinator.forecast.expectation import Expectation
from cohortium_coordinator.forecast.planned import Planned
from cohortium_coordinator.forecast.precision import Precision, precision
from cohortium_coordinator.forecast.verdict import FEASIBLE, INFEASIBLE, POWER, outcome_verdict, yardstick
from cohortium_coordinator.report.scale import significant_figures
from cohortium_protocols.estimates import estimates
from cohortium_protocols.outcomes import Outcome
from cohortium_protocols.plan import Plan

_LEFT, _WIDTH, _RIGHT, _TOP, _HEIGHT, _BOTTOM = 62, 300, 108, 58, 230, 64
_PANEL = _LEFT + _WIDTH + _RIGHT
_SPAN, _STEPS = 8, 48
"""The axis reaches from an eighth to eight times the people expected."""
_STYLE = """
:root{color-scheme:light dark;--paper:#ffffff;--ink:#1b232d;--muted:#545e6b;--rule:#dcd7cb;--line:#0d5a63}
@media (prefers-color-scheme:dark){:root{--paper:#1a2129;--ink:#e9ebee;--muted:#a9b2bd;--rule:#333d48;--line:#85cdd3}}
text{font:12px system-ui,sans-serif;fill:var(--ink);paint-order:stroke;stroke:var(--paper);stroke-width:3px}
.small{font-size:11px;fill:var(--muted)}
.head{font-size:13px;font-weight:600}
.paper{fill:var(--paper)}
.rule{stroke:var(--rule);stroke-width:1}
.limit{stroke:var(--muted);stroke-width:1;stroke-dasharray:2 3}
.line{fill:none;stroke:var(--line);stroke-width:2.5}
.chance{fill:none;stroke:var(--muted);stroke-width:1.5;stroke-dasharray:6 4}
.point{fill:var(--line);stroke:var(--paper);stroke-width:2}
"""


@dataclass(frozen=True)
class _Axis:
    """A logarithmic axis: ``start`` and ``end`` in pixels stand for ``low`` and ``high``."""

    low: float
    high: float
    start: float
    end: float

    def place(self, value: float) -> float:
        part = math.log(min(max(value, self.low), self.high) / self.low) / math.log(self.high / self.low)
        return self.start + part * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Returns 1, 2, 5, 10 ... between the ends."""
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        every = (digit * 10.0**decade for decade in decades for digit in (1, 2, 5))
        return [tick for tick in every if self.low <= tick <= self.high]


class _Curve:
    """One outcome's width, in its unit per person, as the number of people helped changes."""

    def __init__(self, planned: Planned, expected: Expectation, outcome: Outcome) -> None:
        self.planned, self.expected, self.outcome = planned, expected, outcome
        self.size = outcome.clip - outcome.low
        most = min(_SPAN * expected.helped, expected.comparators)
        least = expected.helped / _SPAN
        self.helped = [least * (most / least) ** (step / _STEPS) for step in range(_STEPS + 1)]
        self.points = [(helped, self.at(helped)) for helped in self.helped]

    def at(self, helped: float) -> Precision:
        so_many = replace(self.expected, helped=max(round(helped), 1))
        return precision(self.planned, so_many, estimates(self.planned.plan)[0], self.outcome)

    def limit(self, part: float) -> float:
        """Returns the width at which the smallest effect found is such a part of what is expected."""
        se = part * yardstick(self.expected, self.outcome) / (Z95 + float(ndtri(POWER)))
        return self.size * 2 * Z95 * se


def picture(plan: Plan, expected: Expectation) -> str:
    """Returns a plain SVG that follows the reader's light or dark setting."""
    planned = Planned(plan)
    wanted = [outcome for outcome in plan.outcomes if outcome.primary]
    curves = [_Curve(planned, expected, outcome) for outcome in wanted]
    panels = [part for place, curve in enumerate(curves) for part in _panel(place, curve)]
    width, height = _PANEL * len(wanted), _TOP + _HEIGHT + _BOTTOM
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">',
        f"<title>Width of the 95 % interval by number of people helped: {escape(plan.title)}</title>",
        f"<style>{_STYLE}</style>", f'<rect class="paper" width="{width}" height="{height}"/>', *panels, "</svg>", "",
    ])  # fmt: skip


def _panel(place: int, curve: _Curve) -> Iterator[str]:
    x, y = _axes(curve)
    yield f'<g transform="translate({place * _PANEL},0)">'
    yield _text(x.start, 24, escape(curve.outcome.title), "head")
    yield _text(x.start, 42, f"width of the 95 % interval, {escape(curve.outcome.unit)} per person", "small")
    yield from _grid(x, y)
    for part, word in ((FEASIBLE, "feasible below"), (INFEASIBLE, "infeasible above")):
        if y.low < curve.limit(part) < y.high:
            yield from _limit(x, y.place(curve.limit(part)), word)
    yield from _lines(curve, x, y)
    yield "</g>"


def _axes(curve: _Curve) -> tuple[_Axis, _Axis]:
    widths = [curve.size * width for _, each in curve.points for width in (each.width, each.width_by_chance)]
    high = min(max(widths), 2 * curve.size)
    x = _Axis(curve.helped[0], curve.helped[-1], _LEFT, _LEFT + _WIDTH)
    return x, _Axis(min(widths) / 1.15, high * 1.15, _TOP + _HEIGHT, _TOP)


def _grid(x: _Axis, y: _Axis) -> Iterator[str]:
    for tick in x.ticks():
        yield _line("rule", (x.place(tick), y.start), (x.place(tick), y.end))
        yield _text(x.place(tick), y.start + 18, f"{tick:,.0f}", "small", "middle")
    for tick in y.ticks():
        yield _line("rule", (x.start, y.place(tick)), (x.end, y.place(tick)))
        yield _text(x.start - 8, y.place(tick) + 4, significant_figures(tick), "small", "end")
    yield _text((x.start + x.end) / 2, y.start + 38, "people helped who are found", "small", "middle")


def _limit(x: _Axis, height: float, word: str) -> Iterator[str]:
    yield _line("limit", (x.start, height), (x.end, height))
    yield _text(x.end + 6, height + 4, word, "small")


def _lines(curve: _Curve, x: _Axis, y: _Axis) -> Iterator[str]:
    def drawn(kind: str, width: Callable[[Precision], float]) -> str:
        places = (f"{x.place(helped):.1f},{y.place(curve.size * width(each)):.1f}" for helped, each in curve.points)
        return f'<polyline class="{kind}" points="{" ".join(places)}"/>'

    helped, last = curve.expected.helped, curve.points[-1][1]
    here = curve.at(helped)
    words = f"{helped:,} helped: {outcome_verdict(curve.planned, curve.expected, curve.outcome)}"
    yield drawn("chance", lambda each: each.width_by_chance)
    yield drawn("line", lambda each: each.width)
    yield _text(x.end + 6, y.place(curve.size * last.width_by_chance) + 8, "without noise", "small")
    yield f'<circle class="point" cx="{x.place(helped):.1f}" cy="{y.place(curve.size * here.width):.1f}" r="6"/>'
    yield _text(x.place(helped) + 10, y.place(curve.size * here.width) - 8, words)


def _text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{words}</text>'


def _line(kind: str, start: tuple[float, float], end: tuple[float, float]) -> str:
    return f'<line class="{kind}" x1="{start[0]:.1f}" y1="{start[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}"/>'
