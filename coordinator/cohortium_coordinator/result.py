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
Kind = Literal["count", "binary", "days", "time", "share", "number"]
Better = Literal["lower", "higher", "neither"]
Expected = Literal["unknown", "none"]
BalanceState = Literal["green", "red", "cannot tell"]
CheckState = Literal["passed", "failed", "cannot tell", "informational"]
NodeState = Literal["answered", "offline", "refused", "over budget"]
ComparedWith = Literal["all data holders", "same data holder"]


class Value(BaseModel):
    """Frozen, closed to unknown fields, and finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class _Interval(Value):
    """Anything with a lower and an upper limit of a 95% interval."""

    low: float
    high: float

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low ({self.low}) is above high ({self.high})")
        return self


class NodeStatus(Value):
    """What became of one data holder in this study."""

    name: str
    status: NodeState
    rounds_answered: int = Field(ge=0)


class PooledEffect(_Interval):
    """An effect on one outcome, per person, with its 95% interval."""

    estimate: float
    se: NonNegative


class RateRatio(_Interval):
    """What the people helped had, over what was expected of them; 0.8 is a fifth less. Fieller's 95% interval."""

    estimate: NonNegative
    low: NonNegative
    high: NonNegative


class EValue(Value):
    """How strong something unrecorded would have to be to explain a result away, as a risk ratio (at least 1)."""

    estimate: Annotated[float, Field(ge=1, description="to move the estimate to no effect")]
    limit: Annotated[float, Field(ge=1, description="to move the interval's nearer limit there; 1: it is there")]


