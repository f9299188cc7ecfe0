"""What happens to people: A&E attendances, emergency and elective admissions, and how help changes them.

Events of one kind come at a constant rate of each person's own (a Poisson process given the latent need). The
same functions draw the world once and, for the truth, the potential outcomes many times.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from cohortium_simulations.arrays import Days, Integers, Mask
from cohortium_simulations.people import CONDITIONS, DAYS_PER_YEAR, Kind, People

KINDS: tuple[Kind, ...] = ("attendances", "emergency", "elective")


@dataclass(frozen=True)
class Effects:
    """Relative changes of the rates of helped people during their follow-up; -0.2 is a fifth fewer."""

    attendances: float = -0.20
    emergency: float = -0.15
    elective: float = 0.10


@dataclass(frozen=True)
class Windows:
    """Half-open stretches of days, one for each of some people; empty where ``stop <= start``."""

    person: Integers
    start: Days
    stop: Days

    @property
    def days(self) -> Integers:
        """Length of each stretch."""
        return np.asarray(np.maximum(self.stop - self.start, 0))

    def where(self, chosen: Mask | Integers) -> Windows:
        """The chosen stretches."""
        return Windows(self.person[chosen], self.start[chosen], self.stop[chosen])


@dataclass(frozen=True)
class Events:
    """Dated events of one kind; ``row`` says in which row of the windows that they were drawn for.

    ``stop`` is the day of discharge (for an attendance, the same day); ``recorded`` has a bit for each of the
    person's conditions that was written down.
    """

    row: Integers
    start: Days
    stop: Days
    recorded: Integers

    def __len__(self) -> int:
        return len(self.row)

    def where(self, chosen: Mask | Integers) -> Events:
        """The chosen events."""
        return Events(self.row[chosen], self.start[chosen], self.stop[chosen], self.recorded[chosen])

    def __add__(self, other: Events) -> Events:
        return Events(
            np.concatenate([self.row, other.row]),
            np.concatenate([self.start, other.start]),
            np.concatenate([self.stop, other.stop]),
            np.concatenate([self.recorded, other.recorded]),
        )


History = Mapping[Kind, Events]


def draw_history(people: People, windows: Windows, rng: Generator) -> dict[Kind, Events]:
    """Every kind of event in the windows, as it is without help."""
    return {kind: draw_events(people, kind, windows, rng) for kind in KINDS}


def draw_events(people: People, kind: Kind, windows: Windows, rng: Generator, share: float = 1.0) -> Events:
    """Events of one kind in the windows, at ``share`` times each person's own rate."""
    expected = people.rates[kind][windows.person] * windows.days * (share / DAYS_PER_YEAR)
    row = np.repeat(np.arange(len(windows.person)), rng.poisson(expected))
    start = windows.start[row] + (rng.random(len(row)) * windows.days[row]).astype(np.int64)
    person = windows.person[row]
    stop = np.minimum(start + _NIGHTS[kind](people, person, rng), np.maximum(people.left[person], start))
    return Events(row, start, stop, _recorded(people, kind, person, rng))


def helped_history(
    people: People, history: History, helped: Windows, effects: Effects, rng: Generator
) -> dict[Kind, Events]:
    """The history when people are helped.

    Args:
        people: everybody in the world.
        history: events without help.
        helped: for each row the history was drawn for, the stretch in which help has its effect.
        effects: what help changes.
        rng: source of all randomness.
    """
    return {
        kind: _changed(people, kind, history[kind], helped, getattr(effects, kind), rng) for kind in KINDS
    }


def _changed(
    people: People, kind: Kind, events: Events, helped: Windows, change: float, rng: Generator
) -> Events:
    """Thins the events inside the windows (fewer), or adds new ones at that share of the rate (more)."""
    if change > 0:
        return events + draw_events(people, kind, helped, rng, share=change)
    inside = (helped.start[events.row] <= events.start) & (events.start < helped.stop[events.row])
    return events.where(~inside | (rng.random(len(events)) >= -change))


def _no_nights(people: People, person: Integers, rng: Generator) -> Integers:
    return np.zeros(len(person), dtype=np.int64)


def _emergency_nights(people: People, person: Integers, rng: Generator) -> Integers:
    """Log-normal stays, longer for older and iller people: many leave the same day."""
    typical = 0.85 + 0.012 * (people.age[person] - 60) + 0.08 * np.bitwise_count(people.conditions[person])
    return np.minimum(rng.lognormal(typical, 1.2), 150).astype(np.int64)


def _elective_nights(people: People, person: Integers, rng: Generator) -> Integers:
    """Four in five are day cases; the others stay about three nights."""
    nights = 1 + np.minimum(rng.lognormal(0.6, 0.8, len(person)), 60).astype(np.int64)
    return np.where(rng.random(len(person)) < 0.8, 0, nights)


_NIGHTS: Mapping[Kind, Callable[[People, Integers, Generator], Integers]] = {
    "attendances": _no_nights,
    "emergency": _emergency_nights,
    "elective": _elective_nights,
}


def _recorded(people: People, kind: Kind, person: Integers, rng: Generator) -> Integers:
    """Admissions write down each of the person's conditions with a chance of three in four."""
    if kind == "attendances":
        return np.zeros(len(person), dtype=np.int64)
    written = rng.integers(0, 1 << len(CONDITIONS), (2, len(person)))
    return np.asarray(people.conditions[person] & (written[0] | written[1]))
