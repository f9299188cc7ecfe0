"""Late groups: which plan completes which study, and what may be merged with what.

A late group is a study of its own. Sums that were closed without it are never opened again: noise would be counted
wrongly, and the difference of two totals would be the late group's own. So only the estimates are merged, and only
when they answer one question, about people of whom nobody is counted twice.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from cohortium_coordinator.combine.late import merged
from cohortium_coordinator.merged import MergedResult
from cohortium_coordinator.result import StudyResult
from cohortium_protocols.errors import InputError, PlanError, RefusedError
from cohortium_protocols.late import differences
from cohortium_protocols.plan import Plan, plan_digest


@dataclass(frozen=True)
class Finished:
    """A study with its result."""

    plan: Plan
    result: StudyResult


def check_completes(first: Plan, late: Plan) -> None:
    """Refuses a late plan that is not about the first one's question.

    Raises:
        PlanError: it does not complete that plan, or asks something else; or the first one is late itself.
    """
    if first.completes is not None:
        raise PlanError(
            f"The plan of '{first.study}' is that of a late group itself: it completes '{first.completes.study}'.",
            do=f"name '{first.completes.study}' as the first study, and every late group beside it",
        )
    if late.completes is None or (late.completes.study, late.completes.plan) != (first.study, plan_digest(first)):
        raise PlanError(
            f"The plan of '{late.study}' does not complete this plan of '{first.study}'.",
            why="a late plan names the study that it completes, and the digest of that study's plan",
            do="write it from the first plan with `cohortium plan late`",
        )
    if other := differences(first, late):
        raise PlanError(
            f"The plan of '{late.study}' does not ask the same question as that of '{first.study}'.",
            why=f"they differ in {', '.join(f'`{each}`' for each in other)}; only estimates of one thing can be merged",
            do="write it from the first plan with `cohortium plan late`",
        )


def check_asked(first: Finished, late: Plan) -> None:
    """Refuses to ask late data holders what could not be merged: they would be charged for nothing.

    Raises:
        PlanError: the plan does not complete the first one, or asks something else.
        RefusedError: the first result was not published, or a data holder asked is in it.
    """
    check_completes(first.plan, late)
    _check_published(first.result)
    _check_apart(first.result.study, first.result.answered, late.study, late.nodes.roster)


def merge(first: Finished, late: Sequence[Finished]) -> MergedResult:
    """Returns a study's result merged with those of late groups.

    Raises:
        InputError: there is no late study, or one is named twice.
        PlanError: a late plan does not complete the first one, or asks something else.
        RefusedError: a result was not published, or a data holder is in two of them.
    """
    names = [each.plan.study for each in (first, *late)]
    if not late or len(set(names)) < len(names):
        why = f"named were: {', '.join(names)}"
        raise InputError("Late studies are merged one by one.", why=why, do="name the study, then each late one once")
    for each in late:
        check_completes(first.plan, each.plan)
    groups = [first, *late]
    for place, group in enumerate(groups):
        _check_published(group.result)
        for other in groups[:place]:
            _check_apart(other.plan.study, other.result.answered, group.plan.study, group.result.answered)
    return merged(first.result, [each.result for each in late])


def _check_published(result: StudyResult) -> None:
    if not result.published:
        raise RefusedError(
            f"The result of '{result.study}' was not published, so it cannot be merged.",
            why=result.not_published_because or "",
            do="leave it out, or run a study that can be published",
        )


def _check_apart(first: str, its: Collection[str], late: str, theirs: Collection[str]) -> None:
    both = [node for node in theirs if node in its]
    if both:
        raise RefusedError(
            f"In '{late}' there are data holders of the result of '{first}': {', '.join(both)}.",
            why="people would be counted twice",
            do="ask, or merge, only data holders that are in none of the other results",
        )
