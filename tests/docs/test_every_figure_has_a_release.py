"""Whatever a report shows was released: every part of a result has rows in the table of figures and vectors."""

from __future__ import annotations

from pathlib import Path

import pytest

from cohortium_coordinator.result import OutcomeEstimate, StudyResult

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "releases.md"

ESTIMATE = {"estimate", "interval", "outcome levels"}
FROM_THE_PLAN = {
    "format", "study", "title", "question", "created", "plan_digest", "nodes", "method", "comparison", "estimand",
    "published", "not_published_because", "privacy", "truth",
}  # fmt: skip
"""Parts of a result that say what was planned and done, or, in simulations, what is true."""
RESTS_ON = {
    "outcomes": ESTIMATE | {"outcome model", "residual clip", "share of an effect seen", "group size of the estimate"},
    "ratios": ESTIMATE | {"intervals of ratios"},
    "further": {"sensitivity analyses", "subgroups"},
    "balance": {"balance before", "balance after", "standard deviations"},
    "profile": {"profile", "comparison pool", "balance after"},
    "attrition": {"attrition"},
    "checks": ESTIMATE | {"group size for publishing", "balance after", "effective group size", "share cut",
                          "share of an effect seen", "sensitivity analyses"},
    "heterogeneity": ESTIMATE,
    "helped_needed": {"comparison pool", "outcome levels"},
}  # fmt: skip
OF_AN_OUTCOME = {
    "n_treated": {"group size of the estimate"},
    "n_compared": {"effective group size"},
    "treated_mean": ESTIMATE, "comparison_mean": ESTIMATE, "estimate": ESTIMATE, "low": ESTIMATE, "high": ESTIMATE,
    "se": ESTIMATE, "p_value": ESTIMATE, "p_value_holm": ESTIMATE, "significant": ESTIMATE, "noise_share": ESTIMATE,
    "rate_ratio": ESTIMATE, "e_value": ESTIMATE, "people_needed": ESTIMATE,
    "pass_through": {"share of an effect seen"}, "residual_clip": {"residual clip"},
}  # fmt: skip
OF_THE_REGISTRY = {
    "name", "title", "unit", "better", "kind", "primary", "clip_low", "clip_high", "expected",
}  # fmt: skip


@pytest.fixture(scope="module")
def released() -> set[str]:
    """The figures that have a row in the page's last table."""
    table = PAGE.read_text().split("## From figure to vector")[1]
    return {line.split("|")[1].strip() for line in table.splitlines() if line.count("|") == 6}


def test_every_part_of_a_result_says_what_it_rests_on() -> None:
    assert set(StudyResult.model_fields) == FROM_THE_PLAN | RESTS_ON.keys()
    assert set(OutcomeEstimate.model_fields) == OF_THE_REGISTRY | OF_AN_OUTCOME.keys()


@pytest.mark.parametrize("part", [*RESTS_ON, *OF_AN_OUTCOME])
def test_what_it_rests_on_was_released(part: str, released: set[str]) -> None:
    assert (RESTS_ON | OF_AN_OUTCOME)[part] <= released
