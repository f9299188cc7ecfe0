"""The headline beside further analyses, subgroups, adjusted p-values and E-values, as the report shows them."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cohortium_coordinator.report import beside, read_result, render_html, tables, to_csv
from cohortium_coordinator.result import StudyResult

EXAMPLE = read_result(Path(__file__).parents[2] / "docs" / "reference" / "report.example.json")


def changed(place: int, **changes: Any) -> StudyResult:
    """The example, one further estimate of it changed."""
    further = [each.model_dump() for each in EXAMPLE.further]
    further[place] |= changes
    return StudyResult.model_validate(EXAMPLE.model_dump() | {"further": further})


def figures(result: StudyResult, role: beside.Role) -> list[list[str]]:
    ((outcome, further),) = beside.parts(result, role)
    return [[cell.text for cell in row] for row in beside.table(result, outcome, further, 1).rows]


def test_every_analysis_stands_beside_the_headline_which_comes_first() -> None:
    assert figures(EXAMPLE, "sensitivity") == [
        ["Headline: weighted comparators and an outcome model", "1,085", "−33 to −10", "31%"],
        ["Weighted comparators and an outcome model at the same data holder", "1,085", "−37 to −1", "71%"],
        ["Comparators of the same expected outcome", "1,085", "−39 to −7", "66%"],
    ]


def test_groups_have_a_figure_of_their_own_and_no_verdict_on_one_of_them() -> None:
    assert figures(EXAMPLE, "subgroup") == [
        ["All people helped", "1,085", "−33 to −10", "31%"],
        ["Sex: female", "700", "−45 to −4", "72%"],
        ["Sex: male", "380", "−41 to 11", "75%"],
        ["Sex: not listed or not known", "*", "too few people to tell", ""],
    ]
    assert "this does not show that the two groups differ" in render_html(EXAMPLE)


def test_a_group_has_the_title_of_its_covariate_in_the_registry_or_its_name_in_the_table() -> None:
    def named(group: str) -> str:
        further = tuple(each.model_copy(update={"group": group}) for each in EXAMPLE.further if each.role == "subgroup")
        changed = EXAMPLE.model_copy(update={"further": further})
        return figures(changed, "subgroup")[1][0]

    assert named("ethnicity=white") == "Ethnic group: white"
    assert named("area=b=c") == "area: b=c"


def test_the_figure_and_the_table_say_the_same() -> None:
    ((outcome, further),) = beside.parts(EXAMPLE, "sensitivity")
    drawn = beside.plot(EXAMPLE, outcome, further)
    assert [row.title for row in drawn.rows] == [row[0] for row in figures(EXAMPLE, "sensitivity")]
    assert [row.words for row in drawn.rows] == [
        "between 10 and 33 fewer", "between 1 and 37 fewer", "between 7 and 39 fewer",
    ]  # fmt: skip
    assert [row.leading for row in drawn.rows] == [True, False, False]
    places = [(row.low or 0, row.estimate or 0, row.high or 0) for row in drawn.rows]
    assert all(0 < low < estimate < high < 100 for low, estimate, high in places)


def test_a_group_too_small_to_show_has_a_star_everywhere() -> None:
    small = changed(2, n_treated=5.0)
    assert figures(small, "subgroup")[1] == ["Sex: female", "*", "*", ""]
    assert "between 4 and 45 fewer" in render_html(EXAMPLE)
    assert "between 4 and 45 fewer" not in render_html(small)
    rows = [row for row in _rows(small) if row["name"] == "ae_attendances/g1/sex=female"]
    assert [(row["measure"], row["value"]) for row in rows][1:] == [("n_treated", "*"), ("effect", "*")]


def test_who_stood_in_is_said() -> None:
    ((outcome, further),) = beside.parts(EXAMPLE, "sensitivity")
    assert "nobody comparable at london" in beside.table(EXAMPLE, outcome, further, 1).note


def test_national_beside_the_same_data_holder_is_explained_and_only_then() -> None:
    assert beside.SAME_PLACE in render_html(EXAMPLE)
    assert beside.SAME_PLACE not in render_html(changed(0, comparison="national"))


def test_a_study_without_further_analyses_has_no_such_part() -> None:
    page = render_html(StudyResult.model_validate(EXAMPLE.model_dump() | {"further": ()}))
    assert "answered in other ways" not in page
    assert "Groups of people" not in page


def test_an_unpublished_study_shows_none() -> None:
    held = {"published": False, "not_published_because": "Too few people."}
    result = StudyResult.model_validate(EXAMPLE.model_dump() | held)
    assert "answered in other ways" not in render_html(result)
    assert {row["section"] for row in _rows(result) if "/s1" in row["name"]} == {"further analyses, not published"}


def test_csv_has_every_further_estimate() -> None:
    (row,) = [r for r in _rows(EXAMPLE) if (r["name"], r["measure"]) == ("ae_attendances/s1", "effect")]
    assert (row["value"], row["low"], row["high"], row["unit"]) == (
        "-0.187", "-0.3673", "-0.0067", "attendances per person",
    )  # fmt: skip


def test_csv_has_e_values() -> None:
    found = {r["measure"]: r["value"] for r in _rows(EXAMPLE) if r["name"] == "ae_attendances"}
    assert (found["e_value_estimate"], found["e_value_limit"]) == ("1.668", "1.369")


def test_adjusted_p_values_stand_beside_the_plain_ones_where_there_are_several_main_outcomes() -> None:
    outcomes = [each.model_dump() for each in EXAMPLE.outcomes]
    outcomes[0]["p_value_holm"] = 0.0006
    several = StudyResult.model_validate(EXAMPLE.model_dump() | {"outcomes": outcomes})
    assert tables.results(several).columns[-2] == "p-value, adjusted"
    assert [row[-2].text for row in tables.results(several).rows][:2] == ["< 0.001", ""]
    assert "Holm" in tables.results(several).note
    assert "Holm" not in tables.results(EXAMPLE).note


def test_a_further_estimate_is_of_an_outcome_that_is_there_and_knows_its_noise() -> None:
    with pytest.raises(ValidationError, match="further estimates of outcomes that are not there: joy"):
        changed(0, outcome="joy")
    with pytest.raises(ValidationError, match="noise_share belongs to an effect"):
        changed(0, noise_share=None)


def _rows(result: StudyResult) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(to_csv(result))))
