"""From findings to the study's result, in the outcomes' own units."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from scipy.special import ndtr

from cohortium_coordinator.combine import diagnostics
from cohortium_coordinator.combine.diagnostics import Findings
from cohortium_coordinator.combine.e_value import with_e_values
from cohortium_coordinator.combine.estimate import Z95, Effect
from cohortium_coordinator.combine.further_statement import estimand, further_estimates, limits
from cohortium_coordinator.combine.multiple import adjusted
from cohortium_coordinator.combine.ratio_statement import falsified, rate_ratios, ratio_estimates
from cohortium_coordinator.combine.residual_clip import ResidualClip
from cohortium_coordinator.forecast.expectation import Expectation
from cohortium_coordinator.forecast.planned import Planned
from cohortium_coordinator.forecast.verdict import helped_needed
from cohortium_coordinator.result import (
    Attrition,
    AttritionStep,
    Check,
    NodeStatus,
    OutcomeEstimate,
    PrivacyStatement,
    ProfileRow,
    RateRatio,
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
    pairs = zip(plan.outcomes, findings.effects, findings.clips, rate_ratios(plan, findings), strict=True)
    outcomes = with_e_values(adjusted([_outcome(plan, findings, *pair) for pair in pairs]), findings.spreads)
    checks = tuple(filter(None, (
        diagnostics.enough_people(plan, findings), diagnostics.alike(rows), diagnostics.overlap(findings),
        diagnostics.noise_share(findings), diagnostics.effect_shape(findings), diagnostics.clipping(findings),
        diagnostics.same_nodes(findings), *diagnostics.holders_agree(plan, findings),
        *diagnostics.analyses_agree(plan, findings), *falsified(plan, findings),
        *(diagnostics.unrecorded(outcome) for outcome in outcomes if outcome.primary),
    )))  # fmt: skip
    needed = _helped_needed(plan, findings, outcomes) if _too_few(checks) else None
    reason = _not_published_because(plan, checks, needed)
    return StudyResult(
        study=plan.study, title=plan.title, question=plan.question, created=created, plan_digest=plan_digest(plan),
        nodes=nodes, method=plan.analysis.method, comparison=plan.analysis.comparison,
        estimand=estimand(plan, nodes, findings.alone, findings.matched),
        published=reason is None, not_published_because=reason, helped_needed=needed,
        outcomes=outcomes, ratios=ratio_estimates(plan, findings), further=further_estimates(findings),
        balance=rows, profile=_profile(plan, findings), attrition=_attrition(plan, findings), checks=checks,
        privacy=_privacy(plan, schedule, bounds_from_data), heterogeneity=findings.heterogeneity, truth=truth,
    )  # fmt: skip


def _too_few(checks: tuple[Check, ...]) -> bool:
    return any(check.name == "group_size" and check.state == "failed" for check in checks)


def _helped_needed(plan: Plan, findings: Findings, outcomes: Sequence[OutcomeEstimate]) -> int | None:
    """Returns how many people helped the planner asks for, among these comparators and with these levels."""
    levels = {outcome.name: outcome.comparison_mean for outcome in outcomes}
    comparators = round(findings.profile.comparators.n)
    return helped_needed(Planned(plan), Expectation(round(findings.profile.treated.n), comparators, levels))


def _not_published_because(plan: Plan, checks: tuple[Check, ...], needed: int | None) -> str | None:
    failed = {check.name: check for check in checks if check.state == "failed"}
    if "group_size" in failed:
        enough = (
            "More people helped alone would not do: such a study needs a larger epsilon, fewer outcomes, or more to "
            "compare with"
            if needed is None
            else f"With about {needed:,} people helped, such a study could be expected to find a change of a third"
        )
        return f"More people would be needed: {failed['group_size'].rule}. {enough}."
    if "balance" in failed and plan.publish.balance == "block":
        return f"The groups are not alike enough. {failed['balance'].meaning}"
    return None


def _outcome(
    plan: Plan, findings: Findings, outcome: Outcome, effect: Effect, clip: ResidualClip, rate_ratio: RateRatio | None
) -> OutcomeEstimate:
    size, (low, high) = outcome.clip - outcome.low, limits(outcome, effect)
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
        residual_clip=size * clip.clip,
        people_needed=None if significant else _people_needed(effect, findings.second.n),
        expected=outcome.expected, rate_ratio=rate_ratio,
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
    """Returns a row for every feature whose mean has a unit: squares and products are in the balance table alone."""
    groups = (findings.profile.treated.mean, findings.profile.comparators.mean, findings.weighted.means.mean)
    rows = []
    for i, feature in enumerate(features(plan)):
        if feature.unit is None:
            continue
        treated, before, after = (feature.shown(float(mean[i])) for mean in groups)
        rows.append(ProfileRow(covariate=feature.name, title=feature.title, treated=treated,
                               comparison_before=before, comparison_after=after, unit=feature.unit))  # fmt: skip
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
