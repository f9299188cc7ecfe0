"""Who lives in a world: adults with a realistic age, sex, deprivation, illness and latent need for care.

Rates of use are a product of observed characteristics and a gamma-distributed latent need, so that counts are
negative binomial: a few people use most of the care, and earlier use predicts later use.
Nothing here depends on the node except the case mix, so that the node is no confounder given the covariates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.random import Generator

from cohortium_simulations.arrays import Days, Floats, Integers, Mask
from cohortium_simulations.nhs_numbers import draw_nhs_numbers

Kind = Literal["attendances", "emergency", "elective"]
"""What happens to people: A&E attendances, emergency admissions, elective admissions."""
NEVER = 1_000_000
"""The day of something that does not happen: far after any date in use."""
DAYS_PER_YEAR = 365.25


@dataclass(frozen=True)
class Condition:
    """A lasting illness: ICD-10 code, Charlson weight, log odds of having it at 50 and per ten years."""

    code: str
    weight: int
    at_fifty: float
    per_decade: float


CONDITIONS = (
    Condition("I252", 1, -4.0, 0.55),  # old myocardial infarction
    Condition("I500", 1, -5.0, 0.85),  # congestive heart failure
    Condition("I739", 1, -4.6, 0.55),  # peripheral vascular disease
    Condition("I639", 1, -4.6, 0.65),  # stroke
    Condition("F03X", 1, -7.3, 1.35),  # dementia; a frailty syndrome too
    Condition("J449", 1, -3.8, 0.50),  # chronic obstructive pulmonary disease
    Condition("M069", 1, -4.4, 0.30),  # rheumatoid arthritis
    Condition("K259", 1, -5.0, 0.30),  # peptic ulcer
    Condition("K703", 1, -5.0, 0.10),  # liver disease
    Condition("E119", 1, -2.7, 0.45),  # diabetes without complication
    Condition("N183", 2, -4.3, 0.75),  # chronic kidney disease
    Condition("C509", 2, -3.9, 0.45),  # cancer
    Condition("W190", 0, -6.0, 1.10),  # falls
    Condition("F059", 0, -7.5, 1.20),  # delirium
    Condition("R32X", 0, -6.0, 0.90),  # incontinence
    Condition("L899", 0, -7.0, 1.00),  # pressure ulcer
    Condition("F329", 0, -2.6, -0.05),  # depression
    Condition("I10X", 0, -1.5, 0.60),  # high blood pressure
    Condition("M545", 0, -2.0, 0.10),  # back pain
)
CHARLSON_WEIGHTS = np.array([condition.weight for condition in CONDITIONS])
CANCER = next(bit for bit, condition in enumerate(CONDITIONS) if condition.code == "C509")

ETHNICITIES = np.array(["white", "asian", "black", "mixed", "other", "unknown"], dtype=object)
_ETHNICITY_SHARES = np.array([0.80, 0.075, 0.035, 0.02, 0.02, 0.05])
_AGE_EDGES = np.array([18, 25, 35, 45, 55, 65, 75, 85, 90, 101])
_AGE_SHARES = np.array([0.106, 0.171, 0.166, 0.164, 0.156, 0.123, 0.083, 0.020, 0.011])


@dataclass(frozen=True)
class People:
    """Everybody in a world, one entry a person in each array.

    ``conditions`` has one bit for each of `CONDITIONS`; the rates are events per year without any help;
    ``left`` is the first day without records of the person: death, a move, or the end of data.
    """

    nhs_number: Integers
    node: Integers
    female: Mask
    birth: Days
    age: Floats
    ethnicity: Integers
    imd_decile: Integers
    area: Integers
    registered_from: Days
    registered_to: Days
    death: Days
    left: Days
    opt_out: Mask
    conditions: Integers
    rates: Mapping[Kind, Floats]

    def __len__(self) -> int:
        return len(self.node)

    def present(self, days: Days) -> Mask:
        """Who is alive and registered on the given day, one day for each person."""
        return (self.registered_from <= days) & (days < self.left)


def make_people(
    sizes: Sequence[int], first_day: int, reference_day: int, last_day: int, rng: Generator
) -> People:
    """The people of nodes with the given numbers of people.

    Args:
        sizes: people at each node.
        first_day: everybody is alive on it; records start here.
        reference_day: ages are taken on it; everybody is 18 or older.
        last_day: records end before it.
        rng: source of all randomness.
    """
    node = np.repeat(np.arange(len(sizes)), sizes)
    count = len(node)
    age, imd_decile = _ages(node, rng), _deciles(node, rng)
    female = rng.random(count) < 0.49 + 0.002 * np.maximum(age - 60, 0)
    conditions = _conditions(age, imd_decile, rng)
    need = rng.gamma(0.9, 1 / 0.9, count)
    death = _deaths(first_day, age, female, burden(conditions), need, rng)
    birth = reference_day - np.ceil(age * DAYS_PER_YEAR).astype(np.int64)
    registered_from, registered_to = _registrations(first_day, last_day, birth, death, rng)
    return People(
        nhs_number=draw_nhs_numbers(count, rng),
        node=node,
        female=female,
        birth=birth,
        age=age,
        ethnicity=_ethnicities(node, rng),
        imd_decile=imd_decile,
        area=rng.integers(1, 60, count),
        registered_from=registered_from,
        registered_to=np.where(registered_to < death, registered_to, NEVER),
        death=np.where(death < last_day, death, NEVER),
        left=np.minimum(np.minimum(registered_to, death), last_day),
        opt_out=rng.random(count) < 0.02,
        conditions=conditions,
        rates=_rates(age, imd_decile, conditions, need),
    )


def burden(conditions: Integers) -> Integers:
    """The Charlson score of each set of conditions: the sum of the weights of its bits."""
    bits = conditions[:, np.newaxis] >> np.arange(len(CONDITIONS)) & 1
    return np.asarray(bits @ CHARLSON_WEIGHTS, dtype=np.int64)


def _ages(node: Integers, rng: Generator) -> Floats:
    tilts = rng.normal(0, 0.1, node.max() + 1)
    shares = _AGE_SHARES * np.exp(np.outer(tilts, np.linspace(-1, 1, len(_AGE_SHARES))))
    band = _choose_rows(shares[node], rng)
    return np.asarray(rng.uniform(_AGE_EDGES[band], _AGE_EDGES[band + 1]))


def _deciles(node: Integers, rng: Generator) -> Integers:
    tilts = rng.normal(0, 0.3, node.max() + 1)
    return 1 + _choose_rows(np.exp(np.outer(tilts, np.linspace(-1, 1, 10)))[node], rng)


def _ethnicities(node: Integers, rng: Generator) -> Integers:
    shares = np.tile(_ETHNICITY_SHARES, (node.max() + 1, 1))
    shares[:, 1:-1] *= rng.lognormal(0, 0.5, (len(shares), 1))
    return _choose_rows(shares[node], rng)


def _choose_rows(weights: Floats, rng: Generator) -> Integers:
    """One column for each row, with chances in proportion to the row's weights."""
    cumulated = np.cumsum(weights, axis=1)
    draws = rng.random(len(weights)) * cumulated[:, -1]
    return np.asarray((draws[:, np.newaxis] >= cumulated).sum(axis=1), dtype=np.int64)


