"""What the custodian sees: plans, budget and ledger as plain values, and as words."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from cohortium_node.accounts import Accounts
from cohortium_node.approvals import Study
from cohortium_node.intake import read_body
from cohortium_node.policy import Policy
from cohortium_protocols.messages import PlanMessage
from cohortium_protocols.privacy.accounting import epsilon_from_mu
from cohortium_protocols.schedules import schedule
from cohortium_protocols.signing import Envelope
from cohortium_protocols.statistics import VectorSpec


def listed(study: Study) -> dict[str, Any]:
    """Returns one plan as it stands in the list of plans."""
    message = _message(study)
    return {
        "study": study.study,
        "state": study.state,
        "operator": study.operator,
        "title": message.plan.title,
        "epsilon": message.plan.privacy.epsilon,
        "delta": message.plan.privacy.delta,
        "arrived": study.arrived,
        "expires": message.expires,
        "wish": study.wish,
        "note": study.note,
    }


def shown(study: Study, node: str, policy: Policy) -> dict[str, Any]:
    """Returns all that a custodian needs to decide on a plan: in exact numbers, what would leave."""
    message = _message(study)
    plan, declared = message.plan, schedule(message.plan)
    key = policy.operators.get(study.operator)
    return listed(study) | {
        "question": plan.question,
        "operator_fingerprint": key.fingerprint if key else "not pinned any more",
        "plan_digest": study.plan_digest,
        "roster": list(plan.nodes.roster),
        "not_pinned": [name for name in plan.nodes.roster if name != node and name not in policy.peers],
        "outcomes": [
            {"name": each.name, "title": each.title, "counted_up_to": each.clip} for each in plan.outcomes
        ],
        "covariates": [each.name for each in plan.covariates],
        "price": {
            "mu2": declared.mu2,
            "epsilon": _epsilon(declared.mu2, plan.privacy.delta),
            "delta": plan.privacy.delta,
            "epsilon_at_policy_delta": policy.epsilon(declared.mu2),
        },
        "numbers": sum(vector.dimension for _, vector in declared.vectors()),
        "rounds": [
            {"round": spec.name, "vectors": [_vector(vector) for vector in spec.vectors]}
            for spec in declared.rounds
        ],
    }


def budget(accounts: Accounts, policy: Policy) -> dict[str, Any]:
    """Returns what was spent, what is set aside for open studies, and what is left."""
    committed = float(accounts.committed)
    return {
        "delta": policy.delta,
        "per_study_epsilon": policy.epsilon(policy.caps.study),
        "total": _amount(policy, policy.caps.total),
        "spent": _amount(policy, float(accounts.charged)),
        "spent_or_set_aside": _amount(policy, committed),
        "left": _amount(policy, max(policy.caps.total - committed, 0.0)),
        "studies": [
            {
                "study": name,
                "state": "closed" if account.closed else "open",
                "rounds": list(account.rounds),
                "spent": _amount(policy, float(account.charged)),
                "spent_or_set_aside": _amount(policy, float(account.committed)),
            }
            for name, account in accounts.studies.items()
        ],
    }


_HEAD = f"{'about':<12}{'numbers':>8}{'noise':>12}{'x a person':>12}{'mu squared':>12}"


def plan_text(view: dict[str, Any]) -> Iterator[str]:
    """Yields the lines that ``show`` prints."""
    price = view["price"]
    yield f"{view['study']}: {view['title']}"
    yield f"  {view['question']}"
    yield ""
    yield f"  state      {view['state']}"
    yield from (f"             {line.strip()}" for line in view["note"].splitlines())
    yield f"  from       {view['operator']} (key {view['operator_fingerprint']})"
    yield f"  nodes      {', '.join(view['roster'])}"
    if view["not_pinned"]:
        yield f"             not pinned in your policy: {', '.join(view['not_pinned'])}"
    yield f"  ends       {view['expires']}"
    yield f"  plan       {view['plan_digest']}"
    epsilon, delta, mu2 = price["epsilon"], price["delta"], price["mu2"]
    yield f"  price      epsilon {epsilon:.3g} at delta {delta:g} (mu squared {mu2:.6g})"
    yield f"  outcomes   {', '.join(_outcome(each) for each in view['outcomes'])}"
    yield f"  alike in   {', '.join(view['covariates'])}"
    yield ""
    numbers, rounds = view["numbers"], len(view["rounds"])
    yield f"What would leave this node: {numbers} sums over people in {rounds} rounds; no rows."
    yield "Every number gets random noise (discrete Gaussian). Its size is given as a standard deviation,"
    yield "and as a multiple of the most that any one person can change."
    width = 2 + max(len(vector["name"]) for spec in view["rounds"] for vector in spec["vectors"])
    for spec in view["rounds"]:
        yield ""
        yield f"  {spec['round']:<{width + 2}}{_HEAD}"
        yield from (f"    {_vector_line(vector, width)}" for vector in spec["vectors"])


def budget_text(view: dict[str, Any]) -> Iterator[str]:
    """Yields the lines that ``budget`` prints."""
    yield f"Privacy budget of this node's data, as epsilon at delta {view['delta']:g}."
    yield "Mu squared adds up over studies; epsilon does not."
    for name in ("total", "spent", "spent_or_set_aside", "left"):
        amount = view[name]
        words = name.replace("_", " ")
        yield f"  {words:<20}epsilon {amount['epsilon']:>7.3f}   mu squared {amount['mu2']:.6f}"
    yield f"  {'one study at most':<20}epsilon {view['per_study_epsilon']:>7.3f}"
    for study in view["studies"]:
        spent, aside = study["spent"]["epsilon"], study["spent_or_set_aside"]["epsilon"]
        rounds = f"{len(study['rounds'])} rounds"
        yield f"  {study['study']} ({study['state']}): epsilon {spent:.3f} spent of {aside:.3f}, {rounds}"


def _message(study: Study) -> PlanMessage:
    return read_body(Envelope.from_bytes(study.envelope), PlanMessage)


def _vector(spec: VectorSpec) -> dict[str, Any]:
    unit = spec.grid if spec.rule == "sum" else spec.grid**2
    return spec.declaration() | {
        "noise_sd": spec.sigma / unit,
        "noise_per_person": spec.sigma / spec.d2,
        "why_bounded": spec.derivation,
    }


def _vector_line(vector: dict[str, Any], width: int) -> str:
    about = "helped" if vector["block"] == "treated" else "comparators"
    sizes = f"{vector['dimension']:>8}{vector['noise_sd']:>12.4g}{vector['noise_per_person']:>12.1f}"
    return f"{vector['name']:<{width}}{about:<12}{sizes}{vector['mu2']:>12.3g}"


def _outcome(outcome: dict[str, Any]) -> str:
    return f"{outcome['name']} (up to {outcome['counted_up_to']:g})"


def _amount(policy: Policy, mu2: float) -> dict[str, float]:
    return {"mu2": mu2, "epsilon": policy.epsilon(mu2)}


def _epsilon(mu2: float, delta: float) -> float:
    return epsilon_from_mu(math.sqrt(mu2), delta) if mu2 > 0 else 0.0
