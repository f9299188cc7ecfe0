"""A whole federation in one process: the real node and coordinator code, with a relay in memory between them.

Keys, signatures, the policy, the ledger and the one door are those of a daemon. Only what carries the envelopes, and
where records are kept (in memory), differ.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from cohortium_coordinator.config import StudySettings
from cohortium_coordinator.result import StudyResult
from cohortium_coordinator.service import StudyService
from cohortium_coordinator.store import SqliteStore
from cohortium_node.accounts import Caps
from cohortium_node.approvals import Desk
from cohortium_node.audit import Audit
from cohortium_node.daemon import Daemon
from cohortium_node.data.table import AnalysisTable
from cohortium_node.ledger import Ledger
from cohortium_node.policy import Policy, StandingApproval
from cohortium_node.service import Node, NodeService
from cohortium_protocols.canonical import canonical_bytes
from cohortium_protocols.errors import RefusedError
from cohortium_protocols.plan import Plan
from cohortium_protocols.plan_analysis import METHODS
from cohortium_protocols.signing import SigningKey, VerifyKey
from cohortium_simulations.memory_channel import MemoryRelay

OPERATOR = "lab"
_WITHOUT_LIMIT = 20.0
"""An epsilon, and a mu squared, that no simulated study reaches."""
_MOST_TURNS = 10_000


@dataclass(frozen=True)
class TableSource:
    """A node's people, ready to be analysed."""

    table: AnalysisTable

    def analysis_table(self, plan: Plan) -> AnalysisTable:
        """Returns the people, whatever the plan's windows."""
        return self.table


def run_study(
    plan: Plan,
    tables: Mapping[str, AnalysisTable],
    *,
    bounds_from_data: bool = False,
    truth: Mapping[str, float] | None = None,
    progress: Callable[[str], None] = lambda _: None,
    relay: MemoryRelay | None = None,
) -> StudyResult:
    """Returns the result of a study run by real nodes and a real coordinator in this process.

    Args:
        plan: the study; its roster must be the names of the tables.
        tables: every node's people.
        bounds_from_data: whether bounds were read from the data.
        truth: the true effects, to be shown beside the estimates.
        progress: told the phase whenever it changes.
        relay: carries the envelopes; one without faults when not given.

    Raises:
        RefusedError: the study ended without a result.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        between, lab_key = relay or MemoryRelay(), SigningKey.generate()
        keys = {name: SigningKey.generate() for name in tables}
        settings = StudySettings(OPERATOR, folder, {name: key.public for name, key in keys.items()})
        store = stack.enter_context(closing(SqliteStore(":memory:")))
        service = StudyService(settings, store, between, lab_key)
        trusted = lab_key.public, settings.nodes
        daemons = [_daemon(stack, plan, between, trusted, keys[name], name, tables[name]) for name in tables]
        study = service.submit(canonical_bytes(plan.model_dump(mode="json", by_alias=True)).decode())
        _turns(service, daemons, study, progress)
        return service.result(study, bounds_from_data=bounds_from_data, truth=truth)


def _turns(service: StudyService, daemons: list[Daemon], study: str, progress: Callable[[str], None]) -> None:
    phase = ""
    for _ in range(_MOST_TURNS):
        service.advance(datetime.now(UTC))
        status = service.status(study)
        if status.phase_text != phase:
            phase = status.phase_text
            progress(phase)
        if status.ended:
            break
        for daemon in daemons:
            daemon.step()
    if status.phase == "failed":
        raise RefusedError("The study ended without a result.", why=status.reason)


def _daemon(
    stack: ExitStack,
    plan: Plan,
    relay: MemoryRelay,
    trusted: tuple[VerifyKey, Mapping[str, VerifyKey]],
    key: SigningKey,
    name: str,
    table: AnalysisTable,
) -> Daemon:
    operator, peers = trusted
    policy = Policy(
        operators={OPERATOR: operator},
        peers=peers,
        caps=Caps(study=_WITHOUT_LIMIT, total=_WITHOUT_LIMIT),
        minimum_rows=1,
        standing=(_approval(plan),),
    )
    ledger = stack.enter_context(closing(Ledger.in_memory(policy.caps)))
    desk = stack.enter_context(closing(Desk(None)))
    audit = stack.enter_context(closing(Audit(None)))
    node = Node(name, key, secrets.token_bytes(32), policy, TableSource(table), ledger, desk, audit, simulation=True)
    return Daemon(NodeService(node), desk, relay.channel(name), poll=0.0)


def _approval(plan: Plan) -> StandingApproval:
    return StandingApproval(
        operator=OPERATOR, study="*", epsilon=_WITHOUT_LIMIT, methods=METHODS,
        outcomes=tuple(outcome.name for outcome in plan.outcomes), until=plan.nodes.deadline,
    )  # fmt: skip
