"""Events as rows of the canonical tables, with the codes and the dirt of real extracts.

Dirt is what the definitions must leave out: planned follow-up attendances, same-day emergency care, regular
attenders, maternity spells, transfers, admissions of unknown method, and dates that stand for "not known".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.random import Generator
from numpy.typing import NDArray

from cohortium_simulations.arrays import Days, Integers, Texts
from cohortium_simulations.events import Events
from cohortium_simulations.people import CANCER, CONDITIONS, DAYS_PER_YEAR, People

NOT_KNOWN = int(np.datetime64("1800-01-01", "D").astype(np.int64))
"""1800-01-01, one of the dates that hospital extracts write for a missing one."""

_ACUTE = ("R074", "J181", "N390", "S720", "R55X", "A419", "K573", "L031", "E86X", "N12X", "J22X", "R104")
_PLANNED = ("H259", "K409", "M170", "Z121", "K635", "D122", "H353", "K802", "M160", "R195", "Z098", "N200")
_INJURIES = ("01", "03", "05", "06", "14", "20", "21", "25", "26", "38")
_DEPARTMENTS = {"01": 0.66, "02": 0.03, "03": 0.28, "04": 0.03}
_CATEGORIES = {"1": 0.95, "3": 0.05}
_DISPOSALS = {"01": 0.26, "02": 0.22, "03": 0.40, "04": 0.08, "12": 0.04}
_EMERGENCY = {
    "21": 0.66,
    "22": 0.12,
    "23": 0.03,
    "24": 0.05,
    "25": 0.01,
    "28": 0.04,
    "2A": 0.06,
    "2C": 0.01,
    "2D": 0.02,
}
_ELECTIVE = {"11": 0.70, "12": 0.25, "13": 0.05}
_MATERNITY = {"31": 0.9, "32": 0.1}
_TRANSFER = {"81": 0.6, "2B": 0.4}
_UNKNOWN = {"98": 0.3, "99": 0.7}


def attendance_rows(people: People, events: Events, rng: Generator) -> pd.DataFrame:
    """The rows of ``emergency_attendance`` by time of arrival; ``person`` is a position among the people."""
    count = len(events)
    clean = pd.DataFrame(
        {
            "person": events.row,
            "arrived": _moments(events.start, rng.integers(0, 24 * 60, count)),
            "department_type": _codes(_DEPARTMENTS, count, rng),
            "attendance_category": _codes(_CATEGORIES, count, rng),
            "disposal": _codes(_DISPOSALS, count, rng),
            "primary_diagnosis": _codes(_INJURIES, count, rng),
        }
    )
    planned = _later(people, clean, 0.08, rng).assign(attendance_category="2")
    same_day_care = _later(people, clean, 0.03, rng).assign(department_type="05")
    undated = _sample(clean, 0.002, rng).assign(arrived=_moments(np.array([NOT_KNOWN]), np.array([0]))[0])
    return _in_order([clean, planned, same_day_care, undated], "arrived")


def admission_rows(
    people: People, emergency: Events, elective: Events, span: tuple[int, int], rng: Generator
) -> pd.DataFrame:
    """The rows of ``admission`` in order of admission, one a spell; days are counted from 1970-01-01.

    ``person`` is the position among the people, ``conditions`` holds the further diagnoses, a bit each.
    """
    urgent = _spells(emergency, _codes(_EMERGENCY, len(emergency), rng), _ACUTE, rng)
    planned = _spells(elective, _codes(_ELECTIVE, len(elective), rng), _PLANNED, rng)
    planned["classification"] = np.where(planned.admitted == planned.discharged, "2", "1")
    died = people.death[urgent.person] == urgent.discharged
    urgent.loc[died, "destination"] = "79"
    parts = [
        urgent,
        planned,
        _transfers(people, urgent, rng),
        _maternity(people, span, rng),
        _regular(people, span, rng),
        _sample(urgent, 0.003, rng).pipe(lambda rows: rows.assign(method=_codes(_UNKNOWN, len(rows), rng))),
        _sample(urgent, 0.002, rng).assign(admitted=NOT_KNOWN, discharged=NOT_KNOWN),
    ]
    return _in_order(parts, "admitted")


def diagnosis_texts(primary: pd.Series[str], conditions: Integers) -> Texts:
    """All diagnoses of each spell as one text, the primary one first, separated by semicolons."""
    sets, position = np.unique(conditions, return_inverse=True)
    further = np.array([_listed(int(one)) for one in sets], dtype=object)
    return np.asarray(np.asarray(primary, dtype=object) + further[position], dtype=object)


def _listed(conditions: int) -> str:
    return "".join(";" + one.code for bit, one in enumerate(CONDITIONS) if conditions >> bit & 1)


def _spells(events: Events, methods: Texts, codes: Sequence[str], rng: Generator) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "person": events.row,
            "admitted": events.start,
            "discharged": events.stop,
            "method": methods,
            "classification": "1",
            "source": "19",
            "destination": "19",
            "primary_diagnosis": _codes(codes, len(events), rng),
            "conditions": events.recorded,
        }
    )


def _transfers(people: People, spells: pd.DataFrame, rng: Generator) -> pd.DataFrame:
    """Continuations elsewhere: the same stay goes on at another hospital on the day of discharge."""
    moved = _sample(spells[spells.destination != "79"], 0.03, rng)
    left = np.maximum(people.left[moved.person], moved.discharged)
    return moved.assign(
        admitted=moved.discharged,
        discharged=np.minimum(moved.discharged + rng.integers(0, 8, len(moved)), left),
        method=_codes(_TRANSFER, len(moved), rng),
        source="51",
    )


def _maternity(people: People, span: tuple[int, int], rng: Generator) -> pd.DataFrame:
    mothers = np.flatnonzero(people.female & (people.age < 44))
    events = _extra(people, mothers, 0.07, 3, span, rng)
    return _spells(events, _codes(_MATERNITY, len(events), rng), ("O800", "O821", "O700"), rng)


def _regular(people: People, span: tuple[int, int], rng: Generator) -> pd.DataFrame:
    """Regular day and night attenders, as for chemotherapy: many planned admissions without a stay."""
    ill = np.flatnonzero(people.conditions >> CANCER & 1)
    events = _extra(people, ill[rng.random(len(ill)) < 0.05], 40.0, 1, span, rng)
    rows = _spells(events, _codes(_ELECTIVE, len(events), rng), ("Z512",), rng)
    return rows.assign(classification=_codes({"3": 0.9, "4": 0.1}, len(rows), rng))


def _extra(
    people: People,
    who: Integers,
    yearly: float,
    longest: int,
    span: tuple[int, int],
    rng: Generator,
) -> Events:
    """Events of some people at one rate, with stays shorter than ``longest`` nights."""
    start = np.maximum(people.registered_from[who], span[0])
    days = np.maximum(people.left[who] - start, 0)
    chosen = np.repeat(np.arange(len(who)), rng.poisson(yearly * days / DAYS_PER_YEAR))
    admitted = start[chosen] + (rng.random(len(chosen)) * days[chosen]).astype(np.int64)
    stop = np.minimum(admitted + rng.integers(0, longest, len(chosen)), people.left[who][chosen])
    return Events(who[chosen], admitted, stop, np.zeros(len(chosen), dtype=np.int64))


def _later(people: People, rows: pd.DataFrame, share: float, rng: Generator) -> pd.DataFrame:
    """A share of the attendances again, one to three weeks later, if the person is still there."""
    again = _sample(rows, share, rng)
    again = again.assign(arrived=again.arrived + rng.integers(7, 22, len(again)).astype("timedelta64[D]"))
    return again[again.arrived.to_numpy() < people.left[again.person].astype("datetime64[D]")]


def _sample(rows: pd.DataFrame, share: float, rng: Generator) -> pd.DataFrame:
    return rows[rng.random(len(rows)) < share]


def _in_order(parts: Sequence[pd.DataFrame], column: str) -> pd.DataFrame:
    return pd.concat(parts, ignore_index=True).sort_values(column, kind="stable", ignore_index=True)


def _moments(days: Days, minutes: Integers) -> NDArray[np.datetime64]:
    midnights = days.astype("datetime64[D]").astype("datetime64[s]")
    return np.asarray(midnights + minutes.astype("timedelta64[m]"))


def _codes(shares: Mapping[str, float] | Sequence[str], count: int, rng: Generator) -> Texts:
    """Random codes: in the given shares, or with equal chances."""
    codes = np.array(list(shares), dtype=object)
    weights = list(shares.values()) if isinstance(shares, Mapping) else [1.0] * len(codes)
    edges = np.cumsum(weights)
    return np.asarray(codes[np.searchsorted(edges, rng.random(count) * edges[-1], side="right")])