class OutcomeEffect(_Interval):
    """An effect on one outcome for the people helped, per person, with what is needed to say it in words."""

    name: str
    title: str
    unit: str = Field(description="plural noun: attendances, admissions, days, people, kg")
    better: Better = Field(description="the direction that is hoped for")
    kind: Kind
    primary: bool
    estimate: float = Field(description="treated minus comparison; low and high are its 95% interval")
    se: NonNegative
    p_value: Share
    significant: bool = Field(description="true exactly when the interval excludes 0")
    noise_share: Share = Field(description="share of the variance (se squared) that is privacy noise")
    people_needed: int | None = Field(
        default=None, gt=0, description="people helped that would be needed to tell the direction"
    )
    expected: Expected = Field(
        default="unknown", description="none: no difference is expected, so that this is a check and not a finding"
    )
    p_value_holm: Share | None = Field(
        default=None, description="p_value adjusted for all primary outcomes; None unless there are several"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.significant != (self.low > 0 or self.high < 0):
            interval = f"{self.low} to {self.high}"
            raise ValueError(f"significant is {self.significant}, but the interval is {interval}")
        return self


class OutcomeEstimate(OutcomeEffect):
    """The effect on one outcome in one study (ATT), with the values behind it."""

    clip_low: float
    clip_high: float
    n_treated: float = Field(description="noisy number helped who were analysed")
    n_compared: float = Field(description="noisy effective number compared, after weighting")
    treated_mean: float
    comparison_mean: float
    pass_through: float = Field(gt=0, description="kappa: share of an effect that survives the residual clip")
    residual_clip: NonNegative = Field(description="largest residual kept, on the outcome's unit per person")
    rate_ratio: RateRatio | None = Field(
        default=None, description="None where the comparison is too near 0, or where a ratio says nothing"
    )
    e_value: EValue | None = Field(default=None, description="None where there is no ratio to work it out from")


class EffectOnRatio(PooledEffect):
    """The difference of a ratio between the people helped and what was expected of them, and both values."""

    treated: float
    comparison: float
    rate_ratio: RateRatio | None = Field(description="None where the comparison is too near 0")

    @property
    def significant(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low > 0 or self.high < 0


class RatioEstimate(Value):
    """A ratio of two outcomes, each added up over all people of a group."""

    name: str
    title: str
    unit: str
    better: Better
    numerator: str
    denominator: str
    per: float = Field(gt=0, description="how much of the denominator the ratio is for")
    effect: EffectOnRatio | None = Field(description="None where the denominator is too near 0")


class FurtherEstimate(Value):
    """The effect on one outcome by an analysis beside the headline, in all people helped or in one group of them."""

    key: str = Field(description="of its released vectors: s1, s2 ... further analyses; g1, g2 ... subgroups")
    title: str
    role: Literal["sensitivity", "subgroup"]
    method: str
    comparison: str
    outcome: str
    group: str = Field(default="", description="the group of people helped; empty for all of them")
    n_treated: float = Field(description="noisy number helped whom it is about")
    effect: PooledEffect | None = Field(description="None where there are too few people to tell")
    rate_ratio: RateRatio | None = Field(
        default=None, description="None where the comparison is too near 0, or where a ratio says nothing"
    )
    noise_share: Share | None = Field(description="share of the variance that is privacy noise")
    alone: tuple[str, ...] = Field(
        default=(), description="groups with nobody to compare with: comparators of all groups stood in"
    )

    @model_validator(mode="after")
    def _noise_iff_effect(self) -> Self:
        if (self.noise_share is None) != (self.effect is None):
            raise ValueError(f"{self.key}: noise_share belongs to an effect")
        return self


class Limits(_Interval):
    """An interval with no single value in it that would deserve to be shown."""


class NodeEstimate(Value):
    """The effect on the people helped of one data holder, from its own released sums."""

    node: str
    n_treated: float = Field(description="noisy number helped who were analysed there")
    effect: PooledEffect | None = Field(description="None where there are too few people, or comparators, to tell")
    own_se: NonNegative | None = Field(description="standard error without what all data holders share")
    without: PooledEffect | None = Field(description="the random-effects mean of all the others")

    @model_validator(mode="after")
    def _own_iff_effect(self) -> Self:
        if (self.own_se is None) != (self.effect is None) or (self.without and not self.effect):
            raise ValueError(f"{self.node}: own_se and without belong to an effect")
        return self


class NodesCombined(Value):
    """Single data holders' estimates combined as separate studies (meta-analysis), per person."""

    fixed: PooledEffect = Field(description="inverse variance: one effect everywhere")
    random: PooledEffect = Field(description="tau squared by Paule and Mandel, interval by Hartung and Knapp")
    dersimonian_laird: PooledEffect = Field(description="tau squared by DerSimonian and Laird, plain interval")
    tau2: NonNegative = Field(description="variance between data holders' effects (Paule and Mandel)")
    tau2_dersimonian_laird: NonNegative
    i2: Share = Field(description="share of the variation between estimates that is not chance or noise")
    q: NonNegative = Field(description="Cochran's Q")
    q_p_value: Share
    prediction: Limits | None = Field(description="95%: the effect at another data holder; None for fewer than 3")


class Heterogeneity(Value):
    """Whether data holders' effects on one outcome differ; the national estimate stays the result."""

    outcome: str
    compared_with: ComparedWith = Field(description="whose weighted comparators each data holder is held against")
    shared_se: NonNegative = Field(description="standard error that all data holders' estimates have in common")
    nodes: tuple[NodeEstimate, ...]
    combined: NodesCombined | None = Field(description="None when fewer than two could be estimated")


class BalanceRow(_Interval):
    """How alike the groups are on one covariate, level, range, square or product; low and high are of `smd_after`."""

    covariate: str
    title: str
    smd_before: float
    smd_after: float
    state: BalanceState
    mandatory: bool


class ProfileRow(Value):
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


class Attrition(Value):
    """From the rows submitted to the people analysed. The step named "analysed" is the end of the road."""

    submitted: int | None = Field(ge=0, description="rows the provider says it submitted")
    steps: tuple[AttritionStep, ...]


class Check(Value):
    """A diagnostic as a value: the figure, the rule it was held against, what follows."""

    name: str
    title: str
    state: CheckState
    value: float | None
    rule: str
    meaning: str
    unit: str = Field(default="", description='"people" marks a count: it is shown by the disclosure rules')


class Release(Value):
    """One vector that left the nodes, and what it cost."""

    round: str
    vector: str
    block: str
    figures: str = Field(description="which figures of the report it supports")
    values: int = Field(gt=0, description="how many numbers it holds")
    mu2: NonNegative
    share: Share = Field(description="share of its block's mu squared")


class PrivacyStatement(Value):
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


class StudyResult(Value):
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
    helped_needed: int | None = Field(
        default=None, gt=0, description="where too few were found: people with whom the planner calls it feasible"
    )
    outcomes: tuple[OutcomeEstimate, ...]
    ratios: tuple[RatioEstimate, ...] = ()
    further: tuple[FurtherEstimate, ...] = Field(default=(), description="the plan's analyses beside the headline")
    balance: tuple[BalanceRow, ...]
    profile: tuple[ProfileRow, ...]
    attrition: Attrition
    checks: tuple[Check, ...]
    privacy: PrivacyStatement
    heterogeneity: tuple[Heterogeneity, ...] | None = Field(
        default=None, description="None where single data holders' sums were never seen (secure sums)"
    )
    truth: Mapping[str, float] | None = Field(
        default=None, description="simulations only: outcome name to the true effect, per person"
    )

    @model_validator(mode="after")
    def _reasoned(self) -> Self:
        if self.published == bool(self.not_published_because):
            raise ValueError("not_published_because is given exactly when published is false")
        return self

    @model_validator(mode="after")
    def _secrets_kept(self) -> Self:
        if self.heterogeneity is not None and self.privacy.aggregation == "secure":
            raise ValueError("heterogeneity is given, but single data holders' sums were secure")
        self._known("heterogeneity", self.heterogeneity or ())
        self._known("further estimates", self.further)
        return self

    def _known(self, what: str, parts: tuple[Heterogeneity, ...] | tuple[FurtherEstimate, ...]) -> None:
        unknown = {each.outcome for each in parts} - {each.name for each in self.outcomes}
        if unknown:
            raise ValueError(f"{what} of outcomes that are not there: {', '.join(sorted(unknown))}")

    @property
    def answered(self) -> tuple[str, ...]:
        """The data holders whose people are in the estimates."""
        return tuple(node.name for node in self.nodes if node.status == "answered")

    @property
    def findings(self) -> tuple[OutcomeEstimate, ...]:
        """The outcomes that the help may have changed."""
        return tuple(outcome for outcome in self.outcomes if outcome.expected == "unknown")

    @property
    def falsification(self) -> tuple[OutcomeEstimate, ...]:
        """The outcomes in which no difference is expected."""
        return tuple(outcome for outcome in self.outcomes if outcome.expected == "none")

    @property
    def headlines(self) -> tuple[OutcomeEstimate, ...]:
        """The primary outcomes, or all findings when none is primary."""
        return tuple(outcome for outcome in self.findings if outcome.primary) or self.findings

    @property
    def ordered_outcomes(self) -> tuple[OutcomeEstimate, ...]:
        """The findings: primary outcomes first, otherwise in the plan's order."""
        return tuple(sorted(self.findings, key=lambda outcome: not outcome.primary))
