"""Relative differences and ratios of outcomes, and checks by outcomes in which no difference is expected, as text."""

from __future__ import annotations

from cohortium_coordinator.report import disclosure, text
from cohortium_coordinator.report.scale import decimals, number, scale_of
from cohortium_coordinator.report.tables import Cell, Table
from cohortium_coordinator.result import OutcomeEstimate, RateRatio, RatioEstimate, StudyResult

NOT_SHOWN = "not shown"


def relative(ratio: RateRatio | None) -> str:
    """A rate ratio's interval as people say it: "5% to 32% lower", "32% lower to 4% higher"."""
    if ratio is None:
        return NOT_SHOWN
    low, high = ratio.low - 1, ratio.high - 1
    if low >= 0 or high <= 0:
        near, far = sorted((abs(low), abs(high)))
        return f"{near:.0%} to {far:.0%} {'higher' if low >= 0 else 'lower'}"
    return f"{-low:.0%} lower to {high:.0%} higher"


def relative_differences(result: StudyResult) -> Table:
    """Every finding that is a number of events or days, relative to what was expected."""
    rows = [outcome for outcome in result.ordered_outcomes if outcome.rate_ratio]
    return Table(
        "relative",
        "Relative differences: what the people helped had, over what was expected of them",
        ("Outcome", "Relative difference, 95% interval", "Rate ratio", "95% interval"),
        tuple((Cell(outcome.title), *_ratio_cells(outcome.rate_ratio)) for outcome in rows),
        "Left out where the comparison value is too near zero to divide by.",
    )


def ratios(result: StudyResult) -> Table:
    """The ratios of outcomes that the plan asks for, of all people of a group together."""
    return Table(
        "ratios",
        "Rates and means: one outcome over another, of all people of a group together",
        ("Measure", "Treatment value", "Comparison value", "Difference", "Significant?", "Relative difference"),
        tuple(_ratio_row(result, ratio) for ratio in result.ratios),
        "A difference is not shown where there is too little to divide by.",
    )


def falsification(result: StudyResult) -> Table:
    """The outcomes in which no difference is expected; the states of their checks are in the table of checks."""
    return Table(
        "falsification",
        "Outcomes in which no difference is expected",
        ("Outcome", "Treatment value", "Comparison value", "Difference, 95% interval"),
        tuple(_expected_alike(outcome) for outcome in result.falsification),
        "A difference here speaks against the comparison, not for or against the help.",
    )


def _ratio_cells(ratio: RateRatio | None) -> tuple[Cell, ...]:
    if ratio is None:
        return (Cell(NOT_SHOWN),) * 3
    texts = (relative(ratio), number(ratio.estimate, 2), f"{number(ratio.low, 2)} to {number(ratio.high, 2)}")
    return tuple(Cell(each, numeric=True) for each in texts)


def _ratio_row(result: StudyResult, ratio: RatioEstimate) -> tuple[Cell, ...]:
    unit = ratio.unit if ratio.per == 1 else f"{ratio.unit} times {ratio.per:g}"
    head, effect = Cell(ratio.title, detail=unit), ratio.effect
    if effect is None:
        return (head, *(Cell(NOT_SHOWN),) * 5)
    places = decimals(effect.low, effect.high)
    shown = all(disclosure.mean_may_be_shown(outcome.n_treated) for outcome in result.outcomes)
    treated = number(effect.treated, places) if shown else disclosure.SUPPRESSED
    interval = f"{number(effect.low, places)} to {number(effect.high, places)}"
    figures = (treated, number(effect.comparison, places), interval)
    return (head, *(Cell(figure, numeric=True) for figure in figures), Cell("Yes" if effect.significant else "No"),
            Cell(relative(effect.rate_ratio), numeric=True))  # fmt: skip


def _expected_alike(outcome: OutcomeEstimate) -> tuple[Cell, ...]:
    scale = scale_of(outcome)
    places = decimals(scale.factor * outcome.low, scale.factor * outcome.high)
    values = [
        number(scale.factor * mean, places) if disclosure.mean_may_be_shown(people) else disclosure.SUPPRESSED
        for mean, people in ((outcome.treated_mean, outcome.n_treated), (outcome.comparison_mean, outcome.n_compared))
    ]
    figures = (Cell(each, numeric=True) for each in values)
    return (Cell(outcome.title, detail=scale.amount), *figures, Cell(text.span_with_unit(outcome)))
