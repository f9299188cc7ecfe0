"""Outcomes: what is measured on each person in the follow-up window, and the registry of those known by name.

Every default clip is the table of the design ("Outcomes"); a plan may choose another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from cohortium_protocols.plan_fault import altered, broken, suggestion
from cohortium_protocols.plan_types import (
    Frozen,
    Name,
    Number,
    Text,
    Unit,
    Value,
    YesNo,
    only_name_required,
    written_fields,
)

OutcomeKind = Literal["count", "binary", "days", "time", "share", "number"]
Better = Literal["lower", "higher", "neither"]
Expected = Literal["unknown", "none"]

DAYS_A_YEAR = 365.25
FOLLOW_UP_YEARS = "follow_up_years"
"""The outcome that measures for how long each person was observed; its clip is the whole of the follow-up."""
EARLIER, CHANGE = "earlier.", ".change"
"""How the names begin of what is measured in the year before last, and end of changes since the year before."""
SECONDARY, CHECK = 0.25, 0.1
"""Importance of an outcome that is not a headline, and of one in which no difference is expected; a headline's is 1."""


class Outcome(Frozen):
    """One outcome of a plan, fully resolved: values below `low` count as `low`, above `clip` as `clip`."""

    model_config = ConfigDict(json_schema_extra=only_name_required)

    name: Name = Field(description="Name in the registry of outcomes, or the column of the table.")
    title: Text = Field(description="What people read. Default: the registry's title, or the name.")
    low: Value = Field(description="Smallest value that counts. Default 0.", examples=[0])
    clip: Value = Field(
        description="Largest value that counts for one person: larger values count as this. It bounds what "
        "one person can change, so it decides how much noise is needed. Default: the registry's.",
        examples=[10],
    )
    primary: YesNo = Field(
        default=False, description="A headline outcome. When no outcome is marked, the first one is."
    )
    kind: OutcomeKind = Field(description="What the values are. Default: the registry's, or number.")
    unit: Unit = Field(description="Unit of the values. Default: the registry's.")
    better: Better = Field(description="Which direction is good. Default: the registry's, or neither.")
    change_from: Name | None = Field(
        default=None,
        description="Earlier use, such as prior.ae_attendances: the outcome is the change since then. It adds .change "
        "to the name.",
    )
    expected: Expected = Field(
        default="unknown",
        description="none: help cannot have changed it, so that a difference speaks against the comparison "
        "(falsification). It is shown among the checks.",
    )
    weight: Annotated[Number, Field(gt=0, le=100)] | None = Field(
        default=None,
        description=f"How much noise in it matters, beside other outcomes. Default: 1 for a headline, {CHECK:g} where "
        f"no difference is expected, {SECONDARY:g} otherwise.",
    )

    @property
    def importance(self) -> float:
        """How much noise in this outcome matters: `weight`, or its default."""
        if self.weight is not None:
            return self.weight
        return 1.0 if self.primary else CHECK if self.expected == "none" else SECONDARY

    @model_validator(mode="after")
    def _has_a_range(self) -> Self:
        if self.low >= self.clip:
            what = f"`clip` of `{self.name}` is {self.clip:g}, not above its `low` of {self.low:g}."
            raise broken(what, "One person's value lies between the two.", "Set `clip` above `low`.")
        if self.kind == "binary" and (self.low, self.clip) != (0.0, 1.0):
            what = f"`{self.name}` is either 0 or 1, but its range is {self.low:g} to {self.clip:g}."
            raise broken(what, "The range bounds one person's value.", "Leave out `low` and `clip`.")
        if self.primary and self.expected == "none":
            what = f"`{self.name}` is a headline outcome in which no difference is expected."
            raise broken(what, "A check is not a finding.", "Remove `primary`, or remove `expected`.")
        return self


@dataclass(frozen=True)
class OutcomeDefinition:
    """One entry of the registry.

    Attributes:
        name: the name in plans.
        title: what people read.
        kind: what the values are.
        unit: what is counted.
        better: direction of benefit.
        clip: default upper bound of one person's value.
        prior: the covariate that measures the same use before the index date; a plan must adjust for it.
        low: lower bound of one person's value.
        expected: whether help can have changed it.
        change_from: the earlier use that is taken off.
    """

    name: str
    title: str
    kind: OutcomeKind
    unit: str
    better: Better
    clip: float
    prior: str | None
    low: float = 0.0
    expected: Expected = "unknown"
    change_from: str | None = None


def measure_of(outcome: str) -> str:
    """Returns the name of what is counted for an outcome, whenever that is.

    >>> measure_of("earlier.bed_days"), measure_of("bed_days.change"), measure_of("bed_days")
    ('bed_days', 'bed_days', 'bed_days')
    """
    return outcome.removeprefix(EARLIER).removesuffix(CHANGE)


def _named(definitions: Iterable[OutcomeDefinition]) -> Mapping[str, OutcomeDefinition]:
    return MappingProxyType({definition.name: definition for definition in definitions})


_AE, _EMERGENCY = "prior.ae_attendances", "prior.emergency_admissions"

