"""What may leave a node, declared: the whole agreement between the node, which reduces, and the coordinator.

A *vector* is a sum over people. Each person contributes one row, which the node clips to the declared L2 bound, rounds
to the declared grid and only then adds up, so that adding or removing one person moves the integer vector by at most
``d2`` grid steps, whatever the data hold. A *Gram* vector is the upper triangle of the sum of the rows' outer products.
A *matched* vector sums the rows of people who were chosen by looking at both sides: one person changes who is chosen,
and so several rows (``matched_pairs``).

Charges are in mu squared of Gaussian differential privacy (``privacy.accounting``). Treated people and comparators are
different people, so a study costs the larger of its two blocks (parallel composition). A matched vector is charged to
both.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

from cohortium_protocols.privacy.accounting import mu2_charge, sigma_for

Block = Literal["treated", "comparator", "matched"]
Rule = Literal["sum", "gram"]

MAX_PEOPLE = 2**26
"""Most people a node may hold: keeps every exact sum far below 2**61."""


@dataclass(frozen=True)
class VectorSpec:
    """One declared vector: what it is, what one person can change, and what it costs.

    Attributes:
        name: unique in its round; a dot separates a family from the outcome it is for.
        block: whose records it sums over.
        labels: one name a column of the rows.
        bound: largest L2 norm of a row.
        budget: mu squared set aside for it; 0 when the study runs without noise (simulations only).
        unit: what one step of its numbers is, before the grid.
        figures: what the report shows from it.
        rule: ``sum`` of the rows, or ``gram`` of the rows.
        derivation: why the bound holds.
        over_nodes: how far one person can move the vectors of all nodes together, as a multiple of one node's vector;
            more than 1 when a person can be known to several nodes.
        changed: how many rows one person can change, their own included; 1 unless people are matched.
    """

    name: str
    block: Block
    labels: tuple[str, ...]
    bound: float
    budget: float
    unit: str
    figures: str
    derivation: str
    rule: Rule = "sum"
    over_nodes: float = 1.0
    changed: int = 1

    @property
    def width(self) -> int:
        """Columns of a person's row."""
        return len(self.labels)

    @property
    def dimension(self) -> int:
        """Integers released."""
        return self.width if self.rule == "sum" else self.width * (self.width + 1) // 2

    @cached_property
    def grid(self) -> float:
        """Grid steps a unit: a power of two, fine for sums, coarser where products are summed."""
        return 2.0 ** math.floor((34 if self.rule == "sum" else 16.5) - math.log2(self.changed * self.bound))

    @cached_property
    def d2(self) -> int:
        """Sensitivity in grid steps (squared steps for a Gram vector): the bound and the slack of rounding.

        Rounding moves a row of d numbers by at most sqrt(d)/2. Every row that one person changes counts.

        For a Gram vector the rows are rounded, not their products; the Frobenius norm of the outer product of a
        rounded row is the square of its norm.
        """
        row = self.grid * self.bound + math.sqrt(self.width) / 2
        return math.ceil(self.changed * (row if self.rule == "sum" else row * row))

    @property
    def reach(self) -> int:
        """What one person can change in the vectors of all nodes together, in steps like ``d2``: noise covers it."""
        return math.ceil(self.over_nodes * self.d2)

    @cached_property
    def sigma(self) -> float:
        """Standard deviation of the noise in grid steps, a whole number; 0 without noise.

        A Gram vector gets this on its diagonal and sigma / sqrt(2), rounded up, off it, because each entry off the
        diagonal stands twice in the matrix whose norm ``d2`` bounds.
        """
        return float(math.ceil(sigma_for(self.reach, self.budget))) if self.budget > 0 else 0.0

    @property
    def sigma_off_diagonal(self) -> float:
        """Standard deviation of the noise on a Gram vector's entries off the diagonal."""
        return float(math.ceil(math.sqrt(self.sigma**2 / 2 + 1)))

    @cached_property
    def mu2(self) -> float:
        """What one release is charged, in mu squared; never more than ``budget``."""
        return mu2_charge(self.reach, self.sigma) if self.sigma else 0.0

    def declaration(self) -> dict[str, Any]:
        """Returns what is signed, shown to the custodian and approved."""
        return {
            "name": self.name,
            "block": self.block,
            "rule": self.rule,
            "labels": list(self.labels),
            "dimension": self.dimension,
            "bound": self.bound,
            "unit": self.unit,
            "changed": self.changed,
            "grid": self.grid,
            "d2": self.d2,
            "reach": self.reach,
            "sigma": self.sigma,
            "mu2": self.mu2,
            "figures": self.figures,
            "derivation": self.derivation,
        }


@dataclass(frozen=True)
class Parameter:
    """A table of numbers that a round's request carries: its shape and the bound on every number."""

    name: str
    shape: tuple[int, ...]
    low: float
    high: float


@dataclass(frozen=True)
class RoundSpec:
    """One round: the vectors it releases and the parameters it needs."""

    name: str
    vectors: tuple[VectorSpec, ...]
    parameters: tuple[Parameter, ...] = ()

    def vector(self, name: str) -> VectorSpec:
        """Returns the vector of that name."""
        return next(vector for vector in self.vectors if vector.name == name)

    def cost(self, block: Block) -> float:
        """Returns the round's charge to a block's account, in mu squared; matched vectors are charged to both."""
        return math.fsum(vector.mu2 for vector in self.vectors if vector.block in (block, "matched"))


@dataclass(frozen=True)
class Schedule:
    """Every round of a study, in order: all that will ever leave a node about it."""

    rounds: tuple[RoundSpec, ...]

    def round(self, name: str) -> RoundSpec:
        """Returns the round of that name."""
        return next(spec for spec in self.rounds if spec.name == name)

    def cost(self, block: Block) -> float:
        """Returns the whole charge to a block, in mu squared."""
        return math.fsum(spec.cost(block) for spec in self.rounds)

    @property
    def mu2(self) -> float:
        """The study's charge: the larger block."""
        return max(self.cost("treated"), self.cost("comparator"))

    @property
    def mu2_of_membership(self) -> float:
        """What tells a person helped from the same person not helped: out of one block, into the other.

        A matched vector can move by its sensitivity at each of the two steps, so that its mu doubles.
        """
        return self.cost("treated") + self.cost("comparator") + 2 * self.cost("matched")

    def for_people_at_several(self, over_nodes: float) -> Schedule:
        """Returns the schedule with noise for people whom several nodes know; see ``VectorSpec.over_nodes``."""
        rounds = (
            replace(spec, vectors=tuple(replace(vector, over_nodes=over_nodes) for vector in spec.vectors))
            for spec in self.rounds
        )
        return Schedule(tuple(rounds))

    def vectors(self) -> Iterable[tuple[RoundSpec, VectorSpec]]:
        """Yields every round with each of its vectors."""
        return ((spec, vector) for spec in self.rounds for vector in spec.vectors)

    def declaration(self) -> list[dict[str, Any]]:
        """Returns what is signed, shown to the custodian and approved: a list of rounds with their vectors."""
        return [
            {"round": spec.name, "vectors": [vector.declaration() for vector in spec.vectors]} for spec in self.rounds
        ]
