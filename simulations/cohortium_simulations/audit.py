"""The audit: what the real gate releases has the declared noise, and tells neighbours apart no better than declared.

Two data sets are studied again and again through the node's own reduction and gate. They are membership neighbours:
one person, chosen to move the vectors most, is a comparator in the one and helped in the other. So each block is
audited for presence, and both together for membership.

- *Variance* (chi-square): catches noise that is too small, and noise that repeats from round to round or from study
  to study. It says nothing about what people contribute.
- *Distinguishing* (``distinguish``): catches contributions beyond the bound, and noise that repeats. It would not see
  a small error of the noise.

Each of them alone misses what the other catches (``seeded_bugs``), so both are kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
from scipy.stats import chi2, norm

from cohortium_node.accounts import Caps, prices
from cohortium_node.features import StudyArrays, study_arrays
from cohortium_node.ledger import Ledger
from cohortium_node.local.reduce import reduce_round
from cohortium_node.release.gate import Gate
from cohortium_protocols.canonical import unpack_integers
from cohortium_protocols.messages import RoundAnswer, RoundRequest, read
from cohortium_protocols.privacy.accounting import epsilon_from_mu
from cohortium_protocols.schedules import schedule
from cohortium_protocols.signing import Envelope, SigningKey
from cohortium_protocols.statistics import RoundSpec, Schedule, VectorSpec
from cohortium_simulations.distinguish import Array, evidence
from cohortium_simulations.neighbours import (
    DELTA,
    WITH_PAIRS,
    WORST,
    Study,
    Vectors,
    along,
    parameters,
    people,
    shift,
    sigmas,
)

Reduce = Callable[[RoundSpec, Mapping[str, Any], StudyArrays], Vectors]
Door = Callable[[Schedule, Study], Study]
"""A whole study through a gate: exact vectors in, released vectors out."""

RISK = 1e-6
"""Chance that one check of a sound gate fails."""

_KEY = SigningKey.generate()
_CAP = 1e6


@dataclass(frozen=True)
class Check:
    """One figure of the audit with the bounds that it must keep."""

    name: str
    what: str
    figure: float
    low: float
    high: float

    @property
    def passed(self) -> bool:
        """Whether the figure is within its bounds."""
        return self.low <= self.figure <= self.high


@dataclass(frozen=True)
class Neighbours:
    """Many studies of two data sets that differ in whether one person was helped.

    Attributes:
        declared: what was to be released.
        exact: the vectors before noise: the person a comparator, the person helped.
        studies: what was released, for each of the two.
    """

    declared: Schedule
    exact: tuple[Study, Study]
    studies: tuple[list[Study], list[Study]]


def audit(trials: int, *, reduce: Reduce = reduce_round, door: Door | None = None) -> list[Check]:
    """Returns every check, passed or not.

    Args:
        trials: studies of each of the two data sets; at least 20.
        reduce: people to exact vectors; the node's own unless a fault is to be caught.
        door: exact vectors to released ones; the node's own gate unless a fault is to be caught.
    """
    neighbours = observed(trials, reduce=reduce, door=door or through_the_gate)
    return [*variance_checks(neighbours), *distinguishing_checks(neighbours)]


def observed(trials: int, *, reduce: Reduce, door: Door) -> Neighbours:
    """Returns so many studies of the two worst neighbours."""
    declared = schedule(WITH_PAIRS)
    exact = exact_studies(declared, WORST, reduce)
    released = [door(declared, each) for _ in range(trials) for each in exact]
    return Neighbours(declared, exact, (released[::2], released[1::2]))


def through_the_gate(declared: Schedule, exact: Study) -> Study:
    """Returns what a node's real gate, with a new ledger, releases of a whole study."""
    with closing(Ledger.in_memory(Caps(_CAP, _CAP))) as ledger:
        ledger.open_study(WITH_PAIRS.study, "audited", prices(declared), "frozen", "the audit")
        gate = Gate(ledger, _KEY)
        return {spec.name: _released(gate, spec, exact[spec.name]) for spec in declared.rounds}


def _released(gate: Gate, spec: RoundSpec, exact: Vectors) -> Vectors:
    asked = RoundRequest(plan_digest="audited", round=spec.name, attempt=1, parameters={})
    request = Envelope.sign("round", WITH_PAIRS.study, "lab", "one", asked.body(), _KEY)
    answer = Envelope.from_bytes(gate.release(request, spec, dict(exact)))
    return {name: unpack_integers(packed) for name, packed in read(answer, RoundAnswer).vectors.items()}


