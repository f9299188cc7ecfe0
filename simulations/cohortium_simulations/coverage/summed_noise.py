"""The noise of a whole round at once, for simulations only: fast, seeded, and not the noise that protects anybody.

Nodes draw discrete Gaussian noise each, by ``opendp_backend``, and the draws are added up. Here the sum is drawn
directly: a rounded Gaussian of the same variance (rounding adds 1/12, which is taken off first). From the floor of 40
grid steps on the two cannot be told apart in any number of draws that a simulation makes; a test compares them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from cohortium_protocols.plan import Plan
from cohortium_protocols.privacy.distributed import node_sigma
from cohortium_protocols.secure_rounds import rules_of
from cohortium_protocols.secure_rules import Rules
from cohortium_protocols.statistics import VectorSpec
from cohortium_simulations.arrays import Floats, Integers


@dataclass(frozen=True)
class SummedNoise:
    """Draws what nodes' noise adds up to.

    Attributes:
        rules: of the plan's secure sums; None where every node adds all of the noise.
        factor: on the standard deviation; 1 but in tests that want noise other than declared.
    """

    rules: Rules | None
    factor: float = 1.0

    @classmethod
    def of(cls, plan: Plan) -> SummedNoise:
        """Returns the noise of a plan's rounds."""
        return cls(rules_of(plan) if plan.privacy.aggregation == "secure" else None)

    def deviations(self, vector: VectorSpec, nodes: int) -> Floats:
        """Returns the standard deviation of the summed noise in every number of a vector, in steps, (dimension,)."""
        if not vector.sigma:
            return np.zeros(vector.dimension)
        alike = np.full(vector.dimension, self._share(vector.sigma))
        if vector.rule == "gram":
            rows, columns = np.triu_indices(vector.width)
            alike[rows != columns] = self._share(vector.sigma_off_diagonal)
        return np.asarray(alike * np.sqrt(nodes), dtype=np.float64)

    def draw(self, vector: VectorSpec, nodes: int, rng: Generator) -> Integers:
        """Returns what so many nodes' noise adds up to, shape (dimension,)."""
        spread = self.factor * self.deviations(vector, nodes)
        drawn = rng.normal(0.0, np.sqrt(np.maximum(spread**2 - 1 / 12, 0.0)))
        return np.rint(drawn).astype(np.int64)

    def _share(self, sigma: float) -> float:
        return sigma if self.rules is None else node_sigma(sigma, self.rules)
