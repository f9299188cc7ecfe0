"""One outcome's model, clip and their uncertainty, ready to be held against any group's sums."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cohortium_coordinator.combine.estimate import Effect, Weighted, compared, effect
from cohortium_coordinator.combine.outcome_model import OutcomeModel
from cohortium_coordinator.combine.profile import Means
from cohortium_coordinator.combine.residual_clip import ResidualClip
from cohortium_coordinator.combine.sums import Array, NoisySum
from cohortium_protocols.plan import Outcome

_LINEAR = 2.0
"""The model's error varies so many times as much as its linear approximation over a gap in means: groups alike in their
means still differ in their tails, where the model is steepest. Measured 1.7 to 3.8 (docs/adr/0008)."""
_LEAST_PULL = 0.1
"""However weakly features seem to decide who is helped, gaps are thought possible that this pull would leave: under
much noise a pull cannot be told from none (public data at epsilon 4, docs/validation)."""


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
        pull: see ``Tilt``: how strongly features decide who is helped.
    """

    outcome: Outcome
    model: OutcomeModel
    clip: ResidualClip
    sampling: Array
    covariance: Array
    steep: float
    pull: float

    def doubt(self, gap: Array, noise: float) -> float:
        """Returns the variance that the model's uncertainty adds over a gap in mean features, in units of y squared.

        It is gap' Var(beta) gap times the squared slope of the model, taken to be as steep all along the gap as for the
        people helped. What is known of the gap is settled first: selection moves means along the axes in which people
        differ (``tilt``), so that a gap in an axis in which they hardly do is noise. What stays unsure of the gap is
        added, not taken off: weights are made to fit the noisy profile, and the gap that is seen is the smaller for it.

        Args:
            gap: (p,) as far as it was seen.
            noise: variance of the noise in each of its entries.
        """
        s, axes = np.linalg.eigh(self.covariance)
        prior = max(self.pull, _LEAST_PULL) * s**2
        believed = prior / (prior + noise)
        settled, unsure = axes @ (believed * (axes.T @ gap)), (axes * (believed * noise)) @ axes.T
        beta = (self.model.covariance + self.sampling)[1:, 1:]
        times = 1.0 if self.model.straight else _LINEAR
        return times * self.steep**2 * float(settled @ beta @ settled + np.sum(beta * unsure))

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
        doubt = self.doubt(best.mean - others.mean, best.noise + others.noise)
        return effect(treated, against, count=count, clip=self.clip, model_variance=doubt, level=level,
                      yes_no=self.outcome.kind == "binary")  # fmt: skip
