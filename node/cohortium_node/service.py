"""A node's work, one message at a time, top to bottom: envelope in, envelopes out.

Everything is durable before it goes out, and every message can come again: the same request gets the same
bytes. A message that is not from a pinned operator, or not for this node, gets no answer at all. After
approval a request is always answered: with the declared vectors, or with a word of the closed vocabulary of
``errors``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from cohortium_node.accounts import prices
from cohortium_node.anchors import Anchors
from cohortium_node.approvals import Desk, State, Study
from cohortium_node.audit import Audit
from cohortium_node.frozen import DataSource, FrozenData
from cohortium_node.intake import Standing, VerifiedPlan, expired, read_body, read_envelope, verify_plan
from cohortium_node.ledger import Ledger
from cohortium_node.policy import Policy
from cohortium_node.release.gate import Gate, Vectors, no_fault
from cohortium_node.secure_rounds import SecureRounds
from cohortium_node.witnessing import WITNESS_KINDS, Witnessing
from cohortium_protocols.canonical import canonical_bytes, digest
from cohortium_protocols.errors import (
    CohortiumError,
    InputError,
    NotSupported,
    PlanError,
    PolicyRefusal,
    RefusedError,
    SignatureError,
    TrustError,
)
from cohortium_protocols.messages import Close, Decision, Message, Receipt, RoundAnswer, RoundRequest, SecureStep
from cohortium_protocols.secure_sum import Identity
from cohortium_protocols.signing import Envelope, SigningKey
from cohortium_protocols.statistics import RoundSpec

FIRST_ATTEMPT = 1
"""A round that each node answers by itself is released once; later attempts belong to secure sums."""

_Refusals = (TrustError, PlanError, RefusedError)
_DECISIONS: Mapping[State, Literal["approved", "waiting", "refused"]] = {
    "approved": "approved",
    "waiting": "waiting",
    "refused": "refused",
}


@dataclass(frozen=True)
class Node:
    """What one node is made of.

    Attributes:
        name: as on the roster.
        key: signs everything that goes out.
        freeze_key: keys the digests of frozen study data; it never leaves.
        policy: what the custodian allows.
        source: the custodian's data.
        ledger: the privacy ledger.
        desk: plans and decisions.
        audit: the local log.
        anchors: what witnesses hold of the ledger.
        simulation: whether plans without noise are let in; never in a daemon.
        faults: called at every fault point of the gate; does nothing outside tests.
    """

    name: str
    key: SigningKey
    freeze_key: bytes
    policy: Policy
    source: DataSource
    ledger: Ledger
    desk: Desk
    audit: Audit
    anchors: Anchors = field(default_factory=Anchors)
    simulation: bool = False
    faults: Callable[[str], None] = no_fault


class NodeService:
    """Handles messages for one node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._gate = Gate(
            node.ledger, node.key, anchors=node.anchors, simulation=node.simulation, faults=node.faults
        )
        self._witnessing = Witnessing(node.name, node.key, node.policy, node.ledger, node.anchors)
        identity = Identity(node.name, node.key, node.policy.peers)
        self._secure = SecureRounds(node.ledger, self._gate, identity, node.faults)
        self._data = FrozenData(node.source, node.freeze_key, node.name)
        self._plans: dict[str, VerifiedPlan] = {}
        self._handlers: dict[str, Callable[[Envelope, datetime], list[bytes]]] = {
            "plan": self._plan,
            "round": self._round,
            "secure_step": self._secure_step,
            "close": self._close,
            "anchor": lambda envelope, _: self._witnessing.anchor(envelope),
            "recall": lambda envelope, _: self._witnessing.recall(envelope),
        }

    def handle(self, data: bytes, now: datetime) -> list[bytes]:
        """Returns the envelopes to submit for one that arrived; what they say is durable.

        Args:
            data: the envelope as it travelled.
            now: the time, with a time zone.

        Raises:
            StorageError: this node's own records cannot be written; nothing was released.
        """
        try:
            envelope = read_envelope(data, self._node.name, self._node.policy, peers=WITNESS_KINDS)
            if envelope.kind not in self._handlers:
                raise TrustError(f"A node takes no {envelope.kind} messages.")
            answers = self._handlers[envelope.kind](envelope, now)
        except TrustError as error:
            self._node.audit.record("dropped", message=digest(data), why=error.what)
            return []
        for answer in answers:
            facts = {"study": envelope.study, "kind": envelope.kind, "message": digest(answer)}
            self._node.audit.record("answered", **facts, bytes=len(answer))
        return answers

    @property
    def recalled(self) -> bool:
        """Whether the witness has said, since the start, which head of the ledger it holds."""
        return self._node.anchors.recalled

    def recalls(self) -> list[bytes]:
        """Returns what a node that starts asks its witnesses."""
        return self._witnessing.recalls()

    def recollect(self, data: bytes) -> None:
        """Takes in what a message says about this node's ledger, and nothing else of it.

        Raises:
            LedgerError: the ledger is behind, or another one.
            StorageError: the anchors cannot be written.
        """
        try:
            envelope = read_envelope(data, self._node.name, self._node.policy, peers=WITNESS_KINDS)
            if envelope.kind == "anchor":
                self._witnessing.anchor(envelope)
        except TrustError:
            return  # it is met again, in its turn, by `handle`

    def decisions(self, now: datetime) -> list[tuple[Study, bytes]]:
        """Does what the custodian asked for; returns the decisions that the operator was not told yet.

        Call ``delivered`` when one was handed over. Secrets of studies that have expired are destroyed.
        """
        self._end_expired(now)
        for study in self._node.desk.studies():
            if study.state == "waiting":
                self._settle(study, now)
        fresh = [each for each in self._node.desk.studies() if each.state not in (each.told, "closed")]
        return [(study, self._decision(study)) for study in fresh]

    def _end_expired(self, now: datetime) -> None:
        """Destroys what secure sums left of studies that ended without being closed: no step can follow."""
        for name in self._node.ledger.unfinished():
            study = self._node.desk.get(name)
            if study is not None and now >= study.expires:
                self._node.ledger.destroy_secrets(name)
                self._node.audit.record("secrets destroyed", study=name, why="the plan expired")

    def delivered(self, study: Study) -> None:
        """Records that the operator was told the state of a plan."""
        self._node.desk.told(study.study, study.state)

    def _plan(self, envelope: Envelope, now: datetime) -> list[bytes]:
        desk = self._node.desk
        study = desk.get(envelope.study)
        if study is None or study.envelope != envelope.to_bytes():
            try:
                plan = self._verified(envelope, now)
            except _Refusals as error:
                return [self._refusal(envelope, error)]
            study = desk.put(
                plan.plan.study, plan.operator, plan.digest, envelope.to_bytes(), now.isoformat()
            )
            self._node.audit.record(
                "plan arrived", study=study.study, plan=study.plan_digest, operator=study.operator
            )
        if study.state == "waiting":
            study = self._settle(study, now)
        self.delivered(study)
        return [] if study.state == "closed" else [self._decision(study)]

    def _settle(self, study: Study, now: datetime) -> Study:
        """Decides a waiting plan, if it can be decided now."""
        try:
            if study.wish == "refuse":
                raise PolicyRefusal("The custodian refused the plan.")
            plan = self._verified(self._envelope(study), now)
            if study.wish != "approve" and not plan.verdict.standing:
                return self._waiting(study, "It waits for you: approve or refuse it.")
            approval = "the custodian" if study.wish else f"standing approval {plan.verdict.standing}"
            fault = self._open(plan, approval)
        except _Refusals as error:
            return self._settled(study, "refused", str(error), error.code)
        return (
            self._waiting(study, fault)
            if fault
            else self._settled(study, "approved", f"Approved by {approval}.")
        )

    def _open(self, plan: VerifiedPlan, approval: str) -> str:
        """Freezes a study's data and opens it in the ledger; returns why its data cannot be used, if so.

        Raises:
            RefusedError: the budget does not cover it.
            ReplayError: another plan had its name before.
        """
        account = self._node.ledger.accounts.studies.get(plan.plan.study)
        if account is not None and account.plan_digest == plan.digest:
            return ""  # it was entered just before a restart
        try:
            frozen = self._data.freeze(plan.plan)
        except (InputError, PlanError, PolicyRefusal) as error:
            return str(error)
        self._node.ledger.open_study(
            plan.plan.study, plan.digest, prices(plan.schedule), frozen, approval, plan.operator
        )
        return ""

    def _waiting(self, study: Study, note: str) -> Study:
        if study.note == note:
            return study
        self._node.audit.record("waiting", study=study.study, why=note)
        return self._node.desk.note(study.study, note)

    def _settled(self, study: Study, state: State, note: str, code: str = "") -> Study:
        self._node.audit.record(state, study=study.study, plan=study.plan_digest, why=note)
        return self._node.desk.settle(study.study, state, code=code, note=note)

    def _round(self, envelope: Envelope, now: datetime) -> list[bytes]:
        request = read_body(envelope, RoundRequest)
        try:
            study = self._owned(envelope, request.plan_digest)
            stored = self._gate.stored(envelope)
            return [stored if stored is not None else self._release(envelope, request, study, now)]
        except _Refusals as error:
            return [self._refused(envelope, request, error)]

    def _release(self, envelope: Envelope, request: RoundRequest, study: Study, now: datetime) -> bytes:
        plan = self._approved(study, now)
        spec = _round_of(plan, request.round)
        if plan.plan.privacy.aggregation == "secure":
            self._data.check(plan.plan, self._frozen(study), spec, request.parameters)
            return self._secure.announce(plan.plan, spec, envelope)
        if request.attempt != FIRST_ATTEMPT:
            raise NotSupported("This version releases each round once.", why=f"this is attempt {request.attempt}")
        return self._gate.release(envelope, spec, self._exact(plan, study, spec, request))

    def _secure_step(self, envelope: Envelope, now: datetime) -> list[bytes]:
        step = read_body(envelope, SecureStep)
        try:
            study = self._owned(envelope, step.plan_digest)
            stored = self._gate.stored(envelope)
            return [stored if stored is not None else self._step(envelope, step, study, now)]
        except _Refusals as error:
            return [self._refused(envelope, step, error, step.stage)]

    def _step(self, envelope: Envelope, step: SecureStep, study: Study, now: datetime) -> bytes:
        plan = self._approved(study, now)
        spec = _round_of(plan, step.round)
        return self._secure.step(
            plan.plan, spec, envelope, lambda request: self._exact(plan, study, spec, request)
        )

    def _exact(self, plan: VerifiedPlan, study: Study, spec: RoundSpec, request: RoundRequest) -> Vectors:
        exact, fault = self._data.exact(plan.plan, self._frozen(study), spec, request.parameters)
        if fault:
            self._node.audit.record("fault: answered as if nobody were here", study=study.study, why=fault)
        return exact

    def _frozen(self, study: Study) -> str:
        return self._node.ledger.accounts.studies[study.study].frozen

    def _refused(
        self, envelope: Envelope, asked: RoundRequest | SecureStep, error: CohortiumError, stage: str = ""
    ) -> bytes:
        about = {"study": envelope.study, "round": asked.round, "stage": stage, "why": str(error)}
        self._node.audit.record("round refused", **about, attempt=asked.attempt)
        answer = RoundAnswer(
            plan_digest=asked.plan_digest,
            round=asked.round,
            request_digest=digest(envelope.body),
            code=error.code,
            vectors={},
            attempt=asked.attempt,
            stage=stage,
        )
        return self._signed("answer", envelope.study, envelope.sender, answer)

    def _approved(self, study: Study, now: datetime) -> VerifiedPlan:
        """Returns the plan of an open study, verified again after a restart."""
        if study.state != "approved" or study.study not in self._node.ledger.accounts.studies:
            raise PolicyRefusal(f"The study '{study.study}' is not open at this node: it is {study.state}.")
        plan = self._plans.get(study.study)
        if plan is None:
            plan = self._plans[study.study] = self._verified(self._envelope(study), now)
        if now >= plan.expires:
            raise expired(study.study, plan.expires)
        return plan

    def _close(self, envelope: Envelope, now: datetime) -> list[bytes]:
        content, head = read_body(envelope, Close), ""
        if self._node.desk.get(envelope.study) is None:  # withdrawn before this node fetched it, or refused
            return [self._receipt(envelope, content, head)]
        study = self._owned(envelope, content.plan_digest)
        if study.study in self._node.ledger.accounts.studies:
            head = self._node.ledger.close_study(study.study)
        self._data.forget(study.study)
        self._plans.pop(study.study, None)
        if study.state != "closed":
            self._settled(study, "closed", f"Closed by the operator: {content.reason}")
        return [self._receipt(envelope, content, head)]

    def _receipt(self, envelope: Envelope, content: Close, head: str) -> bytes:
        receipt = Receipt(plan_digest=content.plan_digest, ledger_head=head)
        return self._signed("receipt", envelope.study, envelope.sender, receipt)

    def _owned(self, envelope: Envelope, plan_digest: str) -> Study:
        """Returns the study that a message is about, when it is from its operator and for its plan."""
        study = self._node.desk.get(envelope.study)
        if study is None or (study.operator, study.plan_digest) != (envelope.sender, plan_digest):
            raise TrustError(
                f"A {envelope.kind} message from '{envelope.sender}' is for no plan that they sent here.",
                do="ask the operator which plan they mean",
            )
        return study

    def _verified(self, envelope: Envelope, now: datetime) -> VerifiedPlan:
        node = self._node
        known = {each.study: (each.operator, each.plan_digest) for each in node.desk.studies()}
        standing = Standing(known, node.ledger.accounts, node.simulation)
        return verify_plan(envelope, now, node.name, node.policy, standing)

    def _envelope(self, study: Study) -> Envelope:
        return read_envelope(study.envelope, self._node.name, self._node.policy)

    def _decision(self, study: Study) -> bytes:
        decision = Decision(plan_digest=study.plan_digest, decision=_DECISIONS[study.state], code=study.code)
        return self._signed("decision", study.study, study.operator, decision)

    def _refusal(self, envelope: Envelope, error: CohortiumError) -> bytes:
        self._node.audit.record(
            "plan refused", study=envelope.study, message=digest(envelope.body), why=str(error)
        )
        decision = Decision(plan_digest=_claimed_digest(envelope), decision="refused", code=error.code)
        return self._signed("decision", envelope.study, envelope.sender, decision)

    def _signed(self, kind: str, study: str, operator: str, body: Message) -> bytes:
        return Envelope.sign(kind, study, self._node.name, operator, body.body(), self._node.key).to_bytes()


def _round_of(plan: VerifiedPlan, name: str) -> RoundSpec:
    for spec in plan.schedule.rounds:
        if spec.name == name:
            return spec
    raise PolicyRefusal(f"The plan '{plan.plan.study}' declares no round '{name}'.")


def _claimed_digest(envelope: Envelope) -> str:
    """Returns the digest of whatever plan the sender meant, so that they know which one was refused."""
    try:
        content = envelope.content()
        return digest(canonical_bytes(content["plan"]))
    except (SignatureError, TypeError, KeyError, ValueError, RecursionError):
        return digest(envelope.body)
