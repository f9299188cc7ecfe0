"""Ratios of two outcomes: rates per person-year, and means such as the length of stay of those admitted.

A ratio is of sums over people, never of people's own ratios: somebody with no admission has no length of stay, and
somebody who died early counts for the time that they were there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Self

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from cohortium_protocols.outcomes import FOLLOW_UP_YEARS, OUTCOMES, Better, Outcome
from cohortium_protocols.plan_fault import broken, suggestion
from cohortium_protocols.plan_types import Frozen, Name, Number, Text, Unit, only_name_required, written_fields

RATE = ".rate"


class Ratio(Frozen):
    """One ratio of two of the plan's outcomes, fully resolved."""

    model_config = ConfigDict(json_schema_extra=only_name_required)

    name: Name = Field(description="Name in the registry of ratios, or a name of your own.")
    title: Text = Field(description="What people read. Default: the registry's, or the name.")
    numerator: Name = Field(description="An outcome of the plan that starts at 0.", examples=["bed_days"])
    denominator: Name = Field(description="Another outcome of the plan that starts at 0.", examples=["all_admissions"])
    per: Annotated[Number, Field(gt=0, le=1e6)] = Field(
        default=1.0, description="How much of the denominator the ratio is for, such as 100 person-years."
    )
    unit: Unit = Field(description="Unit of the ratio. Default: the registry's, or the units of the two outcomes.")
    better: Better = Field(description="Which direction is good. Default: the registry's, or neither.")

    @model_validator(mode="after")
    def _of_two(self) -> Self:
        if self.numerator == self.denominator:
            what = f"`{self.name}` is the ratio of `{self.numerator}` to itself."
            raise broken(what, "It is 1 for everybody.", "Name two outcomes.")
        return self


@dataclass(frozen=True)
class RatioDefinition:
    """One entry of the registry: what people read, the two outcomes, the unit and the direction of benefit."""

    name: str
    title: str
    numerator: str
    denominator: str
    unit: str
    better: Better


def _rates() -> Iterable[RatioDefinition]:
    for outcome in OUTCOMES.values():
        if outcome.kind in ("count", "days") and outcome.expected != "none":
            yield RatioDefinition(outcome.name + RATE, f"{outcome.title} per person-year", outcome.name,
                                  FOLLOW_UP_YEARS, f"{outcome.unit} per person-year", outcome.better)  # fmt: skip


RATIOS: Mapping[str, RatioDefinition] = MappingProxyType({
    ratio.name: ratio
    for ratio in (
        RatioDefinition("mean_length_of_stay", "Mean length of stay in hospital", "bed_days", "all_admissions",
                        "days per admission", "lower"),
        *_rates(),
    )
})  # fmt: skip
"""Ratio name -> definition, for plans on canonical data."""


def resolved_ratio(value: object, data: str, outcomes: tuple[Outcome, ...]) -> object:
    """Returns what was written for one ratio, with the defaults filled in.

    Args:
        value: a name, a mapping with a name, or anything else (returned as it is, for the model to refuse).
        data: `canonical` (names of the registry are known) or `table`.
        outcomes: the plan's.

    Raises:
        PydanticCustomError: the name alone says nothing, or an outcome is not one of the plan's.
    """
    fields = written_fields(value)
    if not isinstance(fields, dict) or not isinstance(fields.get("name"), str):
        return fields
    name, known = fields["name"], RATIOS if data == "canonical" else {}
    if name in known:
        fields = {each: getattr(known[name], each) for each in RatioDefinition.__annotations__} | fields
    elif isinstance(value, str):
        why = "A ratio that is not in the registry needs its numerator and its denominator."
        do = suggestion(name, known) if known else "Name the two outcomes."
        raise broken(f"There is no ratio `{name}`.", why, do)
    mine = {outcome.name: outcome for outcome in outcomes}
    if name in mine:
        raise broken(f"`{name}` is an outcome and a ratio.", "Reports tell them apart by name.", "Rename the ratio.")
    units = [_part(fields[part], name, mine).unit for part in ("numerator", "denominator") if part in fields]
    return {"title": name, "unit": " per ".join(units), "better": "neither"} | fields


def _part(name: object, ratio: str, mine: Mapping[str, Outcome]) -> Outcome:
    if str(name) not in mine:
        raise _not_there(str(name), ratio)
    outcome = mine[str(name)]
    if outcome.low != 0:
        what = f"The ratio `{ratio}` is of `{name}`, which starts at {outcome.low:g}."
        raise broken(what, "Only amounts that start at 0 have a ratio.", "Name an outcome with `low: 0`.")
    return outcome


def _not_there(name: str, ratio: str) -> PydanticCustomError:
    what = f"The ratio `{ratio}` needs the outcome `{name}`."
    return broken(what, "It is worked out from two outcomes of the plan.", f"Add `{name}` to the outcomes.")
