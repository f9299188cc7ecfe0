"""One outcome's model, clip and their uncertainty, ready to be held against any group's sums."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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
        sampling: (1 + p, 1 + p) sampling variance of the model's coefficients.
        covariance: (p, p) of the comparators' features.
        steep: slope of the model where the people helped are expected to be.
    """

    outcome: Outcome
    model: OutcomeModel
    clip: ResidualClip
    sampling: Array
    covariance: Array
    steep: float

    def doubt(self, gap: Array, gap_noise: float) -> float:
        """Returns the variance that the model's uncertainty adds over a gap in mean features, (p,).

        The model is taken to be as steep all along it as for the people helped.
        """
        lever = self.steep * np.array([0.0, *gap])
        return model_variance(self.model, lever, self.steep**2 * gap_noise, self.sampling)

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
        against, others = compared(comparators, weighted), weighted.means
        level = self.model.moved(against.level, best.mean - others.mean)
        lever = self.model.lever((level, best.mean), (against.level, others.mean), self.covariance)
        doubt = model_variance(self.model, lever, self.steep**2 * (best.noise + others.noise), self.sampling)
        return effect(treated, against, count=count, clip=self.clip, model_variance=doubt, level=level)
