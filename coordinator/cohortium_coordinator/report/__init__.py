"""A study's report for people and machines: a page, JSON and CSV from one `StudyResult`."""

from __future__ import annotations

from pathlib import Path

from cohortium_coordinator.report.export import read_result, schema_text, to_csv, to_json, write_files
from cohortium_coordinator.report.render import render_html
from cohortium_coordinator.result import StudyResult

__all__ = ["read_result", "render_html", "schema_text", "to_csv", "to_json", "write_report"]


def write_report(result: StudyResult, folder: Path) -> dict[str, Path]:
    """Writes `report.html`, `report.json` and `report.csv`, each whole or not at all; returns name to path.

    Raises:
        StorageError: the folder cannot be made or written to.
    """
    return write_files(
        folder,
        {"report.html": render_html(result), "report.json": to_json(result), "report.csv": to_csv(result)},
    )
