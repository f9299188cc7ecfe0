"""Several primary outcomes are several chances to be wrong: their p-values adjusted together (Holm 1979)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from statsmodels.stats.multitest import multipletests

from cohortium_coordinator.result import OutcomeEffect

E = TypeVar("E", bound=OutcomeEffect)


def adjusted(outcomes: Sequence[E]) -> tuple[E, ...]:
    """Returns the outcomes, primary ones with their p-value adjusted for all of them where there are several.

    Outcomes in which no difference is expected are checks, and not counted.
    """
    names = [each.name for each in outcomes if each.primary and each.expected == "unknown"]
    if len(names) < 2:
        return tuple(outcomes)
    plain = [each.p_value for each in outcomes if each.name in names]
    holm = dict(zip(names, map(float, multipletests(plain, method="holm")[1]), strict=True))
    return tuple(each.model_copy(update={"p_value_holm": holm.get(each.name)}) for each in outcomes)
