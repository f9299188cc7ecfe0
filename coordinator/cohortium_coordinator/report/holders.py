"""Single data holders' estimates as a figure, tables and sentences: do they agree?

Only a study without secure sums has any. Counts and estimates follow the disclosure rules, and the national estimate
stays the result: these show whether it holds everywhere.
"""

from __future__ import annotations

from cohortium_coordinator.report import disclosure, strips, text
from cohortium_coordinator.report.scale import scale_of, significant_figures
from cohortium_coordinator.report.strips import Line, Strips, interval, outcome_of
from cohortium_coordinator.report.tables import Cell, Table, figure_row
from cohortium_coordinator.result import (
    Heterogeneity,
    NodeEstimate,
    OutcomeEstimate,
    StudyResult,
)

SAME_EVERYWHERE = "Same effect everywhere"
EFFECTS_DIFFER = "Effects may differ"
ANOTHER = "Another data holder"


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


def plot(result: StudyResult, block: Heterogeneity) -> Strips:
    """The forest plot of one outcome."""
    together = block.combined
    lines = [Line(node.node, strips.shown(node.effect, node.n_treated)) for node in block.nodes]
    if together:
        lines.append(Line(f"All together: {EFFECTS_DIFFER.lower()}", together.random, leading=True))
    if together and together.prediction:
        lines.append(Line(f"{ANOTHER}, predicted", together.prediction, leading=True))
    return strips.strips(outcome_of(result, block.outcome), lines)


def _may_be_shown(node: NodeEstimate) -> bool:
    return disclosure.mean_may_be_shown(node.n_treated)


def nodes(result: StudyResult, block: Heterogeneity) -> Table:
    """Every data holder's estimate of one outcome, against both groups of comparators, and all without it."""
    outcome = outcome_of(result, block.outcome)
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
    without = interval(outcome, node.without) if _may_be_shown(node) else disclosure.SUPPRESSED
    cells = (disclosure.count(node.n_treated), *spans, without)
    return figure_row(node.node, *cells)


def _estimate(outcome: OutcomeEstimate, node: NodeEstimate) -> str:
    if node.effect is None:
        return disclosure.TOO_FEW
    return interval(outcome, node.effect) if _may_be_shown(node) else disclosure.SUPPRESSED


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
        tuple(_agreement(outcome_of(result, block.outcome), block) for block in result.heterogeneity or ()),
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
    return (*head, *(Cell(cell, numeric=True) for cell in (*(interval(outcome, span) for span in spans), *figures)))
