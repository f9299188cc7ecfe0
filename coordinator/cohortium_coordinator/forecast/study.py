"""The forecast of a whole study: every figure that the planner shows, as one value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cohortium_coordinator.combine.diagnostics import together
from cohortium_coordinator.combine.rules import ALIKE
from cohortium_coordinator.forecast.doubt import smd_noise
from cohortium_coordinator.forecast.expectation import Expectation
from cohortium_coordinator.forecast.planned import Planned
from cohortium_coordinator.forecast.precision import Precision, precision
from cohortium_coordinator.forecast.verdict import (
    Verdict,
    detectable,
    helped_needed,
    outcome_verdict,
    published_share,
    study_verdict,
    yardstick,
)
from cohortium_protocols.errors import PlanError
from cohortium_protocols.estimates import Estimate, estimates
from cohortium_protocols.features import features
from cohortium_protocols.outcomes import Outcome
from cohortium_protocols.plan import Plan

EPSILONS = (0.5, 1.0, 2.0, 4.0)
"""The budgets that are held beside the plan's."""


@dataclass(frozen=True)
class OutcomeForecast:
    """One outcome's headline estimate; amounts in the outcome's unit per person.

    Attributes:
        name, title, unit, kind: the outcome's.
        primary: whether the study is judged by it.
        level: expected mean of people like those helped, without the help.
        level_assumed: whether that is Cohortium's guess, for the operator gave none.
        width: of the 95 % interval.
        width_by_chance: what the width would be without noise.
        noise_share: share of the squared width that noise adds.
        detectable: smallest effect found with 80 % power.
        detectable_part: the same as a part of what is expected (``verdict``).
        verdict: by the rule.
        helped_needed: people helped with whom it would be feasible; None when more people alone would not do.
    """

    name: str
    title: str
    unit: str
    kind: str
    primary: bool
    level: float
    level_assumed: bool
    width: float
    width_by_chance: float
    noise_share: float
    detectable: float
    detectable_part: float
    verdict: Verdict
    helped_needed: int | None


@dataclass(frozen=True)
class FurtherForecast:
    """One outcome by an analysis beside the headline; of subgroups, in one of so many groups alike in size."""

    key: str
    title: str
    outcome: str
    unit: str
    width: float
    detectable: float
    detectable_part: float


@dataclass(frozen=True)
class Alternative:
    """The first headline outcome under another budget, and the study's verdict there."""

    epsilon: float
    aggregation: str
    width: float
    detectable: float
    published_share: float
    verdict: Verdict


@dataclass(frozen=True)
class BalanceForecast:
    """How finely balance can be judged, in standardised mean differences (SMD).

    Attributes:
        noise: usual standard deviation of the noise in one.
        reach: by how much the interval of each reaches to either side, all together holding with 95 %.
        green: whether a covariate can be called alike: the reach is below the limit of 0.10.
    """

    noise: float
    reach: float
    green: bool


@dataclass(frozen=True)
class StudyForecast:
    """What a study can be expected to show.

    Attributes:
        study, title: the plan's.
        helped, comparators, nodes: how many are expected.
        overlap: see ``expectation.OVERLAP``.
        epsilon: None when the plan runs without noise.
        aggregation: how noise adds up.
        fewest: noisy count of people helped above which a headline is published.
        count_noise: standard deviation of the noise in that count, people.
        published_share: chance that the count is above.
        balance: how finely balance can be judged.
        outcomes: each outcome's headline estimate, in the plan's order.
        further: the analyses beside it, for headline outcomes.
        verdict: by the rule.
        helped_needed: see ``OutcomeForecast``, for all headline outcomes together.
        alternatives: other budgets, secure and local noise.
    """

    study: str
    title: str
    helped: int
    comparators: int
    nodes: int
    overlap: float
    epsilon: float | None
    aggregation: str
    fewest: float
    count_noise: float
    published_share: float
    balance: BalanceForecast
    outcomes: tuple[OutcomeForecast, ...]
    further: tuple[FurtherForecast, ...]
    verdict: Verdict
    helped_needed: int | None
    alternatives: tuple[Alternative, ...]

    @property
    def headlines(self) -> tuple[OutcomeForecast, ...]:
        """The outcomes that the study is judged by."""
        return tuple(outcome for outcome in self.outcomes if outcome.primary)


