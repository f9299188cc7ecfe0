"""A folder of canonical tables: files found, opened for reading, and checked cell by cell.

A CSV file is read once into memory; a Parquet file is read where it lies. A cell that is not what its column
holds is an error that names file, row and column, never the value. Rows are counted from 1, the header of a
CSV file included, as a spreadsheet shows them.
"""

from __future__ import annotations

import csv
import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import duckdb
import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir
from ibis.backends.duckdb import Backend

from cohortium_node.data.schema import NULL_DATES, Column, Kind, column
from cohortium_protocols.errors import InputError

SUFFIXES = (".parquet", ".csv")

_ACCEPTED: Mapping[Kind, tuple[type[dt.DataType], ...]] = {
    "text": (dt.String, dt.Integer),
    "nhs_number": (dt.String, dt.Integer),
    "date": (dt.Date, dt.Timestamp, dt.String),
    "number": (dt.Numeric, dt.String),
    "boolean": (dt.Boolean, dt.Integer, dt.String),
    "codes": (dt.String, dt.Array),
}
_SAID: Mapping[Kind, str] = {
    "text": "text",
    "nhs_number": "an NHS number",
    "date": "a date written as YYYY-MM-DD",
    "number": "a number",
    "boolean": "true or false",
    "codes": "a list of codes",
}


def connect() -> Backend:
    """Returns a database in memory that never spills to disk."""
    return ibis.duckdb.connect(temp_directory="")


def table_file(folder: Path, table: str) -> Path | None:
    """Returns the file of one canonical table; None if the folder has none.

    Raises:
        InputError: there are two.
    """
    found = [folder / f"{table}{suffix}" for suffix in SUFFIXES if (folder / f"{table}{suffix}").is_file()]
    if len(found) > 1:
        raise InputError(
            f"{folder.name} holds the table {table} twice: {found[0].name} and {found[1].name}.",
            why="It is not clear which one is meant.",
            do="Move one of them out of the folder.",
        )
    return found[0] if found else None


def columns_in(database: Backend, path: Path) -> tuple[str, ...]:
    """Returns the names of a file's columns, as they are written in it."""
    return tuple(_raw(database, path).columns)


def open_table(database: Backend, folder: Path, table: str, names: Iterable[str]) -> ir.Table:
    """Opens a canonical table with the columns asked for, each of the type that its kind has.

    Types: text and number are nullable text and float64; a date is a date, "not known" dates missing; an NHS
        number is an integer, missing if it is not ten digits; codes are an array of text.

    Raises:
        InputError: the file or a column is missing, or a cell is not what its column holds.
    """
    path = table_file(folder, table)
    if path is None:
        raise InputError(
            f"{folder.name} has no table {table}.",
            why="It is needed.",
            do=f"Add {table}.parquet or {table}.csv with the columns {', '.join(sorted(names))}.",
        )
    raw = _raw(database, path)
    columns = [column(table, name) for name in sorted(names)]
    for wanted in columns:
        _require(path, raw, wanted)
    _check_cells(database, path, raw, columns)
    typed = raw.select(**{wanted.name: _typed(raw[wanted.name], wanted) for wanted in columns})
    if path.suffix == ".parquet":
        return typed
    with _reading(path):
        return database.create_table(ibis.util.gen_name(table), typed, temp=True)


def refuse_repeats(database: Backend, folder: Path, table: str, opened: ir.Table, name: str) -> None:
    """Refuses a table in which a value of the column is there twice.

    Raises:
        InputError: naming the first row that repeats an earlier one.
    """
    values, path = opened[name], table_file(folder, table)
    if path is None or not whole(database, values.count() - values.nunique()):
        return
    place = _first_repeat(database.to_pyarrow(opened.select(name))[name].to_pylist())
    raise InputError(
        f"{path.name}, row {_row(path, place)}, column {name}: an earlier row has the same value.",
        why="Each person is one row, so that nobody counts twice.",
        do="Keep one row for each person.",
    )


def _first_repeat(values: list[object]) -> int:
    """Returns the place of the first value that an earlier place has too."""
    first = {value: place for place, value in reversed(list(enumerate(values)))}
    return next(place for place, value in enumerate(values) if value is not None and first[value] < place)


def whole(database: Backend, value: ir.IntegerScalar) -> int:
    """Returns a whole number that the database computes."""
    return int(database.to_pyarrow(value).as_py())


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turns the database's complaint about a file into an error, without its words: they may quote a row."""
    try:
        yield
    except (duckdb.Error, OSError, UnicodeDecodeError, csv.Error) as error:
        line = re.search(r"CSV Error on Line: ([0-9]+)", str(error))
        raise InputError(
            f"{path.name}{f', row {line[1]}' if line else ''}: the file cannot be read.",
            why=f"It is not a sound {path.suffix[1:]} file, or it is not readable for this user.",
            do="Write it again: CSV with commas, UTF-8 and a header in row 1, or Parquet.",
        ) from None


