"""What an estimator finds: effects, and the groups they rest on; one value for every way of comparing people."""

from __future__ import annotations

from dataclasses import dataclass

from cohortium_coordinator.combine.estimate import Effect, Weighted
from cohortium_coordinator.combine.part import Part
from cohortium_coordinator.combine.profile import Means
from cohortium_coordinator.combine.residual_clip import ResidualClip
from cohortium_protocols.estimates import Estimate
from cohortium_protocols.plan import Outcome


@dataclass(frozen=True)
class Found:
    """One outcome's effect by one estimate, in all people helped or in one group of them.

    Attributes:
        estimate: which of the plan's estimates.
        group: of a subgroup estimate, the category's level; empty otherwise.
        outcome: which outcome.
        part: what is said of it; None where there were too few people to tell.
        people: noisy number of people helped that it is about.
        alone: labels of groups in which nobody could be compared, so that comparators of all groups stood in.
    """

    estimate: Estimate
    group: str
    outcome: Outcome
    part: Part | None
    people: float
    alone: tuple[str, ...] = ()

    @property
    def effect(self) -> Effect | None:
        """The effect; None where there were too few people to tell."""
        return self.part.effect if self.part else None


@dataclass(frozen=True)
class Headline:
    """The headline, and whom it is about.

    Attributes:
        found: the effects, in the order of the plan's outcomes.
        weighted: the comparators.
        helped: the people helped.
        clips: each outcome's residual clip.
        matched: of pairs, the share of the people helped who were matched.
    """

    found: tuple[Found, ...]
    weighted: Weighted
    helped: Means
    clips: list[ResidualClip]
    matched: float | None = None

    @property
    def parts(self) -> list[Part]:
        """What is said of every outcome; a headline leaves none out."""
        return [each.part for each in self.found if each.part is not None]

    @property
    def effects(self) -> list[Effect]:
        """The effects, in the same order."""
        return [part.effect for part in self.parts]
