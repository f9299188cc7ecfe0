"""The headline beside the plan's other analyses, and the effect in groups of people: figures, tables and sentences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from cohortium_coordinator.report import disclosure, strips
from cohortium_coordinator.report.scale import scale_of
from cohortium_coordinator.report.tables import Table, figure_row
from cohortium_coordinator.result import FurtherEstimate, OutcomeEstimate, PooledEffect, StudyResult
from cohortium_protocols.covariates import COVARIATES
from cohortium_protocols.estimates import METHOD_TITLES
from cohortium_protocols.grouped import OTHER

Role = Literal["sensitivity", "subgroup"]

SAME_PLACE = (
    "Comparing with people of all data holders makes the most of the data; comparing only with people of the same data "
    "holder takes out whatever makes places differ as a whole, such as how easily people are admitted there. Where the "
    "two agree, differences between places hardly explain the result. Where they disagree, a part of it may be due to "
    "the places and not to the help."
)
GROUPS = (
    "These groups were named in the plan, before anybody had seen a figure. A group has fewer people than all "
    "together, and each figure is exact only to its interval. Where one group's interval leaves out zero and another's "
    "does not, this does not show that the two groups differ: their intervals may still have much in common."
)


def parts(result: StudyResult, role: Role) -> Iterator[tuple[OutcomeEstimate, tuple[FurtherEstimate, ...]]]:
    """The main outcomes with their further estimates of one role, where there are any."""
    for outcome in result.headlines:
        mine = tuple(each for each in result.further if (each.outcome, each.role) == (outcome.name, role))
        if mine:
            yield outcome, mine


def also_within(result: StudyResult) -> bool:
    """Whether people were compared both nationally and with people of the same data holder."""
    compared = {each.comparison for each in result.further if each.role == "sensitivity"}
    return {result.comparison, *compared} >= {"national", "within_node"}


def plot(result: StudyResult, outcome: OutcomeEstimate, further: tuple[FurtherEstimate, ...]) -> strips.Strips:
    """The forest plot of one outcome, the headline first."""
    head = strips.Line(_headline(result, further[0].role), strips.whole(outcome), leading=True)
    return strips.strips(outcome, [head, *(strips.Line(_name(each), _span(each)) for each in further)])


def table(
    result: StudyResult, outcome: OutcomeEstimate, further: tuple[FurtherEstimate, ...], number: int
) -> Table:
    """The same figures in a table.

    Args:
        result: whose.
        outcome: which.
        further: its estimates of one role.
        number: of the outcome among the main outcomes.
    """
    subgroups = further[0].role == "subgroup"
    head = _headline(result, further[0].role)
    caption = "the effect in groups of people" if subgroups else "the same question answered in other ways"
    figures = (disclosure.count(outcome.n_treated), strips.interval(outcome, strips.whole(outcome)), _noise(outcome))
    return Table(
        f"{'groups' if subgroups else 'beside'}-{number}",
        f"{outcome.title}: {caption}, {scale_of(outcome).amount} (95% intervals)",
        ("Group" if subgroups else "Analysis", "Helped", "Difference", "Noise, share of variance"),
        (figure_row(head, *figures), *(figure_row(_name(each), *_figures(outcome, each)) for each in further)),
        " ".join(_alone(further)),
    )


def _headline(result: StudyResult, role: Role) -> str:
    if role == "subgroup":
        return "All people helped"
    return f"Headline: {METHOD_TITLES.get(result.method, result.method).lower()}"


def _name(further: FurtherEstimate) -> str:
    covariate, _, level = further.group.partition("=")
    if not level:
        return further.title
    known = COVARIATES.get(covariate)
    return f"{known.title if known else covariate}: {'not listed or not known' if level == OTHER else level}"


def _span(further: FurtherEstimate) -> PooledEffect | str:
    return strips.shown(further.effect, further.n_treated)


def _figures(outcome: OutcomeEstimate, further: FurtherEstimate) -> tuple[str, ...]:
    span = _span(further)
    people = disclosure.count(further.n_treated)
    if isinstance(span, str):
        return people, disclosure.SUPPRESSED if further.effect else span, ""
    return people, strips.interval(outcome, span), _noise(further)


def _noise(found: OutcomeEstimate | FurtherEstimate) -> str:
    return f"{100 * (found.noise_share or 0):.0f}%"


def _alone(further: tuple[FurtherEstimate, ...]) -> Iterator[str]:
    for each in further:
        if each.alone:
            yield (
                f"{_name(each)}: nobody comparable at {'; '.join(each.alone)}, where comparators of all data holders "
                "stood in."
            )