def _conditions(age: Floats, imd_decile: Integers, rng: Generator) -> Integers:
    held = np.zeros(len(age), dtype=np.int64)
    for bit, condition in enumerate(CONDITIONS):
        odds = condition.at_fifty + condition.per_decade * (age - 50) / 10 + 0.06 * (5.5 - imd_decile)
        held |= (rng.random(len(age)) < 1 / (1 + np.exp(-odds))).astype(np.int64) << bit
    return held


def _deaths(
    first_day: int,
    age: Floats,
    female: Mask,
    score: Integers,
    need: Floats,
    rng: Generator,
) -> Days:
    relative = np.exp(0.085 * (age - 50) - 0.3 * female + 0.25 * np.minimum(score, 6)) * np.sqrt(need)
    years = rng.exponential(1 / _scaled(relative, mean=0.011))
    return np.asarray(first_day + 1 + np.minimum(years * DAYS_PER_YEAR, NEVER / 2), dtype=np.int64)


def _registrations(
    first_day: int, last_day: int, birth: Days, death: Days, rng: Generator
) -> tuple[Days, Days]:
    """First and last days of registration: one in twenty came after records start, one in thirty left."""
    count, span = len(birth), last_day - first_day
    came_late, moved = rng.random(count) < 0.05, rng.random(count) < 0.033
    start = first_day + np.where(came_late, rng.integers(0, span, count), -rng.integers(1, 9000, count))
    start = np.minimum(np.maximum(start, birth), death - 1)
    end = np.maximum(start, first_day) + rng.integers(90, span, count)
    return start, np.where(moved, end, NEVER)


def _rates(
    age: Floats,
    imd_decile: Integers,
    conditions: Integers,
    need: Floats,
) -> Mapping[Kind, Floats]:
    """Events per person-year; more for the old, the ill and the poor."""
    old, poor = np.maximum(age - 60, 0), 5.5 - imd_decile
    ill = np.minimum(np.bitwise_count(conditions), 6)
    attendance = need * np.exp(0.25 * (age < 30) + 0.03 * old + 0.07 * poor + 0.18 * ill)
    emergency = need * np.exp(0.012 * (age - 50) + 0.025 * old + 0.06 * poor + 0.22 * ill)
    elective = np.sqrt(need) * np.exp(0.025 * np.minimum(age - 50, 25) + 0.18 * ill)
    return {
        "attendances": _scaled(attendance, mean=0.40),
        "emergency": _scaled(emergency, mean=0.10),
        "elective": _scaled(elective, mean=0.12),
    }


def _scaled(relative: Floats, mean: float) -> Floats:
    return np.asarray(relative * (mean / relative.mean()))
