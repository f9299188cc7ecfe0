"""One result as one self-contained page: no scripts, no resources from elsewhere."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

from cohortium_coordinator.report import beside, disclosure, figures, holders, ratio_tables, scale, tables, text
from cohortium_coordinator.result import StudyResult

PAGES = Environment(
    loader=PackageLoader("cohortium_coordinator.report"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
PAGES.globals.update(text=text, tables=tables, ratio_tables=ratio_tables, figures=figures, holders=holders,
                     beside=beside, disclosure=disclosure, scale=scale)  # fmt: skip


def render_html(result: StudyResult) -> str:
    """The report page (HTML 5, UTF-8). Everything in the result is escaped: a title is hostile input."""
    return PAGES.get_template("report.html.j2").render(result=result)
