"""A plan's analysis from the coordinator's side: what to ask next, and what came of it.

Everything is a pure function of the released integers, so that a restarted coordinator, or anybody else who holds the
answers, comes to the same requests and the same result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cohortium_coordinator.combine import grouped, pairs
from cohortium_coordinator.combine.by_node import Nation, heterogeneity
from cohortium_coordinator.combine.diagnostics import Findings
from cohortium_coordinator.combine.found import Found, Headline
from cohortium_coordinator.combine.learned import Learned
from cohortium_coordinator.combine.part import weighted_part
from cohortium_coordinator.combine.profile import read_profile
from cohortium_coordinator.combine.ratio import Products, Ratios, all_ratios
from cohortium_coordinator.combine.statement import study_result
from cohortium_coordinator.combine.sums import Answers
from cohortium_coordinator.result import Heterogeneity, NodeStatus, StudyResult
from cohortium_protocols.estimates import Estimate, estimates, split_name
from cohortium_protocols.grouped import is_grouped
from cohortium_protocols.plan import Plan
from cohortium_protocols.schedules import LAST, schedule


class Analysis:
    """One plan's analysis."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.schedule = schedule(plan)

    @property
    def rounds(self) -> tuple[str, ...]:
        """The names of the rounds, in order."""
        return tuple(spec.name for spec in self.schedule.rounds)

    def parameters(self, round_name: str, answers: Answers) -> dict[str, Any]:
        """Returns the numbers that the round's request carries, from the answers of the rounds before it."""
        wanted = self.schedule.round(round_name).parameters
        learned = Learned(self.plan, self.schedule, answers, before=round_name)
        return {parameter.name: self._parameter(learned, parameter.name) for parameter in wanted}

    def _parameter(self, learned: Learned, name: str) -> Any:
        family, key, _ = split_name(name)
        estimate = next(each for each in estimates(self.plan) if each.key == key)
        if family == "edges":
            return grouped.edges(learned, estimate)
        if family == "caliper":
            return pairs.calipers(learned, estimate)
        return pairs.bands(learned) if family == "bands" else learned.parameter(name)

    def result(
        self,
        answers: Answers,
        *,
        created: str,
        nodes: tuple[NodeStatus, ...],
        bounds_from_data: bool = False,
        truth: Mapping[str, float] | None = None,
    ) -> StudyResult:
        """Returns the study's result from the answers of every round.

        A round's answers are those that its successor's parameters were worked out from. When nodes were lost on the
        way, models keep what those nodes taught, and everything estimated is of the last round's nodes alone.

        Args:
            answers: every round's.
            created: ISO date and time of the report.
            nodes: what became of each node.
            bounds_from_data: whether bounds were read from the data, so that nothing here is private.
            truth: the true effects, in simulations.
        """
        findings = self.findings(Learned(self.plan, self.schedule, answers, before=None), answers)
        return study_result(self.plan, self.schedule, findings, created=created, nodes=nodes,
                            bounds_from_data=bounds_from_data, truth=truth)  # fmt: skip

    def findings(self, learned: Learned, answers: Answers) -> Findings:
        """Returns everything that the report is made from, about the nodes of the last round."""
        first, *further = estimates(self.plan)
        headline = _headline(learned, first)
        return Findings(
            read_profile(learned.opening), headline.helped, headline.weighted, headline.effects, headline.clips,
            learned.opening["attrition"], learned.lost, self._by_node(learned, headline, answers),
            tuple(each for estimate in further for each in _found(learned, estimate)),
            headline.found[0].alone, self._ratios(learned, headline), learned.spreads, headline.matched,
        )  # fmt: skip

    def _by_node(
        self, learned: Learned, headline: Headline, answers: Answers
    ) -> tuple[Heterogeneity, ...] | None:
        first, last = answers["profile"].of(answers[LAST].nodes), answers[LAST]
        if headline.found[0].estimate.approach.method != "doubly_robust" or is_grouped(headline.found[0].estimate):
            return None
        fitted = [learned.fitted(k) for k in range(len(self.plan.outcomes))]
        nation = Nation(fitted, headline.effects, learned.best, learned.weighted, learned.sums(LAST))
        return heterogeneity(self.schedule, first, last, nation)

    def _ratios(self, learned: Learned, headline: Headline) -> Ratios:
        sums = learned.sums(LAST)
        products = {
            ratio.name: Products(sums[f"treated_product.{ratio.name}"], sums[f"comparator_product.{ratio.name}"],
                                 learned.second.n, learned.weighted)
            for ratio in self.plan.ratios
        }  # fmt: skip
        return all_ratios(self.plan, headline.parts, products)


def _headline(learned: Learned, estimate: Estimate) -> Headline:
    if estimate.approach.method == "matched_pairs":
        return pairs.headline(learned, estimate)
    weighted = grouped.compared_with(learned, estimate) if is_grouped(estimate) else learned.weighted
    clips = [learned.corrected(k) for k in range(len(learned.plan.outcomes))]
    return Headline(tuple(_found(learned, estimate)), weighted, learned.second, clips)


def _found(learned: Learned, estimate: Estimate) -> Iterator[Found]:
    if is_grouped(estimate) or estimate.approach.method == "matched_pairs":
        yield from (grouped if is_grouped(estimate) else pairs).found(learned, estimate)
        return
    sums = learned.sums(LAST)
    for k, outcome in enumerate(learned.plan.outcomes):
        treated, comparators = (
            sums[estimate.name(family, outcome.name)] for family in ("treated_outcome", "comparator_outcome")
        )
        part = weighted_part(learned.fitted(k), treated, comparators, best=learned.best, count=learned.second,
                             weighted=learned.weighted)  # fmt: skip
        yield Found(estimate, "", outcome, part, learned.second.n)
