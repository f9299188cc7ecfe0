"""The tables of a report: captions, columns and cells as text, ready to be drawn and read aloud."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cohortium_coordinator.report import disclosure, text
from cohortium_coordinator.report.scale import decimals, number, rounded_up, scale_of, significant_figures
from cohortium_coordinator.result import Check, OutcomeEstimate, ProfileRow, Release, StudyResult


@dataclass(frozen=True)
class Cell:
    """A cell; `numeric` aligns figures, `tone` marks a verdict, `detail` is a second, smaller line."""

    text: str
    numeric: bool = False
    tone: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Table:
    """A table whose first cell in every row names the row."""

    name: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""


_TYPICAL = (
    "Typical: the mean of the square roots, turned back. A few very large values move it less than the plain mean, and "
    "it is smaller."
)


def figure_row(head: str, *figures: str) -> tuple[Cell, ...]:
    """The cells of a row of figures."""
    return (Cell(head), *(Cell(figure, numeric=True) for figure in figures))


def _outcome_row(outcome: OutcomeEstimate, *figures: str) -> tuple[Cell, ...]:
    return (Cell(outcome.title, detail=scale_of(outcome).amount), *figure_row("", *figures)[1:])


def _badge(verdict: text.Verdict) -> Cell:
    return Cell(f"{verdict.symbol} {verdict.words}", tone=verdict.tone)


def _places(outcome: OutcomeEstimate) -> int:
    factor = scale_of(outcome).factor
    return decimals(factor * outcome.low, factor * outcome.high)


def _on_scale(outcome: OutcomeEstimate, amount: float) -> str:
    return number(scale_of(outcome).factor * amount, _places(outcome))


def _mean(outcome: OutcomeEstimate, mean: float, people: float) -> str:
    return _on_scale(outcome, mean) if disclosure.mean_may_be_shown(people) else disclosure.SUPPRESSED


def _means(outcome: OutcomeEstimate) -> tuple[str, str]:
    return (
        _mean(outcome, outcome.treated_mean, outcome.n_treated),
        _mean(outcome, outcome.comparison_mean, outcome.n_compared),
    )


def interval(outcome: OutcomeEstimate) -> str:
    """The difference as "L to U" on the outcome's shown scale."""
    return f"{_on_scale(outcome, outcome.low)} to {_on_scale(outcome, outcome.high)}"


def overall(result: StudyResult) -> Table:
    """Overall measurements: 100 typical people of each group, side by side."""
    return Table(
        "overall",
        "What happened to 100 typical people in each group during follow-up",
        ("Outcome", "Treatment group", "Comparison group"),
        tuple(_outcome_row(outcome, *_means(outcome)) for outcome in result.ordered_outcomes),
    )


RESULT_COLUMNS = (
    "Outcome",
    "Helped",
    "Compared",
    "Treatment value",
    "Comparison value",
    "Difference",
    "Significant?",
    "p-value",
)


def results(result: StudyResult) -> Table:
    """Every outcome: group sizes, values, difference as "L to U", significance, p-value, any truth."""
    truth = result.truth or {}
    several = any(outcome.p_value_holm is not None for outcome in result.outcomes)
    return Table(
        "results",
        "Results for every outcome, with 95% intervals",
        (*RESULT_COLUMNS, *(("p-value, adjusted",) if several else ()), *(("Truth (simulated)",) if truth else ())),
        tuple(
            (*_result(o), *((_adjusted(o),) if several else ()), *((_truth(o, truth),) if truth else ()))
            for o in result.ordered_outcomes
        ),
        _EFFECTIVE + (f" {_ADJUSTED}" if several else ""),
    )


_EFFECTIVE = (
    "The number compared is an effective size: weighting makes a large group count as a smaller one. Where a report "
    "counts the same people twice, the two counts differ a little, because each has noise of its own."
)
_ADJUSTED = (
    "With several main outcomes, one of them is more easily significant by chance alone; their adjusted p-values "
    "(Holm) allow for this. Intervals, and “significant?”, are of each outcome by itself."
)


