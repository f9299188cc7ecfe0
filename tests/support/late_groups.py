"""A study and late groups that complete it: plans written as an operator does, results made from the example report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cohortium_coordinator.report import read_result
from cohortium_coordinator.result import StudyResult
from cohortium_coordinator.study.late import Finished
from cohortium_coordinator.study.late_plan import late_plan_text
from cohortium_protocols.plan import plan_digest
from cohortium_protocols.plan_check import load_plan

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "examples" / "befriending-2024.yaml").read_text()
EXAMPLE = read_result(ROOT / "docs" / "reference" / "report.example.json")
FIRST, LATE, LATER = "befriending-2024", "befriending-2024-late", "befriending-2024-later"
IN_TIME = ("north", "south", "east")


def result_of(
    text: str, nodes: Sequence[str], shift: float = 0.0, wider: float = 1.0, lost_after: int = 0, **changes: Any
) -> StudyResult:
    """The example as the result of a plan: its effects moved by ``shift``, its standard errors ``wider``.

    Other nodes of the roster than those given were lost after so many rounds.
    """
    plan = load_plan(text)
    outcomes = []
    for each in EXAMPLE.outcomes:
        estimate, se = each.estimate + shift, each.se * wider
        low, high = estimate - 2 * se, estimate + 2 * se
        outcomes.append(each.model_dump() | {"estimate": estimate, "se": se, "low": low, "high": high,
                                             "significant": low > 0 or high < 0})  # fmt: skip
    statuses = [{"name": name, "status": "answered", "rounds_answered": 8} if name in nodes else
                {"name": name, "status": "offline", "rounds_answered": lost_after} for name in plan.nodes.roster]
    facts = {"study": plan.study, "plan_digest": plan_digest(plan), "nodes": statuses, "outcomes": outcomes}
    return StudyResult.model_validate(EXAMPLE.model_dump() | facts | changes)


def first(**changes: Any) -> Finished:
    """The study of five nodes, three of which were in time."""
    return Finished(load_plan(TEXT), result_of(TEXT, IN_TIME, **changes))


def late(name: str = LATE, nodes: Sequence[str] = ("west",), old: str = "", new: str = "", **changes: Any) -> Finished:
    """A late group, all of whose nodes answered; its plan with one text replaced by another."""
    text = late_plan_text(TEXT, name, nodes)
    assert old in text
    return Finished(load_plan(text.replace(old, new) if old else text), result_of(text, nodes, **changes))
