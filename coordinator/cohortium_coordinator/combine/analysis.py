"""The doubly robust analysis from the coordinator's side: what to ask next, and what came of it.

Everything is a pure function of the released integers, so that a restarted coordinator, or anybody else who holds the
answers, comes to the same requests and the same result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from scipy.special import expit

from cohortium_coordinator.combine.by_node import Nation, heterogeneity
from cohortium_coordinator.combine.diagnostics import Findings
from cohortium_coordinator.combine.estimate import Effect, Weighted, read_weights, sampling_variance
from cohortium_coordinator.combine.fitted import Fitted
from cohortium_coordinator.combine.outcome_model import OutcomeModel, plain_curvature, start, stepped
from cohortium_coordinator.combine.profile import Means, Profile, means, pooled, read_profile
from cohortium_coordinator.combine.recalibration import knots, offsets
from cohortium_coordinator.combine.residual_clip import UNCLIPPED, Price, ResidualClip, choose
from cohortium_coordinator.combine.statement import study_result
from cohortium_coordinator.combine.sums import Answers, NoisySum, national_sums
from cohortium_coordinator.combine.tilt import Tilt, first_tilt, retilted
from cohortium_coordinator.result import NodeStatus, StudyResult
from cohortium_protocols.doubly_robust import CLIPS, COUNT_SCALE, EARLY_ROUNDS, KNOTS, MODEL_ROUNDS, effects
from cohortium_protocols.plan import Outcome, Plan
from cohortium_protocols.schedules import schedule

Sums = Mapping[str, NoisySum]
_MODELS = tuple(f"model_{index + 1}" for index in range(len(MODEL_ROUNDS)))
_EARLY = _MODELS[:EARLY_ROUNDS]


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
        known = _Known(self, answers, before=round_name)
        return {parameter.name: known.parameter(parameter.name) for parameter in wanted}

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
        known = _Known(self, answers, before=None)
        findings = known.findings()
        return study_result(self.plan, self.schedule, findings, created=created, nodes=nodes,
                            bounds_from_data=bounds_from_data, truth=truth)  # fmt: skip


class _Known:
    """What the answers so far say, worked out on demand."""

    def __init__(self, analysis: Analysis, answers: Answers, before: str | None) -> None:
        rounds = analysis.rounds
        self.analysis = analysis
        self.plan = analysis.plan
        self.done = rounds if before is None else rounds[: rounds.index(before)]
        self._sums = {name: national_sums(analysis.schedule.round(name), answers[name]) for name in self.done}
        self._answers = answers
        if self.done:
            self.profile: Profile = read_profile(self.sums("profile"))
            self.tilt = self._tilt()
            self.early = [self._early_model(k) for k in range(len(self.plan.outcomes))]
            self.models = [self._late_model(k) for k in range(len(self.plan.outcomes))]

    def sums(self, round_name: str) -> Sums:
        return self._sums[round_name]

    def parameter(self, name: str) -> Any:
        if name == "beta":
            return [model.beta.tolist() for model in self.models]
        if name == "knots":
            return [knots(model, self.profile).tolist() for model in self.models]
        if name == "offsets":
            return [self._offsets(outcome) for outcome in self.plan.outcomes]
        if name == "clip":
            return [self.clip(k).clip for k in range(len(self.models))]
        return self.tilt.tilt.tolist() if name == "tilt" else self.tilt.log_scale

    def _early_model(self, k: int) -> OutcomeModel:
        outcome = self.plan.outcomes[k]
        levels = self.sums("profile")[f"comparator_levels.{outcome.name}"]
        return self._steps(k, start(outcome, levels, self.profile), _EARLY)

    def _late_model(self, k: int) -> OutcomeModel:
        clip = self.clip(k)
        model = replace(self.early[k], clip=clip.clip, seen=clip.pass_through)
        return self._steps(k, model, _MODELS[EARLY_ROUNDS:])

    def _steps(self, k: int, model: OutcomeModel, rounds: tuple[str, ...]) -> OutcomeModel:
        outcome, people = self.plan.outcomes[k], self.profile.comparators.n
        for sums in (self.sums(name) for name in rounds if name in self.done):
            curvature = sums.get(f"curvature.{outcome.name}") or plain_curvature(model, self.profile)
            model = stepped(model, sums[f"score.{outcome.name}"], curvature, people)
        return model

    def _tilt(self) -> Tilt:
        tilt = first_tilt(self.profile)
        for sums in (self.sums(name) for name in _MODELS if name in self.done):
            tilt = retilted(tilt, sums["weighted_profile"], sums["weighted_moments"], self.profile)
        return tilt

    def clip(self, k: int) -> ResidualClip:
        """Returns the residual clip of an outcome, chosen for what sampling and noise will cost; none before that."""
        outcome, model = self.plan.outcomes[k], self.early[k]
        if not effects(outcome):
            return ResidualClip(model.clip, 1.0, 0.0, 0.0) if self.plan.privacy.noise else UNCLIPPED
        if "residuals" not in self.done:
            return UNCLIPPED
        released = self.sums("residuals")[f"pass_through.{outcome.name}"]
        level = float(expit(model.beta[0]))
        return choose(outcome, released, people=self.profile.comparators.n, level=level, price=self._price(outcome))

    def _offsets(self, outcome: Outcome) -> list[float]:
        if not effects(outcome):
            return [0.0] * KNOTS
        return [float(each) for each in offsets(self.sums("recalibration")[f"residual_means.{outcome.name}"])]

    def _price(self, outcome: Outcome) -> Price:
        """Returns what sampling, and the noise of the last round, will cost the estimate of an outcome.

        It is worked out for the nodes that answered the round of the residuals, so that a node lost later does not
        change a clip that others use already.
        """
        released = self._answers["residuals"]
        last, comparators = self.analysis.schedule.round("outcome"), self.profile.comparators.n
        sizes = {
            "treated_outcome": self.profile.treated.n,
            "comparator_outcome": comparators / self.tilt.largest,
        }
        vectors = ((last.vector(f"{family}.{outcome.name}"), size) for family, size in sizes.items())
        noise = sum(released.noise(vector) / (vector.grid * size) ** 2 for vector, size in vectors)
        return Price(1 / self.profile.treated.n + 2 * self.tilt.largest / comparators, noise)

    def _residual_square(self, k: int) -> float:
        """Returns the comparators' mean squared residual."""
        outcome, model = self.plan.outcomes[k], self.models[k]
        if not effects(outcome):
            return model.spread**2
        squares = self.sums("residuals")[f"pass_through.{outcome.name}"].values[-len(CLIPS) :]
        return max(float(squares[-1]) / self.profile.comparators.n, 1e-6)

    def findings(self) -> Findings:
        """Returns everything that the report is made from, about the nodes of the last round.

        When a secure sum lost nodes between the first round and the last, its profile and attrition stay those of the
        first round's nodes, and the two readings of the people helped are of different people: they are not pooled.
        """
        first, last = self._answers["profile"], self._answers["outcome"]
        first = first.of(last.nodes)
        opening, closing = national_sums(self.analysis.schedule.round("profile"), first), self.sums("outcome")
        profile, lost = read_profile(opening), tuple(node for node in first.nodes if node not in last.nodes)
        second = means(closing["treated_balance"], COUNT_SCALE)
        weighted = read_weights(closing["comparator_weights"])
        best = second if lost else pooled(profile.treated, second)
        fitted = [self._fitted(k) for k in range(len(self.plan.outcomes))]
        effects = [self._effect(each, best, second, weighted) for each in fitted]
        by_node = heterogeneity(self.analysis.schedule, first, last, Nation(fitted, effects, best, weighted, closing))
        clips = [each.clip for each in fitted]
        return Findings(profile, second, weighted, effects, clips, opening["attrition"], lost, by_node)

    def _fitted(self, k: int) -> Fitted:
        sampling = sampling_variance(self.models[k], self.profile, self._residual_square(k))
        return Fitted(self.plan.outcomes[k], self.models[k], self.clip(k), sampling)

    def _effect(self, fitted: Fitted, best: Means, second: Means, weighted: Weighted) -> Effect:
        sums, name = self.sums("outcome"), fitted.outcome.name
        treated, comparators = sums[f"treated_outcome.{name}"], sums[f"comparator_outcome.{name}"]
        return fitted.effect(treated, comparators, best=best, count=second, weighted=weighted)
