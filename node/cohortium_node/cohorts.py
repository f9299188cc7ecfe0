"""A study's data at this node: the provider's cohort file for it, and the custodian's records."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from cohortium_node.data.cohort import Cohort, read_cohort
from cohortium_node.data.table import AnalysisTable
from cohortium_protocols.errors import InputError, PolicyRefusal
from cohortium_protocols.plan import Plan


class Records(Protocol):
    """The custodian's records, linked to a cohort: one row a person comes back."""

    def analysis_table(self, plan: Plan, cohort: Cohort, study_key: bytes) -> AnalysisTable:
        """Returns one row for each person who can be analysed."""
        ...


class CohortFolder:
    """Cohort files named after their studies, beside one source of records."""

    def __init__(self, folder: Path, records: Records, study_key: bytes, minimum_rows: int) -> None:
        self._folder = folder
        self._records = records
        self._study_key = study_key
        self._minimum_rows = minimum_rows

    def analysis_table(self, plan: Plan) -> AnalysisTable:
        """Returns the study's people: those of its cohort file, and their comparators.

        Raises:
            InputError: the cohort file is not there or cannot be used, or the records cannot.
            PolicyRefusal: see ``cohort``.
        """
        return self._records.analysis_table(plan, self.cohort(plan.study), self._study_key)

    def cohort(self, study: str) -> Cohort:
        """Returns the people in a study's cohort file.

        Raises:
            InputError: the file is not there or cannot be used.
            PolicyRefusal: fewer rows were submitted than this node takes part from, linked or not.
        """
        cohort = read_cohort(self._file(study))
        if cohort.rows < self._minimum_rows:
            raise PolicyRefusal(
                f"The cohort file {study}.csv has {cohort.rows} rows.",
                why=f"this node takes part from {self._minimum_rows} submitted rows",
                do="lower `minimum_rows` in the policy if the study may be so small, or refuse the plan",
            )
        return cohort

    def _file(self, study: str) -> Path:
        path = self._folder / f"{study}.csv"
        if not path.is_file():
            raise InputError(
                f"The cohort file for '{study}' is not there yet.",
                why="the study can only start when the provider's file is in place",
                do=f"put it at {path}; the daemon looks again by itself",
            )
        return path
