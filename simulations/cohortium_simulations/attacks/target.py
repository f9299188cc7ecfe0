"""What is attacked: one real node, and the operator's key, with which every attacker here begins.

The attacker is the worst one the design names: an operator that the custodian pinned and that signs what it likes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from cohortium_node.accounts import Caps
from cohortium_node.anchors import Anchors
from cohortium_node.approvals import Desk
from cohortium_node.audit import Audit
from cohortium_node.data.table import AnalysisTable
from cohortium_node.frozen import DataSource
from cohortium_node.ledger import Ledger
from cohortium_node.policy import Policy, StandingApproval
from cohortium_node.service import Node, NodeService
from cohortium_protocols.canonical import unpack_integers
from cohortium_protocols.messages import Anchor, Close, PlanMessage, RoundRequest
from cohortium_protocols.plan import Plan, plan_digest
from cohortium_protocols.privacy.accounting import mu_from_epsilon
from cohortium_protocols.schedules import schedule
from cohortium_protocols.secure_sum import Identity
from cohortium_protocols.signing import Envelope, SigningKey
from cohortium_simulations.neighbours import DELTA, PLAN, Study, Vectors, parameters

OPERATOR, NODE = "lab", "one"
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
EXPIRES = datetime(2026, 12, 31, tzinfo=UTC)
OPERATOR_KEY, NODE_KEY = SigningKey.generate(), SigningKey.generate()
_FREEZE_KEY = b"f" * 32
_ALWAYS = StandingApproval(operator=OPERATOR, study="*", epsilon=100.0, outcomes=("admitted",), until=date(2199, 1, 1))


@dataclass(frozen=True)
class Tables:
    """A data source that has a table for each study; for one it does not know, the table of any."""

    tables: Mapping[str, AnalysisTable]

    def analysis_table(self, plan: Plan) -> AnalysisTable:
        """Returns the study's people."""
        return self.tables.get(plan.study, self.tables.get("any", next(iter(self.tables.values()))))


def caps(study: float = 10.0, total: float = 1000.0) -> Caps:
    """Returns caps: an epsilon for one study, and how many such studies the total covers."""
    mu2 = mu_from_epsilon(study, DELTA) ** 2 * (1 + 1e-9)
    return Caps(mu2, mu2 * total)


@contextmanager
def node(
    source: DataSource, budget: Caps, folder: Path | None = None, *, witness: str = "", identity: Identity | None = None
) -> Iterator[NodeService]:
    """A real node that approves whatever its budget covers: the least careful custodian.

    Args:
        source: its data.
        budget: its caps.
        folder: where its files are; without one they are in memory. Opening it again is a restart.
        witness: who must say what it holds of the ledger before anything is released.
        identity: who it is and which peers it pinned; without one it is ``NODE`` and knows nobody.
    """
    who = identity or Identity(NODE, NODE_KEY, {})
    policy = Policy({OPERATOR: OPERATOR_KEY.public}, budget, peers=who.pinned, standing=(_ALWAYS,))
    files = [folder / name if folder else None for name in ("studies.sqlite", "audit.jsonl", "anchors.json")]
    anchors = Anchors(files[2], witness)
    ledger = Ledger.open(folder / "ledger.sqlite", budget) if folder else Ledger.in_memory(budget)
    with closing(ledger), closing(Desk(files[0])) as desk, closing(Audit(files[1])) as audit:
        yield NodeService(Node(who.node, who.key, _FREEZE_KEY, policy, source, ledger, desk, audit, anchors))


def plan(study: str = "study", epsilon: float = 4.0, **privacy: Any) -> Plan:
    """Returns a plan of the attacker's choice."""
    asked = PLAN.privacy.model_copy(update={"epsilon": epsilon, **privacy})
    return PLAN.model_copy(update={"study": study, "privacy": asked})


def plan_message(wanted: Plan, key: SigningKey = OPERATOR_KEY, recipient: str = NODE, **changes: Any) -> bytes:
    """Returns a signed plan; ``changes`` are made to its body before it is signed."""
    declared = schedule(wanted).declaration()
    message = PlanMessage(plan=wanted, schedule=declared, created=NOW.isoformat(), expires=EXPIRES.isoformat())
    body = message.body() | changes
    return Envelope.sign("plan", wanted.study, OPERATOR, recipient, body, key).to_bytes()


def round_message(
    wanted: Plan, name: str, key: SigningKey = OPERATOR_KEY, recipient: str = NODE, **changes: Any
) -> bytes:
    """Returns a signed request for a round; ``changes`` are made to its body before it is signed."""
    asked = parameters(schedule(wanted).round(name))
    request = RoundRequest(plan_digest=plan_digest(wanted), round=name, attempt=1, parameters=asked)
    return Envelope.sign("round", wanted.study, OPERATOR, recipient, request.body() | changes, key).to_bytes()


def close_message(wanted: Plan) -> bytes:
    """Returns the signed end of a study."""
    body = Close(plan_digest=plan_digest(wanted), reason="done").body()
    return Envelope.sign("close", wanted.study, OPERATOR, NODE, body, OPERATOR_KEY).to_bytes()


def anchor_message(head: str, nonce: str) -> bytes:
    """Returns the operator's honest word, as a witness, about what it holds of the node's ledger."""
    body = Anchor(node=NODE, head=head, nonce=nonce).body()
    return Envelope.sign("anchor", "", OPERATOR, NODE, body, OPERATOR_KEY).to_bytes()


def reply(service: NodeService, message: bytes) -> Mapping[str, Any]:
    """Returns the body of what a node answers; nothing when it does not answer."""
    return content(service.handle(message, NOW))


def content(answers: list[bytes]) -> Mapping[str, Any]:
    """Returns the body of the one answer, if there is one."""
    return dict(Envelope.from_bytes(answers[0]).content()) if answers else {}


def fresh(answers: list[list[bytes]], known: list[bytes]) -> int:
    """Returns how many answers hold numbers and are not the one known already."""
    return sum(bool(content(answer).get("vectors")) and answer != known for answer in answers)


def charged(ledger: Path) -> float:
    """Returns the mu squared that a ledger's file says was spent."""
    with closing(Ledger.read(ledger)) as read:
        return float(read.accounts.charged)


def approved(service: NodeService, wanted: Plan) -> bool:
    """Sends a plan; returns whether the node let it in."""
    return reply(service, plan_message(wanted)).get("decision") == "approved"


def whole_study(service: NodeService, wanted: Plan) -> Study:
    """Returns all that a node releases of a study, from plan to last round; nothing of a plan that it refuses."""
    first, *rounds = _script(wanted)
    reply(service, first)
    answers = [reply(service, message) for message in rounds]
    return {answer["round"]: _numbers(answer) for answer in answers if answer.get("vectors")}


@lru_cache(maxsize=64)
def _script(wanted: Plan) -> tuple[bytes, ...]:
    return plan_message(wanted), *(round_message(wanted, spec.name) for spec in schedule(wanted).rounds)


def _numbers(answer: Mapping[str, Any]) -> Vectors:
    return {name: unpack_integers(packed) for name, packed in answer["vectors"].items()}
