"""Every data holder's own estimate, where each released its own sums, and whether the estimates agree.

All of it is post-processing of what the nodes released anyway: it costs no budget. The outcome model, the weights and
the clip are those of all nodes together; a node's own are the sums of its people, with its own full noise. Two
comparisons are made: with the weighted comparators of all nodes, as in the national estimate, and with those of the
same node, which takes out whatever makes places differ as a whole.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cohortium_coordinator.combine.estimate import Effect, Weighted, read_weights
from cohortium_coordinator.combine.fitted import Fitted
from cohortium_coordinator.combine.meta import Combined, Mean, Study, combined
from cohortium_coordinator.combine.profile import Means, means, pooled
from cohortium_coordinator.combine.rules import least_counted
from cohortium_coordinator.combine.sums import NoisySum, Separate, Together, national_sums
from cohortium_coordinator.result import (
    ComparedWith,
    Heterogeneity,
    Limits,
    NodeEstimate,
    NodesCombined,
    PooledEffect,
)
from cohortium_protocols.doubly_robust import COUNT_SCALE
from cohortium_protocols.plan import Outcome
from cohortium_protocols.statistics import Schedule

Sums = Mapping[str, NoisySum]


@dataclass(frozen=True)
class Nation:
    """All nodes together: each outcome's model and effect, the people helped, and the weighted comparators."""

    fitted: Sequence[Fitted]
    effects: Sequence[Effect]
    best: Means
    weighted: Weighted
    sums: Sums


@dataclass(frozen=True)
class _Node:
    """One node: its first count, its people helped (``best``, and the last round's ``count``), its comparators."""

    name: str
    first: Means
    best: Means
    count: Means
    weighted: Weighted
    sums: Sums

    @property
    def counted(self) -> bool:
        """Whether there are people enough; decided on the first round's count, and estimated with the last one's."""
        return self.first.n > least_counted(self.first.n_noise)

    @property
    def compares(self) -> bool:
        """Whether its own comparators carry information."""
        weighted = self.weighted
        return min(weighted.total, weighted.effective) > least_counted(weighted.total_noise)


@dataclass(frozen=True)
class _Seen:
    """A node's effect, and the variance that it does not share with other nodes; in units of y."""

    effect: Effect
    own: float


def heterogeneity(
    schedule: Schedule, first: Separate | Together, last: Separate | Together, nation: Nation
) -> tuple[Heterogeneity, ...] | None:
    """Returns every outcome's estimates by node, or None where sums were secure: nobody saw a single node's.

    Args:
        schedule: of the plan.
        first: answers of the profile round.
        last: answers of the outcome round.
        nation: all nodes together.
    """
    if not (isinstance(first, Separate) and isinstance(last, Separate)):
        return None
    nodes = [_read(schedule, first, last, name) for name in last.nodes]
    return tuple(
        block
        for fitted, effect in zip(nation.fitted, nation.effects, strict=True)
        for block in (_with_all(fitted, effect, nodes, nation), _with_own(fitted, effect, nodes, nation))
    )


def _read(schedule: Schedule, first: Separate, last: Separate, name: str) -> _Node:
    opening = national_sums(schedule.round("profile"), first.of([name]))
    closing = national_sums(schedule.round("outcome"), last.of([name]))
    before = means(opening["treated_profile"], COUNT_SCALE)
    after = means(closing["treated_balance"], COUNT_SCALE)
    weighted = read_weights(closing["comparator_weights"])
    return _Node(name, before, pooled(before, after), after, weighted, closing)


def _with_all(fitted: Fitted, effect: Effect, nodes: Sequence[_Node], nation: Nation) -> Heterogeneity:
    """Returns the nodes held against the same comparators, whose error they share, as that of the model and clip."""
    name = fitted.outcome.name
    comparators = nation.sums[f"comparator_outcome.{name}"]

    def seen(node: _Node) -> _Seen:
        found = fitted.effect(node.sums[f"treated_outcome.{name}"], comparators, best=node.best, count=node.count,
                              weighted=nation.weighted)  # fmt: skip
        apart = fitted.doubt(node.best.mean - nation.best.mean, node.best.noise)
        return _Seen(found, found.helped + apart)

    estimated = {node.name: seen(node) for node in nodes if node.counted}
    return _block(fitted.outcome, "all data holders", nodes, estimated, effect.variance - effect.helped)


def _with_own(fitted: Fitted, effect: Effect, nodes: Sequence[_Node], nation: Nation) -> Heterogeneity:
    """Returns each node held against its own comparators; all share the error of the model and the clip."""
    name = fitted.outcome.name
    usual = nation.best.mean - nation.weighted.means.mean

    def seen(node: _Node) -> _Seen:
        own = node.sums[f"comparator_outcome.{name}"]
        found = fitted.effect(node.sums[f"treated_outcome.{name}"], own, best=node.best, count=node.count,
                              weighted=node.weighted)  # fmt: skip
        gap, noise = node.best.mean - node.weighted.means.mean, node.best.noise + node.weighted.means.noise
        return _Seen(found, found.helped + found.compared + fitted.doubt(gap - usual, noise))

    estimated = {node.name: seen(node) for node in nodes if node.counted and node.compares}
    shared = effect.variance - effect.helped - effect.compared
    return _block(fitted.outcome, "same data holder", nodes, estimated, shared)


def _block(
    outcome: Outcome,
    compared_with: ComparedWith,
    nodes: Sequence[_Node],
    estimated: Mapping[str, _Seen],
    shared: float,
) -> Heterogeneity:
    """Returns the estimates in the outcome's unit; rounding alone can make ``shared`` negative."""
    size, common = outcome.clip - outcome.low, max(shared, 0.0)
    studies = [Study(name, size * seen.effect.estimate, size**2 * seen.own) for name, seen in estimated.items()]
    together = combined(studies, size**2 * common) if len(studies) > 1 else None
    return Heterogeneity(
        outcome=outcome.name, compared_with=compared_with, shared_se=size * math.sqrt(common),
        nodes=tuple(_node(node, estimated.get(node.name), size, together) for node in nodes),
        combined=together and _combined(together),
    )  # fmt: skip


def _node(node: _Node, seen: _Seen | None, size: float, together: Combined | None) -> NodeEstimate:
    if seen is None:
        return NodeEstimate(node=node.name, n_treated=node.count.n, effect=None, own_se=None, without=None)
    low, high = (size * min(max(end, -1.0), 1.0) for end in (seen.effect.low, seen.effect.high))
    effect = PooledEffect(
        estimate=size * seen.effect.estimate, se=size * math.sqrt(seen.effect.variance), low=low, high=high
    )
    without = pooled_effect(together.without[node.name]) if together else None
    return NodeEstimate(node=node.name, n_treated=node.count.n, effect=effect, own_se=size * math.sqrt(seen.own),
                        without=without)  # fmt: skip


def _combined(found: Combined) -> NodesCombined:
    limits = found.prediction and Limits(low=found.prediction[0], high=found.prediction[1])
    return NodesCombined(
        fixed=pooled_effect(found.fixed), random=pooled_effect(found.random),
        dersimonian_laird=pooled_effect(found.dersimonian_laird),
        tau2=found.tau2, tau2_dersimonian_laird=found.tau2_dl, i2=found.i2, q=found.q, q_p_value=found.q_p_value,
        prediction=limits or None,
    )  # fmt: skip


def pooled_effect(mean: Mean) -> PooledEffect:
    """Returns a mean of several estimates as results show it."""
    return PooledEffect(estimate=mean.estimate, se=mean.se, low=mean.low, high=mean.high)
