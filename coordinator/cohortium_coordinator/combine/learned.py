"""What the rounds so far taught: the profile, the weights, every outcome's model and clip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

from cohortium_coordinator.combine.estimate import Weighted, read_weights, sampling_variance
from cohortium_coordinator.combine.fitted import Fitted
from cohortium_coordinator.combine.levels import levels
from cohortium_coordinator.combine.outcome_model import OutcomeModel, curvature, plain_curvature, start, stepped
from cohortium_coordinator.combine.profile import Means, Profile, means, pooled, read_profile
from cohortium_coordinator.combine.residual_clip import UNCLIPPED, Price, ResidualClip, choose, corrected
from cohortium_coordinator.combine.sums import Answers, NoisySum, national_sums
from cohortium_coordinator.combine.tilt import Tilt, first_tilt, retilted
from cohortium_protocols.doubly_robust import CLIPS, COUNT_SCALE, EARLY_ROUNDS, LEVELS, MODEL_ROUNDS, effects
from cohortium_protocols.estimates import split_name
from cohortium_protocols.plan import Outcome, Plan
from cohortium_protocols.schedules import LAST
from cohortium_protocols.statistics import Schedule

Sums = Mapping[str, NoisySum]
_MODELS = tuple(f"model_{index + 1}" for index in range(len(MODEL_ROUNDS)))
_EARLY = _MODELS[:EARLY_ROUNDS]


class Learned:
    """What the answers so far say, worked out on demand.

    Args:
        plan: whose.
        schedule: of the plan.
        answers: of every round before the one to be asked.
        before: the round to be asked; None when all have been.
    """

    def __init__(self, plan: Plan, schedule: Schedule, answers: Answers, before: str | None) -> None:
        rounds = tuple(spec.name for spec in schedule.rounds)
        self.plan = plan
        self.schedule = schedule
        self.done = rounds if before is None else rounds[: rounds.index(before)]
        self._sums = {name: national_sums(schedule.round(name), answers[name]) for name in self.done}
        self._answers = answers
        if self.done:
            self.profile: Profile = read_profile(self.sums("profile"))
            self.tilt = self._tilt()
            self.early = [self._early_model(k) for k in range(len(self.plan.outcomes))]
            self.models = [self._late_model(k) for k in range(len(self.plan.outcomes))]

    def sums(self, round_name: str) -> Sums:
        """Returns the national sums of a round that has ended."""
        return self._sums[round_name]

    def parameter(self, name: str) -> Any:
        """Returns one of the parameters that do not belong to a single estimate."""
        if name == "beta":
            return [model.beta.tolist() for model in self.models]
        if name == "levels":
            return [levels(model, self.profile, LEVELS).tolist() for model in self.models]
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
            released, plain = sums.get(f"curvature.{outcome.name}"), plain_curvature(model, self.profile)
            curved = curvature(released, plain) if released else plain
            model = stepped(model, sums[f"score.{outcome.name}"], curved, people)
        return model

    def _tilt(self) -> Tilt:
        tilt = first_tilt(self.profile)
        for sums in (self.sums(name) for name in _MODELS if name in self.done):
            tilt = retilted(tilt, sums["weighted_profile"], sums["weighted_moments"], self.profile)
        return tilt

    def clip(self, k: int) -> ResidualClip:
        """Returns the residual clip of an outcome, chosen for what sampling and noise will cost; a first one before."""
        outcome, model = self.plan.outcomes[k], self.early[k]
        if not effects(outcome) or "residuals" not in self.done:
            return ResidualClip(model.clip, 1.0, 0.0, 0.0) if model.clip < 1.0 else UNCLIPPED
        released = self.sums("residuals")[f"pass_through.{outcome.name}"]
        people, price = self.profile.comparators.n, self._price(outcome)
        return choose(outcome, released, people=people, level=model.usual, price=price)

    def _price(self, outcome: Outcome) -> Price:
        """Returns what sampling, and the noise of the last round, will cost the estimate of an outcome.

        It is worked out for the nodes that answered the round of the residuals, so that a node lost later does not
        change a clip that others use already.
        """
        released, n = self._answers["residuals"], self.profile.treated.n
        alike = self.profile.comparators.n / self.tilt.largest
        sizes = {"treated": n, "comparator": alike, "matched": n * self.plan.analysis.ratio}
        headline = (
            vector for vector in self.schedule.round(LAST).vectors if split_name(vector.name)[1:] == ("", outcome.name)
        )
        noise = sum(released.noise(vector) / (vector.grid * sizes[vector.block]) ** 2 for vector in headline)
        return Price(1 / n + 2 / alike, noise)

    def residual_square(self, k: int, clip: float = 1.0) -> float:
        """Returns the comparators' mean squared residual, clipped at one of ``CLIPS``, in units of y squared."""
        outcome, model = self.plan.outcomes[k], self.models[k]
        if outcome.kind == "number":
            return model.spread**2
        if not effects(outcome):
            return model.usual * (1 - model.usual)
        squares = self.sums("residuals")[f"pass_through.{outcome.name}"].values[-len(CLIPS) :]
        return max(float(squares[CLIPS.index(clip)]) / self.profile.comparators.n, 1e-6)

    def corrected(self, k: int) -> ResidualClip:
        """Returns an outcome's residual clip, with the pass-through among people who expect as much as those helped."""
        outcome, clip = self.plan.outcomes[k], self.clip(k)
        if not effects(outcome) or clip.clip == 1.0:
            return clip
        return corrected(clip, outcome, self.sums("levels")[f"seen.{outcome.name}"])

    def fitted(self, k: int) -> Fitted:
        """Returns an outcome's model, clip and their uncertainty."""
        model, profile = self.models[k], self.profile
        sampling = sampling_variance(model, profile, self.residual_square(k))
        level = model.moved(model.level, profile.treated.mean - profile.comparators.mean)
        return Fitted(self.plan.outcomes[k], model, self.corrected(k), sampling, profile.covariance,
                      float(model.link.slope(level)), self.tilt.pull)  # fmt: skip

    @property
    def spreads(self) -> tuple[float | None, ...]:
        """About the standard deviation of each measured amount, in units of y; None for what is counted."""
        pairs = zip(self.plan.outcomes, self.models, strict=True)
        return tuple(model.spread if outcome.kind == "number" else None for outcome, model in pairs)

    @cached_property
    def lost(self) -> tuple[str, ...]:
        """The nodes whose people are in the first round's profile and not in the last round."""
        first, last = self._answers["profile"].of(self._answers[LAST].nodes), self._answers[LAST]
        return tuple(node for node in first.nodes if node not in last.nodes)

    @cached_property
    def opening(self) -> Sums:
        """The first round's sums over the last round's nodes, as far as they can be told apart."""
        first = self._answers["profile"].of(self._answers[LAST].nodes)
        return national_sums(self.schedule.round("profile"), first)

    @cached_property
    def second(self) -> Means:
        """The last round's own count and profile of the people helped."""
        return means(self.sums(LAST)["treated_balance"], COUNT_SCALE)

    @cached_property
    def best(self) -> Means:
        """The best reading of the helped people's features.

        When a secure sum lost nodes between the first round and the last, the two readings are of different people:
        they are not pooled.
        """
        return self.second if self.lost else pooled(read_profile(self.opening).treated, self.second)

    @cached_property
    def weighted(self) -> Weighted:
        """The weighted comparators."""
        return read_weights(self.sums(LAST)["comparator_weights"])
