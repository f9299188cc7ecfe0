"""What is wrong with the features that a plan asks for: its interactions, and how many there are in all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic_core import PydanticCustomError

from cohortium_protocols.covariates import Covariate
from cohortium_protocols.expansion import expanded
from cohortium_protocols.plan_fault import Path, broken, suggestion

MOST_FEATURES = 60
"""Noise in every mean grows with the square root of their number: with 60 it is twice that with 15."""

Interactions = Sequence[tuple[str, str]]


def features_fault(covariates: Sequence[Covariate], interactions: Interactions) -> PydanticCustomError | None:
    """Returns what is wrong with a plan's features taken together, if anything is.

    Args:
        covariates: as in the plan.
        interactions: pairs of their names.
    """
    names = [feature.name for feature in expanded(covariates, interactions)]
    if len(names) > MOST_FEATURES:
        what = f"The covariates make {len(names)} features; at most {MOST_FEATURES} are accepted."
        why = "A number, each level or range but the first, a square and a product are a feature each, and every one "
        why += "makes the others less exact: the noise in each grows with the square root of their number."
        return broken(what, why, "Leave out what matters least; begin with interactions and `bins`.")
    if repeated := next((name for place, name in enumerate(names) if name in names[:place]), None):
        why = "The name of a feature is made from those of covariates and levels, and says what a node released."
        return broken(f"Two features are both called `{repeated}`.", why, "Rename one of the covariates or levels.")
    return None


def interaction_faults(
    interactions: Interactions, covariates: Mapping[str, Covariate]
) -> list[tuple[Path, PydanticCustomError]]:
    """Returns the path and the fault of every interaction that cannot be made.

    Args:
        interactions: as written.
        covariates: the plan's covariates, by name.
    """
    unknown = [
        ((place, side), _no_covariate(name, covariates))
        for place, pair in enumerate(interactions)
        for side, name in enumerate(pair)
        if name not in covariates
    ]
    alone = [
        ((place,), _with_itself(covariates[first]))
        for place, (first, second) in enumerate(interactions)
        if first == second and first in covariates
    ]
    return unknown + alone + _repeats(interactions)


def _no_covariate(name: str, covariates: Mapping[str, Covariate]) -> PydanticCustomError:
    why = "An interaction is the product of two covariates of the plan."
    return broken(f"`{name}` is not among the covariates.", why, suggestion(name, covariates))


def _with_itself(covariate: Covariate) -> PydanticCustomError:
    what = f"`{covariate.name}` is combined with itself."
    if covariate.kind == "category":
        return broken(what, "People are compared across its levels already.", "Remove this interaction.")
    do = f"Write `{{name: {covariate.name}, square: true}}` among the covariates instead."
    return broken(what, "That is its square.", do)


def _repeats(interactions: Interactions) -> list[tuple[Path, PydanticCustomError]]:
    seen = [frozenset(pair) for pair in interactions]
    return [
        ((place,), broken(f"`{first}` and `{second}` are combined twice.",
                          "The order of the two makes no difference.", "Remove one of the two interactions."))
        for place, (first, second) in enumerate(interactions)
        if seen[place] in seen[:place]
    ]  # fmt: skip
