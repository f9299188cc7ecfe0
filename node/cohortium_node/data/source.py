"""A data source: a folder of Parquet or CSV files named after the canonical tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import ibis.expr.types as ir
from ibis.backends.duckdb import Backend

from cohortium_node.data.cohort import Cohort
from cohortium_node.data.extract import extract, needs, usable_numbers
from cohortium_node.data.folder import (
    SUFFIXES,
    columns_in,
    connect,
    open_table,
    refuse_repeats,
    table_file,
    whole,
)
from cohortium_node.data.measures import EVENT_DATE
from cohortium_node.data.schema import ALWAYS_NEEDED, TABLES
from cohortium_node.data.table import AnalysisTable
from cohortium_protocols.errors import InputError
from cohortium_protocols.plan import Plan


@dataclass(frozen=True)
class SourceReport:
    """What a folder holds; for the custodian's eyes only, because row counts are exact.

    Attributes:
        rows: table -> number of rows, for the tables that are there.
        missing_tables: canonical tables that are not there; only ``person`` is always needed.
        missing_columns: table -> canonical columns that its file leaves out; a study that needs one is
            refused.
        without_nhs_number: people left out of every study because their NHS number is missing or not valid.
    """

    rows: Mapping[str, int]
    missing_tables: tuple[str, ...]
    missing_columns: Mapping[str, tuple[str, ...]]
    without_nhs_number: int


class FolderSource:
    """A folder with ``person.parquet`` or ``person.csv``, and the other canonical tables beside it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def check(self) -> SourceReport:
        """Opens every table with every canonical column it has, and reports what is there.

        Raises:
            InputError: the folder or a file cannot be used; file, row and column are named.
        """
        with self._database() as database:
            present = {
                name: frozenset(columns_in(database, path)) & {column.name for column in TABLES[name]}
                for name in TABLES
                if (path := table_file(self._folder, name))
            }
            wanted = {
                name: present.get(name, frozenset()) | _key_columns(name)
                for name in TABLES
                if name == "person" or name in present
            }
            tables = self._open(database, wanted)
            rows = {name: whole(database, table.count()) for name, table in tables.items()}
            linkable = len(usable_numbers(database, tables["person"]))
            return SourceReport(
                rows=rows,
                missing_tables=tuple(name for name in TABLES if name not in present),
                missing_columns={name: _missing(name, columns) for name, columns in present.items()},
                without_nhs_number=rows["person"] - linkable,
            )

    def analysis_table(self, plan: Plan, cohort: Cohort, study_key: bytes) -> AnalysisTable:
        """Returns one row for each person who can be analysed; see ``extract``.

        People whose NHS number is missing or not valid are left out: they can be neither linked nor given an
        index date that is the same at every node.

        Raises:
            InputError: a table or column that the plan needs is missing, or a cell is not what its column
                holds. PlanError: the plan is not about canonical data.
        """
        with self._database() as database:
            return extract(database, self._open(database, needs(plan)), plan, cohort, study_key)

    def _open(self, database: Backend, wanted: Mapping[str, Iterable[str]]) -> Mapping[str, ir.Table]:
        tables = {name: open_table(database, self._folder, name, columns) for name, columns in wanted.items()}
        for column in ("person_id", "nhs_number"):
            refuse_repeats(database, self._folder, "person", tables["person"], column)
        return tables

    @contextmanager
    def _database(self) -> Iterator[Backend]:
        if not self._folder.is_dir():
            raise InputError(
                f"The data folder {self._folder} is not there.",
                do=f"Name a folder that holds person{' or person'.join(SUFFIXES)}.",
            )
        database = connect()
        try:
            yield database
        except duckdb.Error:
            raise InputError(
                f"The files in {self._folder.name} cannot be read to the end.",
                why="One of them is damaged, or it changed while it was read.",
                do="Write the files again, and leave them unchanged while a study runs.",
            ) from None  # the database's own words may quote a row
        finally:
            database.disconnect()


def _key_columns(table: str) -> frozenset[str]:
    """Returns the columns without which a table is of no use to any study."""
    return frozenset(ALWAYS_NEEDED if table == "person" else ("person_id", EVENT_DATE[table]))


def _missing(table: str, present: frozenset[str]) -> tuple[str, ...]:
    return tuple(column.name for column in TABLES[table] if column.name not in present)
