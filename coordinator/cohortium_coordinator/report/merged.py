"""A study merged with its late groups, for people and machines: figures, tables, sentences, and CSV."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cohortium_coordinator.merged import EffectsDiffer, GroupEffect, MergedGroup, MergedOutcome, MergedResult
from cohortium_coordinator.report import disclosure, strips, text
from cohortium_coordinator.report.export import Row, csv_text, effect_rows, write_files
from cohortium_coordinator.report.holders import EFFECTS_DIFFER, SAME_EVERYWHERE
from cohortium_coordinator.report.render import PAGES
from cohortium_coordinator.report.scale import rounded_up, scale_of, significant_figures
from cohortium_coordinator.report.tables import Cell, Table, figure_row

MEASURES = ("p_value", "p_value_holm", "significant", "primary", "better", "noise_share", "q", "q_p_value", "i2")
DIFFER_BELOW = 0.05
"""P-value of Cochran's Q below which the groups are said to differ."""
ANOTHER = "Another group, predicted"
HOW = (
    "Each group of data holders was a study of its own, with the same question and its own people, noise and report. "
    "Nothing was added up anew, and nothing more left any data holder: the published estimates were averaged, the "
    "more exact ones counting for more (inverse variance). The noise of every group is in its interval, and so in the "
    "merged one."
)
TWO_GROUPS = (
    "Two groups cannot show how much effects differ between places. The merged interval takes the effect to be the "
    "same in both; where theirs hardly overlap, look at them one by one."
)
SEVERAL_GROUPS = (
    "The merged estimate takes the effect to be the same in all groups. The line “effects may differ” does not, and is "
    "therefore wider; where I² is large, that is the one to use."
)


def write_merged(result: MergedResult, folder: Path) -> dict[str, Path]:
    """Writes `merged.html`, `merged.json` and `merged.csv`, each whole or not at all; returns name to path.

    Raises:
        StorageError: the folder cannot be made or written to.
    """
    page, figures = render_merged(result), result.model_dump_json(indent=2) + "\n"
    return write_files(folder, {"merged.html": page, "merged.json": figures, "merged.csv": merged_csv(result)})


def render_merged(result: MergedResult) -> str:
    """The page (HTML 5, UTF-8). Everything in the result is escaped."""
    pictures = [plot(outcome) for outcome in result.outcomes]
    details = [groups(outcome, number) for number, outcome in enumerate(result.outcomes, 1)]
    return PAGES.get_template("merged.html.j2").render(
        result=result, tables=(together(result), studies(result)), outcomes=list(zip(pictures, details, strict=True)),
        notes=notes(result), disagreement=disagreement,
    )  # fmt: skip


def disagreement(outcome: MergedOutcome) -> str:
    """A warning where the groups' effects clearly differ; empty where they do not."""
    if outcome.q_p_value >= DIFFER_BELOW:
        return ""
    value = text.p_value(outcome.q_p_value)
    chance = f"p {value}" if value.startswith("<") else f"p = {value}"
    return (
        f"The groups' effects differ by more than chance and noise explain ({chance}): look at them one by one before "
        "using the merged figure."
    )


def notes(result: MergedResult) -> tuple[str, ...]:
    """What a reader must know before using the merged figures."""
    privacy = (
        "The privacy promise is that of each group's own report. Somebody who is known to data holders of two groups "
        "took part in two studies: the prices of both count for them."
    )
    twice = (
        f"Lost on the way from an earlier group, and late in another: {', '.join(result.also_in_earlier_rounds)}. The "
        "people there helped to set up the earlier group's comparison, but are not in its estimate."
    )
    return (
        HOW,
        SEVERAL_GROUPS if len(result.groups) > 2 else TWO_GROUPS,
        *((twice,) if result.also_in_earlier_rounds else ()),
        *((privacy,) if result.private else ()),
    )


# Figures and tables


def plot(outcome: MergedOutcome) -> strips.Strips:
    """The forest plot of one outcome: every group, then all together."""
    lines = [strips.Line(group.study, strips.shown(group.effect, group.n_treated)) for group in outcome.groups]
    lines.append(strips.Line("All groups together", strips.whole(outcome), leading=True))
    if outcome.differing:
        lines.append(strips.Line(f"Together: {EFFECTS_DIFFER.lower()}", outcome.differing.random, leading=True))
        lines.append(strips.Line(ANOTHER, outcome.differing.prediction, leading=True))
    return strips.strips(outcome, lines)


def groups(outcome: MergedOutcome, number: int) -> Table:
    """Every group's estimate of one outcome.

    Args:
        outcome: which.
        number: of the outcome in the result.
    """
    several = len(outcome.groups) > 2
    return Table(
        f"groups-{number}",
        f"{outcome.title}: the difference in each group, {scale_of(outcome).amount} (95% intervals)",
        ("Group", "Helped", "Difference", "Noise, share of variance", "Weight", *(("All but this one",) * several)),
        tuple(figure_row(group.study, *_group(outcome, group)) for group in outcome.groups),
        "Weight: what the group counts for in the merged estimate.",
    )