def study_forecast(plan: Plan, expected: Expectation) -> StudyForecast:
    """Returns what a plan's study can be expected to show.

    Args:
        plan: the study.
        expected: what the operator expects.

    Raises:
        PlanError: an analysis has too many groups.
    """
    planned = Planned(plan)
    return StudyForecast(
        study=plan.study, title=plan.title, helped=expected.helped, comparators=expected.comparators,
        nodes=len(plan.nodes.roster), overlap=expected.overlap,
        epsilon=plan.privacy.epsilon if plan.privacy.noise else None, aggregation=plan.privacy.aggregation,
        fewest=planned.fewest, count_noise=planned.count_sd,
        published_share=published_share(planned, expected.helped), balance=_balance(planned, expected),
        outcomes=tuple(_outcome(planned, expected, outcome) for outcome in plan.outcomes),
        further=tuple(_further(planned, expected)), verdict=study_verdict(planned, expected),
        helped_needed=helped_needed(planned, expected), alternatives=tuple(_alternatives(plan, expected)),
    )  # fmt: skip


def _balance(planned: Planned, expected: Expectation) -> BalanceForecast:
    noise = smd_noise(planned, expected)
    reach = together(len(features(planned.plan))) * noise
    return BalanceForecast(noise, reach, reach < ALIKE)


def _outcome(planned: Planned, expected: Expectation, outcome: Outcome) -> OutcomeForecast:
    size, found = outcome.clip - outcome.low, precision(planned, expected, estimates(planned.plan)[0], outcome)
    return OutcomeForecast(
        name=outcome.name, title=outcome.title, unit=outcome.unit, kind=outcome.kind, primary=outcome.primary,
        level=outcome.low + size * expected.level(outcome), level_assumed=outcome.name not in expected.levels,
        width=size * found.width, width_by_chance=size * found.width_by_chance,
        noise_share=1 - (found.width_by_chance / found.width) ** 2, detectable=size * detectable(found),
        detectable_part=detectable(found) / yardstick(expected, outcome),
        verdict=outcome_verdict(planned, expected, outcome),
        helped_needed=helped_needed(planned, expected, (outcome,)),
    )  # fmt: skip


def _further(planned: Planned, expected: Expectation) -> Iterator[FurtherForecast]:
    for estimate in estimates(planned.plan)[1:]:
        for outcome in planned.plan.outcomes:
            if outcome.primary:
                found = precision(planned, expected, estimate, outcome)
                yield _beside(expected, estimate, outcome, found)


def _beside(expected: Expectation, estimate: Estimate, outcome: Outcome, found: Precision) -> FurtherForecast:
    size, effect = outcome.clip - outcome.low, detectable(found)
    return FurtherForecast(
        estimate.key, estimate.title, outcome.name, outcome.unit, size * found.width, size * effect,
        effect / yardstick(expected, outcome),
    )  # fmt: skip


def _alternatives(plan: Plan, expected: Expectation) -> Iterator[Alternative]:
    """Yields the plan under other budgets; without secure sums where no rules serve the roster."""
    if not plan.privacy.noise:
        return
    for epsilon in EPSILONS:
        for aggregation in ("secure", "local"):
            privacy = plan.privacy.model_copy(update={"epsilon": epsilon, "aggregation": aggregation})
            try:
                planned = Planned(plan.model_copy(update={"privacy": privacy}))
            except PlanError:
                continue
            yield _alternative(planned, expected)


def _alternative(planned: Planned, expected: Expectation) -> Alternative:
    outcome = next(each for each in planned.plan.outcomes if each.primary)
    found, size = precision(planned, expected, estimates(planned.plan)[0], outcome), outcome.clip - outcome.low
    privacy = planned.plan.privacy
    return Alternative(
        privacy.epsilon, privacy.aggregation, size * found.width, size * detectable(found),
        published_share(planned, expected.helped), study_verdict(planned, expected),
    )  # fmt: skip
