"""Custodians in this process, with neither ledger nor noise; and a federation of real processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray
from small_federation import Federation, small_federation

from cohortium_node.data.table import AnalysisTable
from cohortium_node.features import study_arrays
from cohortium_node.local.reduce import reduce_round
from cohortium_protocols.canonical import digest, pack_integers, unpack_integers
from cohortium_protocols.heads import released, statement
from cohortium_protocols.messages import (
    Close,
    Decision,
    Head,
    PlanMessage,
    Receipt,
    RoundAnswer,
    RoundRequest,
    SecureStep,
    read,
)
from cohortium_protocols.messages import Message as Body
from cohortium_protocols.plan import Plan, plan_digest
from cohortium_protocols.schedules import schedule
from cohortium_protocols.secure_rounds import joined, session_of
from cohortium_protocols.secure_sum import Identity, Participant
from cohortium_protocols.secure_sum.messages import Acknowledgements, Announcements, Deliveries, SurvivorList
from cohortium_protocols.signing import Envelope, SigningKey, VerifyKey

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
CONTENT = {
    "share": Announcements, "mask": Deliveries, "acknowledge": SurvivorList, "reveal": Acknowledgements,
}  # fmt: skip


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
    requests: dict[str, int] = field(default_factory=dict)  # digest -> entry of its ledger
    pinned: dict[str, VerifyKey] = field(default_factory=dict)
    lost_at: str = ""  # a step, such as "model_1 mask", from which on it says nothing more
    sums: dict[str, tuple[Participant, NDArray[np.int64]]] = field(default_factory=dict)

    def handle(self, data: bytes) -> bytes | None:
        """Returns the answer to an envelope; None when it is silent."""
        envelope = Envelope.from_bytes(data)
        if envelope.kind == "anchor":
            return None
        self.handled.append(data)
        if envelope.kind in self.silent:
            return None
        handlers = {"plan": self._plan, "round": self._round, "secure_step": self._step, "close": self._close}
        return handlers[envelope.kind](envelope)

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
        assert self.plan is not None
        if self.plan.privacy.aggregation == "secure":
            return self._announcement(envelope, request)
        if request.round in self.silent:
            return None
        code = self.refusals.get(request.round, "")
        answer = RoundAnswer(
            plan_digest=request.plan_digest, round=request.round, request_digest=digest(envelope.body),
            code=code,
            vectors={} if code else self.vectors(request))  # fmt: skip
        return self.say("answer", answer if code else self._stated(answer))

    def _announcement(self, envelope: Envelope, request: RoundRequest) -> bytes | None:
        spec = schedule(self.plan).round(request.round)
        exact = {name: unpack_integers(values) for name, values in self.vectors(request).items()}
        session = session_of(self.plan, spec, envelope)
        participant = Participant(session, Identity(self.name, self.key, self.pinned))
        self.sums.setdefault(request.round, (participant, joined(spec, exact)))
        return self._taken(request.round, "announce", envelope, self.sums[request.round][0].announce)

    def _step(self, envelope: Envelope) -> bytes | None:
        asked = read(envelope, SecureStep)
        participant, vector = self.sums[asked.round]
        content = CONTENT[asked.stage].model_validate(asked.content)
        head = partial(self._head, digest(envelope.body))
        given = (content, vector, head) if asked.stage == "mask" else (content,)
        return self._taken(asked.round, asked.stage, envelope, lambda: getattr(participant, asked.stage)(*given))

    def _taken(self, round_name: str, stage: str, envelope: Envelope, take: Callable[[], bytes]) -> bytes | None:
        """One step of a secure sum: taken, refused, or not heard of again."""
        place = f"{round_name} {stage}"
        if place == self.lost_at:
            self.silent = ("plan", "round", "secure_step", "close")
        if place in self.silent or "round" in self.silent:
            return None
        if place not in self.refusals:
            return take()
        return self.say("answer", RoundAnswer(
            plan_digest=plan_digest(self.plan), round=round_name, request_digest=digest(envelope.body),
            code=self.refusals[place], vectors={}, stage=stage))  # fmt: skip

    def _stated(self, answer: RoundAnswer) -> RoundAnswer:
        """The answer with a statement about a ledger that has one entry for each request, in the order they came."""
        return answer.model_copy(update={"head": self._head(answer.request_digest, answer)})

    def _head(self, request: str, answer: Body) -> str:
        entry = self.requests.setdefault(request, len(self.requests) + 1)
        head = Head(sequence=entry, hash=request, request=request, released=released(answer.body()))
        return statement(head, "weights", self.name, "lab", self.key)

    def vectors(self, request: RoundRequest) -> dict[str, str]:
        """Returns the round's vectors, exact and packed."""
        assert self.plan is not None
        spec = schedule(self.plan).round(request.round)
        reduced = reduce_round(spec, request.parameters, study_arrays(self.plan, made_people(self.name)))
        return {name: pack_integers(values) for name, values in reduced.items()}

    def _close(self, envelope: Envelope) -> bytes:
        return self.say(
            "receipt", Receipt(plan_digest=read(envelope, Close).plan_digest, ledger_head="0" * 64)
        )


def made_people(name: str, count: int = 600) -> AnalysisTable:
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


@pytest.fixture(scope="session")
def people() -> Callable[[str], AnalysisTable]:
    """Makes one node's people."""
    return made_people
