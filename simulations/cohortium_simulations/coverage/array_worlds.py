"""Worlds as plain arrays: who people are, who is helped, what happens to them, and the exact truth.

Everybody has twelve covariates: near-normal and even numbers, skewed counts of illness and of earlier use, and three
that are yes or no. Risk and the wish for help are smooth functions of the covariates (logarithms of counts, where the
estimator uses roots), so that the covariates account for all confounding, save for shifts between nodes where a
specification asks for them. The ``helped`` people with the highest sum of wish and logistic noise are helped: a logit
whose constant is fixed by their number.

*Truth* is the mean over the people helped of E clip(Y1, 0, B) - E clip(Y0, 0, B), given their covariates and node: the
average effect on the very people helped, with the luck of their outcomes averaged out (as in ``truth`` for the demo's
worlds). It is what a report means by "people like those helped", and it does not depend on how the two potential
outcomes of one person hang together, which no data can tell. The interval also allows for other people being helped,
so that with a heterogeneous effect it is a little wide.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.random import Generator

from cohortium_node.data.table import AnalysisTable
from cohortium_simulations.arrays import Floats, Integers, Mask
from cohortium_simulations.coverage.laws import Law, Moments

Covariates = dict[str, Floats]
YES_NO = ("female", "minority", "lives_alone")
_SPREAD = {"age": (58.0, 18.0), "imd_decile": (5.5, 2.9)}
"""Middle and deviation of the covariates that are not counts."""


@dataclass(frozen=True)
class ArrayWorldSpec:
    """What an array world is made from, but for its seed.

    Attributes:
        law: the outcome.
        effect: what help adds to the outcome's linear predictor (log or logit scale).
        people: how many, over all nodes.
        helped: how many of them are helped.
        nodes: how many nodes; their sizes fall as 1 / sqrt(rank).
        selection: how strongly covariates decide who is helped; 0 is a lottery.
        heterogeneous: whether the effect depends on age and sex: from about nothing to twice ``effect``.
        node_shift: standard deviation between nodes of the outcome's level; selection shifts three times as much.
    """

    law: Law
    effect: float
    people: int = 50_000
    helped: int = 500
    nodes: int = 10
    selection: float = 1.6
    heterogeneous: bool = False
    node_shift: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.helped <= self.people // 4:
            raise ValueError("between one person and a quarter of all people can be helped")


@dataclass(frozen=True)
class ArrayWorld:
    """One world.

    Attributes:
        spec: what it is made from.
        table: everybody, ready to be analysed.
        node: (n,) which node each person is at.
        level: (n,) linear predictor of the outcome without help.
        change: (n,) what help adds to it, for those who would be helped.
        log_odds: (n,) of being helped, up to a constant.
    """

    spec: ArrayWorldSpec
    table: AnalysisTable
    node: Integers
    level: Floats
    change: Floats
    log_odds: Floats

    @cached_property
    def without_help(self) -> Moments:
        """Everybody's clipped outcome without help."""
        return self.spec.law.moments(self.level, np.zeros(len(self.level)))

    @cached_property
    def with_help(self) -> Moments:
        """The helped people's clipped outcome with help, in their order."""
        chosen = self.table.treated
        return self.spec.law.moments(self.level[chosen], self.change[chosen])

    def truth(self, times: Mask | Integers | None = None) -> float:
        """Returns the average effect on the people helped.

        Args:
            times: how many times each of them counts, in the order of the table, shape (helped,); once if not given.
        """
        gain = self.with_help.mean - self.without_help.mean[self.table.treated]
        return float(np.average(gain, weights=times))

    def at(self, here: Mask) -> AnalysisTable:
        """Returns the table of these people alone."""
        table = self.table
        covariates = {name: column[here] for name, column in table.covariates.items()}
        chosen = table.treated[here]
        return AnalysisTable(chosen, covariates, table.outcomes[here], np.zeros(int(chosen.sum()), dtype=np.int64))


def make_array_world(spec: ArrayWorldSpec, rng: Generator) -> ArrayWorld:
    """Returns the world that the generator's state decides."""
    covariates = _draw_covariates(spec.people, rng)
    node = rng.choice(spec.nodes, spec.people, p=_sizes(spec.nodes))
    shift, pull = rng.normal(0, 1, (2, spec.nodes)) * spec.node_shift
    level = spec.law.middle + spec.law.slope * (_risk(covariates) + shift[node])
    log_odds = spec.selection * _wish(covariates) + 3 * pull[node]
    treated = _most(log_odds + rng.logistic(size=spec.people), spec.helped)
    change = spec.effect * _strength(covariates) if spec.heterogeneous else np.full(spec.people, spec.effect)
    outcome = spec.law.draw(level, np.where(treated, change, 0.0), rng)
    table = AnalysisTable(treated, covariates, outcome[:, None], np.zeros(spec.helped, dtype=np.int64))
    return ArrayWorld(spec, table, node, level, change, log_odds)


