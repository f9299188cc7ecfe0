"""The report as a person meets it: in a browser, wide and narrow, light and dark, and on paper."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from cohortium_coordinator.report import read_result, write_report
from cohortium_coordinator.result import StudyResult

EXAMPLE = read_result(Path(__file__).parents[2] / "docs" / "reference" / "report.example.json")

pytestmark = pytest.mark.process

FIGURE_COLOURS = """
[...document.querySelectorAll('svg .mark, svg .bar, svg .before')].map(mark => {
  const box = mark.closest('figure');
  return [getComputedStyle(mark).fill, getComputedStyle(box).backgroundColor];
})
"""
MARKS_OUTSIDE = """
[...document.querySelectorAll('.strip .whisker line, .strip .bar')].filter(mark => {
  const inner = mark.getBoundingClientRect(), outer = mark.closest('.strip').getBoundingClientRect();
  return inner.left < outer.left - 1 || inner.right > outer.right + 1;
}).length
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report on the example, as a file."""
    return write_report(EXAMPLE, tmp_path_factory.mktemp("report"))["report.html"]


def test_the_page_renders_without_a_complaint(browser: Any, page: Path) -> None:
    browser.open(page)
    assert browser.value("document.querySelector('h1').innerText") == EXAMPLE.title
    assert browser.value("document.querySelectorAll('main section').length") == 9
    complaints = ("Log.entryAdded", "Runtime.exceptionThrown")
    assert [event for event in browser.events if event["method"] in complaints] == []


def test_nothing_is_asked_from_elsewhere(browser: Any, page: Path) -> None:
    browser.open(page)
    sent = [e for e in browser.events if e["method"] == "Network.requestWillBeSent"]
    assert {event["params"]["request"]["url"] for event in sent} == {page.as_uri()}


@pytest.mark.parametrize("width", [360, 400, 768, 1200])
def test_the_page_never_scrolls_sideways(browser: Any, page: Path, width: int) -> None:
    browser.open(page, width=width)
    assert browser.value("document.documentElement.scrollWidth") <= width
    assert browser.value("document.documentElement.clientWidth") == width


def test_a_long_unbroken_title_does_not_widen_the_page(browser: Any, tmp_path: Path) -> None:
    long = StudyResult.model_validate({**EXAMPLE.model_dump(), "title": "W" * 200, "study": "w" * 120})
    browser.open(write_report(long, tmp_path)["report.html"], width=360)
    assert browser.value("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("width", [360, 1200])
def test_what_is_drawn_stays_inside_its_strip(browser: Any, page: Path, width: int) -> None:
    browser.open(page, width=width)
    assert browser.value(MARKS_OUTSIDE) == 0


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_figures_stand_out_from_their_ground(browser: Any, page: Path, dark: bool) -> None:
    browser.open(page, dark=dark)
    colours = browser.value(FIGURE_COLOURS)
    assert len(colours) > 20
    assert all(abs(_lightness(mark) - _lightness(ground)) > 60 for mark, ground in colours)
    assert (_lightness(colours[0][1]) < 80) == dark


def test_paper_is_white_also_for_a_reader_with_a_dark_screen(browser: Any, page: Path) -> None:
    browser.open(page, dark=True, media="print")
    assert browser.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.value("getComputedStyle(document.querySelector('nav')).display") == "none"
    pdf = base64.b64decode(browser.ask("Page.printToPDF", preferCSSPageSize=True)["data"])
    assert pdf.startswith(b"%PDF")


def test_figures_are_read_aloud(browser: Any, page: Path) -> None:
    browser.open(page)
    nodes = browser.ask("Accessibility.getFullAXTree")["nodes"]
    images = [node for node in nodes if node.get("role", {}).get("value") in ("image", "img")]
    said = " ".join(node["name"]["value"] for node in images)
    assert "A&E attendances For 100 people like those helped: between 10 and 33 fewer attendances." in said


def test_the_first_stop_of_the_keyboard_skips_to_the_findings(browser: Any, page: Path) -> None:
    browser.open(page)
    for kind in ("rawKeyDown", "keyUp"):
        browser.ask("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
    assert browser.value("document.activeElement.innerText") == "Skip to the findings"
    assert browser.value("document.activeElement.getBoundingClientRect().left") >= 0


def _lightness(colour: str) -> float:
    """Perceived lightness of "rgb(r, g, b)", 0 to 255."""
    red, green, blue = (float(part) for part in colour.removeprefix("rgb(").rstrip(")").split(","))
    return 0.299 * red + 0.587 * green + 0.114 * blue
