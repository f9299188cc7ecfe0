"""The parts of a plan: intake, population, privacy, nodes, what it completes, publishing. `plan` joins them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import AliasChoices, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from cohortium_protocols.plan_fault import broken
from cohortium_protocols.plan_types import LONGEST_DAYS, Day, Frozen, Number, Slug, Whole, YesNo

MOST_NODES = 1000
Age = Annotated[Whole, Field(ge=0, le=120)]


class Intake(Frozen):
    """First and last day on which the help may have started."""

    from_: Day = Field(
        validation_alias=AliasChoices("from", "from_"),
        serialization_alias="from",
        description="First day on which the help may have started.",
        examples=["2022-01-01"],
    )
    to: Day = Field(description="Last day on which the help may have started.", examples=["2022-12-31"])

    @model_validator(mode="after")
    def _runs_forward(self) -> Self:
        if self.from_ >= self.to:
            what = f"The intake ends on {self.to}, not after it begins ({self.from_})."
            raise broken(what, "People start inside the intake.", "Set `to` after `from`.")
        if (days := (self.to - self.from_).days) > LONGEST_DAYS:
            what = f"The intake is {days:,} days long; at most {LONGEST_DAYS:,} are accepted."
            raise broken(what, "Care changes over longer times.", "Write one plan for each period.")
        return self


class Population(Frozen):
    """Who can take part, by age on the index date."""

    age: tuple[Age, Age] = Field(
        default=(0, 120), description="Youngest and oldest age, years.", examples=[[18, 110]]
    )

    @field_validator("age")
    @classmethod
    def _youngest_first(cls, age: tuple[int, int]) -> tuple[int, int]:
        if age[0] >= age[1]:
            what = f"The age range {age[0]} to {age[1]} is empty."
            raise broken(what, "Only people inside the range are analysed.", "Write the youngest age first.")
        return age


def _may_be_left_out(schema: dict[str, Any]) -> None:
    """Its default depends on the roster, which a schema cannot say (``Plan``)."""
    schema["required"].remove("aggregation")


class Privacy(Frozen):
    """What the study may learn about any one person, at most, and how the nodes add up their answers."""

    epsilon: Number = Field(
        gt=0,
        le=10,
        description="Privacy budget of the whole study, from 0 to 10; smaller protects more.",
        examples=[1.0],
    )
    delta: Number = Field(
        default=1e-6,
        gt=0,
        le=1e-4,
        description="Chance that the guarantee fails, at most 1e-4.",
        examples=[1e-6],
    )
    model_config = ConfigDict(json_schema_extra=_may_be_left_out)

    aggregation: Literal["local", "secure"] = Field(
        description="secure: the nodes add up under encryption and share the noise, the default from 3 nodes up; "
        "local: every node adds its full noise, to be written where there are fewer.",
        examples=["local"],
    )
    tolerate_lost_nodes: Whole = Field(
        default=0,
        ge=0,
        le=MOST_NODES,
        description="Nodes that may fail to answer without stopping the study.",
    )
    assume_colluding_nodes: Whole = Field(
        default=1,
        ge=0,
        le=MOST_NODES,
        description="Nodes assumed to work together with the operator against the others; used by secure aggregation.",
    )
    max_nodes_per_person: Whole = Field(
        default=1,
        ge=1,
        le=MOST_NODES,
        description="At how many nodes one person can be counted; more than 1 needs more noise.",
    )
    noise: YesNo = Field(
        default=True, description="false only in simulations on public data: a node always refuses it."
    )  # fmt: skip


@dataclass(frozen=True)
class _Repeated:
    """An entry whose name was listed before."""

    name: str


def mark_repeats(entries: object) -> object:
    """Returns the entries, every later one of the same name replaced by a mark."""
    if not isinstance(entries, list | tuple):
        return entries
    names = [_name(entry) for entry in entries]
    return [
        _Repeated(name) if name is not None and name in names[:place] else entry
        for place, (name, entry) in enumerate(zip(names, entries, strict=True))
    ]


def _name(entry: object) -> str | None:
    name = entry.get("name") if isinstance(entry, dict) else getattr(entry, "name", entry)
    return name if isinstance(name, str) else None


def refuse_repeat(entry: object) -> object:
    """Returns the entry unless it is marked.

    Raises:
        PydanticCustomError: its name was listed before.
    """
    if isinstance(entry, _Repeated):
        raise broken(f"`{entry.name}` is listed twice.", "Each can be used once.", "Remove one of them.")
    return entry


NodeName = Annotated[Slug, BeforeValidator(refuse_repeat, json_schema_input_type=Slug)]


class Nodes(Frozen):
    """The data holders asked, and until when they may answer."""

    roster: tuple[NodeName, ...] = Field(
        min_length=1,
        max_length=MOST_NODES,
        description="Names of the data holders.",
        examples=[["north", "south"]],
    )
    deadline: Day = Field(
        description="Last day on which nodes answer; the plan expires after it.", examples=["2026-12-31"]
    )

    _once = field_validator("roster", mode="before")(mark_repeats)


class Completes(Frozen):
    """An earlier study, to whose result that of this late group is to be merged."""

    study: Slug = Field(description="Name of the earlier study.", examples=["befriending-2024"])
    plan: str = Field(description="Digest of its plan, as `plan late` writes it: 64 hexadecimal digits.")

    @field_validator("plan")
    @classmethod
    def _is_a_digest(cls, plan: str) -> str:
        if not re.fullmatch(r"[0-9a-f]{64}", plan):
            why = "The digest says which plan it is, word for word."
            raise broken("`completes.plan` is not the digest of a plan.", why, "Write it with `cohortium plan late`.")
        return plan


class Publish(Frozen):
    """When a headline result may be shown."""

    minimum_treated: Whole = Field(
        default=60,
        ge=10,
        le=1_000_000,
        description="Fewest people helped for a headline result. At least 10: below that an average is close "
        "to one person's record. 60 is the custom of the sector; use less only with a reason.",
        examples=[60],
    )
    balance: Literal["block", "show"] = Field(
        default="block",
        description="block: no headline when the groups are not alike enough; show: headline and warning.",
    )  # fmt: skip
