"""The plan's analyses beside the headline, and what the headline is an estimate of, as the result shows them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from cohortium_coordinator.combine.diagnostics import Findings
from cohortium_coordinator.combine.estimate import Effect
from cohortium_coordinator.combine.found import Found
from cohortium_coordinator.combine.ratio import rate_ratio
from cohortium_coordinator.combine.ratio_statement import shown
from cohortium_coordinator.result import FurtherEstimate, NodeStatus, PooledEffect
from cohortium_protocols.plan import Outcome, Plan
from cohortium_protocols.plan_analysis import Approach

_NAMED = 5
"""So many groups without comparators are named in a sentence."""


def further_estimates(findings: Findings) -> tuple[FurtherEstimate, ...]:
    """Returns every estimate beside the headline, in the plan's order."""
    return tuple(map(_further, findings.further))


def limits(outcome: Outcome, effect: Effect) -> tuple[float, float]:
    """Returns the interval in the outcome's unit; nobody's outcome can change by more than its whole range."""
    size = outcome.clip - outcome.low
    return size * min(max(effect.low, -1.0), 1.0), size * min(max(effect.high, -1.0), 1.0)


def _further(found: Found) -> FurtherEstimate:
    estimate, effect = found.estimate, found.effect
    return FurtherEstimate(
        key=estimate.key, title=estimate.title, role="sensitivity" if estimate.by is None else "subgroup",
        method=estimate.approach.method, comparison=estimate.approach.comparison, outcome=found.outcome.name,
        group=found.group, n_treated=found.people, effect=effect and _effect(found.outcome, effect),
        rate_ratio=shown(rate_ratio(found.part)) if found.part else None,
        noise_share=effect and min(effect.noise / effect.variance, 1.0), alone=found.alone,
    )  # fmt: skip


def _effect(outcome: Outcome, effect: Effect) -> PooledEffect:
    size, (low, high) = outcome.clip - outcome.low, limits(outcome, effect)
    return PooledEffect(
        estimate=size * effect.estimate, se=size * math.sqrt(effect.variance), low=low, high=high
    )


def estimand(
    plan: Plan, nodes: Sequence[NodeStatus], alone: Sequence[str], matched: float | None = None
) -> str:
    """Returns in one or two sentences what the headline is an estimate of.

    Args:
        plan: whose.
        nodes: what became of each data holder.
        alone: groups of the headline in which nobody could be compared.
        matched: of pairs, the noisy share of the people helped who were matched.
    """
    answered = sum(node.status == "answered" for node in nodes)
    holders = f"{answered} data holder{'s' * (answered != 1)}"
    share = "" if matched is None else f", about {min(matched, 1.0):.0%} of them"
    pairs = plan.analysis.method == "matched_pairs"
    who = f"for whom a match was found (matched people only{share})" if pairs else "who could be analysed (ATT)"
    sentence = (
        f"The average effect on the people helped {who}, on outcomes counted for each person up to a limit, compared "
        f"with {_compared_with(plan.analysis, holders)}."
    )
    return f"{sentence} {nobody_comparable(alone)}" if alone else sentence


def nobody_comparable(alone: Sequence[str]) -> str:
    """Returns where nobody could be compared, and who stood in."""
    more = f" and {len(alone) - _NAMED} more" if len(alone) > _NAMED else ""
    return f"Nobody comparable at {'; '.join(alone[:_NAMED])}{more}: comparators of all data holders stood in."


def _compared_with(approach: Approach, holders: str) -> str:
    alike = f", alike in {' and '.join(approach.exact)}," if approach.exact else ""
    whose = f"of the same data holder ({holders})" if approach.comparison == "within_node" else f"of {holders}"
    match approach.method:
        case "matched_pairs":
            most = "the most similar person" if approach.ratio == 1 else f"the {approach.ratio} most similar people"
            return f"{most} {whose}{alike} who {'was' if approach.ratio == 1 else 'were'} not helped"
        case "strata":
            strata = f"of the same expected outcome ({approach.strata} strata)"
            return f"weighted people {whose}{alike} {strata} who were not helped"
        case _:
            return f"weighted people {whose}{alike} who were not helped"