# The two data sets.


def exact_studies(declared: Schedule, person: tuple[float, float], reduce: Reduce) -> tuple[Study, Study]:
    """Returns a study before noise, the person a comparator; and again, the person helped."""
    comparator, helped = (study_arrays(WITH_PAIRS, people(person, helped=helped)) for helped in (False, True))
    asked = {spec.name: parameters(spec) for spec in declared.rounds}
    first, second = (
        {spec.name: reduce(spec, asked[spec.name], arrays) for spec in declared.rounds}
        for arrays in (comparator, helped)
    )
    return first, second


# Noise as declared.


def variance_checks(neighbours: Neighbours) -> Iterator[Check]:
    """Yields the variance of every vector's noise, and whether noise repeats, with bounds of one risk."""
    noise = {place: _noise(neighbours, *place) for place in _places(neighbours.declared)}
    everything = np.concatenate([draws.ravel() for draws in noise.values()])
    for name, draws in [*noise.items(), (("every round", "every vector"), everything)]:
        low, high = (float(chi2.ppf(q, draws.size)) / draws.size for q in (RISK / 2, 1 - RISK / 2))
        yield Check("variance", "/".join(name), float(np.mean(draws**2)), low, high)
    yield _correlation("from study to study", [(draws[1:], draws[:-1]) for draws in noise.values()])
    pairs = [(a, b) for a, b in combinations(noise.values(), 2) if a.shape == b.shape]
    yield _correlation("from vector to vector", pairs)


def _correlation(what: str, pairs: list[tuple[Array, Array]]) -> Check:
    products = np.concatenate([(a * b).ravel() for a, b in pairs])
    most = float(norm.isf(RISK / 2)) / math.sqrt(products.size) * 1.2
    return Check("repetition", what, float(np.mean(products)), -most, most)


def _places(declared: Schedule) -> list[tuple[str, str]]:
    return [(spec.name, vector.name) for spec, vector in declared.vectors()]


def _noise(neighbours: Neighbours, spec: str, vector: str) -> Array:
    """Returns the noise of every study in units of its declared standard deviation, shape (studies, dimension)."""
    sigma = sigmas(neighbours.declared.round(spec).vector(vector))
    sides = zip(neighbours.exact, neighbours.studies, strict=True)
    return np.vstack([
        (study[spec][vector] - exact[spec][vector]) / sigma for exact, studies in sides for study in studies
    ])  # fmt: skip


# Neighbours told apart.


def distinguishing_checks(neighbours: Neighbours) -> Iterator[Check]:
    """Yields what each vector, each block and the whole study reveal at least, against what is declared."""
    vectors = list(neighbours.declared.vectors())
    for spec, vector in vectors:
        twice = 4 if vector.block == "matched" else 1  # the person leaves one side and comes to the other: mu doubles
        yield from _told_apart(neighbours, f"{spec.name}/{vector.name}", [(spec, vector)], twice * vector.mu2)
    for block in ("treated", "comparator"):
        mine = [(spec, vector) for spec, vector in vectors if vector.block == block]
        yield from _told_apart(neighbours, f"presence, {block}", mine, math.fsum(vector.mu2 for _, vector in mine))
    yield from _told_apart(neighbours, "membership", vectors, neighbours.declared.mu2_of_membership)


def _told_apart(
    neighbours: Neighbours, what: str, vectors: list[tuple[RoundSpec, VectorSpec]], mu2: float
) -> Iterator[Check]:
    shifts = [shift(*neighbours.exact, spec, vector) for spec, vector in vectors]
    first, second = (
        np.column_stack([along(studies, *place, moved) for place, moved in zip(vectors, shifts, strict=True)])
        for studies in neighbours.studies
    )
    lengths = np.array([np.linalg.norm(moved) for moved in shifts])
    found = evidence(first, second, lengths, delta=DELTA, risk=RISK)
    mu = math.sqrt(mu2)
    yield Check("mu revealed at least", what, found.mu, 0.0, mu)
    yield Check("epsilon revealed at least", what, found.epsilon, 0.0, epsilon_from_mu(mu, DELTA))


def report(trials: int, seconds: float, checks: list[Check]) -> dict[str, Any]:
    """Returns the audit as plain values."""
    return {
        "trials": trials,
        "seconds": round(seconds, 1),
        "passed": all(check.passed for check in checks),
        "checks": [asdict(check) | {"passed": check.passed} for check in checks],
    }
