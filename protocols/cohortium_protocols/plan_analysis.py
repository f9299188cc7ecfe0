"""The analyses of a plan: the headline, others beside it, and subgroups, each with its share of the budget."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from cohortium_protocols.plan_fault import broken
from cohortium_protocols.plan_types import Frozen, Name, Number, Text, Whole, YesNo

Method = Literal["doubly_robust", "matched_pairs", "strata"]
METHODS: tuple[Method, ...] = get_args(Method)
Comparison = Literal["national", "within_node"]
Score = Literal["prognostic", "propensity", "both"]
Share = Annotated[Number, Field(gt=0, lt=1)]
MOST_SHARED_OUT = 0.6
"""Largest part of the budget that analyses beside the headline may have together."""


class Approach(Frozen):
    """How the people helped are compared with people who were not."""

    method: Method = Field(
        default="doubly_robust",
        description="doubly_robust: weighted comparators and an outcome model; strata: comparators of the same "
        "expected outcome, weighted too; matched_pairs: for each person helped, the most similar comparators of the "
        "same node.",
    )
    comparison: Comparison = Field(
        default="national",
        description="national: comparators of all nodes; within_node: of the same node, the default for "
        "matched_pairs, which cannot be formed across nodes.",
    )
    exact: tuple[Text, ...] = Field(
        default=(), description="Categories in which compared people must agree.", examples=[["sex"]]
    )
    score: Score = Field(
        default="both",
        description="What pairs are matched on: the expected outcome (prognostic), the likelihood of being helped "
        "(propensity), or the first within twenty bands of the second (both).",
    )
    ratio: Whole = Field(default=1, ge=1, le=5, description="Pairs: comparators for each person helped.")
    caliper: Number = Field(
        default=0.2, gt=0, le=10, description="Pairs: farthest match, in standard deviations of the score."
    )
    adjusted: YesNo = Field(
        default=True,
        description="Pairs: whether the outcome model is taken off first (bias correction), as it should be.",
    )
    strata: Whole = Field(default=10, ge=1, le=40, description="Strata of the expected outcome.")

    @model_validator(mode="before")
    @classmethod
    def _pairs_stay_inside(cls, written: object) -> object:
        """Fills in the default of ``comparison`` where pairs are formed."""
        if isinstance(written, dict) and written.get("method") == "matched_pairs":
            return {"comparison": "within_node"} | written
        return written

    @model_validator(mode="after")
    def _pairs_are_not_national(self) -> Self:
        if self.method == "matched_pairs" and self.comparison == "national":
            what = "`matched_pairs` with `comparison: national` is refused."
            why = "People cannot be paired across data holders without moving their records."
            raise broken(what, why, "Write `comparison: within_node`, or another method.")
        return self


class Sensitivity(Approach):
    """One more analysis of the same question, with its share of the privacy budget."""

    share: Share = Field(description="Share of the study's privacy budget.", examples=[0.15])


class Subgroup(Frozen):
    """The effect in every category of a covariate, with its share of the privacy budget."""

    by: Name = Field(description="A category among the covariates.", examples=["sex"])
    share: Share = Field(description="Share of the study's privacy budget.", examples=[0.2])


class Analysis(Approach):
    """The headline analysis, and those beside it."""

    sensitivity: tuple[Sensitivity, ...] = Field(
        default=(), max_length=6, description="Further analyses, shown beside the headline."
    )
    subgroups: tuple[Subgroup, ...] = Field(
        default=(), max_length=6, description="Categories in which the effect is also estimated, named beforehand."
    )

    @field_validator("subgroups")
    @classmethod
    def _once(cls, subgroups: tuple[Subgroup, ...]) -> tuple[Subgroup, ...]:
        names = [each.by for each in subgroups]
        if repeated := next((name for name in names if names.count(name) > 1), None):
            raise broken(f"Subgroups by `{repeated}` are listed twice.", "Once is enough.", "Remove one of them.")
        return subgroups

    @model_validator(mode="after")
    def _leaves_enough(self) -> Self:
        shared = math.fsum([*(each.share for each in self.sensitivity), *(each.share for each in self.subgroups)])
        if shared > MOST_SHARED_OUT:
            what = f"Further analyses and subgroups take {shared:.0%} of the privacy budget."
            why = f"At most {MOST_SHARED_OUT:.0%} may go there, so that the headline is not the least exact figure."
            raise broken(what, why, "Lower their `share`, or leave some of them out.")
        return self


def is_plain(approach: Approach) -> bool:
    """Returns whether people are compared with weighted comparators of all data holders, and not inside groups."""
    return approach.method == "doubly_robust" and approach.comparison == "national" and not approach.exact


def category_faults(analysis: Analysis, categories: dict[str, Any]) -> list[tuple[tuple[str | int, ...], Any]]:
    """Returns the path and the fault of every name that is not a category among the covariates.

    Args:
        analysis: as written.
        categories: the plan's covariates of the kind category, by name.
    """
    named: list[tuple[tuple[str | int, ...], str]] = [
        (("exact", place), name) for place, name in enumerate(analysis.exact)
    ]
    for index, each in enumerate(analysis.sensitivity):
        named += [(("sensitivity", index, "exact", place), name) for place, name in enumerate(each.exact)]
    named += [(("subgroups", index, "by"), each.by) for index, each in enumerate(analysis.subgroups)]
    return [(path, _no_category(name, categories)) for path, name in named if name not in categories]


def _no_category(name: str, categories: dict[str, Any]) -> Any:
    known = ", ".join(f"`{each}`" for each in categories) or "none"
    why = "People are put into groups by the values of a category, which the plan lists."
    return broken(f"`{name}` is no category among the covariates ({known}).", why, "Name one of them, or add it.")
