"""One picture of a coverage study: a row a scenario, and panels for coverage, bias and width; a plain SVG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from cohortium_simulations.coverage.acceptance import COVERAGE, LARGEST_BIAS, Verdict

_NAMES, _PANEL, _GAP, _ROW, _TOP, _BOTTOM = 150, 220, 30, 22, 46, 34
_INK, _PALE, _BAND, _GOOD, _BAD = "#222222", "#bbbbbb", "#e3eef5", "#1b6ca8", "#c0392b"
_STYLE = "text{font:12px sans-serif;fill:#222222}.small{font-size:11px}.head{font-weight:bold}"


@dataclass(frozen=True)
class _Shown:
    """What a panel shows of a scenario: its figure, none if nothing was published; an interval; a limit of its own."""

    value: float | None
    interval: tuple[float, float] | None = None
    limit: float | None = None


@dataclass(frozen=True)
class _Panel:
    """One column of the picture.

    Attributes:
        title: what it shows.
        low, high: ends of its axis; figures beyond are drawn at the end.
        marks: labelled places on the axis.
        band: what is accepted.
        shown: what is shown of a scenario.
    """

    title: str
    low: float
    high: float
    marks: dict[float, str]
    band: tuple[float, float]
    shown: Callable[[Verdict], _Shown]

    def place(self, value: float) -> float:
        """Returns where a value is drawn, in pixels from the panel's left edge."""
        inside = min(max(value, self.low), self.high)
        return _PANEL * (inside - self.low) / (self.high - self.low)


_PANELS = (
    _Panel("Coverage of the 95 % interval, %", 0.80, 1.0, {0.8: "80", 0.85: "85", 0.9: "90", 0.95: "95", 1.0: "100"},
           COVERAGE, lambda each: _Shown(each.summary.coverage, each.summary.coverage_interval)),
    _Panel("Bias, in standard errors", -1.0, 1.0, {-1.0: "−1", -0.5: "−0.5", 0.0: "0", 0.5: "0.5", 1.0: "1"},
           (-LARGEST_BIAS, LARGEST_BIAS), lambda each: _Shown(each.summary.bias_over_se)),
    _Panel("Floor ratio (line: limit)", 0.0, 2.0, {0.0: "0", 0.5: "0.5", 1.0: "1", 1.5: "1.5", 2.0: "2"},
           (0.0, 1.0), lambda each: _Shown(each.summary.floor_ratio, limit=each.floor_limit)),
)  # fmt: skip


def plot(verdicts: Sequence[Verdict]) -> str:
    """Returns the picture; a filled point passes, an open one fails."""
    width, height = _NAMES + len(_PANELS) * (_PANEL + _GAP), _TOP + _ROW * len(verdicts) + _BOTTOM
    names = [
        f'<text x="{_NAMES - 12}" y="{_middle(row) + 4}" text-anchor="end">{escape(verdict.scenario.label)}</text>'
        for row, verdict in enumerate(verdicts)
    ]
    panels = [part for place, panel in enumerate(_PANELS) for part in _drawn(panel, place, verdicts)]
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
        "<title>Coverage, bias and width of every scenario</title>", f"<style>{_STYLE}</style>",
        f'<rect width="{width}" height="{height}" fill="white"/>', *names, *panels, "</svg>", "",
    ])  # fmt: skip


def _drawn(panel: _Panel, place: int, verdicts: Sequence[Verdict]) -> list[str]:
    left, bottom = _NAMES + place * (_PANEL + _GAP), _TOP + _ROW * len(verdicts)
    start, end = (panel.place(value) for value in panel.band)
    parts = [
        f'<g transform="translate({left},0)">', f'<text class="head" x="0" y="{_TOP - 18}">{panel.title}</text>',
        f'<rect x="{start:.1f}" y="{_TOP}" width="{end - start:.1f}" height="{bottom - _TOP}" fill="{_BAND}"/>',
    ]  # fmt: skip
    for value, label in panel.marks.items():
        x = f"{panel.place(value):.1f}"
        parts.append(f'<line x1="{x}" x2="{x}" y1="{_TOP}" y2="{bottom}" stroke="{_PALE}" stroke-width="0.5"/>')
        parts.append(f'<text class="small" x="{x}" y="{bottom + 18}" text-anchor="middle">{label}</text>')
    return [*parts, *(line for row, each in enumerate(verdicts) for line in _point(panel, row, each)), "</g>"]


def _point(panel: _Panel, row: int, verdict: Verdict) -> list[str]:
    shown, y, colour = panel.shown(verdict), _middle(row), _GOOD if verdict.passed else _BAD
    if shown.value is None:
        return [f'<text class="small" x="4" y="{y + 4}">none published</text>']
    parts = []
    if shown.interval is not None:
        parts.append(_line((panel.place(shown.interval[0]), panel.place(shown.interval[1])), (y, y), colour))
    if shown.limit is not None:
        parts.append(_line((panel.place(shown.limit),) * 2, (y - 7, y + 7), _INK))
    x, fill = panel.place(shown.value), colour if verdict.passed else "white"
    return [*parts, f'<circle cx="{x:.1f}" cy="{y}" r="4" fill="{fill}" stroke="{colour}" stroke-width="1.5"/>']


def _line(x: tuple[float, float], y: tuple[int, int], colour: str) -> str:
    ends = f'x1="{x[0]:.1f}" x2="{x[1]:.1f}" y1="{y[0]}" y2="{y[1]}"'
    return f'<line {ends} stroke="{colour}" stroke-width="1.5"/>'


def _middle(row: int) -> int:
    return _TOP + _ROW * row + _ROW // 2