def _adjusted(outcome: OutcomeEstimate) -> Cell:
    return Cell("" if outcome.p_value_holm is None else text.p_value(outcome.p_value_holm), numeric=True)


def _result(outcome: OutcomeEstimate) -> tuple[Cell, ...]:
    sizes = (disclosure.count(outcome.n_treated), disclosure.count(outcome.n_compared))
    return (
        *_outcome_row(outcome, *sizes, *_means(outcome), interval(outcome)),
        Cell("Yes" if outcome.significant else "No"),
        Cell(text.p_value(outcome.p_value), numeric=True),
    )


def _truth(outcome: OutcomeEstimate, truth: Mapping[str, float]) -> Cell:
    return Cell(_on_scale(outcome, truth[outcome.name]) if outcome.name in truth else "", numeric=True)


def precision(result: StudyResult) -> Table:
    """What capping, cutting and noise did to each estimate."""
    return Table(
        "precision",
        "What protection cost, outcome by outcome",
        ("Outcome", "Interval without noise", "Share of an effect left by the cut", "Cut at"),
        tuple(
            figure_row(o.title, text.cost_of_noise(o), f"{100 * o.pass_through:.0f}%", _cut(o))
            for o in result.ordered_outcomes
        ),
        "“Cut” is the largest surprise, up or down, that one person's record may add to a sum. The estimate is "
        "corrected for the share of an effect that this loses.",
    )


def _cut(outcome: OutcomeEstimate) -> str:
    if outcome.residual_clip >= outcome.clip_high - outcome.clip_low:
        return "not cut"
    if outcome.kind == "binary":
        return f"± {significant_figures(100 * outcome.residual_clip)} %"
    return f"± {significant_figures(outcome.residual_clip)} {outcome.unit}"


def attrition(result: StudyResult) -> Table:
    """From the rows submitted to the people analysed."""
    flow = result.attrition
    submitted = disclosure.NOT_RELEASED if flow.submitted is None else f"{flow.submitted:,}"
    steps = sorted(flow.steps, key=lambda step: step.name == "analysed")
    noisy = " and carry noise" if result.privacy.noise else ""
    return Table(
        "attrition",
        "What became of the people submitted",
        ("Step", "People", "95% interval", "Of those submitted"),
        (
            figure_row(text.SUBMITTED, submitted, "", "100%" if flow.submitted else ""),
            *(
                figure_row(
                    step.label,
                    disclosure.count(step.count),
                    disclosure.count_interval(step.count, step.low, step.high),
                    disclosure.percentage(step.count, flow.submitted),
                )
                for step in steps
            ),
        ),
        f"Counts are rounded to the nearest 5{noisy}, so they need not add up.",
    )


def nodes(result: StudyResult) -> Table:
    """What became of each data holder."""
    return Table(
        "nodes",
        "Data holders",
        ("Data holder", "Status", "Rounds answered"),
        tuple(
            (Cell(node.name), Cell(node.status), Cell(str(node.rounds_answered), numeric=True))
            for node in result.nodes
        ),
    )


def profile(result: StudyResult) -> Table:
    """Who was helped, beside the comparison group before and after weighting."""
    shown = bool(result.outcomes) and all(disclosure.mean_may_be_shown(o.n_treated) for o in result.outcomes)
    return Table(
        "profile",
        "Profile: the people helped, and the comparison group before and after weighting",
        ("Characteristic (mean or share)", "Helped", "Compared, before", "Compared, after", "Unit"),
        tuple(
            (*figure_row(row.title, *_profile_values(row, shown)), Cell("%" if row.unit == "share" else row.unit))
            for row in result.profile
        ),
        _TYPICAL if any(row.unit == "typical" for row in result.profile) else "",
    )


def _profile_values(row: ProfileRow, shown: bool) -> tuple[str, ...]:
    factor = 100 if row.unit == "share" else 1
    places = 2 if row.unit == "typical" else 1
    helped, *compared = (
        number(factor * value, places) for value in (row.treated, row.comparison_before, row.comparison_after)
    )
    return (helped if shown else disclosure.SUPPRESSED, *compared)


