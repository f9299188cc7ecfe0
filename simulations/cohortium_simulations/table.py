"""Any analysis-ready table, one row a person, as a federation: how real public data get in.

Bounds that are not given are read from the table. That is convenient and not private, and every output says so.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cohortium_node.data.table import AnalysisTable
from cohortium_protocols.covariates import public_scale
from cohortium_protocols.errors import InputError, UsageFault
from cohortium_protocols.plan import Plan

_LARGEST_COUNT = 100
_MOST_LEVELS = 50


@dataclass(frozen=True)
class Column:
    """A column as it was asked for: ``COL``, ``COL:HIGH`` or ``COL:LOW..HIGH``."""

    name: str
    low: float | None = None
    high: float | None = None

    @classmethod
    def parse(cls, text: str) -> Column:
        """Returns the column written as text.

        Raises:
            UsageFault: the bounds are not numbers, or are the wrong way round.
        """
        name, _, bounds = text.strip().partition(":")
        if not bounds:
            return cls(name)
        low, dots, high = bounds.rpartition("..")
        try:
            column = cls(name, float(low) if dots else 0.0, float(high))
        except ValueError:
            raise UsageFault(
                f"'{text}' is not a column with bounds.", do=f"write {name}, {name}:HIGH or {name}:LOW..HIGH"
            ) from None
        if not (column.low is not None and column.high is not None and column.low < column.high):
            raise UsageFault(f"In '{text}' the lower bound is not below the upper one.", do="swap them")
        return column


@dataclass(frozen=True)
class TableStudy:
    """A table, read and ready: the plan, a table for each node, and whether bounds came from the data."""

    plan: Plan
    tables: dict[str, AnalysisTable]
    bounds_from_data: bool


@dataclass(frozen=True)
class Question:
    """What is asked of a table.

    Attributes:
        treated: column of 0 and 1.
        outcomes: columns to compare.
        covariates: numeric columns in which people must be alike.
        categorical: columns whose values are categories.

    Raises:
        UsageFault: a column has two roles, or there is no covariate.
    """

    treated: str
    outcomes: Sequence[Column]
    covariates: Sequence[Column]
    categorical: Sequence[str]

    def __post_init__(self) -> None:
        alike = [*(column.name for column in self.numbers), *self.categorical]
        roles = [self.treated, *(column.name for column in self.outcomes), *alike]
        if not alike:
            raise UsageFault("No covariate was named.", do="name columns in which people must be alike: --covariates")
        for name in roles:
            if roles.count(name) > 1:
                raise UsageFault(
                    f"The column '{name}' is named twice.",
                    why="a column is the treatment, an outcome or a covariate, and once",
                    do="leave one of them out",
                )

    @property
    def numbers(self) -> tuple[Column, ...]:
        """The covariates that are not categories."""
        return tuple(column for column in self.covariates if column.name not in self.categorical)


def read_table(path: Path) -> pd.DataFrame:
    """Returns the CSV file as text columns; ``-`` is standard input.

    Raises:
        InputError: the file cannot be read as CSV.
    """
    try:
        return pd.read_csv(sys.stdin if str(path) == "-" else path, dtype=str, keep_default_na=False)
    except OSError as error:
        raise InputError(
            f"The table {path} cannot be read.", why=error.strerror or "", do="check the path"
        ) from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(
            f"The table {path} is not a CSV file.",
            why=str(error).strip(),
            do="save it as CSV in UTF-8, with a header",
        ) from error


def table_study(
    frame: pd.DataFrame,
    question: Question,
    *,
    source: str,
    nodes: int,
    split: str,
    epsilon: float | None,
    delta: float,
    method: str,
    rng: np.random.Generator,
) -> TableStudy:
    """Returns the study of a table, its people shared out over nodes.

    Args:
        frame: the table, as text.
        question: what is asked.
        source: the table's name in messages.
        nodes: how many nodes, when the split is random.
        split: ``random``, or ``by:COL`` for one node a value of a column.
        epsilon: the privacy budget, or None without noise.
        delta: its delta.
        method: the analysis method.
        rng: shares people out.

    Raises:
        InputError: a column is missing or holds something that it cannot.
    """
    reader = _Reader(frame, source)
    treated = reader.flags(question.treated)
    outcomes = [_outcome(reader, column) for column in question.outcomes]
    covariates = [_number(reader, column) for column in question.numbers]
    covariates += [_category(reader, name) for name in question.categorical]
    place = _places(reader, split, nodes, rng)
    names = [f"node-{index + 1}" for index in range(int(place.max()) + 1)]
    plan = Plan.model_validate({
        "cohortium": 1, "study": "table", "title": f"Study of {source}", "data": "table",
        "question": f"Did {' and '.join(each.name for each in question.outcomes)} differ for {question.treated} = 1?",
        "covariates": covariates, "outcomes": outcomes, "analysis": {"method": method},
        "privacy": {"epsilon": epsilon or 1.0, "delta": delta, "aggregation": "local", "noise": epsilon is not None},
        "nodes": {"roster": names, "deadline": date.today() + timedelta(days=365)},
        "publish": {"minimum_treated": 10, "balance": "show"},
    })  # fmt: skip
    values = {column.name: reader.numbers(column.name) for column in question.numbers}
    values |= {name: reader.texts(name) for name in question.categorical}
    measured = np.column_stack([reader.numbers(column.name) for column in question.outcomes])
    tables = {name: _people(treated, values, measured, place == index) for index, name in enumerate(names)}
    open_bounds = any(column.high is None for column in (*question.outcomes, *question.numbers))
    return TableStudy(plan, tables, open_bounds or bool(question.categorical))


def _people(
    treated: NDArray[np.bool_],
    covariates: dict[str, NDArray[Any]],
    outcomes: NDArray[np.float64],
    here: NDArray[np.bool_],
) -> AnalysisTable:
    mine = {name: column[here] for name, column in covariates.items()}
    exits = np.zeros(int(treated[here].sum()), dtype=np.int64)
    return AnalysisTable(treated[here], mine, outcomes[here], exits)


class _Reader:
    """Columns of a text table as values, with errors that name file, row and column."""

    def __init__(self, frame: pd.DataFrame, source: str) -> None:
        self.frame = frame
        self.source = source

    def texts(self, name: str) -> NDArray[Any]:
        if name not in self.frame.columns:
            known = ", ".join(map(str, self.frame.columns))
            raise InputError(f"{self.source} has no column '{name}'.", do=f"its columns are: {known}")
        values = self.frame[name].str.strip().to_numpy(dtype=object)
        self._refuse(name, values == "", "is empty", "fill it in, or leave the row out")
        return values

    def numbers(self, name: str) -> NDArray[np.float64]:
        texts = self.texts(name)
        values = pd.to_numeric(pd.Series(texts), errors="coerce").to_numpy(dtype=np.float64)
        self._refuse(
            name, ~np.isfinite(values), "is not a number", "correct it, or name the column in --categorical"
        )
        return values

    def flags(self, name: str) -> NDArray[np.bool_]:
        texts = np.char.lower(self.texts(name).astype(str))
        yes, no = np.isin(texts, ["1", "1.0", "true", "yes"]), np.isin(texts, ["0", "0.0", "false", "no"])
        self._refuse(
            name, ~(yes | no), "is neither 0 nor 1", "the column must say 1 for people who were helped"
        )
        for missing, word in ((~yes, 1), (~no, 0)):
            if missing.all():
                raise InputError(f"{self.source}: nobody has {name} = {word}.", do="both groups need people")
        return yes

    def _refuse(self, name: str, broken: NDArray[np.bool_], what: str, do: str) -> None:
        if broken.any():
            row = int(np.argmax(broken)) + 2
            more = int(broken.sum()) - 1
            where = f"{self.source}, row {row}, column '{name}': the value {what}"
            raise InputError(where + (f", and in {more} more rows." if more else "."), do=do)


def _number(reader: _Reader, column: Column) -> dict[str, Any]:
    values = reader.numbers(column.name)
    if column.low is not None:
        return {"name": column.name, "low": column.low, "high": column.high}
    low, high, centre = float(values.min()), float(values.max()), float(values.mean())
    _refuse_constant(reader, column.name, low < high)
    scale = public_scale(float(values.std()), centre, low, high)
    return {"name": column.name, "low": low, "high": high, "centre": centre, "scale": scale}


def _category(reader: _Reader, name: str) -> dict[str, Any]:
    levels = sorted(set(reader.texts(name)))
    _refuse_constant(reader, name, len(levels) > 1)
    if len(levels) > _MOST_LEVELS:
        raise InputError(
            f"{reader.source}: the column '{name}' has {len(levels)} different values.",
            why=f"a category has at most {_MOST_LEVELS}",
            do="name it in --covariates instead, or group its values",
        )
    return {"name": name, "levels": levels}


def _outcome(reader: _Reader, column: Column) -> dict[str, Any]:
    values = reader.numbers(column.name)
    low, high = (
        (column.low, column.high) if column.high is not None else (float(values.min()), float(values.max()))
    )
    _refuse_constant(reader, column.name, low is not None and high is not None and low < high)
    whole = bool(np.all(values == np.rint(values)) and values.min() >= 0)
    if set(np.unique(values)) <= {0.0, 1.0}:
        return {"name": column.name, "low": 0.0, "clip": 1.0, "kind": "binary"}
    if whole and values.max() <= _LARGEST_COUNT and (column.low or 0.0) == 0:
        return {"name": column.name, "low": 0.0, "clip": high, "kind": "count"}
    return {"name": column.name, "low": low, "clip": high, "kind": "number"}


def _refuse_constant(reader: _Reader, name: str, varies: bool) -> None:
    if not varies:
        raise InputError(f"{reader.source}: the column '{name}' has one value only.", do="leave it out")


def _places(reader: _Reader, split: str, nodes: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Returns which node each row is at, shape (n_people,)."""
    if split == "random":
        return rng.permutation(np.arange(len(reader.frame)) % nodes)
    kind, _, column = split.partition(":")
    if kind != "by" or not column:
        raise UsageFault(
            f"'{split}' is not a way to share people out.", do="use --split random or --split by:COLUMN"
        )
    _, places = np.unique(reader.texts(column).astype(str), return_inverse=True)
    return places.astype(np.int64)
