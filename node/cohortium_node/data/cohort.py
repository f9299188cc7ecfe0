"""The cohort file: one row for each person helped, as the provider wrote it.

A file with any broken row is refused as a whole, and every broken row is named, so that it can be put right
in one go. Messages name rows and columns, never an identifier.
"""

from __future__ import annotations

import csv
import datetime as dt
import difflib
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cohortium_node.linkage.nhs_number import check_digit_holds, digits
from cohortium_protocols.errors import InputError

REQUIRED = ("nhs_number", "start_date")
OPTIONAL = ("end_date", "site", "subgroup", "legal_basis")
LEGAL_BASES = ("consent", "s251")
FAULTS_SHOWN = 20

_ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}

Row = Mapping[str, str]
"""The cells of one row by column; a column that the file leaves out is absent."""


@dataclass(frozen=True)
class Cohort:
    """The people helped, each once, in ascending order of their NHS numbers.

    Attributes:
        nhs_numbers: (n,) ten-digit numbers as integers.
        start_dates: (n,) each person's earliest start date, datetime64[D].
        consent: (n,) whether the person gave explicit consent; the national data opt-out applies to the
            others.
        rows: rows in the file, before a person who is in it twice was counted once.
    """

    nhs_numbers: NDArray[np.int64]
    start_dates: NDArray[np.datetime64]
    consent: NDArray[np.bool_]
    rows: int


def read_cohort(path: Path) -> Cohort:
    """Reads a cohort file (CSV, UTF-8). A file with a header and no rows is a cohort of nobody.

    A person in several rows is kept with the earliest start date; of rows with the same date, one without
    consent.

    Raises:
        InputError: the file cannot be read, or a column or a cell cannot be used; every fault is named.
    """
    records = _records(path)
    header = _header(path, records[0] if records else [])
    rows, faults = [], []
    for number, cells in enumerate(records[1:], start=2):
        if any(cells):
            row = dict(zip(header, cells, strict=False))
            faults += [f"row {number}, {fault}" for fault in _faults(row, len(cells), len(header))]
            rows.append(row)
    if faults:
        raise _refusal(path, faults)
    return _cohort(rows)


def _records(path: Path) -> list[list[str]]:
    table = csv.reader(io.StringIO(_text(path), newline=""))
    try:
        return [[cell.strip() for cell in cells] for cells in table]
    except csv.Error as error:
        raise _refusal(path, [f"row {table.line_num}: {error}"]) from error


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"The cohort file {path.name} cannot be read.",
            why=error.strerror or "The operating system refused.",
            do="Check the file's name and permissions.",
        ) from error
    try:
        return data.decode("utf-8-sig")  # a byte order mark, as spreadsheets write it, is fine
    except UnicodeDecodeError as error:
        row = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path.name}, row {row}: the text is not UTF-8.",
            do='Save the file again as "CSV UTF-8".',
        ) from error


def _header(path: Path, names: list[str]) -> list[str]:
    """Returns the columns' names, or refuses the header with every fault in it."""
    if not any(names):
        raise InputError(
            f"{path.name} is empty.",
            do=f"Write a header in row 1, {','.join(REQUIRED)}, then one row a person.",
        )
    faults = list(_separator_faults(names)) or list(_name_faults(names))
    if faults:
        raise _refusal(path, [f"row 1, {fault}" for fault in faults])
    return names


def _separator_faults(names: list[str]) -> Iterator[str]:
    for sign, plural in _SEPARATORS.items():
        if len(names) == 1 and sign in names[0]:
            yield f"the columns are separated by {plural}; a CSV file has commas"


def _name_faults(names: list[str]) -> Iterator[str]:
    """Yields what is wrong with the names. A first row that is no header is not quoted."""
    known = REQUIRED + OPTIONAL
    if not {_plain(name) for name in names} & set(known):
        yield f"the columns' names are expected here: {', '.join(REQUIRED)}"
        return
    for name in dict.fromkeys(names):
        if name not in known:
            near = difflib.get_close_matches(_plain(name), known, n=1)
            hint = "".join(f'; did you mean "{other}"?' for other in near)
            yield f'column "{name}": not a column of a cohort file{hint}'
        if names.count(name) > 1:
            yield f'column "{name}": it is there {names.count(name)} times'
    for name in REQUIRED:
        if name not in names:
            yield f'column "{name}": it is required and missing'


def _plain(name: str) -> str:
    return name.lower().replace(" ", "_")


def _faults(row: Row, cells: int, columns: int) -> Iterator[str]:
    """Yields what is wrong with a row, a fault for each cell at most."""
    if cells != columns:
        yield f"it has {cells} values and the header has {columns} columns"
        return
    for name, check in _CHECKS.items():
        fault = check(row[name]) if name in row else None
        if fault:
            yield f"column {name}: {fault}"


def _nhs_number_fault(cell: str) -> str | None:
    if not cell:
        return "the NHS number is missing"
    number = digits(cell)
    if number is None:
        return "an NHS number has 10 digits"
    if not check_digit_holds(np.array([number], dtype=np.int64))[0]:
        return "the check digit does not fit; a digit may be mistyped"
    return None


def _start_date_fault(cell: str) -> str | None:
    return _date_fault(cell) if cell else "the start date is missing"


def _date_fault(cell: str) -> str | None:
    return None if not cell or _date(cell) else "not a date written as YYYY-MM-DD"


def _legal_basis_fault(cell: str) -> str | None:
    return None if not cell or cell in LEGAL_BASES else f"neither {' nor '.join(LEGAL_BASES)}"


_CHECKS: Mapping[str, Callable[[str], str | None]] = {
    "nhs_number": _nhs_number_fault,
    "start_date": _start_date_fault,
    "end_date": _date_fault,
    "legal_basis": _legal_basis_fault,
}


def _date(cell: str) -> dt.date | None:
    if not _ISO_DATE.fullmatch(cell):
        return None
    try:
        return dt.date.fromisoformat(cell)
    except ValueError:
        return None


def _refusal(path: Path, faults: list[str]) -> InputError:
    shown = faults[:FAULTS_SHOWN]
    if len(faults) > FAULTS_SHOWN:
        shown.append(f"and {len(faults) - FAULTS_SHOWN} more")
    return InputError(
        f"The cohort file {path.name} cannot be used:\n" + "\n".join(f"  {fault}" for fault in shown),
        do="Put these right and try again; nothing was read from the file.",
    )


def _cohort(rows: Sequence[Row]) -> Cohort:
    numbers = np.array([digits(row["nhs_number"]) for row in rows], dtype=np.int64)
    dates = np.array([row["start_date"] for row in rows], dtype="datetime64[D]")
    consent = np.array([row.get("legal_basis") == "consent" for row in rows], dtype=np.bool_)
    order = np.lexsort((consent, dates, numbers))
    numbers, first = np.unique(numbers[order], return_index=True)
    kept = order[first]
    return Cohort(numbers, dates[kept], consent[kept], rows=len(rows))
