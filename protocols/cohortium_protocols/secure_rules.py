"""How many nodes a secure sum may lose, how many may work against the others, and what follows.

Two lists of survivors must never both be completed: a node listed alive in one and dead in the other would have both
its masks opened. Every list needs the acknowledgements of T nodes. Two lists share at least 2 T - n of them, and only
colluders acknowledge twice, so 2 T - n > t_c makes it impossible. T nodes must also still be there when t_d are lost:

    (n + t_c) / 2 < T <= n - t_d        possible exactly when n > 2 t_d + t_c
"""

from __future__ import annotations

from dataclasses import dataclass

from cohortium_protocols.errors import PlanError

SMALLEST = 3
"""Fewest nodes: in a sum of two, each learns the other's figure by taking away its own."""


@dataclass(frozen=True)
class Rules:
    """What a plan fixes about its secure sums.

    Attributes:
        nodes: n, nodes on the signed plan's roster, whoever takes part.
        lost: t_d, most nodes that may be lost in a round; enforced by every node.
        colluding: t_c, most nodes assumed to work together with the coordinator against the others.

    Raises:
        PlanError: no threshold serves this combination.
    """

    nodes: int
    lost: int
    colluding: int

    def __post_init__(self) -> None:
        if self.nodes < SMALLEST:
            raise PlanError(
                f"A secure sum needs at least {SMALLEST} nodes; the roster has {self.nodes}.",
                why="each of two nodes learns the other's figure by taking its own away from the sum",
                do="ask more nodes, or write `aggregation: local`",
            )
        if min(self.lost, self.colluding) < 0 or self.threshold > self.floor:
            raise self._infeasible()

    @property
    def threshold(self) -> int:
        """T: acknowledgements a list needs, and shares that rebuild a secret. The smallest that is safe."""
        return (self.nodes + self.colluding) // 2 + 1

    @property
    def floor(self) -> int:
        """Fewest nodes whose vectors may be added up: n - t_d."""
        return self.nodes - self.lost

    @property
    def noise_parts(self) -> int:
        """Nodes whose noise alone must be enough: n - t_d - t_c."""
        return self.nodes - self.lost - self.colluding

    def _infeasible(self) -> PlanError:
        most_lost = (self.nodes - self.colluding - 1) // 2
        most_colluding = self.nodes - 2 * self.lost - 1
        ways = [f"ask at least {max(2 * self.lost + self.colluding + 1, SMALLEST)} nodes"]
        if most_lost >= 0:
            ways.append(f"write `tolerate_lost_nodes: {most_lost}`")
        if most_colluding >= 0:
            ways.append(f"write `assume_colluding_nodes: {most_colluding}`")
        return PlanError(
            f"A secure sum of {self.nodes} nodes cannot tolerate {self.lost} lost "
            f"and {self.colluding} colluding nodes together.",
            why="the roster must be larger than twice the lost nodes plus the colluding ones, neither below 0",
            do=", or ".join(ways),
        )
