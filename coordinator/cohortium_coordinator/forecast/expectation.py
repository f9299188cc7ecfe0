"""What an operator expects of a study, and what is assumed where nothing is said. Every assumption is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from cohortium_protocols.outcomes import OutcomeKind, measure_of
from cohortium_protocols.plan import Outcome

COMPARATORS_EACH, FEWEST_COMPARATORS = 100, 50_000
"""Comparison people for each person helped where nothing is said, and the fewest in all."""
OVERLAP = 4.0
"""How many times larger than after a lottery weighting makes the variance of the comparators' mean, where nothing is
said: one plus the squared coefficient of variation of the weights (Kish 1965). Measured under strong selection, 3.3 to
3.9 (docs/validation/forecast.md); a lottery has 1."""

_LEVELS: Mapping[str, float] = MappingProxyType({
    "ae_attendances": 0.8, "ae_attendances_major": 0.6, "any_ae_attendance": 0.4, "emergency_admissions": 0.3,
    "any_emergency_admission": 0.2, "avoidable_emergency_admissions": 0.1, "nonelective_admissions_broad": 0.35,
    "elective_admissions": 0.25, "all_admissions": 0.55, "bed_days": 2.0, "outpatient_attendances": 3.0, "death": 0.05,
})  # fmt: skip
"""Mean for a person in a year, for outcomes of the registry: round guesses for older people in poor health."""
_PARTS: Mapping[OutcomeKind, float] = MappingProxyType(
    {"count": 0.08, "binary": 0.1, "days": 0.03, "time": 0.95, "share": 0.5, "number": 0.5}
)
"""For any other outcome: where in its range the mean lies, 0 to 1."""


@dataclass(frozen=True)
class Expectation:
    """What the operator expects.

    Attributes:
        helped: people helped who are found at the data holders, in all.
        comparators: people who are not helped and can be compared with, in all.
        levels: outcome -> mean for a person like those helped, without the help, in the outcome's unit.
        spreads: outcome -> standard deviation of what the covariates cannot foretell, in the outcome's unit.
        overlap: see ``OVERLAP``.
    """

    helped: int
    comparators: int
    levels: Mapping[str, float] = field(default_factory=dict)
    spreads: Mapping[str, float] = field(default_factory=dict)
    overlap: float = OVERLAP

    def level(self, outcome: Outcome) -> float:
        """Returns the expected mean of an outcome, scaled to its range, inside (0, 1)."""
        level = self.levels.get(outcome.name, assumed_level(outcome))
        return min(max((level - outcome.low) / (outcome.clip - outcome.low), 1e-4), 1 - 1e-4)


def assumed_comparators(helped: int) -> int:
    """Returns how many people to compare with are assumed where nothing is said."""
    return max(COMPARATORS_EACH * helped, FEWEST_COMPARATORS)


def assumed_level(outcome: Outcome) -> float:
    """Returns the mean that is assumed for an outcome where nothing is said, in the outcome's unit."""
    known = _LEVELS.get(measure_of(outcome.name))
    if known is not None and outcome.kind != "number" and outcome.low < known < outcome.clip:
        return known
    return outcome.low + _PARTS[outcome.kind] * (outcome.clip - outcome.low)
