"""What may come in: bytes and a clock value become a verified value, or one error. No files, no network.

The order is strict, and nothing of a message is used before the step that allows it:

1. size;
2. parse;
3. signature, against the operators that the custodian pinned;
4. this node is the recipient;
5. schema;
6. expiry and replay;
7. the declared schedule is exactly what this node works out from the plan;
8. this version can do it, and a secure sum has only nodes that are pinned here;
9. policy;
10. the budget covers it.

Everything after this module accepts only ``VerifiedPlan``, which only this module can make.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import InitVar, dataclass, field
from datetime import UTC, datetime

from cohortium_node.accounts import Accounts, limit_words, prices, whole
from cohortium_node.policy import Policy, Verdict, evaluate
from cohortium_protocols.canonical import canonical_bytes
from cohortium_protocols.errors import (
    BudgetRefusal,
    ExpiredError,
    PlanError,
    PolicyRefusal,
    ReplayError,
    SignatureError,
    TrustError,
)
from cohortium_protocols.messages import M, PlanMessage, read
from cohortium_protocols.plan import Plan, plan_digest
from cohortium_protocols.schedules import schedule
from cohortium_protocols.secure_rounds import check_shares
from cohortium_protocols.signing import Envelope
from cohortium_protocols.statistics import Schedule

LARGEST_ENVELOPE = 4 * 2**20
"""Bytes; a plan or a request has a few tens of thousands."""

_SEAL = object()


@dataclass(frozen=True)
class Standing:
    """What this node already knows, which a plan is held against.

    Attributes:
        known: study -> operator and plan digest of every plan that was let in before.
        accounts: what the ledger's entries add up to.
        simulation: whether plans without noise are let in; never in a daemon.
    """

    known: Mapping[str, tuple[str, str]]
    accounts: Accounts = field(default_factory=Accounts)
    simulation: bool = False


@dataclass(frozen=True)
class VerifiedPlan:
    """A plan that passed every step of intake.

    Attributes:
        plan: the plan.
        digest: its digest.
        operator: who signed it, and who alone may ask for its rounds.
        schedule: all that it may release, worked out here.
        expires: when it ends, with a time zone.
        verdict: what the policy said; it has no refusals.
    """

    plan: Plan
    digest: str
    operator: str
    schedule: Schedule
    expires: datetime
    verdict: Verdict
    seal: InitVar[object]

    def __post_init__(self, seal: object) -> None:
        if seal is not _SEAL:
            raise TypeError("only intake verifies plans")


def read_envelope(data: bytes, node: str, policy: Policy, *, peers: Collection[str] = ()) -> Envelope:
    """Returns a message whose sender is a pinned operator and whose recipient is this node: steps 1 to 4.

    Args:
        data: the envelope as it travelled.
        node: this node's name.
        policy: whom the custodian pinned.
        peers: kinds of messages that a pinned peer may send too.

    Raises:
        TrustError: it is too large, no envelope, not signed by a pinned operator, or for somebody else.
    """
    if len(data) > LARGEST_ENVELOPE:
        raise TrustError(
            f"A message of {len(data):,} bytes arrived.",
            why=f"at most {LARGEST_ENVELOPE:,} are read",
            do="ignore it",
        )
    try:
        envelope = Envelope.from_bytes(data)
        keys = {**policy.peers, **policy.operators} if envelope.kind in peers else policy.operators
        envelope.verified(keys)
    except (ValueError, RecursionError) as error:  # text that JSON or its canonical form cannot hold
        raise SignatureError("A message that arrived is not a signed envelope.") from error
    if envelope.recipient != node:
        raise TrustError(
            f"A {envelope.kind} message is for '{envelope.recipient}', and this node is '{node}'.",
            do="ask the operator which name they have for this node",
        )
    return envelope


def verify_plan(
    envelope: Envelope, now: datetime, node: str, policy: Policy, standing: Standing
) -> VerifiedPlan:
    """Returns the plan in an envelope that ``read_envelope`` let in: steps 5 to 10.

    Args:
        envelope: the plan message.
        now: the time, with a time zone.
        node: this node's name.
        policy: what the custodian allows.
        standing: what this node already knows.

    Raises:
        TrustError: the body is not a plan for its study and this node, it has expired, or its study's name
            was used.
        PlanError: the declared schedule is not the plan's.
        PolicyRefusal: the policy refuses it, or does not pin every node of its secure sums.
        BudgetRefusal: the budget that is left does not cover it.
    """
    message, expires = _read(envelope, node)
    digest = plan_digest(message.plan)
    _check_fresh(envelope, digest, expires, now, standing)
    declared = _declared(message)
    _check_possible(message.plan, standing)
    if message.plan.privacy.aggregation == "secure":
        _check_group(message.plan, declared, node, policy)
    verdict = _permitted(message.plan, declared, envelope.sender, now, policy)
    _check_affordable(message.plan, declared, envelope.sender, now, policy, standing)
    return VerifiedPlan(message.plan, digest, envelope.sender, declared, expires, verdict, _SEAL)


def read_body(envelope: Envelope, kind: type[M]) -> M:
    """Returns the typed body of a verified envelope.

    Raises:
        TrustError: the body is not of that kind.
    """
    try:
        return read(envelope, kind)
    except RecursionError as error:
        raise TrustError(
            f"A {envelope.kind} message from '{envelope.sender}' is nested too deeply."
        ) from error


def _read(envelope: Envelope, node: str) -> tuple[PlanMessage, datetime]:
    message = read_body(envelope, PlanMessage)
    try:
        expires = datetime.fromisoformat(message.expires)
    except ValueError as error:
        raise TrustError(f"The plan '{envelope.study}' ends at no readable date and time.") from error
    if expires.tzinfo is None:
        raise TrustError(f"The plan '{envelope.study}' ends at a time without a time zone.")
    if message.plan.study != envelope.study:
        raise TrustError(f"An envelope for '{envelope.study}' holds a plan for '{message.plan.study}'.")
    if node not in message.plan.nodes.roster:
        raise TrustError(f"The plan '{envelope.study}' does not have '{node}' on its roster.")
    return message, expires


def _check_fresh(
    envelope: Envelope, digest: str, expires: datetime, now: datetime, standing: Standing
) -> None:
    if now >= expires:
        raise expired(envelope.study, expires)
    if standing.known.get(envelope.study, (envelope.sender, digest)) != (envelope.sender, digest):
        raise ReplayError(
            f"Another plan with the name '{envelope.study}' came before.",
            why="a study keeps its plan and its operator; both are compared by digest",
            do="ask the operator to give the new plan a new name",
        )


def expired(study: str, expires: datetime) -> ExpiredError:
    """Returns the error for a study whose time is over."""
    return ExpiredError(
        f"The plan '{study}' expired on {expires.astimezone(UTC):%Y-%m-%d at %H:%M} UTC.",
        do="ask the operator for a plan with a later deadline",
    )


def _declared(message: PlanMessage) -> Schedule:
    """Returns the plan's schedule, worked out here, when the signed one is exactly the same; else refuses."""
    try:
        own = schedule(message.plan)
        same = canonical_bytes(own.declaration()) == canonical_bytes(
            [dict(each) for each in message.schedule]
        )
    except (ValueError, ArithmeticError) as error:
        raise PlanError(f"The releases of the plan '{message.plan.study}' cannot be worked out.") from error
    if not same:
        raise PlanError(
            f"The plan '{message.plan.study}' declares other releases than the ones it needs.",
            why="what is signed and shown must be exactly what this node works out from the plan",
            do="compare the versions of Cohortium on both sides",
        )
    return own


