"""A group of nodes and a coordinator that add up in memory, step by step, so that a test can meddle at each."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from cohortium_protocols.secure_sum import Aggregator, Identity, Participant, Rules, Secrets, Session, Total
from cohortium_protocols.secure_sum.aggregator import Requests
from cohortium_protocols.secure_sum.messages import STAGES, Said, Stage
from cohortium_protocols.signing import SigningKey

NEVER = len(STAGES)


@lru_cache(maxsize=256)
def identity_key(node: str) -> SigningKey:
    """One identity a node for the whole run of the tests."""
    return SigningKey.generate()


def session(rules: Rules, dimension: int = 4, attempt: int = 1, **changes: str) -> Session:
    roster = tuple(f"node-{number:03}" for number in range(rules.nodes))
    facts = {"plan_digest": "a" * 64, "request_digest": "b" * 64, "round": "profile"} | changes
    return Session("befriending", "lab", attempt=attempt, roster=roster, rules=rules, dimension=dimension, **facts)


class Group:
    """Honest nodes with random vectors, and an honest coordinator."""

    def __init__(self, session: Session, seed: int = 0) -> None:
        self.session = session
        self.pins = {node: identity_key(node).public for node in session.roster}
        self.nodes = {node: self.participant(node) for node in session.roster}
        self.vectors = random_vectors(session, seed)
        self.aggregator = Aggregator(session, self.pins)

    def participant(self, node: str, secrets: bytes | None = None) -> Participant:
        kept = Secrets.from_bytes(secrets) if secrets else None
        return Participant(self.session, Identity(node, identity_key(node), self.pins), kept)

    def step(self, node: str, stage: Stage, said: Said | None) -> bytes:
        """One node takes one step."""
        participant = self.nodes[node]
        if stage == "announce":
            return participant.announce()
        arguments = (said, self.vectors[node]) if stage == "mask" else (said,)
        return getattr(participant, stage)(*arguments)

    def run(self, until: Stage | None = None, lost: Mapping[str, int] | None = None) -> Requests:
        """Takes and closes steps up to one that is left open; returns what its nodes got.

        Args:
            until: the step to leave open; None for all.
            lost: node -> number of the first step that it does not take.
        """
        requests: Requests = dict.fromkeys(self.session.roster)  # type: ignore[arg-type]
        for number, stage in enumerate(STAGES):
            if stage == until:
                break
            for node in requests:
                if number < (lost or {}).get(node, NEVER):
                    assert self.aggregator.take(self.step(node, stage, requests[node]))
            requests = self.aggregator.close()
        return requests

    def total(self, lost: Mapping[str, int] | None = None) -> Total:
        """Runs all steps; returns the result."""
        self.run(lost=lost)
        assert self.aggregator.total is not None
        return self.aggregator.total

    def expected(self, survivors: Collection[str]) -> NDArray[np.int64]:
        """The sum in Python's own integers, taken modulo 2**64 at the end."""
        columns = zip(*(self.vectors[node].tolist() for node in survivors), strict=True)
        return np.array([(sum(column) + 2**63) % 2**64 - 2**63 for column in columns], dtype=np.int64)


def random_vectors(session: Session, seed: int) -> dict[str, NDArray[np.int64]]:
    generator = np.random.default_rng(seed)
    draw = (generator.integers(-(2**63), 2**63, session.dimension, dtype=np.int64) for _ in session.roster)
    return dict(zip(session.roster, draw, strict=True))
