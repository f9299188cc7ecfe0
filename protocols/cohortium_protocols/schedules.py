"""Which rounds a plan needs: what comparators teach, then every estimate of the plan in one last round."""

from __future__ import annotations

from collections.abc import Iterator

from cohortium_protocols import doubly_robust, grouped, matched_pairs
from cohortium_protocols.doubly_robust import RATIO_SHARE, Budget, effects
from cohortium_protocols.estimates import Estimate, estimates
from cohortium_protocols.guarantee import times_one_node
from cohortium_protocols.plan import Plan
from cohortium_protocols.privacy.accounting import mu_from_epsilon
from cohortium_protocols.statistics import Parameter, RoundSpec, Schedule, VectorSpec

LAST = "outcome"
"""The name of the last round."""
_PAIRS = 0.7
"""Share of the headline's budget that pairs get of both accounts, for they are charged to both."""
_BALANCE = 0.25
"""Share of what comparators spend on a grouped headline, or a headline of pairs, that balance after it gets."""


def schedule(plan: Plan) -> Schedule:
    """Returns every vector that the plan would release, with dimension, bound, grid, noise and price.

    Raises:
        PlanError: an analysis has too many groups.
    """
    mu = mu_from_epsilon(plan.privacy.epsilon, plan.privacy.delta) if plan.privacy.noise else 0.0
    headline, *further = estimates(plan)
    main = mu * mu * headline.share
    clipped = any(effects(outcome) for outcome in plan.outcomes)
    budget = Budget(main, main, clipped)
    if headline.approach.method == "matched_pairs":
        shares = (Budget(1.0, 1.0, clipped).of(vector) for vector in ("treated_outcome", "comparator_outcome"))
        treated, comparators = (main * (1 - _PAIRS) / (1 - share) for share in shares)
        budget = Budget(treated, comparators, clipped)
    vectors = [*doubly_robust.groups(plan, budget), *_headline(plan, headline, main, budget)]
    for estimate in further:
        vectors += _vectors(plan, estimate, mu * mu * estimate.share, mu * mu * estimate.share)
    last = RoundSpec(LAST, tuple(vectors), tuple(_parameters(plan, (headline, *further))))
    rounds = (*doubly_robust.learning(plan, budget), last)
    return Schedule(rounds).for_people_at_several(times_one_node(plan))


def _headline(plan: Plan, headline: Estimate, main: float, budget: Budget) -> Iterator[VectorSpec]:
    treated, comparators = budget.of("treated_outcome"), budget.of("comparator_outcome")
    if headline.approach.method == "matched_pairs":
        treated = comparators = main * _PAIRS * (1 - _BALANCE)
        yield matched_pairs.balance_vector(plan, headline, main * _PAIRS * _BALANCE)
    elif grouped.is_grouped(headline):
        yield grouped.balance_vector(plan, headline, comparators * _BALANCE)
        comparators *= 1 - _BALANCE
    spent = 1 - RATIO_SHARE if plan.ratios else 1.0
    yield from _vectors(plan, headline, treated * spent, comparators * spent)
    yield from doubly_robust.ratio_vectors(plan, treated * RATIO_SHARE, comparators * RATIO_SHARE)


def _vectors(plan: Plan, estimate: Estimate, treated: float, comparators: float) -> tuple[VectorSpec, ...]:
    if estimate.approach.method == "matched_pairs":
        return matched_pairs.vectors(plan, estimate, treated)
    if grouped.is_grouped(estimate):
        return grouped.vectors(plan, estimate, treated, comparators)
    return doubly_robust.vectors(plan, estimate, treated, comparators)


def _parameters(plan: Plan, wanted: tuple[Estimate, ...]) -> Iterator[Parameter]:
    yield from doubly_robust.parameters(plan)
    for estimate in wanted:
        if estimate.approach.method == "matched_pairs":
            yield from matched_pairs.parameters(plan, estimate)
        elif grouped.is_grouped(estimate):
            yield from grouped.parameters(plan, estimate)
