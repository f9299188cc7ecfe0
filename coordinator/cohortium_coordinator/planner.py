"""What a plan costs the people in the data, before it is sent to anybody."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cohortium_protocols.plan import Plan
from cohortium_protocols.privacy.accounting import epsilon_from_mu
from cohortium_protocols.statistics import Schedule


@dataclass(frozen=True)
class Price:
    """The guarantee that a plan would spend, at its delta, against three different adversaries.

    Attributes:
        mu: the study's charge, in Gaussian differential privacy.
        delta: chance that the guarantee fails, at most.
        presence: epsilon for whether a person is in the data at all.
        membership: epsilon for whether a registered person was helped; both blocks of people change.
        known_member: epsilon for the outcomes of a person who is known to have been helped.
    """

    mu: float
    delta: float
    presence: float
    membership: float
    known_member: float


def price(plan: Plan, schedule: Schedule) -> Price | None:
    """Returns what a plan costs; None when it runs without noise, so that nothing is protected."""
    if not plan.privacy.noise:
        return None
    mu, delta = math.sqrt(schedule.mu2), plan.privacy.delta
    both = math.sqrt(schedule.cost("treated") + schedule.cost("comparator"))
    return Price(mu, delta, *(epsilon_from_mu(figure, delta) for figure in (mu, both, 2 * mu)))
