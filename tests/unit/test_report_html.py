"""The report page as markup: its parts, its accessibility, its banners, and hostile input."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cohortium_coordinator import report
from cohortium_coordinator.report import read_result, render_html, tables, to_csv
from cohortium_coordinator.result import StudyResult

EXAMPLE = read_result(Path(__file__).parents[2] / "docs" / "reference" / "report.example.json")
VOID = {"meta", "link", "br", "img", "input", "hr"}
NO_NOISE = {
    **EXAMPLE.privacy.model_dump(),
    **dict.fromkeys(("epsilon", "delta", "mu", "epsilon_membership", "epsilon_known_member")),
    "noise": False,
}


class Page(HTMLParser):
    """Elements with their attributes in order, and whether every one is closed where it should be."""

    def __init__(self, markup: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(markup)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def _with(**changes: Any) -> StudyResult:
    return StudyResult.model_validate({**EXAMPLE.model_dump(), **changes})


def test_the_page_has_the_nine_parts_in_order() -> None:
    sections = [attributes["id"] for attributes in Page(render_html(EXAMPLE)).all("section")]
    assert sections == [
        "findings", "overall", "impact", "people", "results", "matching", "checks", "meaning", "privacy",
    ]  # fmt: skip


def test_headings_are_in_order() -> None:
    levels = [int(tag[1]) for tag, _ in Page(render_html(EXAMPLE)).elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_every_table_has_a_caption_and_scoped_headers() -> None:
    page = Page(render_html(EXAMPLE))
    assert len(page.all("table")) == len(page.all("caption")) == 17
    assert {attributes.get("scope") for attributes in page.all("th")} == {"col", "row"}


def test_what_left_is_summed_up_by_its_use_and_by_whom_it_is_about() -> None:
    releases, table = EXAMPLE.privacy.releases, tables.releases(EXAMPLE)
    shown = [[cell.text for cell in row] for row in table.rows]
    assert len({(use, about) for use, about, *_ in shown}) == len(shown) < len(releases)
    assert sum(int(numbers.replace(",", "")) for _, _, _, numbers, *_ in shown) == sum(r.values for r in releases)
    assert ["Outcome models", "comparison group", "2"] in [row[:3] for row in shown]
    assert {about for _, about, *_ in shown} <= {"people helped", "comparison group", "both, in pairs"}


def test_every_drawing_has_a_name_and_a_description() -> None:
    page = Page(render_html(EXAMPLE))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    strips = [svg for svg in page.all("svg") if "strip" in svg.get("class", "")]
    drawings = [svg for svg in strips if "aria-hidden" not in svg]
    holders = len(EXAMPLE.heterogeneity[0].nodes) + 2 if EXAMPLE.heterogeneity else 0
    beside = len(EXAMPLE.further) + 2
    rest = len(EXAMPLE.balance) + len(EXAMPLE.attrition.steps) + 1 + holders + beside
    assert len(drawings) == len(EXAMPLE.ordered_outcomes) + rest
    for svg in drawings:
        assert svg["role"] == "img"
        assert set(svg["aria-labelledby"].split()) <= set(ids)


def test_every_link_leads_to_a_place_on_the_page() -> None:
    page = Page(render_html(EXAMPLE))
    ids = {attributes.get("id") for _, attributes in page.elements}
    assert {link["href"].removeprefix("#") for link in page.all("a")} <= ids
    assert page.all("a")[0] == {"class": "skip", "href": "#main"}


def test_the_page_asks_for_nothing_from_elsewhere_and_runs_nothing() -> None:
    markup = render_html(EXAMPLE)
    page = Page(markup)
    assert not re.search(r"https?:|//[a-z]|@import|url\(", markup)
    assert not {"script", "link", "img", "iframe", "object", "form"} & {tag for tag, _ in page.elements}
    assert page.all("html") == [{"lang": "en-GB"}]


HOSTILE = '<script>alert(1)</script><img src=x onerror="x">{{ 7 * 7 }}\'"&</style></title>'


def test_hostile_text_stays_text_wherever_it_stands() -> None:
    content = EXAMPLE.model_dump(mode="json")

    def poison(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: poison(inner, name) for name, inner in value.items()}
        if isinstance(value, list):
            return [poison(inner, key) for inner in value]
        closed = {"created", "kind", "better", "expected", "role", "status", "state", "aggregation", "compared_with"}
        return HOSTILE if isinstance(value, str) and key not in closed else value

    page = Page(render_html(StudyResult.model_validate(poison(content))))
    assert not {"script", "img"} & {tag for tag, _ in page.elements}
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert "{{ 7 * 7 }}" in page.text


@given(title=st.text(min_size=1, max_size=40))
@settings(max_examples=20)
def test_any_title_leaves_the_structure_of_the_page_as_it_is(title: str) -> None:
    plain, odd = Page(render_html(EXAMPLE)), Page(render_html(EXAMPLE.model_copy(update={"title": title})))
    assert [tag for tag, _ in odd.elements] == [tag for tag, _ in plain.elements]


def test_noise_off_is_loud() -> None:
    page = Page(render_html(_with(privacy=NO_NOISE)))
    assert "NOT PRIVATE: noise is off" in page.text
    assert "epsilon 2" not in page.text
    assert "NOT PRIVATE" not in Page(render_html(EXAMPLE)).text


def test_bounds_from_the_data_are_loud() -> None:
    page = Page(render_html(_with(privacy={**EXAMPLE.privacy.model_dump(), "bounds_from_data": True})))
    assert "Bounds were read from the data: this result is not private" in page.text


def test_a_simulation_says_so_and_shows_the_truth() -> None:
    assert "Simulation." in Page(render_html(EXAMPLE)).text
    assert "Truth (simulated)" in Page(render_html(EXAMPLE)).text
    real = Page(render_html(_with(truth=None))).text
    assert "Simulation" not in real
    assert "Truth" not in real


def test_an_unpublished_study_shows_its_reason_and_no_estimate() -> None:
    reason = "The groups are not alike enough: A&E attendances, year before."
    page = Page(render_html(_with(published=False, not_published_because=reason)))
    assert f"No result is published {reason}" in page.text
    assert "This does not mean that the programme has no effect." in page.text
    for words in ("statistically significant", "attendances per 100", "−33 to −10", "What you can say"):
        assert words not in page.text
    assert "Matching quality" in page.text


def test_a_study_without_figures_still_renders() -> None:
    bare = _with(
        published=False, not_published_because="Too few people.", outcomes=(), balance=(), profile=(),
        checks=(), nodes=(), truth=None, heterogeneity=None, further=(), attrition={"submitted": None, "steps": ()},
        privacy={**EXAMPLE.privacy.model_dump(), "releases": ()},
    )  # fmt: skip
    assert "Too few people." in Page(render_html(bare)).text


def test_a_count_in_a_check_follows_the_rules_for_counts() -> None:
    text = Page(render_html(EXAMPLE)).text
    assert "1,087" not in text
    assert "Informational 1,085" in text


def _alone(**changes: Any) -> StudyResult:
    """The example, with the first data holder's estimate of the main outcome changed."""
    first, *rest = EXAMPLE.heterogeneity or ()
    node, *others = first.nodes
    nodes = (node.model_copy(update=changes), *others)
    return EXAMPLE.model_copy(update={"heterogeneity": (first.model_copy(update={"nodes": nodes}), *rest)})


