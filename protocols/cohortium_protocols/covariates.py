"""Covariates: what is known about a person before the index date, and the registry of those known by name.

Centres and scales are public constants: they must not be learnt from the data of the study. The registry's
figures are rough values for adults in England, written down from general knowledge (check). They set the unit
in which a covariate is measured: a poor choice costs precision, never privacy. A plan may give better ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise
from types import MappingProxyType
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError, PydanticOmit

from cohortium_protocols.plan_fault import altered, broken, suggestion
from cohortium_protocols.plan_types import (
    LARGEST,
    Frozen,
    Name,
    Number,
    Text,
    Value,
    YesNo,
    only_name_required,
    written_fields,
)

CovariateKind = Literal["number", "category"]
Transform = Literal["none", "log"]

FARTHEST = 3.5
"""Scales: the farther bound is at most this many scales from the centre (statistics.md, the recipe)."""
OLDEST_SPREAD = 90
"""Years: ages are taken to be spread evenly from the youngest age of the study to this one."""


class Covariate(Frozen):
    """One covariate of a plan, fully resolved.

    Of a category, every level becomes an indicator: bounds, `centre` and `scale` are those of an indicator.
    """

    model_config = ConfigDict(json_schema_extra=only_name_required)

    name: Name = Field(description="Name in the registry of covariates, or the column of the table.")
    title: Text = Field(description="What people read. Default: the registry's title, or the name.")
    kind: CovariateKind = Field(
        description="Default: the registry's; otherwise category where levels are given."
    )
    low: Value = Field(description="Smallest value; smaller ones count as this.", examples=[0])
    high: Value = Field(description="Largest value; larger ones count as this.", examples=[100])
    centre: Value = Field(description="Public typical value. Default: the registry's, or the middle.")
    scale: Number = Field(
        gt=0, le=LARGEST, description="Public spread. Default: by the recipe in `public_scale`."
    )
    transform: Transform = Field(
        default="none",
        description="log: log(1 + value) is used, for counts with a long tail; centre and scale are then "
        "of it.",
    )
    levels: tuple[Annotated[Name, Field()], ...] = Field(
        default=(), description="All levels of a category, as text.", examples=[["no", "yes"]]
    )
    square: YesNo = Field(
        default=False, description="Of a number: whether its square is used too, for what bends with it."
    )
    bins: tuple[Annotated[Value, Field()], ...] = Field(
        default=(),
        description="Of a number: increasing cut points between `low` and `high`, in its own unit. Each range but the "
        "first is used too, for what jumps; the number itself stays.",
        examples=[[65, 80]],
    )

    @model_validator(mode="after")
    def _is_coherent(self) -> Self:
        if self.kind == "category":
            self._check_levels()
        elif self.levels:
            what = f"`{self.name}` is a number and has levels."
            raise broken(what, "Only a category has levels.", "Remove `levels`, or write `kind: category`.")
        if self.low >= self.high:
            what = f"`high` of `{self.name}` is {self.high:g}, not above its `low` of {self.low:g}."
            raise broken(what, "Values lie between the two.", "Set `high` above `low`.")
        if self.transform == "log" and self.low < 0:
            what = f"`low` of `{self.name}` is {self.low:g}, and the logarithm of 1 more is used."
            raise broken(what, "A count with a long tail starts at 0.", "Set `low` to 0, or leave out `transform`.")
        low, high = (transformed(bound, self.transform) for bound in (self.low, self.high))
        if not low <= self.centre <= high:
            what = f"`centre` of `{self.name}` is {self.centre:g}, outside {low:g} to {high:g}."
            raise broken(what, "The centre is a typical value.", "Set it between `low` and `high`.")
        self._check_bins()
        return self

    def _check_levels(self) -> None:
        if len(self.levels) < 2 or len(set(self.levels)) < len(self.levels):
            what = f"The category `{self.name}` needs at least two different levels."
            raise broken(what, "People are compared across its levels.", "List each level once.")
        if (self.low, self.high) != (0.0, 1.0):
            what = f"`{self.name}` is a category and has bounds."
            raise broken(what, "Each level is present (1) or not (0).", "Remove `low` and `high`.")
        if self.square or self.bins:
            what = f"`{self.name}` is a category and has {'a `square`' if self.square else '`bins`'}."
            raise broken(what, "Only a number has them: each level of a category counts by itself.", "Remove it.")

    def _check_bins(self) -> None:
        if any(first >= second for first, second in pairwise(self.bins)):
            what = f"`bins` of `{self.name}` do not increase."
            raise broken(what, "At each, one range ends and the next begins.", "List each once, the smallest first.")
        outside = next((edge for edge in self.bins if not self.low < edge < self.high), None)
        if outside is not None:
            what = f"`bins` of `{self.name}` has {outside:g}, not between {self.low:g} and {self.high:g}."
            why = "All values lie between `low` and `high`, so that one of the ranges would be empty."
            raise broken(what, why, f"Remove {outside:g}, or move it inside.")


def transformed(value: float, transform: Transform) -> float:
    """Returns log(1 + value), about the value itself where it is small, or the value itself."""
    return math.log1p(value) if transform == "log" else value


@dataclass(frozen=True)
class CovariateDefinition:
    """One entry of the registry: name, title, bounds, public centre and standard deviation, or levels.

    Centre and standard deviation are those of the logarithm where ``transform`` is ``log``: use of services and burden
    of illness are counts with long tails, and what is expected next grows about in proportion to 1 + count, as for
    Poisson counts whose means follow a gamma law (docs/adr/0007).
    """

    name: str
    title: str
    low: float = 0.0
    high: float = 1.0
    centre: float = 0.5
    sd: float = 0.5
    levels: tuple[str, ...] = ()
    transform: Transform = "none"

    @property
    def kind(self) -> CovariateKind:
        """A category if it has levels; the levels of `index_quarter` depend on the plan."""
        return "category" if self.levels or self.name == "index_quarter" else "number"


def _named(definitions: Iterable[CovariateDefinition]) -> Mapping[str, CovariateDefinition]:
    return MappingProxyType({definition.name: definition for definition in definitions})


COVARIATES: Mapping[str, CovariateDefinition] = _named(
    (
        CovariateDefinition("age", "Age (years)", 0, 120, 45, 26),
        CovariateDefinition("sex", "Sex", levels=("female", "male")),
        CovariateDefinition("ethnicity", "Ethnic group", levels=("white", "other", "unknown")),
        CovariateDefinition("imd_decile", "Deprivation decile (1 = most deprived)", 1, 10, 5.5, 2.87),
        CovariateDefinition("charlson", "Charlson comorbidity score", 0, 12, 0.22, 0.40, (), "log"),
        CovariateDefinition("frailty", "Frailty count", 0, 9, 0.22, 0.40, (), "log"),
        CovariateDefinition("prior.ae_attendances", "A&E attendances in the year before",
                            0, 10, 0.20, 0.37, (), "log"),
        CovariateDefinition("prior.emergency_admissions", "Emergency admissions in the year before",
                            0, 6, 0.06, 0.22, (), "log"),
        CovariateDefinition("prior.elective_admissions", "Elective admissions in the year before",
                            0, 6, 0.075, 0.24, (), "log"),
        CovariateDefinition("prior.outpatient_attendances", "Outpatient attendances in the year before",
                            0, 20, 0.6, 0.6, (), "log"),
        CovariateDefinition("prior.bed_days", "Days in a hospital bed in the year before",
                            0, 60, 0.12, 0.5, (), "log"),
        CovariateDefinition("index_quarter", "Calendar quarter of the start"),
    )
)  # fmt: skip
"""Covariate name -> definition, for plans on canonical data. All are measured before the index date."""


def quarters(first: date, last: date) -> tuple[str, ...]:
    """Returns the calendar quarters of a window.

    >>> quarters(date(2022, 11, 1), date(2023, 4, 1))
    ('2022Q4', '2023Q1', '2023Q2')
    """
    start, end = (4 * day.year + (day.month - 1) // 3 for day in (first, last))
    return tuple(f"{index // 4}Q{index % 4 + 1}" for index in range(start, end + 1))


def public_scale(sd: float, centre: float, low: float, high: float) -> float:
    """Returns the scale of a covariate: its public sd, or more where a bound is far away.

    s = max(sd, largest distance from centre to bound / 3.5), from "A recipe that worked" in the statistics
    design: skewed counts in plain standard deviations are distorted by the clip of the feature vector's norm.
    """
    return max(sd, (high - centre) / FARTHEST, (centre - low) / FARTHEST)


def indicator_scale(share: float) -> float:
    """Returns the scale of a feature that is 1 for about that share of people, and 0 for the others."""
    return public_scale(math.sqrt(share * (1 - share)), share, 0.0, 1.0)


def resolved_covariate(
    value: object, data: str, ages: tuple[int, int], intake_quarters: tuple[str, ...] | None
) -> object:
    """Returns what was written for one covariate, with the defaults filled in.

    Args:
        value: a name, a mapping with a name, or anything else (returned as it is, for the model to refuse).
        data: `canonical` (names of the registry) or `table` (columns).
        ages: youngest and oldest age of the study, years: the bounds of `age`.
        intake_quarters: the levels of `index_quarter`; None while the intake itself is at fault.

    Raises:
        PydanticCustomError: the name is unknown, or a fixed field was given another value.
        PydanticOmit: `index_quarter` cannot be resolved, because the intake is at fault.
    """
    fields = written_fields(value)
    if not isinstance(fields, dict) or not isinstance(fields.get("name"), str):
        return fields
    if data == "table":
        if isinstance(value, str):
            raise _without_range(value)
        kind = "category" if fields.get("levels") else "number"
        return _completed({"title": fields["name"], "kind": kind, **fields}, None)
    return _from_registry(fields, ages, intake_quarters)


def _without_range(name: str) -> PydanticCustomError:
    what = f"The covariate `{name}` needs its bounds or its levels."
    why = "With `data: table` nothing is known about a column."
    do = f"Write `{{name: {name}, low: ..., high: ...}}` or `{{name: {name}, levels: [...]}}`."
    return broken(what, why, do)


def _from_registry(
    fields: dict[str, object], ages: tuple[int, int], intake_quarters: tuple[str, ...] | None
) -> dict[str, object]:
    name = str(fields["name"])
    if name not in COVARIATES:
        why = "Covariates come from a registry, so that every data holder computes the same thing."
        raise broken(f"There is no covariate `{name}`.", why, suggestion(name, COVARIATES))
    known = _in_this_plan(COVARIATES[name], ages, intake_quarters)
    fixed = {"kind": known.kind, "levels": list(known.levels), "transform": known.transform}
    if changed := altered(fields, fixed):
        what = f"`{changed[0]}` of the covariate `{name}` cannot be changed."
        do = f"Remove `{changed[0]}`; `title`, the bounds, `centre`, `scale`, `square` and `bins` can be set."
        raise broken(what, f"The registry fixes it: {fixed[changed[0]] or 'none'}.", do)
    bounds = {} if known.levels else {"low": known.low, "high": known.high}
    return _completed({"title": known.title, **fixed, **bounds, **fields}, known)


def _in_this_plan(
    known: CovariateDefinition, ages: tuple[int, int], intake_quarters: tuple[str, ...] | None
) -> CovariateDefinition:
    if known.name == "age":
        young, old = ages[0], max(min(ages[1], OLDEST_SPREAD), ages[0] + 1)
        return replace(known, low=ages[0], high=ages[1], centre=(young + old) / 2, sd=_even_sd(young, old))
    if known.name != "index_quarter":
        return known
    if intake_quarters is None:
        raise PydanticOmit
    if len(intake_quarters) < 2:
        what = f"`index_quarter` has one level only: the whole intake lies in {intake_quarters[0]}."
        raise broken(what, "Nobody differs in it.", "Remove `index_quarter` from the covariates.")
    return replace(known, levels=intake_quarters)


def _completed(fields: dict[str, object], known: CovariateDefinition | None) -> dict[str, object]:
    """Fills in centre and scale, and the bounds of a category."""
    levels = fields.get("levels")
    if fields["kind"] == "category":
        share = 1 / max(len(levels) if isinstance(levels, list | tuple) else 0, 2)
        return {"low": 0.0, "high": 1.0, "centre": share, "scale": indicator_scale(share), **fields}
    low, high, centre = _finite(fields, "low"), _finite(fields, "high"), _finite(fields, "centre")
    transform: Transform = "log" if fields.get("transform") == "log" and low is not None and low >= 0 else "none"
    if low is None or high is None or low >= high:
        return {"centre": low or 0.0, "scale": 1.0, **fields}
    low, high = transformed(low, transform), transformed(high, transform)
    if centre is None:
        centre = min(max(known.centre, low), high) if known else (low + high) / 2
    sd = known.sd if known else _even_sd(low, high)
    return {"centre": centre, "scale": public_scale(sd, centre, low, high), **fields}


def _finite(fields: Mapping[str, object], name: str) -> float | None:
    """Returns a field that is a usable number; anything else is left to the model to refuse."""
    value = fields.get(name)
    return value if isinstance(value, int | float) and abs(value) <= LARGEST else None


def _even_sd(low: float, high: float) -> float:
    """Returns the standard deviation of values spread evenly between two bounds."""
    return (high - low) / math.sqrt(12)
