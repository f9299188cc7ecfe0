"""Who is helped, and when: chosen by what a node can observe before the start date, and by nothing else.

Everybody gets a start date at random within the intake window, whatever their health. Who then joins depends
on age, sex, deprivation, illness on record and use in the year before that date, by a logit that is linear in
them and the same for all nodes but for a shift. So the covariates account for all confounding, and a plain
comparison of helped and not helped people is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from cohortium_simulations.arrays import Days, Floats, Integers, Mask
from cohortium_simulations.events import Events, History
from cohortium_simulations.people import DAYS_PER_YEAR, People, burden

PRIOR_DAYS, DIAGNOSIS_DAYS = 365, 730
_CAPS = {"prior_attendances": 10, "prior_emergency": 6, "charlson": 12}


@dataclass(frozen=True)
class Observed:
    """What is known of each person before a day of their own: the covariates that selection looks at."""

    age: Floats
    female: Mask
    imd_decile: Integers
    charlson: Integers
    prior_attendances: Integers
    prior_emergency: Integers


@dataclass(frozen=True)
class Selection:
    """How the log odds to be helped change with one unit of each covariate; counts are capped."""

    age: float = 0.025
    female: float = 0.30
    imd_decile: float = -0.11
    charlson: float = 0.10
    prior_attendances: float = 0.25
    prior_emergency: float = 0.20
    between_nodes: float = 0.4


def observe(people: People, history: History, day: Days) -> Observed:
    """The covariates of everybody at their day, from the events on record; one day for each person."""
    return Observed(
        age=np.floor((day - people.birth) / DAYS_PER_YEAR),
        female=people.female,
        imd_decile=people.imd_decile,
        charlson=_charlson(people, history, day),
        prior_attendances=count_between(history["attendances"], day - PRIOR_DAYS, day),
        prior_emergency=count_between(history["emergency"], day - PRIOR_DAYS, day),
    )


def choose_helped(
    people: People, observed: Observed, day: Days, count: int, selection: Selection, rng: Generator
) -> Integers:
    """The positions, ascending, of the ``count`` people who are helped from their day on.

    A logit: those with the highest sum of score and logistic noise among the people who are there on their
    day.
    """
    shifts = rng.normal(0, selection.between_nodes, people.node.max() + 1)
    wish = _score(observed, selection) + shifts[people.node] + rng.logistic(size=len(people))
    wish[~people.present(day)] = -np.inf
    return np.sort(np.argsort(wish)[-count:])


def count_between(events: Events, start: Days, stop: Days) -> Integers:
    """Events of each row that begin in its half-open stretch of days."""
    inside = (start[events.row] <= events.start) & (events.start < stop[events.row])
    return np.bincount(events.row[inside], minlength=len(start))


def _score(observed: Observed, selection: Selection) -> Floats:
    score = (
        selection.age * observed.age
        + selection.female * observed.female
        + selection.imd_decile * observed.imd_decile
    )
    for name, cap in _CAPS.items():
        score += getattr(selection, name) * np.minimum(getattr(observed, name), cap)
    return np.asarray(score)


def _charlson(people: People, history: History, day: Days) -> Integers:
    """The score of the conditions that spells of the two years before the day wrote down."""
    recorded = np.zeros(len(people), dtype=np.int64)
    for spells in (history["emergency"], history["elective"]):
        age = day[spells.row] - spells.start
        before = spells.where((age > 0) & (age <= DIAGNOSIS_DAYS))
        np.bitwise_or.at(recorded, before.row, before.recorded)
    return burden(recorded)
