"""A small node for tests: fixed keys, a plan on a table of two hundred people, and the messages about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cohortium_node.accounts import Caps
from cohortium_node.approvals import Desk
from cohortium_node.audit import Audit
from cohortium_node.data.table import AnalysisTable
from cohortium_node.ledger import Ledger
from cohortium_node.policy import Policy, StandingApproval
from cohortium_node.release.gate import no_fault
from cohortium_node.service import Node, NodeService
from cohortium_protocols.messages import Close, PlanMessage, RoundRequest
from cohortium_protocols.plan import Plan, plan_digest
from cohortium_protocols.plan_check import load_plan
from cohortium_protocols.privacy.accounting import mu_from_epsilon
from cohortium_protocols.schedules import schedule
from cohortium_protocols.signing import Envelope, SigningKey
from cohortium_protocols.statistics import Parameter

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
EXPIRES = datetime(2026, 12, 31, tzinfo=UTC)

PLAN = """\
cohortium: 1
study: {study}
title: Does it help?
question: Do the people helped weigh less?
data: table
covariates:
  - {{name: age, kind: number, low: 20, high: 80}}
  - {{name: sex, kind: category, levels: [f, m]}}
outcomes: [{{name: weight, kind: number, low: 40, clip: 140, unit: kg, title: Weight, better: lower}}]
privacy: {{epsilon: {epsilon}, aggregation: local}}
nodes: {{roster: [north, south], deadline: 2030-12-31}}
"""


def key_of(number: int) -> SigningKey:
    """The same key every time, in every process."""
    return SigningKey(Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32))


NORTH, LAB, OTHER_LAB, STRANGER = (key_of(number) for number in range(1, 5))

STANDING = StandingApproval(operator="lab", study="*", epsilon=10.0, outcomes=("weight",), until=date(2030, 1, 1))


def caps(study: float = 2.0, total: float = 4.0) -> Caps:
    """Caps given as epsilons at delta 1e-6."""
    return Caps(mu_from_epsilon(study, 1e-6) ** 2, mu_from_epsilon(total, 1e-6) ** 2)


POLICY = Policy(operators={"lab": LAB.public, "other": OTHER_LAB.public}, caps=caps(), standing=(STANDING,))


def make_plan(study: str = "weights", epsilon: float = 1.0, **parts: Any) -> Plan:
    """A plan; further arguments replace parts of it, unchecked."""
    return load_plan(PLAN.format(study=study, epsilon=epsilon)).model_copy(update=parts)


def people(seed: int = 0, count: int = 200) -> AnalysisTable:
    """A table of people, a fifth of them helped."""
    draw = np.random.default_rng(seed)
    treated = draw.random(count) < 0.2
    covariates = {"age": draw.uniform(20, 80, count), "sex": draw.choice(["f", "m"], count).astype(object)}
    return AnalysisTable(treated, covariates, draw.normal(80, 10, (count, 1)), np.zeros(treated.sum(), dtype=np.int64))


@dataclass
class People:
    """A data source whose table, or fault, a test chooses; it counts how often it was asked."""

    table: AnalysisTable
    fault: Exception | None = None
    asked: int = 0

    def analysis_table(self, plan: Plan) -> AnalysisTable:
        self.asked += 1
        if self.fault:
            raise self.fault
        return self.table


def send(kind: str, study: str, content: Any, key: SigningKey = LAB, sender: str = "lab", to: str = "north") -> bytes:
    """A signed envelope."""
    return Envelope.sign(kind, study, sender, to, content, key).to_bytes()


def plan_content(plan: Plan, **changes: Any) -> dict[str, Any]:
    """The body of a plan message."""
    declared = schedule(plan).declaration()
    message = PlanMessage(plan=plan, schedule=declared, created=NOW.isoformat(), expires=EXPIRES.isoformat())
    return message.body() | changes


def plan_message(plan: Plan, **changes: Any) -> bytes:
    """A plan message from the lab to north."""
    return send("plan", plan.study, plan_content(plan, **changes))


def parameters(plan: Plan, round_name: str, value: float = 0.5) -> dict[str, Any]:
    """Parameters of the declared names and shapes."""

    def filled(each: Parameter) -> Any:
        return np.full(each.shape, value).tolist()

    return {each.name: filled(each) for each in schedule(plan).round(round_name).parameters}


def round_message(plan: Plan, round_name: str, value: float = 0.5, **changes: Any) -> bytes:
    """A round request from the lab to north."""
    request = RoundRequest(
        plan_digest=plan_digest(plan), round=round_name, attempt=1, parameters=parameters(plan, round_name, value)
    )
    return send("round", plan.study, request.body() | changes)


def close_message(plan: Plan) -> bytes:
    """The end of a study."""
    return send("close", plan.study, Close(plan_digest=plan_digest(plan), reason="done").body())


def content(envelope: bytes) -> Mapping[str, Any]:
    """The body of an envelope that a node sent, its signature checked."""
    return Envelope.from_bytes(envelope).verified({"north": NORTH.public}).content()


@contextmanager
def open_node(
    folder: Path,
    source: Any = None,
    policy: Policy = POLICY,
    faults: Callable[[str], None] = no_fault,
    **changes: Any,
) -> Iterator[Node]:
    """A node with real files in a folder; opening it again is a restart."""
    ledger = Ledger.open(folder / "ledger.sqlite", policy.caps)
    desk, audit = Desk(folder / "studies.sqlite"), Audit(folder / "audit.jsonl")
    node = Node("north", NORTH, b"f" * 32, policy, source or People(people()), ledger, desk, audit, faults=faults)
    try:
        yield replace(node, **changes)
    finally:
        for part in (ledger, desk, audit):
            part.close()


@contextmanager
def open_service(folder: Path, source: Any = None, policy: Policy = POLICY, **changes: Any) -> Iterator[NodeService]:
    """The service of such a node."""
    with open_node(folder, source, policy, **changes) as node:
        yield NodeService(node)