def test_a_small_data_holder_has_a_star_and_no_estimate() -> None:
    seen, hidden = Page(render_html(EXAMPLE)).text, Page(render_html(_alone(n_treated=6.0))).text
    assert "north 415 −32 to 3" in seen
    assert "north * * " in hidden
    assert "from 32 fewer to 3 more" in seen
    assert "from 32 fewer to 3 more" not in hidden
    shown = [line for line in to_csv(_alone(n_treated=6.0)).splitlines() if "/all data holders/north" in line]
    assert [line.split(",")[2:4] for line in shown[:2]] == [["n_treated", "*"], ["effect", "*"]]


def test_secure_sums_leave_one_sentence_in_place_of_single_data_holders() -> None:
    secure = {**EXAMPLE.privacy.model_dump(), "aggregation": "secure", "epsilon_if_all_others_collude": 4.0}
    text = Page(render_html(_with(privacy=secure, heterogeneity=None))).text
    assert "Single data holders' figures are never seen, by anybody" in text
    assert "Do data holders agree?" not in text
    assert "Results of single data holders were not worked out." in Page(render_html(_with(heterogeneity=None))).text


def test_single_data_holders_of_an_unpublished_study_are_withheld() -> None:
    page = Page(render_html(_with(published=False, not_published_because="Too few people.")))
    assert "Do data holders agree?" not in page.text
    assert {row.split(",")[0] for row in to_csv(EXAMPLE).splitlines() if "/all data holders" in row} == {"data holders"}


def test_small_groups_have_no_means() -> None:
    few = tuple(o.model_copy(update={"n_treated": 7.0}) for o in EXAMPLE.outcomes)
    page = Page(render_html(EXAMPLE.model_copy(update={"outcomes": few})))
    assert "112" not in page.text
    assert "74.2" not in page.text


STYLE = (Path(report.__file__).parent / "templates" / "report.css").read_text()
LIGHT, DARK = (dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block))
               for block in re.findall(r":root \{(.*?--loud.*?)\}", STYLE, re.DOTALL))  # fmt: skip
ON_PAPER = ("ink", "muted", "accent", "better", "worse", "unclear", "different")


def _contrast(one: str, other: str) -> float:
    """The ratio of WCAG 2.2, from relative luminances."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_text_and_drawings_have_enough_contrast(colours: dict[str, str]) -> None:
    texts = [(name, on) for name in ON_PAPER for on in ("paper", "surface")]
    texts += [("muted", "hoped"), ("on-loud", "loud"), ("on-calm", "calm")]
    drawn = [(name, on) for name in ("before", "truth", "better", "worse") for on in ("surface", "hoped")]
    assert [pair for pair in texts if _contrast(colours[pair[0]], colours[pair[1]]) < 4.5] == []
    assert [pair for pair in drawn if _contrast(colours[pair[0]], colours[pair[1]]) < 3] == []