def balance(result: StudyResult) -> Table:
    """Matching quality: standardised mean differences before and after weighting."""
    return Table(
        "balance",
        "Matching quality: standardised mean differences between the groups",
        ("Characteristic", "Before", "After", "95% interval, after", "State", "Must be alike?"),
        tuple(
            (
                *figure_row(
                    row.title,
                    number(row.smd_before, 2),
                    number(row.smd_after, 2),
                    f"{number(row.low, 2)} to {number(row.high, 2)}",
                ),
                _badge(text.balance_state(row.state)),
                Cell("yes" if row.mandatory else "no"),
            )
            for row in result.balance
        ),
        "Not alike: the whole interval lies beyond 0.10. Alike: it lies within 0.10. Otherwise the noise is "
        "too large to tell. 0.05 or less is very close.",
    )


def checks(result: StudyResult) -> Table:
    """Diagnostics, each with its figure and its rule."""
    return Table(
        "checks",
        "Checks made on this study",
        ("Check", "State", "Figure", "Rule", "What it means"),
        tuple(
            (
                Cell(check.title),
                _badge(text.check_state(check)),
                Cell(_check_figure(check), numeric=True),
                Cell(check.rule),
                Cell(check.meaning),
            )
            for check in result.checks
        ),
    )


def _check_figure(check: Check) -> str:
    if check.value is None:
        return ""
    return disclosure.count(check.value) if check.unit == "people" else significant_figures(check.value)


def guarantees(result: StudyResult) -> Table:
    """The published figures: adversaries differ."""
    privacy = result.privacy
    rows = (
        ("Presence: is this person in the data?", privacy.epsilon),
        ("Membership: was this registered person helped?", privacy.epsilon_membership),
        ("Outcome of a person known to be helped", privacy.epsilon_known_member),
        ("Presence, if all other data holders work with the operator", privacy.epsilon_if_all_others_collude),
    )
    return Table(
        "guarantees",
        "The privacy spent, by what somebody tries to learn",
        ("What somebody tries to learn", "Epsilon", "Delta"),
        tuple(
            figure_row(question, rounded_up(epsilon), text.chance(privacy.delta or 0))
            for question, epsilon in rows
            if epsilon is not None
        ),
        "The smaller epsilon, the better the protection."
        + ("" if privacy.mu is None else f" In all: mu {privacy.mu:.3f} (Gaussian differential privacy)."),
    )


_ABOUT = {"treated": "people helped", "comparator": "comparison group", "matched": "both, in pairs"}


def releases(result: StudyResult) -> Table:
    """Everything that left the nodes, by what it was used for and whom it is about, and what it cost."""
    parts: dict[tuple[str, str], list[Release]] = {}
    for release in result.privacy.releases:
        parts.setdefault((release.figures, release.block), []).append(release)
    return Table(
        "releases",
        "Everything that left each data holder",
        ("What it was used for", "About", "Rounds", "Numbers", "Budget (mu²)", "Share of budget"),
        tuple(_left(figures, block, part) for (figures, block), part in parts.items()),
        "The people helped and those they are compared with are different people, so the study costs the larger of the "
        "two budgets, not their sum; what is about both counts in both. Every vector by its name is in report.json and "
        "report.csv.",
    )


def _left(figures: str, block: str, part: Sequence[Release]) -> tuple[Cell, ...]:
    numbers, mu2, share = (sum(amounts) for amounts in zip(*((r.values, r.mu2, r.share) for r in part), strict=True))
    rounds = len({release.round for release in part})
    amounts = (str(rounds), f"{numbers:,}", significant_figures(mu2), f"{100 * share:.0f}%")
    return (Cell(figures[:1].upper() + figures[1:]), Cell(_ABOUT.get(block, block)), *figure_row("", *amounts)[1:])


def empty_cells(result: StudyResult) -> Table:
    """The words that stand where a number is missing, each with its own meaning."""
    return Table(
        "words",
        "Words and signs in place of numbers",
        ("Sign or word", "Meaning"),
        tuple((Cell(word), Cell(meaning)) for word, meaning in disclosure.EMPTY_CELLS.items()),
    )
