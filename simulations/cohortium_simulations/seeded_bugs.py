"""Faults put in on purpose: the audit must catch every one of them, or it is worth nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cohortium_node.features import StudyArrays
from cohortium_node.local.reduce import reduce_round
from cohortium_protocols.statistics import RoundSpec, Schedule
from cohortium_simulations.audit import Door, Reduce, through_the_gate
from cohortium_simulations.neighbours import Study, Vectors, sigmas


@dataclass(frozen=True)
class Bug:
    """A fault: what is done to people's sums, and to the gate."""

    reduce: Reduce = reduce_round
    door: Door = through_the_gate


def thin_noise(declared: Schedule, exact: Study) -> Study:
    """Releases a study with noise 1.1 times smaller than declared."""
    thinner = [
        replace(spec, vectors=tuple(replace(vector, budget=vector.budget * 1.21) for vector in spec.vectors))
        for spec in declared.rounds
    ]
    return through_the_gate(Schedule(tuple(thinner)), exact)


def repeated_noise(declared: Schedule, exact: Study) -> Study:
    """Releases a study whose vectors of one dimension all get the noise that the first of them got."""
    released = through_the_gate(declared, exact)
    drawn: dict[int, NDArray[np.float64]] = {}
    repeated: dict[str, dict[str, NDArray[np.int64]]] = {}
    for spec, vector in declared.vectors():
        noise = (released[spec.name][vector.name] - exact[spec.name][vector.name]) / sigmas(vector)
        again = np.rint(drawn.setdefault(vector.dimension, noise) * sigmas(vector)).astype(np.int64)
        repeated.setdefault(spec.name, {})[vector.name] = exact[spec.name][vector.name] + again
    return repeated


def counted_twice(spec: RoundSpec, parameters: Mapping[str, Any], arrays: StudyArrays) -> Vectors:
    """Returns sums in which every person is counted twice: contributions of twice the bound."""
    return {name: 2 * values for name, values in reduce_round(spec, parameters, arrays).items()}


BUGS: Mapping[str, Bug] = MappingProxyType({
    "thin-noise": Bug(door=thin_noise),
    "counted-twice": Bug(reduce=counted_twice),
    "repeated-noise": Bug(door=repeated_noise),
})  # fmt: skip
