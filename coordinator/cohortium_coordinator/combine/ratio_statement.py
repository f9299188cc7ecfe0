"""Ratios, and checks by outcomes in which no difference is expected, as the result shows them."""

from __future__ import annotations

import math

from cohortium_coordinator.combine.diagnostics import Findings
from cohortium_coordinator.combine.estimate import Effect
from cohortium_coordinator.combine.ratio import Interval, RatioEffect
from cohortium_coordinator.combine.rules import SMALL
from cohortium_coordinator.result import Check, CheckState, EffectOnRatio, RateRatio, RatioEstimate
from cohortium_protocols.plan import Outcome, Plan, Ratio


def rate_ratios(plan: Plan, findings: Findings) -> tuple[RateRatio | None, ...]:
    """Returns each outcome's rate ratio."""
    if findings.ratios is None:
        return (None,) * len(plan.outcomes)
    return tuple(map(shown, findings.ratios.rate_ratios))


def ratio_estimates(plan: Plan, findings: Findings) -> tuple[RatioEstimate, ...]:
    """Returns the effect on each ratio of the plan."""
    return tuple(map(_ratio, plan.ratios, findings.ratios.effects)) if findings.ratios else ()


def falsified(plan: Plan, findings: Findings) -> tuple[Check, ...]:
    """Returns a check for each outcome that help cannot have changed."""
    pairs = zip(plan.outcomes, findings.effects, strict=True)
    return tuple(_falsification(*pair, findings.second.n) for pair in pairs if pair[0].expected == "none")


def shown(found: Interval | None) -> RateRatio | None:
    """Returns a rate ratio as the result shows it."""
    return RateRatio(estimate=found.estimate, low=found.low, high=found.high) if found else None


def _ratio(ratio: Ratio, found: RatioEffect | None) -> RatioEstimate:
    effect = _effect(ratio.per, found) if found else None
    return RatioEstimate(**ratio.model_dump(), effect=effect)


def _effect(per: float, found: RatioEffect) -> EffectOnRatio:
    difference = found.difference
    return EffectOnRatio(
        treated=per * found.treated, comparison=per * found.comparison, estimate=per * difference.estimate,
        low=per * difference.low, high=per * difference.high, se=per * found.se, rate_ratio=shown(found.ratio),
    )  # fmt: skip


def _falsification(outcome: Outcome, effect: Effect, people: float) -> Check:
    """Returns whether the groups differ, in standard deviations of the outcome beyond what covariates foretell."""
    sd = math.sqrt(effect.sampling * people)
    low, high = effect.low / sd, effect.high / sd
    return Check(
        name=f"falsification.{outcome.name}", title=f"No difference where none is expected: {outcome.title}",
        state=_state(low, high), value=round(effect.estimate / sd, 3), unit="standard deviations",
        rule=f"passed: the 95% interval ({low:.2f} to {high:.2f}) includes 0 and lies within {SMALL}; "
        "failed: it excludes 0",
        meaning="Help cannot have changed this. A difference here means that the groups differ in something that is "
        "not recorded, which may explain other differences too.",
    )  # fmt: skip


def _state(low: float, high: float) -> CheckState:
    if low > 0 or high < 0:
        return "failed"
    return "passed" if max(-low, high) < SMALL else "cannot tell"
