"""The custodian's policy: whose plans are read, what they may spend, and which need no further question.

A policy is a file that only the custodian writes. ``evaluate`` is pure: a plan, its schedule and the day in,
a verdict out. Budgets are caps on epsilon at the policy's own delta; they are compared in mu squared, so that
a plan with a larger delta is priced for what it really asks.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

from pydantic import Field

from cohortium_node.accounts import Caps
from cohortium_node.config import Settings, read_toml
from cohortium_protocols.errors import InputError, SignatureError
from cohortium_protocols.estimates import estimates
from cohortium_protocols.plan import Plan
from cohortium_protocols.plan_types import Slug
from cohortium_protocols.privacy.accounting import epsilon_from_mu, mu_from_epsilon
from cohortium_protocols.signing import VerifyKey
from cohortium_protocols.statistics import Schedule

CUSTOMARY_MINIMUM = 60
"""Rows in a cohort file: the custom of the sector."""


class CapSettings(Settings):
    """The most that may be spent on this node's data: ever, in one year, and by the studies of an operator."""

    per_study_epsilon: float = Field(gt=0, le=20)
    total_epsilon: float = Field(gt=0, le=100)
    per_year_epsilon: float | None = Field(default=None, gt=0, le=100)
    operators: Mapping[Slug, Annotated[float, Field(gt=0, le=100)]] = Field(default_factory=dict)
    delta: float = Field(default=1e-6, gt=0, le=1e-4)


class NamedSettings(Settings):
    """A dataset, or the people whom several datasets are about: studies that name the same one add up."""

    name: Slug
    epsilon: float | None = Field(default=None, gt=0, le=100)


class StandingApproval(Settings):
    """A rule by which a plan is approved without a further question."""

    operator: Slug
    study: str = Field(description="name of the study, * for anything", examples=["befriending-*"])
    epsilon: float = Field(gt=0)
    methods: tuple[str, ...] = ("doubly_robust",)
    outcomes: tuple[str, ...] = Field(min_length=1)
    until: dt.date


class PolicySettings(Settings):
    """The file as written."""

    minimum_rows: int = Field(default=CUSTOMARY_MINIMUM, ge=1)
    caps: CapSettings
    dataset: NamedSettings = NamedSettings(name="records")
    universe: NamedSettings = NamedSettings(name="people")
    operators: Mapping[Slug, str]
    peers: Mapping[Slug, str] = Field(default_factory=dict)
    standing_approvals: tuple[StandingApproval, ...] = ()


@dataclass(frozen=True)
class Policy:
    """What the custodian allows.

    Attributes:
        operators: name -> pinned key; nobody else's messages are read.
        peers: name -> pinned key of other nodes.
        caps: most mu squared for one study, for all studies together, and for those that have something in common.
        delta: at which epsilons are stated.
        minimum_rows: fewest rows of a cohort file, as submitted; never compared with linked people.
        standing: rules that approve without a further question.
    """

    operators: Mapping[str, VerifyKey]
    caps: Caps
    delta: float = 1e-6
    peers: Mapping[str, VerifyKey] = field(default_factory=dict)
    minimum_rows: int = CUSTOMARY_MINIMUM
    standing: tuple[StandingApproval, ...] = ()

    def epsilon(self, mu2: float) -> float:
        """Returns mu squared as the epsilon it means at the policy's delta."""
        return epsilon_from_mu(math.sqrt(mu2), self.delta) if mu2 > 0 else 0.0

    def unpinned(self, roster: Iterable[str], node: str) -> list[str]:
        """Returns who on a roster is neither this node nor a peer whose key the custodian pinned."""
        return [name for name in roster if name != node and name not in self.peers]


@dataclass(frozen=True)
class Verdict:
    """What the policy says about a plan.

    Attributes:
        refusals: every reason to refuse; when there are none, the plan may be asked about.
        standing: number of the standing approval that covers it, from 1; 0 when a person must decide.
        questions: why no standing approval covers it.
    """

    refusals: tuple[str, ...]
    standing: int
    questions: tuple[str, ...]


