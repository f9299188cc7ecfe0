"""Outcomes: what is measured on each person in the follow-up window, and the registry of those known by name.

Every default clip is the table of the design ("Outcomes"); a plan may choose another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, Self

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from cohortium_protocols.plan_fault import altered, broken, suggestion
from cohortium_protocols.plan_types import (
    Frozen,
    Name,
    Text,
    Unit,
    Value,
    YesNo,
    only_name_required,
    written_fields,
)

OutcomeKind = Literal["count", "binary", "days", "share", "number"]
Better = Literal["lower", "higher", "neither"]


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

    @model_validator(mode="after")
    def _has_a_range(self) -> Self:
        if self.low >= self.clip:
            what = f"`clip` of `{self.name}` is {self.clip:g}, not above its `low` of {self.low:g}."
            raise broken(what, "One person's value lies between the two.", "Set `clip` above `low`.")
        if self.kind == "binary" and (self.low, self.clip) != (0.0, 1.0):
            what = f"`{self.name}` is either 0 or 1, but its range is {self.low:g} to {self.clip:g}."
            raise broken(what, "The range bounds one person's value.", "Leave out `low` and `clip`.")
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
    """

    name: str
    title: str
    kind: OutcomeKind
    unit: str
    better: Better
    clip: float
    prior: str | None


def _named(definitions: Iterable[OutcomeDefinition]) -> Mapping[str, OutcomeDefinition]:
    return MappingProxyType({definition.name: definition for definition in definitions})


_AE, _EMERGENCY = "prior.ae_attendances", "prior.emergency_admissions"

OUTCOMES: Mapping[str, OutcomeDefinition] = _named(
    OutcomeDefinition(*row)
    for row in (
        ("ae_attendances", "A&E attendances", "count", "attendances", "lower", 10.0, _AE),
        ("any_ae_attendance", "Any A&E attendance", "binary", "people", "lower", 1.0, _AE),
        ("emergency_admissions", "Emergency admissions", "count", "admissions", "lower", 6.0, _EMERGENCY),
        ("any_emergency_admission", "Any emergency admission", "binary", "people", "lower", 1.0, _EMERGENCY),
        ("elective_admissions", "Elective admissions", "count", "admissions", "neither", 6.0,
         "prior.elective_admissions"),
        ("bed_days", "Days in a hospital bed", "days", "days", "lower", 60.0, "prior.bed_days"),
        ("outpatient_attendances", "Outpatient attendances", "count", "attendances", "neither", 20.0,
         "prior.outpatient_attendances"),
        ("death", "Death", "binary", "people", "lower", 1.0, None),
    )
)  # fmt: skip
"""Outcome name -> definition, for plans on canonical data."""

NOT_YET: Mapping[str, str] = MappingProxyType(
    {
        "mean_length_of_stay": "It is a ratio of two released sums, which this version does not combine. "
        "`bed_days` is the nearest outcome.",
        "avoidable_emergency_admissions": "The list of ambulatory-care-sensitive diagnoses is not built in. "
        "`emergency_admissions` is the nearest outcome.",
    }
)
"""Outcomes that are known by name but that this version cannot compute -> why, and what is nearest."""


def resolved_outcome(value: object, data: str) -> object:
    """Returns what was written for one outcome, with the defaults filled in.

    Args:
        value: a name, a mapping with a name, or anything else (returned as it is, for the model to refuse).
        data: `canonical` (names of the registry) or `table` (columns).

    Raises:
        PydanticCustomError: the name is unknown or not supported, or a fixed field was given another value.
    """
    fields = written_fields(value)
    if not isinstance(fields, dict) or not isinstance(fields.get("name"), str):
        return fields
    if data == "table":
        if isinstance(value, str):
            raise _without_range(value)
        return {
            "title": fields["name"],
            "kind": "number",
            "low": 0.0,
            "unit": "",
            "better": "neither",
            **fields,
        }
    return _from_registry(fields)


def _without_range(name: str) -> PydanticCustomError:
    what = f"The outcome `{name}` needs its range."
    why = (
        "With `data: table` nothing is known about a column, and the range decides how much noise is needed."
    )
    return broken(what, why, f"Write, for example, `{{name: {name}, low: 0, clip: 10}}`.")


def _from_registry(fields: dict[str, object]) -> dict[str, object]:
    name = str(fields["name"])
    if name in NOT_YET:
        do = "Remove it, or use the nearest outcome."
        raise broken(f"The outcome `{name}` is not supported yet.", NOT_YET[name], do, supported=False)
    if name not in OUTCOMES:
        why = "Outcomes come from a registry, so that every data holder computes the same thing."
        raise broken(f"There is no outcome `{name}`.", why, suggestion(name, OUTCOMES))
    known = OUTCOMES[name]
    fixed = {"kind": known.kind, "unit": known.unit, "better": known.better, "low": 0.0}
    if changed := altered(fields, fixed):
        what = f"`{changed[0]}` of the outcome `{name}` cannot be changed."
        why = f"The registry fixes it: {fixed[changed[0]]}."
        raise broken(what, why, f"Remove `{changed[0]}`; `title`, `clip` and `primary` can be set.")
    return {"title": known.title, "clip": known.clip, **fixed, **fields}