_USE = tuple(
    OutcomeDefinition(*row)
    for row in (
        ("ae_attendances", "A&E attendances", "count", "attendances", "lower", 10.0, _AE),
        ("emergency_admissions", "Emergency admissions", "count", "admissions", "lower", 6.0, _EMERGENCY),
        ("elective_admissions", "Elective admissions", "count", "admissions", "neither", 6.0,
         "prior.elective_admissions"),
        ("bed_days", "Days in a hospital bed", "days", "days", "lower", 60.0, "prior.bed_days"),
        ("outpatient_attendances", "Outpatient attendances", "count", "attendances", "neither", 20.0,
         "prior.outpatient_attendances"),
    )
)  # fmt: skip
"""Use of services that is also measured before the index date."""

_OTHER = tuple(
    OutcomeDefinition(*row)
    for row in (
        ("any_ae_attendance", "Any A&E attendance", "binary", "people", "lower", 1.0, _AE),
        ("ae_attendances_major", "First attendances at major A&E departments", "count", "attendances", "lower", 10.0,
         _AE),
        ("any_emergency_admission", "Any emergency admission", "binary", "people", "lower", 1.0, _EMERGENCY),
        ("avoidable_emergency_admissions", "Emergency admissions for conditions that care outside hospital can manage",
         "count", "admissions", "lower", 4.0, _EMERGENCY),
        ("nonelective_admissions_broad", "Non-elective admissions (emergency, maternity and other)", "count",
         "admissions", "lower", 6.0, _EMERGENCY),
        ("all_admissions", "Emergency and elective admissions", "count", "admissions", "neither", 10.0, _EMERGENCY),
        ("death", "Death", "binary", "people", "lower", 1.0, None),
        (FOLLOW_UP_YEARS, "Time observed in the follow-up", "time", "years", "neither", 5.0, None),
    )
)  # fmt: skip


def _earlier(use: OutcomeDefinition) -> OutcomeDefinition:
    title = f"{use.title} in the year before last"
    return replace(use, name=EARLIER + use.name, title=title, better="neither", expected="none")


def _change(use: OutcomeDefinition) -> OutcomeDefinition:
    return replace(use, name=use.name + CHANGE, title=f"{use.title}: change from the year before", kind="number",
                   low=-use.clip, prior=None, change_from=use.prior)  # fmt: skip


OUTCOMES: Mapping[str, OutcomeDefinition] = _named(
    (*_USE, *_OTHER, *map(_change, _USE), *map(_earlier, _USE))
)
"""Outcome name -> definition, for plans on canonical data."""


def resolved_outcome(value: object, data: str, follow_up: int | None) -> object:
    """Returns what was written for one outcome, with the defaults filled in.

    Args:
        value: a name, a mapping with a name, or anything else (returned as it is, for the model to refuse).
        data: `canonical` (names of the registry) or `table` (columns).
        follow_up: days; None while the follow-up itself is at fault.

    Raises:
        PydanticCustomError: the name is unknown, or a fixed field was given another value.
    """
    fields = written_fields(value)
    if not isinstance(fields, dict) or not isinstance(fields.get("name"), str):
        return fields
    if data == "canonical":
        return _from_registry(fields, follow_up)
    if isinstance(value, str):
        raise _without_range(value)
    if fields.get("change_from") is not None:
        what = f"`change_from` of `{fields['name']}` has no meaning here."
        why = "With `data: table` every outcome is a column that is ready."
        raise broken(what, why, "Make the difference a column of the table, and remove `change_from`.")
    return {"title": fields["name"], "kind": "number", "low": 0.0, "unit": "", "better": "neither", **fields}


def _without_range(name: str) -> PydanticCustomError:
    what = f"The outcome `{name}` needs its range."
    why = (
        "With `data: table` nothing is known about a column, and the range decides how much noise is needed."
    )
    return broken(what, why, f"Write, for example, `{{name: {name}, low: 0, clip: 10}}`.")


def _from_registry(fields: dict[str, object], follow_up: int | None) -> dict[str, object]:
    name = _full_name(fields)
    if name not in OUTCOMES:
        why = "Outcomes come from a registry, so that every data holder computes the same thing."
        raise broken(f"There is no outcome `{name}`.", why, suggestion(name, OUTCOMES))
    known, fields = OUTCOMES[name], {**fields, "name": name}
    clip = fields.get("clip", known.clip)
    fixed: dict[str, object] = {
        each: getattr(known, each) for each in ("kind", "unit", "better", "change_from")
    }
    fixed["low"] = 0.0 if known.low == 0 or not isinstance(clip, int | float) else -float(clip)
    if known.expected == "none":
        fixed["expected"] = "none"
    if name == FOLLOW_UP_YEARS:
        fixed["clip"] = (follow_up or 1) / DAYS_A_YEAR
    if changed := altered(fields, fixed):
        what = f"`{changed[0]}` of the outcome `{name}` cannot be changed."
        why = f"The registry fixes it: {fixed[changed[0]]}."
        raise broken(what, why, f"Remove `{changed[0]}`; {_FREE} can be set.")
    return {"title": known.title, "clip": known.clip, **fixed, **fields}


_FREE = "`title`, `clip`, `primary`, `weight` and `expected`"


def _full_name(fields: dict[str, object]) -> str:
    """Returns the name in the registry: of a change, with its ending."""
    name = str(fields["name"])
    if name == "mean_length_of_stay":
        why = "It is the days in a hospital bed of all people over their admissions: a ratio of two outcomes."
        raise broken(f"`{name}` is not an outcome of each person.", why, "List it under `ratios`.")
    return name if fields.get("change_from") is None or name.endswith(CHANGE) else name + CHANGE
