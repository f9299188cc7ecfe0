"""What the custodian sees: plans, budget and ledger as plain values, and as words."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from fractions import Fraction
from functools import partial
from typing import Any

from cohortium_node.accounts import BLOCKS, Accounts, Limit, limit_words, prices, whole
from cohortium_node.approvals import Study
from cohortium_node.intake import read_body
from cohortium_node.ledger import Entry
from cohortium_node.policy import Policy, evaluate
from cohortium_protocols.features import features
from cohortium_protocols.guarantee import guarantee
from cohortium_protocols.late import differences
from cohortium_protocols.messages import PlanMessage
from cohortium_protocols.plan import Plan
from cohortium_protocols.privacy.distributed import epsilon_if_all_others_collude, node_sigma
from cohortium_protocols.schedules import schedule
from cohortium_protocols.secure_rounds import rules_of
from cohortium_protocols.signing import Envelope
from cohortium_protocols.statistics import Schedule, VectorSpec


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


def completed(study: Study) -> str:
    """Returns the name of the earlier study that a plan completes; empty when it stands by itself."""
    completes = _message(study).plan.completes
    return completes.study if completes else ""


def shown(study: Study, node: str, policy: Policy, earlier: Study | None = None) -> dict[str, Any]:
    """Returns all that a custodian needs to decide on a plan: in exact numbers, what would leave.

    Args:
        study: the plan.
        node: this node's name.
        policy: what the custodian allows.
        earlier: the plan here of the study that this one completes, if there is one.
    """
    message = _message(study)
    plan, declared = message.plan, schedule(message.plan)
    key = policy.operators.get(study.operator)
    share = _share(plan)
    return listed(study) | {
        "question": plan.question,
        "operator_fingerprint": key.fingerprint if key else "not pinned any more",
        "plan_digest": study.plan_digest,
        "max_nodes_per_person": plan.privacy.max_nodes_per_person,
        "aggregation": plan.privacy.aggregation,
        "secure": _secure(plan, declared) if plan.privacy.aggregation == "secure" else None,
        "roster": list(plan.nodes.roster),
        "completes": _completes(plan, earlier),
        "not_pinned": policy.unpinned(plan.nodes.roster, node),
        "outcomes": [
            {"name": each.name, "title": each.title, "counted_up_to": each.clip} for each in plan.outcomes
        ],
        "covariates": [each.name for each in plan.covariates],
        "derived": [feature.name for feature in features(plan) if feature.derived],
        "price": {
            "mu2": declared.mu2,
            **_figures(plan, declared),
            "delta": plan.privacy.delta,
            "epsilon_at_policy_delta": policy.epsilon(declared.mu2),
        },
        "numbers": sum(vector.dimension for _, vector in declared.vectors()),
        "rounds": [
            {"round": spec.name, "vectors": [_vector(vector, share) for vector in spec.vectors]}
            for spec in declared.rounds
        ],
    }


def budget(accounts: Accounts, policy: Policy, year: int) -> dict[str, Any]:
    """Returns what was spent, what is set aside for open studies, and what is left, under every cap."""
    limits = _limits(accounts, policy, year)
    everything = _used(accounts, policy, limits[0])
    return {
        "delta": policy.delta,
        "per_study_epsilon": policy.epsilon(policy.caps.study),
        "total": everything["cap"],
        "spent": everything["spent"],
        "spent_or_set_aside": everything["spent_or_set_aside"],
        "left": everything["left"],
        "caps": [_used(accounts, policy, limit) for limit in limits],
        "studies": [
            {
                "study": name,
                "state": "closed" if account.closed else "open",
                "operator": account.place.operator,
                "year": account.place.year,
                "dataset": account.place.dataset,
                "universe": account.place.universe,
                "rounds": list(account.rounds),
                "attempts": sum(len(attempts) for attempts in account.rounds.values()),
                "spent": _amount(policy, float(account.charged)),
                "spent_or_set_aside": _amount(policy, float(account.committed)),
            }
            for name, account in accounts.studies.items()
        ],
    }


def what_if(accounts: Accounts, policy: Policy, plan: Plan, operator: str, node: str, today: dt.date) -> dict[str, Any]:
    """Returns what would be left under every cap after a plan, and every reason to refuse it; changes nothing."""
    declared = schedule(plan)
    price, known = whole(prices(declared)), accounts.studies.get(plan.study)
    place = known.place if known else policy.caps.place(operator, today.year)
    refusals = list(evaluate(plan, declared, operator, policy, today).refusals)
    unpinned = policy.unpinned(plan.nodes.roster, node)
    if unpinned and plan.privacy.aggregation == "secure":
        refusals.append(f"it is a secure sum with nodes that are not pinned: {', '.join(unpinned)}")
    for limit in policy.caps.limits(place):
        if not limit.covers(accounts.under(limit, without=plan.study) + price):
            refusals.append(f"it goes over the cap on {limit_words(limit)}")
    return {
        "study": plan.study,
        "operator": operator,
        "delta": policy.delta,
        "price": _amount(policy, float(price)),
        "opened_before": known is not None,
        "refusals": refusals,
        "caps": [
            _used(accounts, policy, limit)
            | {"left_after": _left(policy, limit, accounts.under(limit, without=plan.study) + price)}
            for limit in policy.caps.limits(place)
        ],
    }


def _limits(accounts: Accounts, policy: Policy, year: int) -> list[Limit]:
    """Returns every cap of today, and what older studies counted under, each once."""
    caps = policy.caps
    places = [caps.place(operator, year) for operator in policy.operators]
    places += [study.place for study in accounts.studies.values()]
    found = dict.fromkeys(limit for place in places for limit in caps.limits(place))
    order = ("total", "operator", "year", "dataset", "universe")
    return sorted(found, key=lambda limit: (order.index(limit.kind), limit.name))


def _used(accounts: Accounts, policy: Policy, limit: Limit) -> dict[str, Any]:
    return {
        "kind": limit.kind,
        "name": limit.name,
        "what": limit_words(limit),
        "cap": None if limit.cap is None else _amount(policy, limit.cap),
        "spent": _amount(policy, float(accounts.charged_under(limit))),
        "spent_or_set_aside": _amount(policy, float(accounts.under(limit))),
        "left": _left(policy, limit, accounts.under(limit)),
    }


def _left(policy: Policy, limit: Limit, used: Fraction) -> dict[str, float] | None:
    return None if limit.cap is None else _amount(policy, float(max(Fraction(limit.cap) - used, Fraction(0))))


EXPORTS = ("csv", "json")
_COLUMNS = (
    "sequence", "at", "kind", "study", "operator", "dataset", "universe", "round", "attempt", "treated mu2",
    "comparator mu2", "declaration", "request", "answer", "survivors", "plan_digest", "frozen", "approval",
    "previous", "hash",
)  # fmt: skip
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
    if view["completes"]:
        yield from _completes_text(view["completes"])
    if view["not_pinned"]:
        yield f"             not pinned in your policy: {', '.join(view['not_pinned'])}"
        if view["secure"]:
            yield "             a daemon with this policy refuses it: a secure sum needs all of its nodes pinned"
    yield f"  ends       {view['expires']}"
    yield f"  plan       {view['plan_digest']}"
    epsilon, delta, mu2 = price["epsilon"], price["delta"], price["mu2"]
    yield f"  price      epsilon {epsilon:.3g} at delta {delta:g} (mu squared {mu2:.6g})"
    if price["membership"] is not None:
        yield f"             {price['membership']:.3g} for whether somebody was helped (membership)"
        yield f"             {price['known_member']:.3g} for the outcomes of somebody known to have been helped"
        yield f"             {price['presence_zcdp']:.3g} for the first by zCDP, which is proven and looser"
    if view["secure"]:
        collusion = view["secure"]["epsilon_if_all_others_collude"]
        yield f"             {collusion:.3g} if all other nodes work with the operator: this node's own noise alone"
    if view["max_nodes_per_person"] > 1:
        yield f"             over all nodes, for a person whom up to {view['max_nodes_per_person']} of them know"
    yield f"  outcomes   {', '.join(_outcome(each) for each in view['outcomes'])}"
    yield f"  alike in   {', '.join([*view['covariates'], *view['derived']])}"
    yield ""
    numbers, rounds = view["numbers"], len(view["rounds"])
    yield f"What would leave this node: {numbers} sums over people in {rounds} rounds; no rows."
    yield "Every number gets random noise (discrete Gaussian). Its size is given as a standard deviation,"
    yield "and as a multiple of the most that any one person can change."
    if view["secure"]:
        yield from _secure_text(view["secure"], len(view["roster"]))
    width = 2 + max(len(vector["name"]) for spec in view["rounds"] for vector in spec["vectors"])
    secure = bool(view["secure"])
    for spec in view["rounds"]:
        yield ""
        yield f"  {spec['round']:<{width + 2}}{_HEAD}{'   own noise' if secure else ''}"
        yield from (f"    {_vector_line(vector, width, secure=secure)}" for vector in spec["vectors"])


def _completes_text(completes: dict[str, Any]) -> Iterator[str]:
    yield f"  completes  {completes['study']} (plan {completes['plan_digest']})"
    yield "             asked of those who were too late for it: a price of its own, and an estimate of its own"
    if completes["here"] is None:
        yield "             that study's plan never came here, so this node cannot compare the two"
    elif not completes["is_the_plan_here"]:
        yield f"             not the plan that came here under that name ({completes['here']}): ask the operator why"
    elif fields := ", ".join(completes["asks_otherwise"]):
        yield f"             it differs from that plan in {fields}: ask the operator why"
    else:
        yield f"             it asks the same as that plan, which is here too ({completes['here']})"


def _secure_text(secure: dict[str, Any], nodes: int) -> Iterator[str]:
    yield f"The operator sees only the sum of at least {secure['floor']} of {nodes} nodes, under encryption until then."
    yield "The noise shown is that of the sum, at least; the last column is what this node itself adds."
    yield f"It holds against the operator together with {secure['colluding']} of the other nodes."


def budget_text(view: dict[str, Any]) -> Iterator[str]:
    """Yields the lines that ``budget`` prints."""
    yield f"Privacy budget of this node's data, as epsilon at delta {view['delta']:g}."
    yield "Mu squared adds up over studies; epsilon does not."
    for name in ("total", "spent", "spent_or_set_aside", "left"):
        amount = view[name]
        words = name.replace("_", " ")
        yield f"  {words:<20}epsilon {amount['epsilon']:>7.3f}   mu squared {amount['mu2']:.6f}"
    yield f"  {'one study at most':<20}epsilon {view['per_study_epsilon']:>7.3f}"
    yield ""
    yield f"{'Cap on':<44}{'cap':>9}{'set aside':>11}{'left':>9}"
    for each in view["caps"]:
        yield _cap_line(each, each["spent_or_set_aside"]["epsilon"], each["left"])
    for study in view["studies"]:
        spent, aside = study["spent"]["epsilon"], study["spent_or_set_aside"]["epsilon"]
        further = study["attempts"] - len(study["rounds"])
        rounds = f"{len(study['rounds'])} rounds" + (f" and {further} further attempts" if further else "")
        yield f"  {study['study']} ({study['state']}): epsilon {spent:.3f} spent of {aside:.3f}, {rounds}"


def what_if_text(view: dict[str, Any]) -> Iterator[str]:
    """Yields the lines that ``budget --if`` prints."""
    price = view["price"]
    yield f"If '{view['study']}' of the operator '{view['operator']}' were approved: nothing was changed."
    yield f"It costs epsilon {price['epsilon']:.3f} at delta {view['delta']:g} (mu squared {price['mu2']:.6f})."
    if view["opened_before"]:
        yield "A study of that name is in the ledger; what it counts for is replaced by this price."
    yield f"{'Cap on':<44}{'cap':>9}{'left now':>11}{'after':>9}"
    for each in view["caps"]:
        yield _cap_line(each, None if each["left"] is None else each["left"]["epsilon"], each["left_after"])
    yield from (f"It would be refused: {reason}." for reason in view["refusals"])
    if not view["refusals"]:
        yield "The budget covers it."


def _cap_line(each: dict[str, Any], middle: float | None, last: dict[str, float] | None) -> str:
    cap = None if each["cap"] is None else each["cap"]["epsilon"]
    figures = (cap, middle, None if last is None else last["epsilon"])
    words = ["none" if figure is None else f"{figure:.3f}" for figure in figures]
    return f"  {each['what']:<42}{words[0]:>9}{words[1]:>11}{words[2]:>9}"


def exported(entries: Iterable[Entry], kind: str) -> str:
    """Returns the ledger's entries as CSV (one line an entry, mu squared in columns) or as JSON (everything)."""
    bodies = [{**entry.body, "hash": entry.hash} for entry in entries]
    if kind == "json":
        return json.dumps(bodies, ensure_ascii=False, indent=2) + "\n"
    table = io.StringIO()
    writer = csv.DictWriter(table, _COLUMNS, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(body | _priced(body.get("price", {})) for body in bodies)
    return table.getvalue()


def _priced(price: Mapping[str, Any]) -> dict[str, Any]:
    costs = {f"{block} mu2": mu2 for block, mu2 in price.get("cost", {}).items()}
    return costs | {"declaration": price.get("declaration", "")}


def _message(study: Study) -> PlanMessage:
    return read_body(Envelope.from_bytes(study.envelope), PlanMessage)


def _completes(plan: Plan, earlier: Study | None) -> dict[str, Any] | None:
    """Returns which study a late plan completes, and how it compares with that study's plan here."""
    if plan.completes is None:
        return None
    same = None if earlier is None else earlier.plan_digest == plan.completes.plan
    return {
        "study": plan.completes.study,
        "plan_digest": plan.completes.plan,
        "here": earlier.state if earlier else None,
        "is_the_plan_here": same,
        "asks_otherwise": list(differences(_message(earlier).plan, plan)) if earlier and same else None,
    }


def _share(plan: Plan) -> Callable[[float], float]:
    """Returns how much of the declared noise this node adds."""
    if plan.privacy.aggregation != "secure":
        return lambda sigma: sigma
    return partial(node_sigma, rules=rules_of(plan))


def _secure(plan: Plan, declared: Schedule) -> dict[str, Any]:
    rules, delta = rules_of(plan), plan.privacy.delta
    blocks = [
        [(vector.d2, vector.sigma) for _, vector in declared.vectors() if vector.block == block and vector.sigma]
        for block in BLOCKS
    ]
    return {
        "floor": rules.floor,
        "lost": rules.lost,
        "colluding": rules.colluding,
        "epsilon_if_all_others_collude": max(epsilon_if_all_others_collude(each, rules, delta) for each in blocks),
    }


def _vector(spec: VectorSpec, share: Callable[[float], float]) -> dict[str, Any]:
    unit = spec.grid if spec.rule == "sum" else spec.grid**2
    return spec.declaration() | {
        "noise_sd": spec.sigma / unit,
        "own_noise_sd": share(spec.sigma) / unit,
        "noise_per_person": spec.sigma / spec.reach,
    }


_ABOUT = {"treated": "helped", "comparator": "comparators", "matched": "both"}


def _vector_line(vector: dict[str, Any], width: int, *, secure: bool) -> str:
    about = _ABOUT[vector["block"]]
    sizes = f"{vector['dimension']:>8}{vector['noise_sd']:>12.4g}{vector['noise_per_person']:>12.1f}"
    own = f"{vector['own_noise_sd']:>12.4g}" if secure else ""
    return f"{vector['name']:<{width}}{about:<12}{sizes}{vector['mu2']:>12.3g}{own}"


def _outcome(outcome: dict[str, Any]) -> str:
    return f"{outcome['name']} (up to {outcome['counted_up_to']:g})"


def _amount(policy: Policy, mu2: float) -> dict[str, float]:
    return {"mu2": mu2, "epsilon": policy.epsilon(mu2)}


def _figures(plan: Plan, declared: Schedule) -> dict[str, float | None]:
    promised = guarantee(plan, declared)
    if promised is None:
        return {"epsilon": 0.0, "membership": None, "known_member": None, "presence_zcdp": None}
    return {
        "epsilon": promised.presence,
        "membership": promised.membership,
        "known_member": promised.known_member,
        "presence_zcdp": promised.presence_zcdp,
    }
