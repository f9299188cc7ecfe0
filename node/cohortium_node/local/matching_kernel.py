"""The compiled loops of :mod:`cohortium_node.local.matching`.

Comparators stand in order of (stratum, score, rank). Those with one score in one stratum are a *run*: whoever looks for
a partner takes the lowest rank of a run first, so a run is a queue. Before the first run of each stratum, and after the
last of all, stands a *wall*: a run of nobody at an infinite distance, which is never passed. A used-up run is linked to
its neighbours on both sides, so that the nearest run with somebody left is found by following links, which are
shortened on the way (union and find by path halving, Tarjan and van Leeuwen 1984).

Loops are compiled at first use, in each process, in a few seconds, and never kept on disk: numba's cache would write
into the installation, or into a home directory that a daemon need not have, and would load what it finds there as
machine code. They hold no lock of the interpreter while they run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Ranks = NDArray[np.uint64]
Table = NDArray[np.int32]
F = TypeVar("F", bound=Callable[..., Any])

LARGEST_SCORE = 1e300
"""A score of greater size, an infinite one or NaN is never matched: no difference of two others overflows."""

LOWER, UPPER, FRONT, END = range(4)
"""Columns of a table of runs: links down and up, the first person not yet taken, the end of the run's people."""


class Columns(NamedTuple):
    """One side's people.

    Attributes:
        order: (n,) those who can be matched, sorted.
        score: (m,) everybody's score.
        rank: (m,) everybody's rank.
        codes: (strata,) the strata that people in ``order`` have, rising.
        begins: (strata + 1,) stratum s is ``order[begins[s]:begins[s + 1]]``; only where people are sorted by stratum.
    """

    order: Indices
    score: Floats
    rank: Ranks
    codes: Indices
    begins: Indices


class Runs(NamedTuple):
    """A side's runs and walls.

    Attributes:
        table: (runs, 4) see ``LOWER``, ``UPPER``, ``FRONT``, ``END``; people are positions in ``Columns.order``.
        score: (runs,) infinite for a wall.
    """

    table: Table
    score: Floats


def compiled(function: F) -> F:
    """Returns the function compiled by numba at its first call, strictly IEEE 754; its type stays what it was."""
    fast: Any = numba.njit(nogil=True)(function)
    return cast(F, fast)


def ordered(score: Floats, rank: Ranks) -> Indices:
    """Returns the people whose score is at most ``LARGEST_SCORE`` in size, by (score, rank).

    What is sorted is one number a person: the leading bits of the score, then the person's position. Numpy sorts such
    numbers several times faster than positions by score (``argsort``); the few whose leading bits agree follow.
    """
    bits = np.uint64(score.size.bit_length())
    keys = _keys(score, bits)
    keys.sort()
    return _unpacked(keys, bits, score, rank)


def queued(people: Columns) -> Runs:
    """Returns the runs and walls of people in order of (stratum, score, rank).

    The tables are made by numpy, which asks for huge pages; numba does not, and page faults would cost more than the
    loops. What is not needed of them is never touched.
    """
    most = people.order.size + people.begins.size
    table, score = np.empty((most, 4), dtype=np.int32), np.empty(most)
    runs = _fill(people, table, score)
    return Runs(table[:runs], score[:runs])


@compiled
def places(treated: Columns, comparators: Columns, runs: Runs) -> Table:
    """Returns for each treated person the first run of their stratum with a score not below theirs, or the wall there.

    Args:
        treated: sorted by stratum and score.
        comparators: as :func:`queued` leaves them.
        runs: of the comparators.

    Returns:
        (m,) a run or a wall; 0, the first wall, for somebody whose stratum has no comparators.
    """
    place = np.zeros(treated.score.size, dtype=np.int32)
    stratum, run = 0, 0
    for own in range(treated.codes.size):
        while stratum < comparators.codes.size and comparators.codes[stratum] < treated.codes[own]:
            stratum += 1
        if stratum == comparators.codes.size or comparators.codes[stratum] != treated.codes[own]:
            continue
        while runs.table[run, FRONT] < comparators.begins[stratum] or runs.score[run] == np.inf:
            run += 1
        for person in treated.order[treated.begins[own] : treated.begins[own + 1]]:
            while runs.score[run] < treated.score[person]:
                run += 1
            place[person] = run
    return place


