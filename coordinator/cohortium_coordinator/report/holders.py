"""Single data holders' estimates as a figure, tables and sentences: do they agree?

Only a study without secure sums has any. Counts and estimates follow the disclosure rules, and the national estimate
stays the result: these show whether it holds everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

from cohortium_coordinator.report import disclosure, text
from cohortium_coordinator.report.figures import Tick, hoped_side, place, round_up, symmetric_ticks
from cohortium_coordinator.report.scale import decimals, number, scale_of, significant_figures
from cohortium_coordinator.report.tables import Cell, Table
from cohortium_coordinator.result import (
    Heterogeneity,
    Limits,
    NodeEstimate,
    OutcomeEstimate,
    PooledEffect,
    StudyResult,
)

SAME_EVERYWHERE = "Same effect everywhere"
EFFECTS_DIFFER = "Effects may differ"
ANOTHER = "Another data holder"


@dataclass(frozen=True)
class HolderRow:
    """One line of the figure: a data holder, or all of them; without places where nothing may be drawn."""

    title: str
    words: str
    description: str
    verdict: text.Verdict
    low: float | None
    high: float | None
    estimate: float | None
    together: bool


@dataclass(frozen=True)
class HolderPlot:
    """One outcome: all rows share an axis, on which the national estimate is marked."""

    title: str
    unit: str
    rows: tuple[HolderRow, ...]
    ticks: tuple[Tick, ...]
    national: float
    left: str
    right: str
    better_side: str


def why_none(result: StudyResult) -> str:
    """Why no data holder's own result is shown; empty where they are."""
    if result.heterogeneity:
        return ""
    if result.privacy.aggregation == "secure":
        return (
            "Single data holders' figures are never seen, by anybody: their sums are readable only when added up, so "
            "they are neither shown nor compared here."
        )
    return "Results of single data holders were not worked out."


def shown(result: StudyResult) -> tuple[Heterogeneity, ...]:
    """The main outcomes' blocks, held against the comparators of all data holders: those that are drawn."""
    wanted = [outcome.name for outcome in result.headlines]
    blocks = result.heterogeneity or ()
    return tuple(block for block in blocks if block.outcome in wanted and block.compared_with == "all data holders")


def plot(result: StudyResult, block: Heterogeneity) -> HolderPlot:
    """The forest plot of one outcome."""
    outcome = _outcome(result, block.outcome)
    scale, together = scale_of(outcome), block.combined
    spans: list[PooledEffect | Limits] = [node.effect for node in block.nodes if node.effect and _may_be_shown(node)]
    if together:
        spans += [together.random, *([together.prediction] if together.prediction else [])]
    reach = max([abs(outcome.estimate), *(abs(end) for span in spans for end in (span.low, span.high))])
    limit = round_up(1.05 * reach * scale.factor)
    rows = [_node_row(outcome, node, limit) for node in block.nodes]
    if together:
        rows.append(_row(outcome, f"All together: {EFFECTS_DIFFER.lower()}", together.random, limit, together=True))
    if together and together.prediction:
        rows.append(_row(outcome, f"{ANOTHER}, predicted", together.prediction, limit, together=True))
    return HolderPlot(
        title=outcome.title, unit=scale.amount, rows=tuple(rows), ticks=symmetric_ticks(limit),
        national=place(scale.factor * outcome.estimate, limit), better_side=outcome.better,
        left=hoped_side(scale.less, outcome.better == "lower", outcome.better),
        right=hoped_side(scale.more, outcome.better == "higher", outcome.better),
    )  # fmt: skip


def _outcome(result: StudyResult, name: str) -> OutcomeEstimate:
    return next(outcome for outcome in result.outcomes if outcome.name == name)


def _may_be_shown(node: NodeEstimate) -> bool:
    return disclosure.mean_may_be_shown(node.n_treated)


def _node_row(outcome: OutcomeEstimate, node: NodeEstimate, limit: float) -> HolderRow:
    if node.effect and _may_be_shown(node):
        return _row(outcome, node.node, node.effect, limit, together=False)
    words = "Suppressed" if node.effect else disclosure.TOO_FEW
    nothing = text.Verdict("unclear", "?", words.capitalize())
    return HolderRow(node.node, words, f"{words.capitalize()}.", nothing, None, None, None, together=False)


