"""How exact each estimate of a plan will be: the variance that the estimator states, foretold.

    V = v / n + noise_t / n^2 + v overlap / n_c + noise_c / W^2 + doubt             (``combine.estimate``)

with v what one person varies by beyond expectation, n people helped, n_c comparators, W the sum of their weights,
noise_t and noise_c the variances of the noise in the two groups' sums, and doubt that of the model (``doubt``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from cohortium_coordinator.combine.estimate import Z95
from cohortium_coordinator.forecast.doubt import count_noise, model_doubt, sum_of_weights
from cohortium_coordinator.forecast.expectation import Expectation
from cohortium_coordinator.forecast.planned import Planned
from cohortium_coordinator.forecast.typical import Typical, typical
from cohortium_protocols.estimates import Estimate
from cohortium_protocols.grouped import grouping, is_grouped
from cohortium_protocols.matched_pairs import PAIR_SCALE
from cohortium_protocols.plan import Outcome

_LOST = 0.99
"""Where noise in the number of people would make the interval infinite, it is taken to be ten times as wide."""
_WIDEST = 2.0
"""No interval is wider: a person can lose, or gain, the whole range."""


@dataclass(frozen=True)
class Precision:
    """An estimate's variance, in units of y squared, y being the outcome scaled to [0, 1].

    Attributes:
        sampling: by chance alone, as it would be without noise.
        noise: what privacy noise adds, in the groups' sums and through the model.
        widening: how many times wider noise in the number of people makes the interval (Fieller 1954).
    """

    sampling: float
    noise: float
    widening: float

    @property
    def se(self) -> float:
        """Standard error: the interval's half width over 1.96."""
        return math.sqrt(self.sampling + self.noise) * self.widening

    @property
    def width(self) -> float:
        """Width of the 95 % interval."""
        return min(2 * Z95 * self.se, _WIDEST)

    @property
    def width_by_chance(self) -> float:
        """What the width would be without noise."""
        return min(2 * Z95 * math.sqrt(self.sampling), _WIDEST)


@dataclass(frozen=True)
class _Groups:
    """The two groups' part: variance by chance and by noise, and that of the noise in the count, over its square."""

    sampling: float
    noise: float
    count: float


def precision(planned: Planned, expected: Expectation, estimate: Estimate, outcome: Outcome) -> Precision:
    """Returns how exact an estimate of an outcome will be; of subgroups, in each of so many alike in size."""
    level = expected.level(outcome)
    kind = typical(outcome, level, expected.spreads.get(outcome.name))
    if estimate.approach.method == "matched_pairs":
        found = _pairs(planned, expected, estimate, outcome, kind)
    elif is_grouped(estimate):
        found = (_together if estimate.by is None else _apart)(planned, expected, estimate, outcome, kind)
    else:
        found = _weighted(planned, expected, estimate, outcome, kind)
    noise = found.noise + model_doubt(planned, expected, outcome, kind)
    return Precision(found.sampling, noise, 1 / math.sqrt(1 - min(Z95**2 * found.count, _LOST)))


def _weighted(
    planned: Planned, expected: Expectation, estimate: Estimate, outcome: Outcome, kind: Typical
) -> _Groups:
    helped, weights, scale = expected.helped, sum_of_weights(expected), (kind.clip / kind.seen) ** 2
    treated, compared = (
        planned.noise(estimate.name(family, outcome.name)) for family in ("treated_outcome", "comparator_outcome")
    )
    return _Groups(
        kind.variance / helped + _by_chance(expected, kind), scale * (treated / helped**2 + compared / weights**2),
        count_noise(planned) / helped**2,
    )  # fmt: skip


def _together(
    planned: Planned, expected: Expectation, estimate: Estimate, outcome: Outcome, kind: Typical
) -> _Groups:
    """Inside groups, taken to be alike in size: then it makes no difference that their means are drawn together."""
    helped, scale = expected.helped, (kind.clip / kind.seen) ** 2
    groups = len(grouping(planned.plan, estimate).labels)
    weights = sum_of_weights(expected)
    treated, compared = (
        planned.noise(estimate.name(family, outcome.name)) for family in ("grouped_treated", "grouped_comparators")
    )
    return _Groups(
        kind.variance / helped + _by_chance(expected, kind),
        scale * (treated / helped**2 + compared * groups / weights**2), count_noise(planned) / helped**2,
    )  # fmt: skip


def _apart(
    planned: Planned, expected: Expectation, estimate: Estimate, outcome: Outcome, kind: Typical
) -> _Groups:
    """Each of the category's groups by itself; nobody is expected in the group of those whose level is not known."""
    groups, scale = len(grouping(planned.plan, estimate).labels) - 1, (kind.clip / kind.seen) ** 2
    helped, weights = expected.helped / groups, sum_of_weights(expected) / groups
    treated, compared = (
        planned.noise(estimate.name(family, outcome.name)) for family in ("grouped_treated", "grouped_comparators")
    )
    return _Groups(
        kind.variance / helped + _by_chance(expected, kind) * groups,
        scale * (treated / helped**2 + compared / weights**2), treated / helped**2,
    )  # fmt: skip


def _pairs(
    planned: Planned, expected: Expectation, estimate: Estimate, outcome: Outcome, kind: Typical
) -> _Groups:
    """As if everybody found all the partners asked for."""
    partners = estimate.approach.ratio
    pairs, noise = partners * expected.helped, planned.noise(estimate.name("matched_sums", outcome.name))
    scale = (kind.clip / kind.seen) ** 2 if estimate.approach.adjusted else 0.25
    return _Groups(
        kind.variance * (partners + 1) / pairs, scale * noise / pairs**2, noise / (2 * PAIR_SCALE) ** 2 / pairs**2
    )


def _by_chance(expected: Expectation, kind: Typical) -> float:
    return kind.variance * expected.overlap / expected.comparators
