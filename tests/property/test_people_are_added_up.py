"""A node's exact vector is the sum of its people's, each worked out alone: nobody's digits depend on who else is there.

Without this, one person more could move the last digit of many, which no declared sensitivity allows for.
"""

from __future__ import annotations

import numpy as np
import pytest
from contract_people import COMPARATOR, HELPED, SCHEDULE, Person, exact, open_parameters, parameters

from cohortium_protocols.attrition import EXIT_STEPS
from cohortium_protocols.statistics import RoundSpec


def people(count: int, seed: int) -> list[Person]:
    rng = np.random.default_rng(seed)
    return [
        (str(rng.choice([HELPED, COMPARATOR])), *rng.normal([50, 2], [30, 3]).tolist(),
         str(rng.choice(["north", "south", "elsewhere", "?"])), tuple(rng.normal(2, 8, 5).tolist()),
         int(rng.integers(len(EXIT_STEPS))))
        for _ in range(count)
    ]  # fmt: skip


@pytest.mark.parametrize("spec", SCHEDULE.rounds, ids=lambda spec: spec.name)
@pytest.mark.parametrize("seed", [None, 3])
def test_together_people_are_the_sum_of_each_alone(spec: RoundSpec, seed: int | None) -> None:
    crowd = people(97, 11)
    drawn = open_parameters(spec) if seed is None else parameters(spec, np.random.default_rng(seed))
    together = exact(spec, crowd, drawn)
    alone = [exact(spec, [person], drawn) for person in crowd]
    for vector in spec.vectors:
        if vector.block != "matched":
            assert np.array_equal(together[vector.name], sum(each[vector.name] for each in alone)), vector.name