def _row(
    outcome: OutcomeEstimate, title: str, span: PooledEffect | Limits, limit: float, *, together: bool
) -> HolderRow:
    like = _like(outcome, span)
    scale, verdict = scale_of(outcome), text.verdict(like)
    mean = scale.factor * span.estimate if isinstance(span, PooledEffect) else None
    return HolderRow(
        title=title, words=text.span(like), description=f"{text.impact(like)} {verdict.words}.", verdict=verdict,
        low=place(scale.factor * span.low, limit), high=place(scale.factor * span.high, limit),
        estimate=None if mean is None else place(mean, limit), together=together,
    )  # fmt: skip


def _like(outcome: OutcomeEstimate, span: PooledEffect | Limits) -> OutcomeEstimate:
    """The outcome with another interval, to be said in the same words."""
    change = {"low": span.low, "high": span.high, "significant": span.low > 0 or span.high < 0}
    return outcome.model_copy(update=change)


def _interval(outcome: OutcomeEstimate, span: PooledEffect | Limits | None) -> str:
    if span is None:
        return ""
    factor = scale_of(outcome).factor
    low, high = factor * span.low, factor * span.high
    places = decimals(low, high)
    return f"{number(low, places)} to {number(high, places)}"


def nodes(result: StudyResult, block: Heterogeneity) -> Table:
    """Every data holder's estimate of one outcome, against both groups of comparators, and all without it."""
    outcome = _outcome(result, block.outcome)
    own = next((b for b in result.heterogeneity or () if b.outcome == block.outcome and b is not block), None)
    beside = {node.node: node for node in own.nodes} if own else {}
    return Table(
        f"holders-{1 + [each.outcome for each in shown(result)].index(block.outcome)}",
        f"{outcome.title}: the difference at each data holder, {scale_of(outcome).amount} (95% intervals)",
        ("Data holder", "Helped", "Compared with all", "Compared with its own", "All data holders but this one"),
        tuple(_node_cells(outcome, node, beside.get(node.node)) for node in block.nodes),
        "Comparing with its own people takes out what makes places differ as a whole, at the price of fewer people "
        "to compare with.",
    )


def _node_cells(outcome: OutcomeEstimate, node: NodeEstimate, own: NodeEstimate | None) -> tuple[Cell, ...]:
    spans = (_estimate(outcome, node), _estimate(outcome, own) if own else "")
    without = _interval(outcome, node.without) if _may_be_shown(node) else disclosure.SUPPRESSED
    cells = (disclosure.count(node.n_treated), *spans, without)
    return (Cell(node.node), *(Cell(cell, numeric=True) for cell in cells))


def _estimate(outcome: OutcomeEstimate, node: NodeEstimate) -> str:
    if node.effect is None:
        return disclosure.TOO_FEW
    return _interval(outcome, node.effect) if _may_be_shown(node) else disclosure.SUPPRESSED


AGREEMENT_COLUMNS = (
    "Outcome",
    "Compared with",
    SAME_EVERYWHERE,
    EFFECTS_DIFFER,
    f"{EFFECTS_DIFFER} (DerSimonian-Laird)",
    ANOTHER,
    "I²",
    "tau²",
    "p-value of Q",
)


def agreement(result: StudyResult) -> Table:
    """Every outcome's estimates put together, and how much they differ."""
    return Table(
        "agreement",
        "Do data holders agree? Their estimates put together as separate studies (95% intervals)",
        AGREEMENT_COLUMNS,
        tuple(_agreement(_outcome(result, block.outcome), block) for block in result.heterogeneity or ()),
        "I²: share of the variation between estimates that is neither chance nor noise. tau²: variance of the effect "
        "between data holders (Paule-Mandel). A small p-value says that effects differ; a large one does not say that "
        "they are the same. Another data holder: where its effect is expected; it takes three estimates.",
    )


def _agreement(outcome: OutcomeEstimate, block: Heterogeneity) -> tuple[Cell, ...]:
    head = (Cell(outcome.title, detail=scale_of(outcome).amount), Cell(block.compared_with))
    found = block.combined
    if found is None:
        return (*head, *(Cell(cell, numeric=True) for cell in (disclosure.TOO_FEW, *[""] * 6)))
    spans = (found.fixed, found.random, found.dersimonian_laird, found.prediction)
    tau2 = significant_figures(scale_of(outcome).factor ** 2 * found.tau2)
    figures = (f"{100 * found.i2:.0f}%", tau2, text.p_value(found.q_p_value))
    return (*head, *(Cell(cell, numeric=True) for cell in (*(_interval(outcome, span) for span in spans), *figures)))
