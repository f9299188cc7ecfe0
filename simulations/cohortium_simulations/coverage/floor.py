"""The ideal width: how narrow an interval could be if noise were added once, to as little as possible.

An analyst who holds all rows, knows the outcome law and the chance to be helped, and may release the people helped's
sums of K outcomes once, with the whole budget, would have the variance

    V = V_sampling + K (clip - low)^2 / (mu^2 n_t^2)

*Sampling* is the efficiency bound of the effect on the people helped (Hahn 1998, theorem 1, propensity unknown) at the
covariates of this very world: with s1^2, s0^2 the variances of one person's clipped outcome with and without help, g
the person's expected gain, and w = e / (1 - e) the odds of being helped,

    V_sampling = (mean_t s1^2 + var_t g) / n_t + sum_c w^2 s0^2 / (sum_c w)^2

*Noise* is one Gaussian release of (sum_t y_1, ..., sum_t y_K) with y from low to clip: adding or removing one person
moves it by at most sqrt(K) (clip - low), n_t being known exactly, and mu is all of the (epsilon, delta) budget. The
release is one, whatever the plan's aggregation: what a plan pays for nodes that add noise of their own shows.

``floor_ratio`` is the median width of the published intervals over the median ideal width of the same worlds. Below 1
is possible: the ideal does not clip residuals, and does not centre what it sums.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ndtri

from cohortium_protocols.plan import Plan
from cohortium_protocols.privacy.accounting import mu_from_epsilon
from cohortium_simulations.arrays import Mask
from cohortium_simulations.coverage.array_worlds import ArrayWorld

_Z95 = float(ndtri(0.975))


def ideal_width(world: ArrayWorld, plan: Plan, here: Mask) -> float:
    """Returns the width of the ideal 95 % interval, in the outcome's own unit per person.

    Args:
        world: whose people.
        plan: its outcomes, their ranges and the budget; without noise, sampling alone counts.
        here: (n,) the people at nodes that answered to the end.
    """
    helped = int((world.table.treated & here).sum())
    return 2 * _Z95 * math.sqrt(sampling_variance(world, here) + noise_variance(plan, helped))


def sampling_variance(world: ArrayWorld, here: Mask) -> float:
    """Returns the smallest variance that any regular estimate can have without noise, for these people."""
    chosen, compared = world.table.treated & here, ~world.table.treated & here
    among = here[world.table.treated]
    gain = world.with_help.mean[among] - world.without_help.mean[chosen]
    treated = float(np.mean(world.with_help.variance[among]) + np.var(gain)) / int(chosen.sum())
    odds = np.exp(world.log_odds[compared] - world.log_odds[compared].max())
    weighted = float(np.sum(odds**2 * world.without_help.variance[compared])) / float(np.sum(odds)) ** 2
    return treated + weighted


def noise_variance(plan: Plan, helped: int) -> float:
    """Returns the noise that one release of the outcomes' sums adds to the first outcome's mean."""
    if not plan.privacy.noise:
        return 0.0
    mu, first = mu_from_epsilon(plan.privacy.epsilon, plan.privacy.delta), plan.outcomes[0]
    return len(plan.outcomes) * ((first.clip - first.low) / (mu * helped)) ** 2
