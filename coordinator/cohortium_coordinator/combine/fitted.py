"""One outcome's model, clip and their uncertainty, ready to be held against any group's sums."""

from __future__ import annotations

from dataclasses import dataclass

from cohortium_coordinator.combine.estimate import Effect, Weighted, compared, effect, model_variance
from cohortium_coordinator.combine.outcome_model import OutcomeModel
from cohortium_coordinator.combine.profile import Means
from cohortium_coordinator.combine.residual_clip import ResidualClip
from cohortium_coordinator.combine.sums import Array, NoisySum
from cohortium_protocols.plan import Outcome


@dataclass(frozen=True)
class Fitted:
    """What the comparators of all nodes taught about one outcome.

    Attributes:
        outcome: which.
        model: its model.
        clip: its residual clip.
        sampling: (p, p) sampling variance of the model's slopes.
    """

    outcome: Outcome
    model: OutcomeModel
    clip: ResidualClip
    sampling: Array

    def doubt(self, gap: Array, gap_noise: float) -> float:
        """Returns the variance that the model's uncertainty adds over a gap in mean features."""
        return model_variance(self.model, gap, gap_noise, self.sampling)

    def effect(
        self, treated: NoisySum, comparators: NoisySum, *, best: Means, count: Means, weighted: Weighted
    ) -> Effect:
        """Returns the effect on the people helped whose sums these are.

        Args:
            treated: their ``treated_outcome``.
            comparators: the ``comparator_outcome`` to hold them against.
            best: the best reading of their mean features.
            count: the outcome round's own count of them.
            weighted: the comparators' weights.
        """
        gap = best.mean - weighted.means.mean
        doubt = self.doubt(gap, best.noise + weighted.means.noise)
        against = compared(comparators, weighted)
        return effect(treated, against, count=count, clip=self.clip, model_variance=doubt,
                      level=self.model.moved(against.level, gap))  # fmt: skip