def _raw(database: Backend, path: Path) -> ir.Table:
    """Returns a file as it is: every column of a CSV file is text."""
    with _reading(path):
        if path.suffix == ".parquet":
            table = database.read_parquet(path)
            return table.mutate(
                **{name: ibis.null("string") for name in table.columns if _is_void(table[name])}
            )
        columns = dict.fromkeys(_csv_header(path), "VARCHAR")
        return database.read_csv(
            path, columns=columns, auto_detect=False, header=True, delim=",", quote='"', escape='"'
        )


def _csv_header(path: Path) -> list[str]:
    """Returns the names in the first row; the database's own guess may take another row for the header."""
    with path.open("rb") as file:
        names = [name.strip() for name in next(csv.reader([file.readline().decode("utf-8-sig")]), [])]
    if not all(names) or len(set(names)) < len(names) or not names:
        raise InputError(
            f"{path.name}, row 1: a name for each column is expected here, each once.",
            do="Write the columns' names in the first row, with commas between them.",
        )
    return names


def _is_void(column: ir.Column) -> bool:
    """Returns whether a Parquet column was written without a type, because it holds nothing."""
    return isinstance(column.type(), dt.Unknown) and "NULL" in str(column.type())


def _require(path: Path, raw: ir.Table, wanted: Column) -> None:
    if wanted.name not in raw.columns:
        near = difflib.get_close_matches(wanted.name, raw.columns, n=1)
        raise InputError(
            f"{path.name} has no column {wanted.name}.",
            why="It is needed." + "".join(f" There is a column {name}." for name in near),
            do=f"Add it: {_SAID[wanted.kind]} in each row, empty where it is not known.",
        )
    found = raw[wanted.name].type()
    if not isinstance(found, _ACCEPTED[wanted.kind]) or (isinstance(found, dt.Timestamp) and found.timezone):
        raise InputError(
            f"{path.name}, column {wanted.name}: it is of type {found}, not {_SAID[wanted.kind]}.",
            do="Write the file again with that column in the right type (dates without a time zone).",
        )


def _check_cells(database: Backend, path: Path, raw: ir.Table, columns: list[Column]) -> None:
    faults = {wanted: fault for wanted in columns if (fault := _broken(raw[wanted.name], wanted)) is not None}
    if not faults:
        return
    with _reading(path):
        checks = {wanted.name: fault.fill_null(False).sum() for wanted, fault in faults.items()}
        counts = database.to_pyarrow(raw.aggregate(**checks)).to_pylist()[0]
        for wanted, fault in faults.items():
            if counts[wanted.name]:
                rows = raw.select(fault=fault.fill_null(False), place=ibis.row_number())
                place = whole(database, rows.filter(rows.fault).place.min())
                raise _bad_cell(path, wanted, _row(path, place), counts[wanted.name] - 1)


def _row(path: Path, place: int) -> int:
    """Returns the number of a row in its file."""
    return place + (2 if path.suffix == ".csv" else 1)


def _bad_cell(path: Path, wanted: Column, row: int, others: int) -> InputError:
    allowed = f"one of {', '.join(wanted.values)}" if wanted.values else _SAID[wanted.kind]
    more = f", and so in {others} more rows" if others else ""
    return InputError(
        f"{path.name}, row {row}, column {wanted.name}: the value is not {allowed}{more}.",
        do="Put it right, or leave the cell empty if it is not known.",
    )


def _broken(raw: ir.Column, wanted: Column) -> ir.BooleanColumn | None:
    """Returns which cells are not what the column holds; None where the file's own type rules that out."""
    if wanted.values:
        return _text(raw).lower().notin(wanted.values)
    targets = {"date": "date", "number": "float64", "boolean": "boolean"}
    if wanted.kind not in targets or not isinstance(raw.type(), dt.String):
        return None
    return _text(raw).notnull() & _text(raw).try_cast(targets[wanted.kind]).isnull()


def _typed(raw: ir.Column, wanted: Column) -> ir.Column:
    if wanted.kind == "date":
        day = (_text(raw) if isinstance(raw.type(), dt.String) else raw).try_cast("date")
        return day.isin(NULL_DATES).ifelse(ibis.null("date"), day)
    if wanted.kind == "nhs_number":
        return _nhs_number(raw)
    if wanted.kind == "codes":
        return raw if isinstance(raw.type(), dt.Array) else _text(raw).re_split("[,;]")
    if wanted.kind == "text":
        return _text(raw).lower() if wanted.values else _text(raw)
    return (_text(raw) if isinstance(raw.type(), dt.String) else raw).try_cast(
        "float64" if wanted.kind == "number" else "boolean"
    )


def _text(raw: ir.Column) -> ir.StringColumn:
    return raw.cast("string").strip().nullif("")


def _nhs_number(raw: ir.Column) -> ir.IntegerColumn:
    written = raw.cast("string").replace(" ", "")
    padded = written.lpad(10, "0") if isinstance(raw.type(), dt.Integer) else written
    return padded.re_search("^[0-9]{10}$").ifelse(padded, ibis.null("string")).cast("int64")
