"""A plan's noise before anybody answers: as its schedule declares it, when every data holder answers."""

from __future__ import annotations

import math

from cohortium_coordinator.combine.rules import COUNT_SDS
from cohortium_coordinator.combine.sums import Separate, Together
from cohortium_protocols.doubly_robust import COUNT_SCALE
from cohortium_protocols.plan import Plan
from cohortium_protocols.schedules import LAST, schedule
from cohortium_protocols.secure_rounds import rules_of


class Planned:
    """A plan's schedule and its noise.

    Args:
        plan: which.

    Raises:
        PlanError: an analysis has too many groups, or no rules serve the plan's secure sums.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan, roster = plan, plan.nodes.roster
        self.schedule = schedule(plan)
        secure = plan.privacy.aggregation == "secure"
        self._answers = Together(roster, {}, rules_of(plan)) if secure else Separate({name: {} for name in roster})

    def noise(self, vector: str, round_name: str = LAST) -> float:
        """Returns the variance of the noise in each number of a national sum, in the units of its declaration."""
        spec = self.schedule.round(round_name).vector(vector)
        return self._answers.noise(spec) / spec.grid**2

    @property
    def count_sd(self) -> float:
        """Standard deviation of the noise in the count of people helped that decides on publishing, in people."""
        return math.sqrt(self.noise("treated_profile", "profile")) / COUNT_SCALE

    @property
    def fewest(self) -> float:
        """The noisy count of people helped above which a headline is published."""
        return max(float(self.plan.publish.minimum_treated), COUNT_SDS * self.count_sd)
