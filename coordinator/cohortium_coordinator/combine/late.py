"""A study's result and those of the late groups that complete it, merged outcome by outcome.

The groups are of different people, each compared with people of its own data holders, so that their estimates have no
error in common. The merged estimate is the inverse variance mean (``meta``), whose p-value is of the normal
distribution; its share of noise is the weighted mean of theirs, for the variance of a weighted group is its weight
times that of the mean. What allows for effects that differ needs three groups: with two, nothing is left to tell how
much they differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from scipy.special import ndtr

from cohortium_coordinator.combine.by_node import pooled_effect
from cohortium_coordinator.combine.meta import Combined, Study, combined, merged_with_late
from cohortium_coordinator.combine.multiple import adjusted
from cohortium_coordinator.merged import EffectsDiffer, GroupEffect, MergedGroup, MergedOutcome, MergedResult
from cohortium_coordinator.result import Limits, OutcomeEstimate, PooledEffect, StudyResult


def merged(first: StudyResult, late: Sequence[StudyResult]) -> MergedResult:
    """Returns what a study and its late groups say together about every finding.

    Args:
        first: the result of the study.
        late: results of other people, on the same outcomes; at least one.

    Raises:
        ValueError: two results are of the same study, or there is none to merge.
    """
    results = (first, *late)
    found = [_outcome(results, outcome.name) for outcome in first.ordered_outcomes]
    return MergedResult(
        study=first.study, title=first.title, question=first.question,
        created=max(result.created for result in results), groups=tuple(map(_group, results)),
        also_in_earlier_rounds=tuple(_in_earlier_rounds(results)), outcomes=adjusted(found),
    )  # fmt: skip


def _group(result: StudyResult) -> MergedGroup:
    privacy = result.privacy
    return MergedGroup(
        study=result.study, plan_digest=result.plan_digest, created=result.created, nodes=result.answered,
        aggregation=privacy.aggregation, noise=privacy.noise, epsilon=privacy.epsilon, delta=privacy.delta,
    )  # fmt: skip


def _in_earlier_rounds(results: Sequence[StudyResult]) -> Iterator[str]:
    """Yields the nodes of one group that are in another's first secure sums, and not in its last ones."""
    lost = {
        node.name
        for result in results
        for node in result.nodes
        if result.privacy.aggregation == "secure" and node.status != "answered" and node.rounds_answered
    }
    yield from (node for result in results for node in result.answered if node in lost)


def _outcome(results: Sequence[StudyResult], name: str) -> MergedOutcome:
    first, *late = [next(each for each in result.outcomes if each.name == name) for result in results]
    studies = [
        Study(result.study, each.estimate, each.se**2)
        for result, each in zip(results, (first, *late), strict=True)
    ]
    together = merged_with_late(studies[0], studies[1:])
    fixed = together.fixed
    weights = [fixed.se**2 / study.variance for study in studies]
    groups = tuple(map(_effect, studies, (first, *late), weights, _without(studies)))
    return MergedOutcome(
        name=name, title=first.title, unit=first.unit, better=first.better, kind=first.kind, primary=first.primary,
        expected=first.expected, estimate=fixed.estimate, se=fixed.se, low=fixed.low, high=fixed.high,
        p_value=float(2 * ndtr(-abs(fixed.estimate) / fixed.se)), significant=fixed.low > 0 or fixed.high < 0,
        noise_share=min(sum(group.weight * group.noise_share for group in groups), 1.0), groups=groups,
        q=together.q, q_p_value=together.q_p_value, i2=together.i2, differing=_differing(together),
    )  # fmt: skip


def _effect(study: Study, outcome: OutcomeEstimate, weight: float, without: PooledEffect | None) -> GroupEffect:
    own = PooledEffect(estimate=outcome.estimate, se=outcome.se, low=outcome.low, high=outcome.high)
    return GroupEffect(study=study.name, n_treated=outcome.n_treated, effect=own, noise_share=outcome.noise_share,
                       weight=min(weight, 1.0), without=without)  # fmt: skip


def _without(studies: Sequence[Study]) -> list[PooledEffect | None]:
    if len(studies) < 3:
        return [None] * len(studies)
    return [pooled_effect(combined([other for other in studies if other is not study]).fixed) for study in studies]


def _differing(found: Combined) -> EffectsDiffer | None:
    if found.prediction is None:
        return None
    low, high = found.prediction
    return EffectsDiffer(
        random=pooled_effect(found.random), dersimonian_laird=pooled_effect(found.dersimonian_laird), tau2=found.tau2,
        tau2_dersimonian_laird=found.tau2_dl, prediction=Limits(low=low, high=high),
    )  # fmt: skip
