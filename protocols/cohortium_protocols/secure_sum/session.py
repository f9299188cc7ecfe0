"""What one secure sum is about: agreed by everybody before it starts, and bound into everything said in it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from cohortium_protocols.canonical import canonical_bytes, digest
from cohortium_protocols.errors import PlanError
from cohortium_protocols.secure_rules import Rules

_PREFIX = "cohortium-secure-sum-v1"


@dataclass(frozen=True)
class Session:
    """One attempt at one round of one plan.

    Every node works this out for itself, from the signed plan and the signed request; nothing here is taken from the
    coordinator's later messages. Two sessions that differ in anything have different digests, keys and masks.

    Attributes:
        study: name of the study.
        operator: whom messages are addressed to.
        plan_digest: SHA-256 of the plan.
        round: name of the round.
        attempt: number of the attempt, from 1.
        request_digest: SHA-256 of the body of the request for this attempt.
        roster: names of all nodes, in the plan's order.
        rules: of the plan.
        dimension: length of the vector to add up.

    Raises:
        PlanError: the roster does not fit the rules.
    """

    study: str
    operator: str
    plan_digest: str
    round: str
    attempt: int
    request_digest: str
    roster: tuple[str, ...]
    rules: Rules
    dimension: int

    def __post_init__(self) -> None:
        if len(set(self.roster)) != len(self.roster) or len(self.roster) != self.rules.nodes:
            raise PlanError("The roster of a secure sum must name each of its nodes once.")

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything above."""
        return digest(
            canonical_bytes(
                {
                    "protocol": _PREFIX,
                    "study": self.study,
                    "operator": self.operator,
                    "plan": self.plan_digest,
                    "round": self.round,
                    "attempt": self.attempt,
                    "request": self.request_digest,
                    "roster": digest(canonical_bytes(list(self.roster))),
                    "rules": [self.rules.nodes, self.rules.lost, self.rules.colluding],
                    "dimension": self.dimension,
                }
            )
        )

    def label(self, purpose: str, *names: str) -> bytes:
        """Returns what ties a key to one purpose, this session, and the nodes it is for, in that order."""
        return canonical_bytes([_PREFIX, purpose, self.digest, *names])

    def order(self, node: str) -> int:
        """Returns a node's place on the roster, from 0."""
        return self.roster.index(node)
