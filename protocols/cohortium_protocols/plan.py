"""The plan of a study: one frozen value that everybody reads, signs, checks and runs. Data, never code.

What the operator writes is resolved while it is validated: names of the registries become full definitions
with their bounds, so that the canonical bytes of a plan (RFC 8785 of its JSON form) leave nothing to look up.
Validating that JSON form again gives the same plan. Rules between fields sit in the validators of the later
field; pydantic hands them the earlier fields that were valid, so one fault does not hide another.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticOmit

from cohortium_protocols.canonical import canonical_bytes, digest
from cohortium_protocols.covariates import COVARIATES, Covariate, quarters, resolved_covariate
from cohortium_protocols.errors import PlanError
from cohortium_protocols.outcomes import OUTCOMES, Outcome, resolved_outcome
from cohortium_protocols.plan_analysis import Analysis, Sensitivity, Subgroup, category_faults
from cohortium_protocols.plan_fault import broken, broken_at
from cohortium_protocols.plan_features import features_fault, interaction_faults
from cohortium_protocols.plan_parts import (
    Completes,
    Intake,
    Nodes,
    Population,
    Privacy,
    Publish,
    mark_repeats,
    refuse_repeat,
)
from cohortium_protocols.plan_types import Days, Frozen, Name, Slug, Text, Whole
from cohortium_protocols.ratios import RATIOS, Ratio, resolved_ratio
from cohortium_protocols.secure_rules import SMALLEST, Rules

__all__ = [
    "Analysis",
    "Completes",
    "Covariate",
    "Intake",
    "Nodes",
    "Outcome",
    "Plan",
    "Population",
    "Privacy",
    "Publish",
    "Ratio",
    "Sensitivity",
    "Subgroup",
    "plan_digest",
    "plan_schema",
]


def _resolve_covariate(value: object, info: ValidationInfo) -> object:
    refuse_repeat(value)
    known = info.data
    if "data" not in known:
        raise PydanticOmit
    intake = known.get("intake")
    window = quarters(intake.from_, intake.to) if intake else None
    return resolved_covariate(value, known["data"], known.get("population", Population()).age, window)


def _resolve_outcome(value: object, info: ValidationInfo) -> object:
    refuse_repeat(value)
    if "data" not in info.data:
        raise PydanticOmit
    return resolved_outcome(value, info.data["data"], info.data.get("follow_up"))


def _resolve_ratio(value: object, info: ValidationInfo) -> object:
    refuse_repeat(value)
    if "data" not in info.data or "outcomes" not in info.data:
        raise PydanticOmit
    return resolved_ratio(value, info.data["data"], info.data["outcomes"])


def _adjusts_for_prior_use(outcome: Outcome, info: ValidationInfo) -> Outcome:
    if info.data.get("data") != "canonical" or "covariates" not in info.data:
        return outcome
    prior = OUTCOMES[outcome.name].prior
    if prior and prior not in {covariate.name for covariate in info.data["covariates"]}:
        what = f"The outcome `{outcome.name}` needs the covariate `{prior}`."
        why = "People who used a service before tend to use it again: groups must be alike in prior use."
        raise broken(what, why, f"Add `{prior}` to the covariates.")
    return outcome


def _entry_schema(names: Sequence[str]) -> dict[str, Any]:
    return {"type": "string", "enum": list(names), "description": "A name of the registry."}


CovariateEntry = Annotated[str, WithJsonSchema(_entry_schema(list(COVARIATES)))] | Covariate
OutcomeEntry = Annotated[str, WithJsonSchema(_entry_schema(list(OUTCOMES)))] | Outcome
RatioEntry = Annotated[str, WithJsonSchema(_entry_schema(list(RATIOS)))] | Ratio
PlannedCovariate = Annotated[
    Covariate, BeforeValidator(_resolve_covariate, json_schema_input_type=CovariateEntry)
]
PlannedOutcome = Annotated[
    Outcome,
    BeforeValidator(_resolve_outcome, json_schema_input_type=OutcomeEntry),
    AfterValidator(_adjusts_for_prior_use),
]
PlannedRatio = Annotated[Ratio, BeforeValidator(_resolve_ratio, json_schema_input_type=RatioEntry)]


_WINDOW = {"intake": "intake: {from: 2022-01-01, to: 2022-12-31}", "follow_up": "follow_up: 365 days"}


class Plan(Frozen):
    """A whole study. Sequences are tuples, days whole numbers, covariates and outcomes resolved."""

    model_config = ConfigDict(title="Cohortium plan")

    cohortium: Literal[1] = Field(description="Format of the plan: 1.", examples=[1])
    study: Slug = Field(
        description="Short name of the study: small letters, digits and hyphens.",
        examples=["befriending-2024"],
    )
    title: Text = Field(description="Title of the report.")
    question: Text = Field(description="The question, in one plain sentence.")
    data: Literal["canonical", "table"] = Field(
        default="canonical",
        description="canonical: health records in the canonical tables; table: one ready row a person.",
    )
    intake: Intake | None = Field(
        default=None,
        validate_default=True,
        description="When the help may have started.",
        examples=[{"from": "2022-01-01", "to": "2022-12-31"}],
    )
    follow_up: Annotated[Days, Field(ge=1)] | None = Field(
        default=None,
        validate_default=True,
        description="Length of time over which outcomes are measured, 1 to 1,826 days.",
        examples=["365 days"],
    )
    washout: Days = Field(
        default=0,
        description="Days after the index date before outcomes count, 0 to 1,826.",
        examples=["0 days"],
    )
    population: Population = Field(default=Population(), description="Who can take part.")
    covariates: tuple[PlannedCovariate, ...] = Field(
        description="What people must be alike in, measured before the index date.", examples=[["age", "sex"]]
    )
    interactions: tuple[tuple[Name, Name], ...] = Field(
        default=(),
        description="Pairs of covariates that are also multiplied, where what one says depends on the other. Of a "
        "category, each level but the first takes part.",
        examples=[[["age", "sex"]]],
    )
    outcomes: tuple[PlannedOutcome, ...] = Field(
        description="What is compared.", examples=[["ae_attendances"]]
    )
    ratios: tuple[PlannedRatio, ...] = Field(
        default=(), max_length=12, description="Rates and means: each the ratio of two of the outcomes.",
        examples=[["mean_length_of_stay"]],
    )  # fmt: skip
    analysis: Analysis = Field(default=Analysis(), description="How people are compared.")
    privacy: Privacy = Field(description="The privacy budget and how answers are added up.")
    nodes: Nodes = Field(description="The data holders asked.")
    completes: Completes | None = Field(
        default=None, description="The earlier study that these data holders were too late for."
    )
    publish: Publish = Field(default=Publish(), description="What a headline result needs.")
    submitted: Whole | None = Field(
        default=None, ge=1, le=100_000_000,
        description="Rows in the provider's cohort file: where attrition starts."
    )  # fmt: skip

    _once = field_validator("covariates", "outcomes", "ratios", mode="before")(mark_repeats)

    @model_validator(mode="before")
    @classmethod
    def _adds_up_securely(cls, written: object) -> object:
        """Fills in the default of ``privacy.aggregation`` where there is one."""
        if not isinstance(written, dict):
            return written
        privacy, nodes = written.get("privacy"), written.get("nodes")
        roster = nodes.get("roster") if isinstance(nodes, dict) else None
        if not isinstance(privacy, dict) or not isinstance(roster, list | tuple) or len(roster) < SMALLEST:
            return written
        return written | {"privacy": {"aggregation": "secure"} | privacy}

    @field_validator("intake", "follow_up")
    @classmethod
    def _fits_the_data(cls, value: object, info: ValidationInfo) -> object:
        data, name = info.data.get("data"), info.field_name
        if data == "canonical" and value is None:
            why = "Health records are cut to a window around each person's index date."
            raise broken(f"`{name}` is missing.", why, f"Add it, for example `{_WINDOW[str(name)]}`.")
        if data == "table" and value is not None:
            why = "With `data: table` the window was chosen when the table was made."
            do = f"Remove `{name}`, or write `data: canonical`."
            raise broken(f"`{name}` has no meaning here.", why, do)
        return value

    @field_validator("covariates", "outcomes")
    @classmethod
    def _lists_something(cls, entries: tuple[Any, ...], info: ValidationInfo) -> tuple[Any, ...]:
        if not entries and "data" in info.data:
            why = "A study compares outcomes between people who are alike in covariates."
            raise broken(f"`{info.field_name}` is empty.", why, "List at least one.")
        return entries

    @field_validator("covariates")
    @classmethod
    def _make_features(cls, covariates: tuple[Covariate, ...]) -> tuple[Covariate, ...]:
        if fault := features_fault(covariates, ()):
            raise fault
        return covariates

    @field_validator("interactions")
    @classmethod
    def _combine_covariates(
        cls, interactions: tuple[tuple[str, str], ...], info: ValidationInfo
    ) -> tuple[tuple[str, str], ...]:
        covariates = info.data.get("covariates")
        if covariates is None:
            return interactions
        if found := interaction_faults(interactions, {each.name: each for each in covariates}):
            raise broken_at(found)
        if fault := features_fault(covariates, interactions):
            raise fault
        return interactions

    @field_validator("outcomes")
    @classmethod
    def _has_a_headline(cls, outcomes: tuple[Outcome, ...]) -> tuple[Outcome, ...]:
        if not outcomes or any(outcome.primary for outcome in outcomes):
            return outcomes
        first = next((place for place, outcome in enumerate(outcomes) if outcome.expected == "unknown"), None)
        if first is None:
            why = "Where no difference is expected, an outcome checks the comparison; it is not a finding."
            raise broken("Every outcome is a check.", why, "Add an outcome that the help may change.")
        marked = outcomes[first].model_copy(update={"primary": True})
        return (*outcomes[:first], marked, *outcomes[first + 1 :])

    @field_validator("analysis")
    @classmethod
    def _groups_by_categories(cls, analysis: Analysis, info: ValidationInfo) -> Analysis:
        covariates = info.data.get("covariates")
        if covariates is None:
            return analysis
        found = category_faults(analysis, {each.name: each for each in covariates if each.kind == "category"})
        if found:
            raise broken_at(found)
        return analysis

    @field_validator("nodes")
    @classmethod
    def _can_be_answered(cls, nodes: Nodes, info: ValidationInfo) -> Nodes:
        lost = _too_few_nodes(nodes, info.data) or _no_secure_sum(nodes, info.data)
        found = [*lost, *_too_early(nodes, info.data)]
        if found:
            raise broken_at(found)
        return nodes

    @field_validator("completes")
    @classmethod
    def _completes_another(cls, completes: Completes | None, info: ValidationInfo) -> Completes | None:
        if completes is not None and completes.study == info.data.get("study"):
            why = "A late group is a study of its own, with a price of its own."
            raise broken("`completes` names this study itself.", why, "Give this plan another name under `study`.")
        return completes

    @field_validator("submitted")
    @classmethod
    def _can_be_published(cls, submitted: int | None, info: ValidationInfo) -> int | None:
        publish = info.data.get("publish")
        if submitted is not None and publish and submitted < publish.minimum_treated:
            fewest = publish.minimum_treated
            what = f"{submitted:,} people were submitted, and `publish.minimum_treated` is {fewest:,}."
            why = "This study could never publish a headline result."
            raise broken(what, why, "Wait for more people, or lower `minimum_treated` with a reason.")
        return submitted


def _too_few_nodes(nodes: Nodes, known: dict[str, Any]) -> list[Any]:
    privacy = known.get("privacy")
    if privacy is None or privacy.tolerate_lost_nodes < len(nodes.roster):
        return []
    size, lost = len(nodes.roster), privacy.tolerate_lost_nodes
    what = f"Every node of the roster ({size}) could be lost: `privacy.tolerate_lost_nodes` is {lost}."
    why = "At least one node must answer."
    return [(("roster",), broken(what, why, "Lower `tolerate_lost_nodes`, or ask more nodes."))]


def _no_secure_sum(nodes: Nodes, known: dict[str, Any]) -> list[Any]:
    privacy = known.get("privacy")
    if privacy is None or privacy.aggregation != "secure":
        return []
    try:
        Rules(len(nodes.roster), privacy.tolerate_lost_nodes, privacy.assume_colluding_nodes)
    except PlanError as error:
        why, do = (f"{text[0].upper()}{text[1:]}." for text in (error.why, error.do))
        return [(("roster",), broken(error.what, why, do))]
    return []


def _too_early(nodes: Nodes, known: dict[str, Any]) -> list[Any]:
    intake, follow_up = known.get("intake"), known.get("follow_up")
    if intake is None or follow_up is None:
        return []
    last = intake.to + timedelta(days=known.get("washout", 0) + follow_up)
    if nodes.deadline >= last:
        return []
    what = f"The deadline {nodes.deadline} is before the end of the last follow-up ({last})."
    why = "Outcomes of people who started late would be incomplete."
    return [(("deadline",), broken(what, why, "Set a later deadline, or end the intake earlier."))]


def plan_digest(plan: Plan) -> str:
    """Returns the SHA-256, in hexadecimal, of the plan's canonical bytes."""
    return digest(canonical_bytes(plan.model_dump(mode="json", by_alias=True)))


def plan_schema() -> dict[str, Any]:
    """Returns the JSON Schema (2020-12) of what an operator writes, for editors."""
    schema = Plan.model_json_schema(by_alias=True, mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
