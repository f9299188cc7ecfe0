"""The result's model refuses what would make a report contradict itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cohortium_coordinator.report import read_result
from cohortium_coordinator.result import StudyResult

EXAMPLE = read_result(Path(__file__).parents[2] / "docs" / "reference" / "report.example.json")


def _set(path: str, value: object) -> Callable[[dict[str, Any]], None]:
    *parents, last = [int(part) if part.isdigit() else part for part in path.split("/")]

    def change(content: Any) -> None:
        for part in parents:
            content = content[part]
        content[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (_set("outcomes/0/significant", False), "significant is False, but the interval"),
        (_set("outcomes/0/low", 3.0), "is above high"),
        (_set("outcomes/0/noise_share", 1.2), "less than or equal to 1"),
        (_set("outcomes/0/se", float("nan")), "finite number"),
        (_set("not_published_because", "too few"), "not_published_because is given exactly when"),
        (_set("published", False), "not_published_because is given exactly when"),
        (_set("privacy/noise", False), "exactly when noise is on"),
        (_set("privacy/epsilon", None), "exactly when noise is on"),
        (_set("privacy/aggregation", "open"), "Input should be 'local' or 'secure'"),
        (_set("privacy/aggregation", "secure"), "exactly when noise is shared"),
        (_set("privacy/epsilon_if_all_others_collude", 1.8), "exactly when noise is shared"),
        (_set("heterogeneity/0/outcome", "joy"), "heterogeneity of outcomes that are not there: joy"),
        (_set("heterogeneity/0/nodes/0/own_se", None), "own_se and without belong to an effect"),
        (_set("heterogeneity/0/combined/prediction/low", 9.0), "is above high"),
        (_set("nodes/0/status", "asleep"), "Input should be 'answered'"),
        (_set("created", "2026-11-22T14:05:00"), "timezone"),
        (_set("surprise", 1), "Extra inputs are not permitted"),
    ],
)
def test_a_contradiction_is_refused(change: Callable[[dict[str, Any]], None], complaint: str) -> None:
    content = EXAMPLE.model_dump(mode="json")
    change(content)
    with pytest.raises(ValidationError, match=complaint):
        StudyResult.model_validate(content)


def test_a_secure_sum_has_no_single_data_holders() -> None:
    content = EXAMPLE.model_dump(mode="json")
    content["privacy"] |= {"aggregation": "secure", "epsilon_if_all_others_collude": 4.0}
    with pytest.raises(ValidationError, match="single data holders' sums were secure"):
        StudyResult.model_validate(content)
    content["heterogeneity"] = None
    assert StudyResult.model_validate(content).heterogeneity is None


def test_a_result_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        EXAMPLE.title = "Another"  # type: ignore[misc]


def test_headlines_are_the_primary_outcomes() -> None:
    assert [outcome.name for outcome in EXAMPLE.headlines] == ["ae_attendances"]


def test_without_a_primary_outcome_every_outcome_is_a_headline() -> None:
    plain = tuple(outcome.model_copy(update={"primary": False}) for outcome in EXAMPLE.outcomes)
    assert EXAMPLE.model_copy(update={"outcomes": plain}).headlines == plain
