"""How counts and means may be shown: presentation rules, applied after noise and never instead of it.

Counts of 1 to 7 are shown as "*", larger ones rounded to the nearest 5; means are shown from 8 people. Five
words are never mixed up: *suppressed* (shown as "*"), *zero* ("0"), *refused*, *offline* and *over budget*.
"""

from __future__ import annotations

import math

SUPPRESSED = "*"
SMALLEST_COUNT_SHOWN = 8
ROUNDED_TO = 5
MEANS_FROM = 8
NOT_RELEASED = "not released"
TOO_FEW = "too few people to tell"

EMPTY_CELLS = {
    SUPPRESSED: "suppressed: between 1 and 7 people, or a mean over fewer than 8 people",
    "0": "zero: nobody, after rounding",
    NOT_RELEASED: "the plan did not pay for this figure, so it never left the data holders",
    TOO_FEW: "a data holder or group has too few people, or too few to compare with, for an estimate of its own",
    "refused": "the custodian of a data holder said no",
    "offline": "a data holder did not answer by the deadline",
    "over budget": "a data holder had no privacy budget left for this study",
}


def presented(value: float) -> int | None:
    """The count as it may be shown (people), or None where it is suppressed."""
    people = max(0, round(value))
    if 0 < people < SMALLEST_COUNT_SHOWN:
        return None
    return ROUNDED_TO * round(people / ROUNDED_TO)


def count(value: float | None) -> str:
    """A count of people in words for a table: "1,185", "*", "0" or "not released"."""
    if value is None:
        return NOT_RELEASED
    shown = presented(value)
    return SUPPRESSED if shown is None else f"{shown:,}"


def figure(value: float, unit: str) -> int | float | str:
    """A figure as it may be shown: by the rules for counts when its unit is "people", else as it is."""
    if unit != "people":
        return value
    shown = presented(value)
    return SUPPRESSED if shown is None else shown


def limits(low: float, high: float) -> tuple[int, int]:
    """A count's interval, widened outwards to multiples of 5 and cut at zero (people)."""
    return (
        ROUNDED_TO * math.floor(max(0.0, low) / ROUNDED_TO),
        ROUNDED_TO * math.ceil(max(0.0, high) / ROUNDED_TO),
    )


def count_interval(value: float | None, low: float, high: float) -> str:
    """The interval of a count, shown only where the count itself is."""
    if value is None or presented(value) is None:
        return ""
    bottom, top = limits(low, high)
    return f"{bottom:,} to {top:,}"


def percentage(value: float | None, of: int | None) -> str:
    """A count as a percentage of the rows submitted, from the count *as shown*; empty where it cannot be."""
    shown = None if value is None else presented(value)
    return f"{100 * shown / of:.0f}%" if shown is not None and of else ""


def mean_may_be_shown(people: float) -> bool:
    """Whether a mean over this many people (noisy) may be shown."""
    return people >= MEANS_FROM
