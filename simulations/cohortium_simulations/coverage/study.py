"""One made-up study: the node's real reduction, summed noise, and the coordinator's real analysis; nothing between.

No keys, mail, signatures or ledger: what those add is time. Vectors of integers add exactly, so that one reduction of
everybody is the sum of the nodes' reductions; people are reduced node by node only where it matters who answered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.random import Generator

from cohortium_coordinator.combine.analysis import Analysis
from cohortium_coordinator.combine.sums import Separate, Together
from cohortium_coordinator.result import NodeStatus, StudyResult
from cohortium_node.data.table import AnalysisTable
from cohortium_node.features import study_arrays
from cohortium_node.local.pairs import Pairs
from cohortium_node.local.reduce import PEOPLE_AT_A_TIME, checked_parameters, reduce_round
from cohortium_protocols.estimates import first_primary
from cohortium_protocols.plan import Plan
from cohortium_protocols.schedules import LAST
from cohortium_protocols.statistics import RoundSpec
from cohortium_simulations.arrays import Integers
from cohortium_simulations.coverage.summed_noise import SummedNoise

_CREATED = "2000-01-01T00:00:00+00:00"

Vectors = dict[str, Integers]


@dataclass(frozen=True)
class Answered:
    """What came back from the nodes.

    Attributes:
        answers: round -> what was released in it.
        asked: the last round's parameters.
        here: the nodes that answered to the end, and those that hold nobody.
    """

    answers: Mapping[str, Separate | Together]
    asked: Mapping[str, Any]
    here: tuple[str, ...]


@dataclass(frozen=True)
class MemoryStudy:
    """A plan's studies in memory.

    Attributes:
        plan: the study.
        noise: draws the summed noise.
    """

    plan: Plan
    noise: SummedNoise

    @cached_property
    def analysis(self) -> Analysis:
        """The coordinator's analysis, which remembers nothing between studies."""
        return Analysis(self.plan)

    def answered(
        self, tables: Mapping[str, AnalysisTable], rng: Generator, lost: Mapping[str, str] | None = None
    ) -> Answered:
        """Returns what the nodes release, each of which reduces its own people.

        Args:
            tables: node -> its people; a node of the roster that is not named holds nobody, and adds noise alone.
            rng: draws the noise.
            lost: node -> the last round that it answered.
        """
        lost = lost or {}
        people = {name: study_arrays(self.plan, table, name) for name, table in tables.items()}
        here = self.plan.nodes.roster
        answers: dict[str, Separate | Together] = {}
        asked: Mapping[str, Any] = {}
        for spec in self.analysis.schedule.rounds:
            asked = self.analysis.parameters(spec.name, answers)
            exact = {name: reduce_round(spec, asked, people[name]) for name in here if name in people}
            answers[spec.name] = self._answer(spec, exact, here, rng)
            here = tuple(name for name in here if lost.get(name) != spec.name)
        return Answered(answers, asked, here)

    def result(self, answered: Answered) -> StudyResult:
        """Returns what the coordinator makes of it."""
        return self.analysis.result(answered.answers, created=_CREATED, nodes=self._statuses(answered.here))

    def pairs_of(self, people: AnalysisTable, node: str, answered: Answered) -> Integers:
        """Returns how many pairs of the headline, for the first primary outcome, each of a node's people helped is in.

        Shape (helped,), in the order of the table. No node would ever release this.
        """
        arrays = study_arrays(self.plan, people, node)
        asked = checked_parameters(self.analysis.schedule.round(LAST), answered.asked)
        pairs = Pairs(arrays, asked, PEOPLE_AT_A_TIME).chosen("", first_primary(self.plan.outcomes))
        return np.bincount(pairs.treated, minlength=len(arrays.treated))

    def _answer(
        self, spec: RoundSpec, exact: Mapping[str, Vectors], here: tuple[str, ...], rng: Generator
    ) -> Separate | Together:
        if self.noise.rules is None:
            parts = {name: [exact[name]] if name in exact else [] for name in here}
            return Separate({name: self._noised(spec, part, 1, rng) for name, part in parts.items()})
        return Together(here, self._noised(spec, list(exact.values()), len(here), rng), self.noise.rules)

    def _noised(self, spec: RoundSpec, parts: list[Vectors], nodes: int, rng: Generator) -> Vectors:
        """Returns the sum of the parts' vectors and so many nodes' noise."""
        return {
            vector.name: sum((part[vector.name] for part in parts), self.noise.draw(vector, nodes, rng))
            for vector in spec.vectors
        }

    def _statuses(self, here: tuple[str, ...]) -> tuple[NodeStatus, ...]:
        rounds = len(self.analysis.rounds)
        return tuple(
            NodeStatus(name=name, status="answered" if name in here else "offline", rounds_answered=rounds)
            for name in self.plan.nodes.roster
        )
