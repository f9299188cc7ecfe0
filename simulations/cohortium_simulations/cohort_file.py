"""The file that the provider submits: a row for each person helped, and the mistakes that such files hold."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.random import Generator

from cohortium_simulations.arrays import Days, Integers
from cohortium_simulations.nhs_numbers import draw_nhs_numbers
from cohortium_simulations.people import NEVER, People

NOT_FOUND = "not_found"
"""The fate of a row whose NHS number is at no node; the other fates are the exit steps of the protocol."""
_DIRT = 0.05
_NOT_FOUND, _OUTSIDE, _TWICE, _GONE = 0.4, 0.3, 0.2, 0.1
_NOBODY = -1


class Intake(NamedTuple):
    """First and last day of the intake window, in days since 1970-01-01."""

    first: int
    last: int


def cohort_rows(people: People, helped: Integers, day: Days, intake: Intake, rng: Generator) -> pd.DataFrame:
    """The rows of the cohort file in random order, days as integers, one in twenty of them a mistake.

    Returns:
        Columns ``person`` (position among the people, -1 for nobody), ``nhs_number``, ``start_date``,
        ``end_date`` (`NEVER` where it is blank), ``site``, ``legal_basis`` and ``fate``, the exit step that
        the row should meet. ``person`` and ``fate`` are no part of the file.
    """
    mistakes = round(len(helped) * _DIRT / (1 - _DIRT))
    others = np.setdiff1d(np.arange(len(people)), helped)
    right = _completed(people, helped, day[helped], "analysed", rng)
    right.loc[people.opt_out[helped] & (right.legal_basis == "s251"), "fate"] = "opted_out"
    twice = right.sample(round(mistakes * _TWICE), random_state=rng)
    parts = [
        right,
        twice.assign(start_date=twice.start_date + rng.integers(1, 90, len(twice)), fate="duplicate_person"),
        _outside(people, rng.choice(others, round(mistakes * _OUTSIDE), replace=False), intake, rng),
        _gone(people, others, round(mistakes * _GONE), intake, rng),
        _not_found(people, right.sample(round(mistakes * _NOT_FOUND), random_state=rng), rng),
    ]
    return pd.concat(parts, ignore_index=True).sample(frac=1, random_state=rng, ignore_index=True)


def _completed(people: People, person: Integers, start: Days, fate: str, rng: Generator) -> pd.DataFrame:
    count = len(person)
    finished = rng.random(count) < 0.8
    return pd.DataFrame(
        {
            "person": person,
            "nhs_number": people.nhs_number[person],
            "start_date": start,
            "end_date": np.where(finished, start + rng.integers(30, 200, count), NEVER),
            "site": np.char.add("hub ", rng.integers(1, 7, count).astype(str)),
            "legal_basis": np.where(rng.random(count) < 0.75, "consent", "s251"),
            "fate": fate,
        }
    )


def _outside(people: People, person: Integers, intake: Intake, rng: Generator) -> pd.DataFrame:
    """People who were helped, but before or after the intake window."""
    early = rng.random(len(person)) < 0.5
    days = rng.integers(1, 120, len(person))
    return _completed(
        people, person, np.where(early, intake.first - days, intake.last + days), "outside_intake", rng
    )


def _gone(people: People, others: Integers, count: int, intake: Intake, rng: Generator) -> pd.DataFrame:
    """People whose records end before the start date that the provider wrote: they died or moved away."""
    left = people.left[others]
    candidates = others[(intake.first <= left) & (left < intake.last)]
    person = rng.choice(candidates, min(count, len(candidates)), replace=False)
    start = rng.integers(people.left[person] + 1, intake.last + 1)
    rows = _completed(people, person, start, "not_registered", rng)
    return rows.assign(
        fate=np.where(people.registered_to[person] < start, "not_registered", "died_before_index")
    )


def _not_found(people: People, rows: pd.DataFrame, rng: Generator) -> pd.DataFrame:
    """Rows like others whose NHS numbers are valid and belong to nobody."""
    numbers = np.setdiff1d(draw_nhs_numbers(2 * len(rows) + 10, rng), people.nhs_number)
    return rows.assign(person=_NOBODY, nhs_number=rng.permutation(numbers)[: len(rows)], fate=NOT_FOUND)