def _check_possible(plan: Plan, standing: Standing) -> None:
    if not plan.privacy.noise and not standing.simulation:
        raise PolicyRefusal(
            f"The plan '{plan.study}' asks for answers without noise.",
            why="a node with real data never gives them",
        )


def _check_group(plan: Plan, declared: Schedule, node: str, policy: Policy) -> None:
    """Refuses a secure sum that breaks its own rules, or whose nodes are not all known to this one."""
    check_shares(plan, declared)
    if unpinned := policy.unpinned(plan.nodes.roster, node):
        raise PolicyRefusal(
            f"The plan '{plan.study}' adds up nodes whose keys are not pinned here.",
            why=f"not pinned: {', '.join(unpinned)}; whoever is not could be the operator under another name",
            do="compare the fingerprints with their custodians, add the keys under [peers] in the policy, start the "
            "daemon again, and ask the operator for the plan under a new name",
        )


def _permitted(plan: Plan, declared: Schedule, operator: str, now: datetime, policy: Policy) -> Verdict:
    verdict = evaluate(plan, declared, operator, policy, now.date())
    if verdict.refusals:
        raise PolicyRefusal(
            f"This node's policy refuses the plan '{plan.study}'.", why="; ".join(verdict.refusals)
        )
    return verdict


def _check_affordable(
    plan: Plan, declared: Schedule, operator: str, now: datetime, policy: Policy, standing: Standing
) -> None:
    """Refuses what a cap does not cover; a study that is open already counts where it was opened."""
    accounts, caps = standing.accounts, policy.caps
    opened = accounts.studies.get(plan.study)
    place = opened.place if opened else caps.place(operator, now.astimezone(UTC).year)
    limit = accounts.exceeded(plan.study, whole(prices(declared)), place, caps)
    if limit is not None and limit.cap is not None:
        left = policy.epsilon(max(limit.cap - float(accounts.under(limit, without=plan.study)), 0.0))
        cost = policy.epsilon(declared.mu2)
        raise BudgetRefusal(
            f"The privacy budget that is left does not cover the plan '{plan.study}'.",
            why=f"it costs epsilon {cost:.3g}; {left:.3g} is left for {limit_words(limit)}",
            do="see `cohortium-node budget`",
        )
