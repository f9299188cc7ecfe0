"""What a study promises a person, in the three figures that people see, because adversaries differ.

*Presence*: is the person in the data at all? One block of people changes: mu, the study's charge. *Membership*: was a
registered person helped or not? The person leaves one block and enters the other: sqrt(mu_treated^2 + mu_comparator^2),
and 2 mu for what is summed over matched people.
*Known member*: what were the outcomes of a person who is known to have been helped? A row is taken out and another put
in: 2 mu.

A person who is known to several nodes is in the answers of all of them. Separate answers (local) compose, so that m
nodes are worth sqrt(m) mu of one; in one sum (secure) the contributions add up, m mu. The noise of a plan is made for
that: its epsilon is what a person pays over all nodes together, and every node charges it whole, because no node knows
what the others hold.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from cohortium_protocols.plan import Plan
from cohortium_protocols.privacy.accounting import epsilon_from_mu, epsilon_from_rho
from cohortium_protocols.statistics import Schedule


@dataclass(frozen=True)
class Guarantee:
    """The guarantee that a study would spend, at its delta.

    Attributes:
        mu: the study's charge, in Gaussian differential privacy.
        delta: chance that the guarantee fails, at most.
        presence: epsilon for whether a person is in the data at all.
        membership: epsilon for whether a registered person was helped; both blocks of people change.
        known_member: epsilon for the outcomes of a person who is known to have been helped.
        presence_zcdp: the figure of zCDP for presence: proven, and never smaller.
    """

    mu: float
    delta: float
    presence: float
    membership: float
    known_member: float
    presence_zcdp: float


def guarantee(plan: Plan, schedule: Schedule) -> Guarantee | None:
    """Returns what a plan with this schedule promises; None when it runs without noise: nothing is protected."""
    if not plan.privacy.noise:
        return None
    mu, delta = math.sqrt(schedule.mu2), plan.privacy.delta
    both = math.sqrt(schedule.mu2_of_membership)
    presence, membership, known_member = (epsilon_from_mu(figure, delta) for figure in (mu, both, 2 * mu))
    return Guarantee(mu, delta, presence, membership, known_member, epsilon_from_rho(schedule.mu2 / 2, delta))


def times_one_node(plan: Plan) -> float:
    """Returns how far one person can move the answers of all nodes together, as a multiple of one node's answer."""
    nodes = min(plan.privacy.max_nodes_per_person, len(plan.nodes.roster))
    return float(nodes) if plan.privacy.aggregation == "secure" else math.sqrt(nodes)
