"""One made-up study: the node's real reduction, summed noise, and the coordinator's real analysis; nothing between.

No keys, mail, signatures or ledger: what those add is time. Vectors of integers add exactly, so that one reduction of
everybody is the sum of the nodes' reductions; people are reduced node by node only where it matters who answered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from numpy.random import Generator

from cohortium_coordinator.combine.analysis import Analysis
from cohortium_coordinator.combine.sums import Separate, Together
from cohortium_coordinator.result import NodeStatus, StudyResult
from cohortium_node.data.table import AnalysisTable
from cohortium_node.features import study_arrays
from cohortium_node.local.reduce import reduce_round
from cohortium_protocols.plan import Plan
from cohortium_protocols.statistics import RoundSpec
from cohortium_simulations.arrays import Integers
from cohortium_simulations.coverage.summed_noise import SummedNoise

_CREATED = "2000-01-01T00:00:00+00:00"

Vectors = dict[str, Integers]


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

    def pooled(self, people: AnalysisTable, rng: Generator) -> StudyResult:
        """Returns the result of a study whose people are all reduced at once: as if one node held them."""
        return self.by_node({self.plan.nodes.roster[0]: people}, rng)

    def by_node(
        self, tables: Mapping[str, AnalysisTable], rng: Generator, lost: Mapping[str, str] | None = None
    ) -> StudyResult:
        """Returns the result of a study in which every node reduces its own people.

        Args:
            tables: node -> its people; a node of the roster that is not named holds nobody, and adds noise alone.
            rng: draws the noise.
            lost: node -> the last round that it answered.
        """
        lost = lost or {}
        people = {name: study_arrays(self.plan, table) for name, table in tables.items()}
        here = self.plan.nodes.roster
        answers: dict[str, Separate | Together] = {}
        for spec in self.analysis.schedule.rounds:
            asked = self.analysis.parameters(spec.name, answers)
            exact = {name: reduce_round(spec, asked, people[name]) for name in here if name in people}
            answers[spec.name] = self._answer(spec, exact, here, rng)
            here = tuple(name for name in here if lost.get(name) != spec.name)
        return self.analysis.result(answers, created=_CREATED, nodes=self._statuses(here))

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
