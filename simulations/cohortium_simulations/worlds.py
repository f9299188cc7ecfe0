"""A national world with known truth: people, what happened to them, who was helped, and what help changed.

`make_world` is a function of its `WorldSpec` alone: the same specification gives the same world, to the byte.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.random import Generator

from cohortium_simulations.arrays import Days, Integers
from cohortium_simulations.cohort_file import Intake, cohort_rows
from cohortium_simulations.events import Effects, Windows, draw_history, helped_history
from cohortium_simulations.people import People, make_people
from cohortium_simulations.records import admission_rows, attendance_rows
from cohortium_simulations.selection import Selection, choose_helped, observe

_DAYS_BEFORE, _DAYS_AFTER = 731, 91


def _five_nodes() -> dict[str, int]:
    return {"north": 52_000, "south": 38_000, "east": 24_000, "west": 16_000, "london": 80_000}


@dataclass(frozen=True)
class WorldSpec:
    """What a world is made from.

    Attributes:
        nodes: people at each node, in the order of the roster.
        helped: people helped within the intake window, over all nodes.
        intake_from, intake_to: first and last day on which help can start.
        follow_up: days after the start in which help has its effect.
        effects: relative changes of the helped people's rates of use.
        selection: how the chance to be helped depends on what is observed.
        seed: source of all randomness.
    """

    nodes: Mapping[str, int] = field(default_factory=_five_nodes)
    helped: int = 1200
    intake_from: dt.date = dt.date(2022, 1, 1)
    intake_to: dt.date = dt.date(2022, 12, 31)
    follow_up: int = 365
    effects: Effects = field(default_factory=Effects)
    selection: Selection = field(default_factory=Selection)
    seed: int = 20220101

    def __post_init__(self) -> None:
        if self.intake_from > self.intake_to:
            raise ValueError("the intake window ends before it begins")
        if not 0 < self.helped <= sum(self.nodes.values()) // 4:
            raise ValueError("between one person and a quarter of all people can be helped")

    @property
    def intake(self) -> Intake:
        """The intake window in days since 1970-01-01."""
        return Intake(day_number(self.intake_from), day_number(self.intake_to))

    @property
    def span(self) -> tuple[int, int]:
        """The first day of the records and the day after their last."""
        return self.intake.first - _DAYS_BEFORE, self.intake.last + self.follow_up + _DAYS_AFTER

    def generator(self, purpose: int) -> Generator:
        """A generator for each purpose, so that a change of one part leaves the others as they are."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(purpose,)))


@dataclass(frozen=True)
class World:
    """A world: everybody, the rows of the canonical tables, and the cohort file that the provider submits.

    ``person`` in the tables and in ``helped`` is a position among ``people``. ``helped`` holds the stretch of
    follow-up of each helped person. The cohort's column ``fate`` is the exit step that each row should meet.
    """

    spec: WorldSpec
    people: People
    helped: Windows
    attendances: pd.DataFrame
    admissions: pd.DataFrame
    cohort: pd.DataFrame

    @property
    def analysed(self) -> Windows:
        """The helped people who should end in the analysis, with their stretches of follow-up."""
        fates = self.cohort[self.cohort.fate == "analysed"]
        return self.helped.where(np.isin(self.helped.person, fates.person))


def make_world(spec: WorldSpec) -> World:
    """The world of a specification; about 210,000 people take a few seconds."""
    sizes = list(spec.nodes.values())
    people = make_people(sizes, spec.span[0], spec.intake.first, spec.span[1], spec.generator(0))
    everybody = Windows(np.arange(len(people)), np.maximum(people.registered_from, spec.span[0]), people.left)
    untouched = draw_history(people, everybody, spec.generator(1))
    chance = spec.generator(2)
    day = chance.integers(spec.intake.first, spec.intake.last + 1, len(people))
    chosen = choose_helped(people, observe(people, untouched, day), day, spec.helped, spec.selection, chance)
    follow_up = _follow_up(people, chosen, day, spec.follow_up)
    history = helped_history(people, untouched, follow_up, spec.effects, spec.generator(3))
    rows = spec.generator(4)
    return World(
        spec=spec,
        people=people,
        helped=follow_up.where(np.isin(follow_up.person, chosen)),
        attendances=attendance_rows(people, history["attendances"], rows),
        admissions=admission_rows(people, history["emergency"], history["elective"], spec.span, rows),
        cohort=cohort_rows(people, chosen, day, spec.intake, spec.generator(5)),
    )


def day_number(date: dt.date) -> int:
    """Days since 1970-01-01."""
    return (date - dt.date(1970, 1, 1)).days


def _follow_up(people: People, chosen: Integers, day: Days, length: int) -> Windows:
    """Everybody's stretch of help: empty for those who are not chosen, cut short where records end."""
    stop = np.array(day)
    stop[chosen] = np.minimum(day + length, people.left)[chosen]
    return Windows(np.arange(len(people)), day, stop)