def read_policy(path: Path) -> Policy:
    """Returns the policy in a TOML file.

    Raises:
        InputError: the file cannot be read or does not fit; every fault is named.
    """
    settings = read_toml(path, PolicySettings)
    if not settings.operators:
        raise InputError(
            f"The policy {path} pins no operator.", do='add one under [operators]: name = "ed25519:..."'
        )
    return Policy(
        _keys(path, "operators", settings.operators),
        _caps(path, settings),
        settings.caps.delta,
        _keys(path, "peers", settings.peers),
        settings.minimum_rows,
        settings.standing_approvals,
    )


def _caps(path: Path, settings: PolicySettings) -> Caps:
    caps, delta = settings.caps, settings.caps.delta
    if strangers := sorted(caps.operators.keys() - settings.operators.keys()):
        raise InputError(
            f"The policy {path} has a cap for {', '.join(strangers)}, whom it does not pin.",
            do="name under [caps.operators] only who stands under [operators]",
        )
    year, dataset, universe = (
        _mu2(epsilon, delta) if epsilon else None
        for epsilon in (caps.per_year_epsilon, settings.dataset.epsilon, settings.universe.epsilon)
    )
    return Caps(
        _mu2(caps.per_study_epsilon, delta),
        _mu2(caps.total_epsilon, delta),
        year,
        {name: _mu2(epsilon, delta) for name, epsilon in caps.operators.items()},
        settings.dataset.name,
        dataset,
        settings.universe.name,
        universe,
    )


def evaluate(plan: Plan, schedule: Schedule, operator: str, policy: Policy, today: dt.date) -> Verdict:
    """Returns what the policy says about an operator's plan, with every reason."""
    refusals = tuple(_refusals(plan, schedule, policy))
    questions = []
    for number, rule in enumerate(policy.standing, start=1):
        reasons = list(_outside(rule, plan, schedule, operator, policy, today))
        if not reasons and not refusals:
            return Verdict((), number, ())
        questions.append(f"standing approval {number} does not cover it: {', '.join(reasons)}")
    return Verdict(refusals, 0, tuple(questions))


def _refusals(plan: Plan, schedule: Schedule, policy: Policy) -> Iterator[str]:
    if schedule.mu2 > policy.caps.study:
        asked, cap = policy.epsilon(schedule.mu2), policy.epsilon(policy.caps.study)
        yield f"it asks for epsilon {asked:.3g}; this node allows {cap:.3g} (delta {policy.delta:g})"
    if plan.submitted is not None and plan.submitted < policy.minimum_rows:
        yield f"{plan.submitted} rows were submitted; this node takes part from {policy.minimum_rows} rows"


def _outside(
    rule: StandingApproval, plan: Plan, schedule: Schedule, operator: str, policy: Policy, today: dt.date
) -> Iterator[str]:
    if operator != rule.operator:
        yield "it is for another operator"
    if not fnmatchcase(plan.study, rule.study):
        yield "it is for other studies"
    if schedule.mu2 > _mu2(rule.epsilon, policy.delta):
        yield f"epsilon {policy.epsilon(schedule.mu2):.3g} is more than its {rule.epsilon:g}"
    methods = dict.fromkeys(each.approach.method for each in estimates(plan))
    if beyond := ", ".join(method for method in methods if method not in rule.methods):
        yield f"the method {beyond} is not in it"
    if others := [outcome.name for outcome in plan.outcomes if outcome.name not in rule.outcomes]:
        yield f"it does not name {', '.join(others)}"
    if today > rule.until:
        yield f"it ended on {rule.until}"


def _mu2(epsilon: float, delta: float) -> float:
    return mu_from_epsilon(epsilon, delta) ** 2


def _keys(path: Path, table: str, texts: Mapping[str, str]) -> dict[str, VerifyKey]:
    return {name: _key(path, f"{table}.{name}", text) for name, text in texts.items()}


def _key(path: Path, place: str, text: str) -> VerifyKey:
    try:
        return VerifyKey.from_text(text)
    except SignatureError as error:
        raise InputError(
            f"The policy {path}: `{place}` is not a public key.", why=error.why, do=error.do
        ) from error