def _group(outcome: MergedOutcome, group: GroupEffect) -> tuple[str, ...]:
    found = strips.shown(group.effect, group.n_treated)
    difference = disclosure.SUPPRESSED if isinstance(found, str) else strips.interval(outcome, found)
    shares = (f"{100 * share:.0f}%" for share in (group.noise_share, group.weight))
    without = (strips.interval(outcome, group.without),) if group.without else ()
    return disclosure.count(group.n_treated), difference, *shares, *without


def together(result: MergedResult) -> Table:
    """Every outcome's merged estimate, and how much the groups differ."""
    several = len(result.groups) > 2
    return Table(
        "together",
        "All groups together (95% intervals)",
        (
            "Outcome", SAME_EVERYWHERE, "p-value", "Noise, share of variance", "I²", "p-value of Q",
            *((EFFECTS_DIFFER, f"{EFFECTS_DIFFER} (DerSimonian-Laird)", ANOTHER, "tau²") * several),
        ),
        tuple(
            (Cell(o.title, detail=scale_of(o).amount), *figure_row("", *_together(o), *_differing(o))[1:])
            for o in result.outcomes
        ),
        "I²: share of the variation between groups that is neither chance nor noise. A small p-value of Q says that "
        "effects differ; a large one does not say that they are the same."
        + (" tau²: variance of the effect between groups (Paule-Mandel)." if several else ""),
    )  # fmt: skip


def _together(outcome: MergedOutcome) -> tuple[str, ...]:
    p_value = outcome.p_value if outcome.p_value_holm is None else outcome.p_value_holm
    adjusted = "" if outcome.p_value_holm is None else " (adjusted)"
    return (
        strips.interval(outcome, strips.whole(outcome)), f"{text.p_value(p_value)}{adjusted}",
        f"{100 * outcome.noise_share:.0f}%", f"{100 * outcome.i2:.0f}%", text.p_value(outcome.q_p_value),
    )  # fmt: skip


def _differing(outcome: MergedOutcome) -> Iterator[str]:
    found = outcome.differing
    if found is not None:
        for span in (found.random, found.dersimonian_laird, found.prediction):
            yield strips.interval(outcome, span)
        yield significant_figures(scale_of(outcome).factor ** 2 * found.tau2)


def studies(result: MergedResult) -> Table:
    """Who is in which group, and at which price."""
    return Table(
        "studies",
        "The groups",
        ("Study", "Data holders", "Report made", "Added up", "Epsilon", "Delta"),
        tuple(_study(group) for group in result.groups),
    )


def _study(group: MergedGroup) -> tuple[Cell, ...]:
    price = "not private: noise off" if group.epsilon is None else rounded_up(group.epsilon)
    added = "securely, all together" if group.aggregation == "secure" else "each by itself"
    words = (", ".join(group.nodes), f"{group.created.day} {group.created:%B %Y}", added)
    return (*map(Cell, (group.study, *words)), *figure_row("", price, text.chance(group.delta or 0))[1:])


# CSV


def merged_csv(result: MergedResult) -> str:
    """One figure a row, amounts per person; group sizes follow the disclosure rules of the page."""
    return csv_text(_rows(result))


def _rows(result: MergedResult) -> Iterator[Row]:
    yield ("study", result.study, "created", result.created.isoformat(), None, None, "")
    for measure in ("title", "question"):
        yield ("study", result.study, measure, getattr(result, measure), None, None, "")
    for group in result.groups:
        yield ("groups", group.study, "nodes", " ".join(group.nodes), None, None, "")
        for measure in ("plan_digest", "aggregation", "noise", "epsilon", "delta"):
            yield ("groups", group.study, measure, getattr(group, measure), None, None, "")
    for node in result.also_in_earlier_rounds:
        yield ("nodes", node, "also in earlier rounds", True, None, None, "")
    for outcome in result.outcomes:
        yield from _outcome_rows(outcome, f"{outcome.unit} per person")


def _outcome_rows(outcome: MergedOutcome, unit: str) -> Iterator[Row]:
    yield from effect_rows("outcomes, merged", outcome.name, "effect", strips.whole(outcome), unit)
    for measure in MEASURES:
        yield ("outcomes, merged", outcome.name, measure, getattr(outcome, measure), None, None, "")
    if outcome.differing:
        yield from _differing_rows(outcome.name, outcome.differing, unit)
    for group in outcome.groups:
        name = f"{outcome.name}/{group.study}"
        yield ("groups", name, "n_treated", disclosure.figure(group.n_treated, "people"), None, None, "people")
        found = strips.shown(group.effect, group.n_treated)
        if isinstance(found, str):
            yield ("groups", name, "effect", disclosure.SUPPRESSED, None, None, unit)
        else:
            yield from effect_rows("groups", name, "effect", found, unit)
        for measure in ("noise_share", "weight"):
            yield ("groups", name, measure, getattr(group, measure), None, None, "")
        if group.without:
            yield from effect_rows("groups", name, "without", group.without, unit)


def _differing_rows(name: str, found: EffectsDiffer, unit: str) -> Iterator[Row]:
    for measure in ("random", "dersimonian_laird"):
        yield from effect_rows("outcomes, merged", name, measure, getattr(found, measure), unit)
    yield ("outcomes, merged", name, "prediction", None, found.prediction.low, found.prediction.high, unit)
    for measure in ("tau2", "tau2_dersimonian_laird"):
        yield ("outcomes, merged", name, measure, getattr(found, measure), None, None, f"({unit}) squared")
