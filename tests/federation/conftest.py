"""Custodians in this process, with neither ledger nor noise; and a federation of real processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from small_federation import Federation, small_federation

from cohortium_node.data.table import AnalysisTable
from cohortium_node.features import study_arrays
from cohortium_node.local.reduce import reduce_round
from cohortium_protocols.canonical import digest, pack_integers
from cohortium_protocols.messages import (
    Close,
    Decision,
    PlanMessage,
    Receipt,
    RoundAnswer,
    RoundRequest,
    read,
)
from cohortium_protocols.messages import Message as Body
from cohortium_protocols.plan import Plan, plan_digest
from cohortium_protocols.schedules import schedule
from cohortium_protocols.signing import Envelope, SigningKey

PLAN = """\
cohortium: 1
study: weights
title: Does it help?
question: Do the people helped weigh less?
data: table
covariates:
  - {name: age, kind: number, low: 20, high: 80}
  - {name: sex, kind: category, levels: [f, m]}
outcomes: [{name: weight, kind: number, low: 40, clip: 140, unit: kg, title: Weight, better: lower}]
analysis: {method: doubly_robust}
privacy: {epsilon: 1.0, aggregation: local, noise: false, tolerate_lost_nodes: 1}
nodes: {roster: [east, north, west], deadline: 2030-12-31}
"""


@dataclass
class Custodian:
    """A node with real signatures and statistics: one study, the same bytes for the same request."""

    name: str
    decision: str = "approved"
    refusals: dict[str, str] = field(default_factory=dict)  # round -> code
    silent: Sequence[str] = ()  # kinds of messages and rounds it does not answer
    key: SigningKey = field(default_factory=SigningKey.generate)
    plan: Plan | None = None
    handled: list[bytes] = field(default_factory=list)

    def handle(self, data: bytes) -> bytes | None:
        """Returns the answer to an envelope; None when it is silent."""
        self.handled.append(data)
        envelope = Envelope.from_bytes(data)
        if envelope.kind in self.silent:
            return None
        return {"plan": self._plan, "round": self._round, "close": self._close}[envelope.kind](envelope)

    def say(self, kind: str, body: Body, study: str = "weights") -> bytes:
        """Returns a signed envelope to the operator."""
        return Envelope.sign(kind, study, self.name, "lab", body.body(), self.key).to_bytes()

    def _plan(self, envelope: Envelope) -> bytes:
        self.plan = read(envelope, PlanMessage).plan
        code = "over_budget" if self.decision == "refused" else ""
        return self.say(
            "decision", Decision(plan_digest=plan_digest(self.plan), decision=self.decision, code=code)
        )

    def _round(self, envelope: Envelope) -> bytes | None:
        request = read(envelope, RoundRequest)
        if request.round in self.silent:
            return None
        code = self.refusals.get(request.round, "")
        return self.say("answer", RoundAnswer(
            plan_digest=request.plan_digest, round=request.round, request_digest=digest(envelope.body),
            code=code,
            vectors={} if code else self.vectors(request)))  # fmt: skip

    def vectors(self, request: RoundRequest) -> dict[str, str]:
        """Returns the round's vectors, exact and packed."""
        assert self.plan is not None
        spec = schedule(self.plan).round(request.round)
        reduced = reduce_round(spec, request.parameters, study_arrays(self.plan, people(self.name)))
        return {name: pack_integers(values) for name, values in reduced.items()}

    def _close(self, envelope: Envelope) -> bytes:
        return self.say(
            "receipt", Receipt(plan_digest=read(envelope, Close).plan_digest, ledger_head="0" * 64)
        )


def people(name: str, count: int = 600) -> AnalysisTable:
    """Returns one node's people: a sixth are helped, and weigh 3 kg less for it."""
    draw = np.random.default_rng(list(name.encode()))
    age, sex = draw.uniform(20, 80, count), draw.choice(["f", "m"], count)
    treated = draw.random(count) < 0.1 + 0.2 * (age > 50)
    weight = 60 + 0.2 * age + 8 * (sex == "m") - 3 * treated + draw.normal(0, 5, count)
    exits = np.zeros(int(treated.sum()), dtype=np.int64)
    return AnalysisTable(treated, {"age": age, "sex": sex.astype(object)}, weight[:, None], exits)


@pytest.fixture(scope="session")
def plan_text() -> str:
    """A plan without noise for three nodes, one of which may be lost."""
    return PLAN


@pytest.fixture(scope="session")
def custodian() -> Callable[..., Custodian]:
    """Makes a custodian."""
    return Custodian


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """An operator and three nodes at work, every one a real process."""
    with small_federation(tmp_path_factory.mktemp("federation")) as made:
        yield made