@compiled
def paired(treated: Columns, place: Table, comparators: Columns, runs: Runs, caliper: float, passes: int
           ) -> tuple[Indices, Indices]:  # fmt: skip
    """Serves the treated one by one, in as many passes, and returns the pairs in the order in which they were made.

    Args:
        treated: in the order of service.
        place: (m,) of :func:`places`.
        comparators: as :func:`queued` leaves them.
        runs: of the comparators; used up.
        caliper: largest distance of a pair, finite.
        passes: how many partners a treated person may have; each pass gives one.

    Returns:
        Treated people and comparators, (pairs,) each.
    """
    table, waiting = runs.table, treated.order.copy()
    score, spot = treated.score[waiting], place[waiting]
    size = min(waiting.size * passes, comparators.order.size)
    pairs = np.empty(size, dtype=np.int64), np.empty(size, dtype=np.int64)
    made, left = 0, waiting.size
    for _ in range(passes):
        turns, left = left, 0
        for turn in range(turns):
            own = score[turn]
            low, high = _free(table, max(spot[turn] - 1, 0), LOWER), _free(table, spot[turn], UPPER)
            run = low if _lower_first(own, low, high, runs, comparators) else high
            if not abs(own - runs.score[run]) <= caliper:
                continue
            pairs[0][made], pairs[1][made] = waiting[turn], comparators.order[table[run, FRONT]]
            waiting[left], score[left], spot[left] = waiting[turn], own, spot[turn]
            made, left = made + 1, left + 1
            table[run, FRONT] += 1
            if table[run, FRONT] == table[run, END]:
                table[run, LOWER], table[run, UPPER] = run - 1, run + 1
    return pairs[0][:made], pairs[1][:made]


@compiled
def _keys(score: Floats, bits: np.uint64) -> Ranks:
    """Returns for each person who can be matched the score's leading bits, in its order, and the position in ``bits``.

    The bits of a positive number rise with it, and those of a negative one fall: their sign, or all, are turned over.
    """
    sign, raw, keys, size = np.uint64(2**63), score.view(np.uint64), np.empty(score.size, dtype=np.uint64), 0
    for person in range(score.size):
        if abs(score[person]) <= LARGEST_SCORE:
            turned = raw[person] | sign if raw[person] < sign or score[person] == 0 else ~raw[person]
            keys[size] = (turned >> bits << bits) | np.uint64(person)
            size += 1
    return keys[:size]


@compiled
def _unpacked(keys: Ranks, bits: np.uint64, score: Floats, rank: Ranks) -> Indices:
    """Returns the positions in sorted keys, those of one key by (score, rank)."""
    order, mask, begin = np.empty(keys.size, dtype=np.int64), (np.uint64(1) << bits) - np.uint64(1), 0
    for place in range(keys.size):
        order[place] = keys[place] & mask
        if keys[place] >> bits != keys[begin] >> bits:
            if place - begin > 1:
                _by_score_and_rank(order[begin:place], score, rank)
            begin = place
    if keys.size - begin > 1:
        _by_score_and_rank(order[begin:], score, rank)
    return order


@compiled
def _by_score_and_rank(people: Indices, score: Floats, rank: Ranks) -> None:
    people[:] = people[np.argsort(rank[people])]
    people[:] = people[np.argsort(score[people], kind="mergesort")]


@compiled
def _fill(people: Columns, table: Table, score: Floats) -> int:
    """Writes the runs and walls, and returns how many there are."""
    run = -1
    for stratum in range(people.begins.size):
        begin = people.begins[stratum]
        run += 1
        table[run], score[run] = (run, run, begin, begin), np.inf
        if stratum == people.codes.size:
            break
        for place in range(begin, people.begins[stratum + 1]):
            own = people.score[people.order[place]]
            if own != score[run]:
                run += 1
                table[run, LOWER], table[run, UPPER], table[run, FRONT], score[run] = run, run, place, own
            table[run, END] = place + 1
    return run + 1


@compiled
def _free(table: Table, run: int, side: int) -> int:
    """Returns the run or wall at the end of the links, and halves the way there for whoever comes next."""
    while table[run, side] != run:
        table[run, side] = table[table[run, side], side]
        run = table[run, side]
    return run


@compiled
def _lower_first(own: float, low: int, high: int, runs: Runs, comparators: Columns) -> bool:
    """Returns whether the lower run's first person comes before the upper run's, by (exact distance, rank)."""
    down, up = abs(own - runs.score[low]), abs(runs.score[high] - own)
    if down == up and down < np.inf:
        down, up = _lost(own, runs.score[low]), _lost(runs.score[high], own)
        if down == up:
            below, above = comparators.order[runs.table[low, FRONT]], comparators.order[runs.table[high, FRONT]]
            return bool(comparators.rank[below] < comparators.rank[above])
    return bool(down < up)


@compiled
def _lost(a: float, b: float) -> float:
    """Returns what rounding took from ``a - b``: the true difference less the rounded one, exact (Knuth's two-sum)."""
    difference = a - b
    minus_b = difference - a
    return (a - (difference - minus_b)) + (-b - minus_b)