def _sizes(nodes: int) -> Floats:
    weights = np.arange(1, nodes + 1) ** -0.5
    return np.asarray(weights / weights.sum())


def _most(wish: Floats, count: int) -> Mask:
    chosen = np.zeros(len(wish), dtype=np.bool_)
    chosen[np.argpartition(wish, -count)[-count:]] = True
    return chosen


def _draw_covariates(people: int, rng: Generator) -> Covariates:
    """Returns twelve covariates under their names in plans; illness and use hang together."""
    age = np.clip(np.rint(rng.normal(58, 18, people)), 18, 95)
    burden = 0.6 * (age - 58) / 18 + 0.8 * rng.normal(size=people)
    habit = rng.normal(size=people)

    def counts(log_mean: Floats, largest: float) -> Floats:
        return np.minimum(rng.poisson(np.exp(log_mean)), largest).astype(np.float64)

    admissions = counts(-2.0 + 0.6 * burden + 0.6 * habit, 6)
    return {
        "age": age,
        "imd_decile": rng.integers(1, 11, people).astype(np.float64),
        "charlson": counts(-0.9 + 0.7 * burden, 12),
        "frailty": counts(-1.1 + 0.8 * burden, 9),
        "prior.ae_attendances": counts(-0.7 + 0.45 * burden + 0.5 * habit, 10),
        "prior.emergency_admissions": admissions,
        "prior.elective_admissions": counts(-1.7 + 0.3 * burden, 6),
        "prior.outpatient_attendances": counts(0.5 + 0.5 * burden, 20),
        "prior.bed_days": np.minimum(np.ceil(admissions * np.exp(rng.normal(1.1, 0.8, people))), 60),
        "female": (rng.random(people) < 0.55).astype(np.float64),
        "minority": (rng.random(people) < 0.15).astype(np.float64),
        "lives_alone": (rng.random(people) < 0.30).astype(np.float64),
    }


_RISK = {
    "age": 0.25, "imd_decile": -0.12, "charlson": 0.20, "frailty": 0.25, "prior.ae_attendances": 0.45,
    "prior.emergency_admissions": 0.35, "prior.outpatient_attendances": 0.10, "prior.bed_days": 0.10, "female": 0.10,
    "minority": -0.05, "lives_alone": 0.15,
}  # fmt: skip
_WISH = {
    "age": 0.20, "imd_decile": -0.30, "charlson": 0.30, "frailty": 0.40, "prior.ae_attendances": 0.60,
    "prior.emergency_admissions": 0.40, "prior.outpatient_attendances": 0.10, "female": 0.30, "minority": 0.10,
    "lives_alone": 0.40,
}  # fmt: skip
_AVERAGE_RISK = 0.54


def _risk(covariates: Covariates) -> Floats:
    """Returns the risk on which outcomes depend, about 0 on average with deviation 0.5, shape (n,)."""
    return _scored(covariates, _RISK) - _AVERAGE_RISK


def _wish(covariates: Covariates) -> Floats:
    """Returns what draws people to be helped, with a deviation of about 0.7, shape (n,)."""
    return _scored(covariates, _WISH)


def _scored(covariates: Covariates, weights: dict[str, float]) -> Floats:
    total = np.zeros(len(covariates["age"]))
    for name, weight in weights.items():
        total += weight * _eased(name, covariates[name])
    return total


def _eased(name: str, values: Floats) -> Floats:
    """Returns a covariate as it acts: near-normal ones in deviations, counts by their logarithm."""
    if name in _SPREAD:
        middle, spread = _SPREAD[name]
        return (values - middle) / spread
    return values if name in YES_NO else np.log1p(values)


def _strength(covariates: Covariates) -> Floats:
    """Returns how strong help is for each person, as a multiple: 1 on average, more for the older and for women."""
    age = (covariates["age"] - 58) / 18
    return np.clip(1 + 0.5 * age + 0.6 * (covariates["female"] - 0.55), 0.0, 2.5)
