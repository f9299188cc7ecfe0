"""How far one person can move sums over matched pairs (greedy, nearest, without replacement; ``local.matching``).

One person more or less, on either side, changes who is matched as follows; it is proved pass by pass (a vacancy chain),
and enumerated in ``tests/contract/test_matching_lemma.py``. With k passes a treated person counts once a pair.

- *A comparator comes.* Nothing changes; or one comparator leaves the matched for the one who came; or the one who came
  is matched, no other leaves, and one treated person has one pair more. No more than that, whatever k is.
- *A treated person comes*, and gets g <= k pairs. Others lose l <= g pairs between them and nobody gains any; no
  comparator leaves the matched, and g - l enter.

So a change is at most k events, each of them a pair that enters or a treated person who takes another's place; or one
comparator who takes another's place. The treated side moves by at most 2k rows and the comparators' by at most k, but
both together by no more than 2k, so 2k people's rounding counts. For one pass: a pair enters, or one side swaps, or
nothing, and never both sides swap.

This covers vectors to which a matched treated person adds the row t for each pair and a matched comparator the row c,
where a row is a function of that person's own record and of released values. It covers nothing that depends on who is
whose partner, nor on how many partners somebody has: one person can change all that for everybody at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

Bounds = tuple[float, float]


@dataclass(frozen=True)
class Part:
    """Some columns of a matched vector: the largest L2 norm of what each kind of event does to them.

    Attributes:
        pair: a pair enters: t + c.
        treated: a treated person takes another's place: t - t'.
        comparator: a comparator takes another's place: c - c'.
    """

    pair: float
    treated: float
    comparator: float


@dataclass(frozen=True)
class Sensitivity:
    """What a matched vector is declared with.

    Attributes:
        bound: largest L2 norm of the change that one person can make, before rounding.
        changed: how many people's rounded rows that change can hold, each as often as it is counted.
    """

    bound: float
    changed: int


def interval(*, treated: Bounds = (0.0, 0.0), comparator: Bounds = (0.0, 0.0)) -> Part:
    """Returns one column to which a treated person adds a number within ``treated``, a comparator one within theirs.

    A side that adds nothing to the column is left out: (0, 0). A constant is an interval of no width.

    Raises:
        ValueError: an interval ends before it starts, or is not finite.
    """
    for low, high in (treated, comparator):
        if not -math.inf < low <= high < math.inf:
            raise ValueError("an interval is finite and does not end before it starts")
    pair = max(abs(treated[0] + comparator[0]), abs(treated[1] + comparator[1]))
    return Part(pair, treated[1] - treated[0], comparator[1] - comparator[0])


def ball(*, treated: float = 0.0, comparator: float = 0.0) -> Part:
    """Returns columns to which people add rows whose L2 norm is at most their side's radius.

    Both sides add to the same columns; for columns of their own, take one part for each side.

    Raises:
        ValueError: a radius is negative or not finite.
    """
    if not (0 <= treated < math.inf and 0 <= comparator < math.inf):
        raise ValueError("a radius is finite and not negative")
    return Part(treated + comparator, 2 * treated, 2 * comparator)


def matched_sensitivity(parts: Iterable[Part], passes: int = 1) -> Sensitivity:
    """Returns the sensitivity of a matched vector made of these parts, under k sequential passes.

    For (n, sum y_t, sum y_c, sum y_t^2, sum y_c^2) with y in [0, B] and one pass it is sqrt(1 + 2 B^2 + 2 B^4).

    Args:
        parts: all columns of the vector, each in one part.
        passes: how many partners a treated person may have.

    Raises:
        ValueError: there is no pass.
    """
    if passes < 1:
        raise ValueError("there is at least one pass")
    columns = tuple(parts)
    pair = math.hypot(*(part.pair for part in columns))
    treated = math.hypot(*(part.treated for part in columns))
    comparator = math.hypot(*(part.comparator for part in columns))
    return Sensitivity(max(passes * pair, passes * treated, comparator), 2 * passes)
