"""From findings to the study's result, in the outcomes' own units."""

from __future__ import annotations

import math
from collections.abc import Mapping

from scipy.special import ndtr

from cohortium_coordinator.combine import diagnostics
from cohortium_coordinator.combine.diagnostics import Findings
from cohortium_coordinator.combine.estimate import Z95, Effect
from cohortium_coordinator.combine.residual_clip import ResidualClip
from cohortium_coordinator.result import (
    Attrition,
    AttritionStep,
    Check,
    NodeStatus,
    OutcomeEstimate,
    PrivacyStatement,
    ProfileRow,
    Release,
    StudyResult,
)
from cohortium_protocols.attrition import EXIT_LABELS, EXIT_STEPS
from cohortium_protocols.features import features
from cohortium_protocols.guarantee import guarantee
from cohortium_protocols.plan import Outcome, Plan, plan_digest
from cohortium_protocols.privacy.distributed import epsilon_if_all_others_collude
from cohortium_protocols.secure_rounds import rules_of
from cohortium_protocols.statistics import Schedule


def study_result(
    plan: Plan,
    schedule: Schedule,
    findings: Findings,
    *,
    created: str,
    nodes: tuple[NodeStatus, ...],
    bounds_from_data: bool,
    truth: Mapping[str, float] | None,
) -> StudyResult:
    """Returns the result that the report shows."""
    rows = diagnostics.balance(plan, findings)
    checks = tuple(filter(None, (
        diagnostics.enough_people(plan, findings), diagnostics.alike(rows), diagnostics.overlap(findings),
        diagnostics.noise_share(findings), diagnostics.effect_shape(findings), diagnostics.same_nodes(findings),
    )))  # fmt: skip
    reason = _not_published_because(plan, checks)
    pairs = zip(plan.outcomes, findings.effects, findings.clips, strict=True)
    return StudyResult(
        study=plan.study, title=plan.title, question=plan.question, created=created, plan_digest=plan_digest(plan),
        nodes=nodes, method=plan.analysis.method, comparison=plan.analysis.comparison, estimand=_estimand(nodes),
        published=reason is None, not_published_because=reason,
        outcomes=tuple(_outcome(plan, findings, *pair) for pair in pairs),
        balance=rows, profile=_profile(plan, findings), attrition=_attrition(plan, findings), checks=checks,
        privacy=_privacy(plan, schedule, bounds_from_data), heterogeneity=findings.heterogeneity, truth=truth,
    )  # fmt: skip


def _not_published_because(plan: Plan, checks: tuple[Check, ...]) -> str | None:
    failed = {check.name: check for check in checks if check.state == "failed"}
    if "group_size" in failed:
        return f"More people would be needed: {failed['group_size'].rule}."
    if "balance" in failed and plan.publish.balance == "block":
        return f"The groups are not alike enough. {failed['balance'].meaning}"
    return None


def _estimand(nodes: tuple[NodeStatus, ...]) -> str:
    answered = sum(node.status == "answered" for node in nodes)
    return (
        "The average effect on the people helped who could be analysed (ATT), on outcomes counted for each person "
        f"up to a limit, compared with weighted people of {answered} data holder{'s' * (answered != 1)} "
        "who were not helped."
    )


def _outcome(plan: Plan, findings: Findings, outcome: Outcome, effect: Effect, clip: ResidualClip) -> OutcomeEstimate:
    size = outcome.clip - outcome.low
    low, high = (size * min(max(end, -1.0), 1.0) for end in (effect.low, effect.high))
    significant = low > 0 or high < 0
    comparison = outcome.low + size * effect.comparison
    se = math.sqrt(effect.variance)
    return OutcomeEstimate(
        name=outcome.name, title=outcome.title, unit=outcome.unit, better=outcome.better, kind=outcome.kind,
        primary=outcome.primary, clip_low=outcome.low, clip_high=outcome.clip, n_treated=findings.second.n,
        n_compared=findings.weighted.effective, treated_mean=comparison + size * effect.estimate,
        comparison_mean=comparison, estimate=size * effect.estimate, low=low, high=high, se=size * se,
        p_value=float(2 * ndtr(-abs(effect.estimate) / se)), significant=significant,
        noise_share=min(effect.noise / effect.variance, 1.0), pass_through=clip.pass_through,
        residual_clip=size * clip.clip, clipped_share=None,
        people_needed=None if significant else _people_needed(effect, findings.second.n),
    )  # fmt: skip


def _people_needed(effect: Effect, n: float) -> int | None:
    """Returns how many helped people would tell the direction if the effect is as estimated.

    The sampling variance of the treated falls as 1 / n, the noise as 1 / n^2; the rest stays. None when even a very
    large group would not.
    """
    rest = max(effect.variance - effect.sampling - effect.noise, 0.0)
    for factor in (1.1**step for step in range(1, 80)):
        if effect.estimate**2 > Z95**2 * (effect.sampling / factor + effect.noise / factor**2 + rest):
            return math.ceil(n * factor / 10) * 10
    return None


def _profile(plan: Plan, findings: Findings) -> tuple[ProfileRow, ...]:
    groups = (findings.profile.treated.mean, findings.profile.comparators.mean, findings.weighted.means.mean)
    rows = []
    for i, feature in enumerate(features(plan)):
        treated, before, after = (feature.shown(float(mean[i])) for mean in groups)
        unit = "typical" if feature.transform == "root" else "" if feature.level is None else "share"
        rows.append(ProfileRow(covariate=feature.name, title=feature.title, treated=treated,
                               comparison_before=before, comparison_after=after, unit=unit))  # fmt: skip
    return tuple(rows)


def _attrition(plan: Plan, findings: Findings) -> Attrition:
    counts, half = findings.attrition.values, Z95 * math.sqrt(findings.attrition.noise)
    steps = (
        AttritionStep(name=name, label=EXIT_LABELS[name], count=float(count), low=float(count) - half,
                      high=float(count) + half)
        for name, count in zip(EXIT_STEPS, counts, strict=True)
    )  # fmt: skip
    return Attrition(submitted=plan.submitted, steps=tuple(steps))


def _privacy(plan: Plan, schedule: Schedule, bounds_from_data: bool) -> PrivacyStatement:
    totals = {block: schedule.cost(block) or 1.0 for block in ("treated", "comparator")} | {
        "matched": schedule.mu2 or 1.0
    }
    releases = tuple(
        Release(round=spec.name, vector=vector.name, block=vector.block, figures=vector.figures,
                values=vector.dimension, mu2=vector.mu2, share=min(vector.mu2 / totals[vector.block], 1.0))
        for spec, vector in schedule.vectors()
    )  # fmt: skip
    spent = guarantee(plan, schedule)
    return PrivacyStatement(
        noise=spent is not None, bounds_from_data=bounds_from_data, epsilon=spent and spent.presence,
        delta=spent and spent.delta, mu=spent and spent.mu, epsilon_membership=spent and spent.membership,
        epsilon_known_member=spent and spent.known_member, aggregation=plan.privacy.aggregation,
        epsilon_if_all_others_collude=_alone(plan, schedule) if spent else None, releases=releases,
    )  # fmt: skip


def _alone(plan: Plan, schedule: Schedule) -> float | None:
    """Returns the epsilon of one data holder's own noise; None when all of the noise is its own."""
    if plan.privacy.aggregation != "secure":
        return None
    blocks = (
        [(vector.d2, vector.sigma) for _, vector in schedule.vectors() if vector.block in (block, "matched")]
        for block in ("treated", "comparator")
    )
    rules = rules_of(plan)
    return max(epsilon_if_all_others_collude(each, rules, plan.privacy.delta) for each in blocks)
