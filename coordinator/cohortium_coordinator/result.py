"""A study's result: frozen values, the one seam between the estimator and everything that shows it.

All amounts are on the outcome's own unit **per person**, on the clipped outcome; the page also shows them per
100 people. Counts are noisy (they were released by nodes) and may be fractional or negative: how a count may
be shown is decided by `report.disclosure`, not here. A figure that no release supports has no field.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(ge=0, le=1)]
NonNegative = Annotated[float, Field(ge=0)]
Kind = Literal["count", "binary", "days", "share", "number"]
Better = Literal["lower", "higher", "neither"]
BalanceState = Literal["green", "red", "cannot tell"]
CheckState = Literal["passed", "failed", "cannot tell", "informational"]
NodeState = Literal["answered", "offline", "refused", "over budget"]


class _Value(BaseModel):
    """Frozen, closed to unknown fields, and finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class _Interval(_Value):
    """Anything with a lower and an upper limit of a 95% interval."""

    low: float
    high: float

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low ({self.low}) is above high ({self.high})")
        return self


class NodeStatus(_Value):
    """What became of one data holder in this study."""

    name: str
    status: NodeState
    rounds_answered: int = Field(ge=0)


class OutcomeEstimate(_Interval):
    """The effect on one outcome for the people helped (ATT), per person."""

    name: str
    title: str
    unit: str = Field(description="plural noun: attendances, admissions, days, people, kg")
    better: Better = Field(description="the direction that is hoped for")
    kind: Kind
    primary: bool
    clip_low: float
    clip_high: float
    n_treated: float = Field(description="noisy number helped who were analysed")
    n_compared: float = Field(description="noisy effective number compared, after weighting")
    treated_mean: float
    comparison_mean: float
    estimate: float = Field(description="treated minus comparison; low and high are its 95% interval")
    se: NonNegative
    p_value: Share
    significant: bool = Field(description="true exactly when the interval excludes 0")
    noise_share: Share = Field(description="share of the variance (se squared) that is privacy noise")
    pass_through: float = Field(gt=0, description="kappa: share of an effect that survives the residual clip")
    residual_clip: NonNegative = Field(description="largest residual kept, on the outcome's unit per person")
    clipped_share: Share | None = Field(description="noisy share of people helped whose residual was clipped")
    people_needed: int | None = Field(
        default=None, gt=0, description="people helped that would be needed to tell the direction"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.significant != (self.low > 0 or self.high < 0):
            interval = f"{self.low} to {self.high}"
            raise ValueError(f"significant is {self.significant}, but the interval is {interval}")
        return self


class BalanceRow(_Interval):
    """How alike the groups are on one covariate; low and high are the interval of `smd_after`."""

    covariate: str
    title: str
    smd_before: float
    smd_after: float
    state: BalanceState
    mandatory: bool


class ProfileRow(_Value):
    """One covariate's mean in each group; a `unit` of "share" marks a share, 0 to 1, "typical" a mean of roots."""

    covariate: str
    title: str
    treated: float
    comparison_before: float
    comparison_after: float
    unit: str


class AttritionStep(_Interval):
    """Noisy number of submitted rows that ended at this step; `count` is None when it was not released."""

    name: str
    label: str
    count: float | None


class Attrition(_Value):
    """From the rows submitted to the people analysed. The step named "analysed" is the end of the road."""

    submitted: int | None = Field(ge=0, description="rows the provider says it submitted")
    steps: tuple[AttritionStep, ...]


class Check(_Value):
    """A diagnostic as a value: the figure, the rule it was held against, what follows."""

    name: str
    title: str
    state: CheckState
    value: float | None
    rule: str
    meaning: str
    unit: str = Field(default="", description='"people" marks a count: it is shown by the disclosure rules')


class Release(_Value):
    """One vector that left the nodes, and what it cost."""

    round: str
    vector: str
    block: str
    figures: str = Field(description="which figures of the report it supports")
    values: int = Field(gt=0, description="how many numbers it holds")
    mu2: NonNegative
    share: Share = Field(description="share of its block's mu squared")


class PrivacyStatement(_Value):
    """The guarantee that was spent. Its figures are None exactly when noise was off."""

    noise: bool
    bounds_from_data: bool
    epsilon: NonNegative | None = Field(description="presence: is a person in the data")
    delta: Share | None
    mu: NonNegative | None
    epsilon_membership: NonNegative | None = Field(description="was a registered person helped or not")
    epsilon_known_member: NonNegative | None = Field(description="outcomes of a person known to be helped")
    aggregation: Literal["local", "secure"]
    epsilon_if_all_others_collude: NonNegative | None = Field(
        default=None, description="presence, should every other data holder work with the operator; secure only"
    )
    releases: tuple[Release, ...]

    @model_validator(mode="after")
    def _guarantee_iff_noise(self) -> Self:
        figures = (self.epsilon, self.delta, self.mu, self.epsilon_membership, self.epsilon_known_member)
        if any((figure is not None) != self.noise for figure in figures):
            raise ValueError("epsilon, delta and mu are given exactly when noise is on")
        shared = self.noise and self.aggregation == "secure"
        if (self.epsilon_if_all_others_collude is not None) != shared:
            raise ValueError("epsilon_if_all_others_collude is given exactly when noise is shared")
        return self


class StudyResult(_Value):
    """Everything that is known, and may be said, about one finished study."""

    format: Literal[1] = 1
    study: str
    title: str
    question: str
    created: AwareDatetime
    plan_digest: str
    nodes: tuple[NodeStatus, ...]
    method: str
    comparison: str
    estimand: str = Field(description="one sentence")
    published: bool = Field(description="false: the outcomes are kept for the record and are not a result")
    not_published_because: str | None = None
    outcomes: tuple[OutcomeEstimate, ...]
    balance: tuple[BalanceRow, ...]
    profile: tuple[ProfileRow, ...]
    attrition: Attrition
    checks: tuple[Check, ...]
    privacy: PrivacyStatement
    truth: Mapping[str, float] | None = Field(
        default=None, description="simulations only: outcome name to the true effect, per person"
    )

    @model_validator(mode="after")
    def _reasoned(self) -> Self:
        if self.published == bool(self.not_published_because):
            raise ValueError("not_published_because is given exactly when published is false")
        return self

    @property
    def headlines(self) -> tuple[OutcomeEstimate, ...]:
        """The primary outcomes, or all of them when none is primary."""
        return tuple(outcome for outcome in self.outcomes if outcome.primary) or self.outcomes

    @property
    def ordered_outcomes(self) -> tuple[OutcomeEstimate, ...]:
        """Primary outcomes first, otherwise in the plan's order."""
        return tuple(sorted(self.outcomes, key=lambda outcome: not outcome.primary))
