"""The result of a study merged with those of late groups of data holders: frozen values, as `result` is for one study.

All amounts are on the outcome's own unit per person. Every group's estimate stays a separate one: nothing was added up
anew, and nothing left a data holder for it.
"""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, Field

from cohortium_coordinator.result import Limits, NonNegative, OutcomeEffect, PooledEffect, Share, Value


class MergedGroup(Value):
    """One of the studies merged: the first one, or a late one that completes it."""

    study: str
    plan_digest: str
    created: AwareDatetime
    nodes: tuple[str, ...] = Field(description="data holders whose people are in its estimates")
    aggregation: Literal["local", "secure"]
    noise: bool
    epsilon: NonNegative | None = Field(description="presence; None exactly when noise was off")
    delta: Share | None


class GroupEffect(Value):
    """The effect on one outcome in one group, as its own report has it."""

    study: str
    n_treated: float = Field(description="noisy number helped who were analysed")
    effect: PooledEffect = Field(description="the standard error holds the privacy noise")
    noise_share: Share = Field(description="share of the variance that is privacy noise")
    weight: Share = Field(description="what the group counts for in the merged estimate")
    without: PooledEffect | None = Field(description="the merged estimate of all the others; None for two groups")


class EffectsDiffer(Value):
    """The groups' mean effect where effects may differ from group to group; it takes three groups."""

    random: PooledEffect = Field(description="tau squared by Paule and Mandel, interval by Hartung and Knapp")
    dersimonian_laird: PooledEffect = Field(description="tau squared by DerSimonian and Laird, plain interval")
    tau2: NonNegative = Field(description="variance between groups' effects (Paule and Mandel)")
    tau2_dersimonian_laird: NonNegative
    prediction: Limits = Field(description="95%: the effect in another group")


class MergedOutcome(OutcomeEffect):
    """The effect on one outcome in all groups together: the mean of their estimates, weighted by inverse variance."""

    groups: tuple[GroupEffect, ...] = Field(description="the first study's, then the late ones'")
    q: NonNegative = Field(description="Cochran's Q")
    q_p_value: Share
    i2: Share = Field(description="share of the variation between estimates that is not chance or noise")
    differing: EffectsDiffer | None = Field(description="None for two groups: they cannot tell how much effects differ")


class MergedResult(Value):
    """A study and the late groups that complete it."""

    format: Literal[1] = 1
    study: str = Field(description="the first study")
    title: str
    question: str
    created: AwareDatetime = Field(description="when the last of the results was made")
    groups: tuple[MergedGroup, ...] = Field(description="the first study, then the late ones")
    also_in_earlier_rounds: tuple[str, ...] = Field(
        description="late data holders that were lost on the way from another group's secure sums: the first rounds of "
        "that group, which set up its comparison, count their people too"
    )
    outcomes: tuple[MergedOutcome, ...] = Field(description="the findings, primary ones first")

    @property
    def headlines(self) -> tuple[MergedOutcome, ...]:
        """The primary outcomes, or all when none is primary."""
        return tuple(outcome for outcome in self.outcomes if outcome.primary) or self.outcomes

    @property
    def private(self) -> bool:
        """Whether every group's figures carry noise."""
        return all(group.noise for group in self.groups)
