"""Every estimate that a plan asks for: the headline, further analyses beside it, and subgroups.

All of them rest on one outcome model and one set of weights, learnt once; each has vectors of its own in the last
round, named ``family@key.outcome``, and its own share of the budget.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from cohortium_protocols.plan import Outcome, Plan
from cohortium_protocols.plan_analysis import Approach

METHOD_TITLES = {
    "doubly_robust": "Weighted comparators and an outcome model",
    "strata": "Comparators of the same expected outcome",
    "matched_pairs": "Matched pairs",
}


@dataclass(frozen=True)
class Estimate:
    """One estimate of every outcome.

    Attributes:
        key: of its vectors: empty for the headline, ``s1``, ``s2`` ... for further analyses, ``g1`` ... for subgroups.
        approach: how people are compared.
        share: of the study's budget.
        by: the category whose levels are estimated apart; None where there is one group.
    """

    key: str
    approach: Approach
    share: float
    by: str | None = None

    @property
    def title(self) -> str:
        """What people read."""
        if self.by is not None:
            return f"By {self.by}"
        where = " at the same data holder" if self.approach.comparison == "within_node" else ""
        exact = f", alike in {' and '.join(self.approach.exact)}" if self.approach.exact else ""
        return METHOD_TITLES[self.approach.method] + where + exact

    def name(self, family: str, outcome: str = "") -> str:
        """Returns the name of one of its vectors or parameters."""
        keyed = f"{family}@{self.key}" if self.key else family
        return f"{keyed}.{outcome}" if outcome else keyed


def estimates(plan: Plan) -> tuple[Estimate, ...]:
    """Returns the plan's estimates, the headline first."""
    analysis = plan.analysis
    further = [Estimate(f"s{place}", each, each.share) for place, each in enumerate(analysis.sensitivity, 1)]
    apart = [Estimate(f"g{place}", Approach(), each.share, each.by) for place, each in enumerate(analysis.subgroups, 1)]
    rest = 1 - math.fsum(each.share for each in [*further, *apart])
    return (Estimate("", analysis, rest), *further, *apart)


def first_primary(outcomes: Iterable[Outcome]) -> int:
    """Returns the position of the first primary outcome, whose groups or pairs balance is judged on."""
    return next(place for place, outcome in enumerate(outcomes) if outcome.primary)


def split_name(name: str) -> tuple[str, str, str]:
    """Returns the family, the key and the outcome of a vector's name, empty where it has none.

    >>> split_name("grouped_treated@s1.bed_days")
    ('grouped_treated', 's1', 'bed_days')
    """
    keyed, _, outcome = name.partition(".")
    family, _, key = keyed.partition("@")
    return family, key, outcome
