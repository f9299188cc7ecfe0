"""Intervals of ratios hold the truth as often as they say, with noise and without.

Everything but the ratios is made simple: one data holder, comparators like the people helped, an outcome model that
knows the overall level alone. So the two effects of a ratio are nothing but chance and noise, which go together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from cohortium_coordinator.combine.estimate import Weighted
from cohortium_coordinator.combine.fitted import Fitted
from cohortium_coordinator.combine.outcome_model import OutcomeModel
from cohortium_coordinator.combine.part import Part, weighted_part
from cohortium_coordinator.combine.profile import Means
from cohortium_coordinator.combine.ratio import Interval, Products, RatioEffect, fieller, rate_ratio, ratio_effect
from cohortium_coordinator.combine.residual_clip import UNCLIPPED
from cohortium_coordinator.combine.sums import NoisySum
from cohortium_protocols.doubly_robust import SQUARE_SCALE, WEIGHT_SCALE
from cohortium_protocols.links import Link
from cohortium_protocols.outcomes import Outcome

REPLICATES, MANY = 1500, 400_000
COMPARATORS = 12_000
DAYS, STAYS = (
    Outcome(name=name, title=name, low=0.0, clip=clip, kind=kind, unit="", better="lower")
    for name, clip, kind in (("bed_days", 40.0, "days"), ("all_admissions", 6.0, "count"))
)

Array = NDArray[np.float64]


def people(rng: np.random.Generator, count: int, *, helped: bool) -> Array:
    """Days in bed and admissions, scaled: help prevents a fifth of admissions and shortens the others by a tenth."""
    stays = rng.poisson(rng.gamma(0.8, 0.9 * (0.8 if helped else 1.0), count))
    days = rng.gamma(np.maximum(0.9 * stays, 1e-9), 5.0 * (0.9 if helped else 1.0)) * (stays > 0)
    return np.column_stack([np.minimum(days, 40) / 40, np.minimum(stays, 6) / 6])


@dataclass(frozen=True)
class Setting:
    """How many people are helped, and the noise of one person's largest contribution, as sums and as counts."""

    helped: int
    noise: float


SETTINGS = {"no noise": Setting(400, 0.0), "some noise": Setting(800, 4.0), "much noise": Setting(500, 9.0)}


def noisy(rng: np.random.Generator, values: Array, noise: float) -> NoisySum:
    return NoisySum(values + rng.normal(0, noise, len(values)) if noise else values, noise**2)


def study(rng: np.random.Generator, setting: Setting, level: Array) -> tuple[Part, Part, RatioEffect | None]:
    treated, others = people(rng, setting.helped, helped=True), people(rng, COMPARATORS, helped=False)
    r, q, noise = treated - level, others - level, setting.noise
    n = setting.helped + (rng.normal(0, noise / 3) if noise else 0.0)
    count = Means(n, (noise / 3) ** 2, np.zeros(0), 0.0)
    total = COMPARATORS + (rng.normal(0, noise) if noise else 0.0)
    weighted = Weighted(total, noise**2, total, Means(total, noise**2, np.zeros(0), 0.0))
    parts = []
    for k, outcome in enumerate((DAYS, STAYS)):
        beta = np.array([np.log(level[k] / (1 - level[k]))])
        model = OutcomeModel(beta, np.zeros((1, 1)), 1.0, 0.5, Link(1.0), level[k])
        steep = float(model.link.slope(level[k]))
        fitted = Fitted(outcome, model, UNCLIPPED, np.zeros((1, 1)), np.zeros((0, 0)), steep, 1.0)
        square = SQUARE_SCALE * np.array([(r[:, k] ** 2 - 0.5).sum(), (q[:, k] ** 2).sum()])
        mine = noisy(rng, np.array([r[:, k].sum(), square[0]]), noise)
        theirs = noisy(rng, np.array([q[:, k].sum(), square[1], square[1], WEIGHT_SCALE * others[:, k].sum()]), noise)
        parts.append(weighted_part(fitted, mine, theirs, best=count, count=count, weighted=weighted))
    products = [noisy(rng, np.array([(r[:, 0] * r[:, 1]).sum()]), 4 * noise),
                noisy(rng, np.full(2, (q[:, 0] * q[:, 1]).sum()), 4 * noise)]  # fmt: skip
    return parts[0], parts[1], ratio_effect(*parts, Products(*products, n, weighted))


def share(found: list[Interval | None], truth: float) -> float:
    shown = [each for each in found if each is not None]
    assert len(shown) > 0.95 * len(found)
    return float(np.mean([each.low <= truth <= each.high for each in shown]))


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_the_intervals_hold_the_truth_as_often_as_they_say(setting: Setting) -> None:
    rng = np.random.default_rng(5)
    helped, others = (people(rng, MANY, helped=each).mean(axis=0) for each in (True, False))
    size = DAYS.clip / STAYS.clip
    difference, ratio = (size * (helped[0] / helped[1] - others[0] / others[1]),
                         helped[0] / helped[1] / (others[0] / others[1]))  # fmt: skip
    studies = [study(rng, setting, others) for _ in range(REPLICATES)]
    rates = [share([rate_ratio(each[k]) for each in studies], helped[k] / others[k]) for k in (0, 1)]
    whole = [share([each[2] and each[2].difference for each in studies], difference),
             share([each[2] and each[2].ratio for each in studies], ratio)]  # fmt: skip
    assert all(0.93 < each < 0.985 for each in (*rates, *whole))


def test_no_interval_is_given_where_the_bottom_is_near_zero() -> None:
    assert fieller(1.0, 0.1, 0.01, 0.01, 0.0) is None
    assert fieller(1.0, -2.0, 0.01, 0.01, 0.0) is None


def test_fieller_gives_the_interval_of_the_difference_where_the_bottom_is_known() -> None:
    found = fieller(0.3, 2.0, 0.04, 0.0, 0.0)
    assert found is not None
    assert (found.low, found.high) == pytest.approx(((0.3 - 1.96 * 0.2) / 2, (0.3 + 1.96 * 0.2) / 2), abs=1e-4)
