"""Is a study large enough? One rule, stated once, for the planner, the report and the coverage study.

*Infeasible*: fewer than 95 in 100 such studies would count enough people helped to publish, or a change as large as
all that is expected would be missed more often than one time in five. *Feasible*: changes of a third of what is
expected are found four times in five. *Weak*: what lies between. What is expected is the outcome's mean among people
like those helped; of a measured amount, one standard deviation of what covariates cannot foretell. A study is judged by
the headline outcome that comes off worst.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal, get_args

from scipy.special import ndtr, ndtri

from cohortium_coordinator.combine.estimate import Z95
from cohortium_coordinator.forecast.expectation import Expectation
from cohortium_coordinator.forecast.planned import Planned
from cohortium_coordinator.forecast.precision import Precision, precision
from cohortium_coordinator.forecast.typical import typical
from cohortium_protocols.estimates import estimates
from cohortium_protocols.outcomes import Outcome

Verdict = Literal["feasible", "weak", "infeasible"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
PUBLISHED = 0.95
"""Least chance that enough people are counted to publish."""
POWER = 0.80
"""Chance with which the smallest effect found is found: its interval excludes no effect."""
FEASIBLE, INFEASIBLE = 1 / 3, 1.0
"""Limits on the smallest effect found, as parts of what is expected: help that charities hope for changes a fifth to a
third; more than all cannot be prevented."""


def detectable(found: Precision) -> float:
    """Returns the smallest effect found with 80 % power, in units of y: (1.96 + 0.84) standard errors."""
    return (Z95 + float(ndtri(POWER))) * found.se


def yardstick(expected: Expectation, outcome: Outcome) -> float:
    """Returns what effects on an outcome are measured against, in units of y: see above."""
    level = expected.level(outcome)
    if outcome.kind == "number":
        return float(typical(outcome, level, expected.spreads.get(outcome.name)).variance ** 0.5)
    return level


def published_share(planned: Planned, helped: int) -> float:
    """Returns the chance that a noisy count of so many people helped is enough to publish."""
    above, spread = helped - planned.fewest, planned.count_sd
    return float(ndtr(above / spread)) if spread else float(above > 0)


def outcome_verdict(planned: Planned, expected: Expectation, outcome: Outcome) -> Verdict:
    """Returns the rule's verdict on the headline estimate of one outcome."""
    found = precision(planned, expected, estimates(planned.plan)[0], outcome)
    part = detectable(found) / yardstick(expected, outcome)
    if part > INFEASIBLE or published_share(planned, expected.helped) < PUBLISHED:
        return "infeasible"
    return "weak" if part > FEASIBLE else "feasible"


def study_verdict(planned: Planned, expected: Expectation) -> Verdict:
    """Returns the worst verdict on a headline outcome."""
    found = (outcome_verdict(planned, expected, outcome) for outcome in planned.plan.outcomes if outcome.primary)
    return max(found, key=VERDICTS.index)


def helped_needed(planned: Planned, expected: Expectation, outcomes: tuple[Outcome, ...] = ()) -> int | None:
    """Returns about the fewest people helped with whom the verdict is *feasible*; comparators stay as many.

    Args:
        planned: the plan and its noise.
        expected: what the operator expects; its number of people helped does not matter.
        outcomes: that are judged; the headline ones when not given.

    Returns:
        Two significant figures, rounded up. None when not even as many as there are comparators would be enough.
    """
    judged = outcomes or tuple(outcome for outcome in planned.plan.outcomes if outcome.primary)

    def enough(helped: int) -> bool:
        so_many = replace(expected, helped=helped)
        return all(outcome_verdict(planned, so_many, outcome) == "feasible" for outcome in judged)

    low, high = 0, expected.comparators
    if not enough(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    step = int(10 ** max(len(str(high)) - 2, 0))
    return step * math.ceil(high / step)
