"""The page, the table and the CSV of a study merged with its late groups say the same, in the report's words."""

from __future__ import annotations

import csv
import io
from html.parser import HTMLParser
from pathlib import Path

import pytest
from late_groups import FIRST, LATE, LATER, first, late

from cohortium_coordinator.merged import MergedResult
from cohortium_coordinator.report.merged import (
    HOW,
    SEVERAL_GROUPS,
    TWO_GROUPS,
    disagreement,
    merged_csv,
    notes,
    plot,
    render_merged,
    together,
    write_merged,
)
from cohortium_coordinator.report.strips import interval, whole
from cohortium_coordinator.study.late import merge

TWO = merge(first(), [late(shift=0.1)])
THREE = merge(first(), [late(shift=0.1), late(LATER, ["london"], wider=2.0)])


class Page(HTMLParser):
    """The ids of a page, the places that its links and labels lead to, and whether anything is loaded."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.targets: set[str] = set()
        self.loaded: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.ids += [found["id"] or ""] if "id" in found else []
        self.targets |= set((found.get("aria-labelledby") or "").split())
        self.targets |= {(found.get("href") or "")[1:]} - {""}
        self.loaded += [tag] if tag in ("script", "link", "img") or "src" in found else []


def rows(result: MergedResult) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(merged_csv(result))))


@pytest.mark.parametrize("result", [TWO, THREE], ids=["two groups", "three groups"])
def test_the_page_is_whole_and_stands_by_itself(result: MergedResult) -> None:
    page = Page(render_merged(result))
    assert page.loaded == []
    assert page.targets <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))


def test_the_figure_has_every_group_and_then_all_together() -> None:
    assert [row.title for row in plot(TWO.outcomes[0]).rows] == [FIRST, LATE, "All groups together"]
    assert [row.title for row in plot(THREE.outcomes[0]).rows] == [
        FIRST, LATE, LATER, "All groups together", "Together: effects may differ", "Another group, predicted",
    ]  # fmt: skip


def test_effects_that_may_differ_take_three_groups() -> None:
    assert "Effects may differ" not in together(TWO).columns
    assert "Effects may differ" in together(THREE).columns
    assert (TWO_GROUPS in render_merged(TWO), SEVERAL_GROUPS in notes(TWO)) == (True, False)
    assert (TWO_GROUPS in notes(THREE), SEVERAL_GROUPS in notes(THREE)) == (False, True)
    assert {len(row) for row in together(THREE).rows} == {len(together(THREE).columns)}


def test_groups_that_disagree_are_said_to() -> None:
    apart = merge(first(), [late(shift=1.0)])
    assert apart.outcomes[0].q_p_value < 0.001
    assert "differ by more than chance and noise explain (p < 0.001)" in disagreement(apart.outcomes[0])
    assert "differ by more than chance and noise explain" in render_merged(apart)
    alike = merge(first(), [late()])
    assert [disagreement(outcome) for outcome in alike.outcomes] == [""] * len(alike.outcomes)


def test_table_and_page_show_the_merged_interval_of_every_outcome() -> None:
    page = render_merged(THREE)
    for outcome, row in zip(THREE.outcomes, together(THREE).rows, strict=True):
        assert row[1].text == interval(outcome, whole(outcome))
        assert row[1].text in page
    assert HOW in page


def test_csv_has_every_figure_of_the_result() -> None:
    found = {(row["section"], row["name"], row["measure"]): row for row in rows(THREE)}
    for outcome in THREE.outcomes:
        row = found["outcomes, merged", outcome.name, "effect"]
        assert (float(row["value"]), float(row["low"]), float(row["high"])) == (
            outcome.estimate, outcome.low, outcome.high,
        )  # fmt: skip
        assert float(found["outcomes, merged", outcome.name, "prediction"]["low"]) < outcome.low
        for group in outcome.groups:
            name = f"{outcome.name}/{group.study}"
            assert float(found["groups", name, "effect"]["value"]) == group.effect.estimate
            assert float(found["groups", name, "weight"]["value"]) == group.weight
            assert float(found["groups", name, "n_treated"]["value"]) % 5 == 0
    assert ("outcomes, merged", TWO.outcomes[0].name, "prediction") not in {
        (row["section"], row["name"], row["measure"]) for row in rows(TWO)
    }


def test_a_group_too_small_to_show_has_a_star_everywhere() -> None:
    outcomes = [each.model_dump() for each in TWO.outcomes]
    for each in outcomes:
        each["groups"][1]["n_treated"] = 5.0
    small = MergedResult.model_validate(TWO.model_dump() | {"outcomes": outcomes})
    starred = {row["measure"] for row in rows(small) if row["name"].endswith(f"/{LATE}") and row["value"] == "*"}
    assert starred == {"n_treated", "effect"}
    assert plot(small.outcomes[0]).rows[1].low is None


def test_what_a_merged_figure_rests_on_is_said() -> None:
    (privacy,) = (note for note in notes(TWO) if "price" in note)
    assert "took part in two studies" in privacy
    named = TWO.model_copy(update={"also_in_earlier_rounds": ("west",)})
    assert any("late in another: west." in note for note in notes(named))
    assert not any("Lost on the way" in note for note in notes(TWO))


def test_a_group_without_noise_makes_the_page_loud() -> None:
    groups = [group.model_dump() for group in TWO.groups]
    groups[0] |= {"noise": False, "epsilon": None, "delta": None}
    page = render_merged(MergedResult.model_validate(TWO.model_dump() | {"groups": groups}))
    assert "NOT PRIVATE" in page
    assert "took part in two studies" not in page
    assert "NOT PRIVATE" not in render_merged(TWO)


def test_a_title_is_escaped() -> None:
    page = render_merged(TWO.model_copy(update={"title": "<script>alert(1)</script>"}))
    assert "<script>" not in page


def test_three_files_are_written_and_the_json_is_the_result(tmp_path: Path) -> None:
    written = write_merged(TWO, tmp_path / "merged")
    assert sorted(path.name for path in (tmp_path / "merged").iterdir()) == sorted(written)
    assert MergedResult.model_validate_json(written["merged.json"].read_bytes()) == TWO
    assert written["merged.csv"].read_text() == merged_csv(TWO)
