"""The standard scenarios: one factor at a time round a base case, and five worst combinations (statistics design).

A scenario without noise is the same scenario with ``noise=False``: it says how much of an error is the estimator's own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

from cohortium_protocols.covariates import COVARIATES, public_scale, transformed
from cohortium_protocols.plan import Plan
from cohortium_protocols.plan_analysis import Approach
from cohortium_protocols.schedules import schedule
from cohortium_protocols.statistics import Schedule
from cohortium_simulations.coverage.array_worlds import YES_NO, ArrayWorldSpec
from cohortium_simulations.coverage.laws import BedDays, Counts, Law, Share, Yes

NUMBERS = (
    "age", "imd_decile", "charlson", "frailty", "prior.ae_attendances", "prior.emergency_admissions",
    "prior.elective_admissions", "prior.outpatient_attendances", "prior.bed_days",
)  # fmt: skip
"""Covariates that are numbers, with the registry's public bounds, centres and scales."""
DEFAULT = Approach()
"""The analysis of plans that name none: weighted comparators of all nodes, and an outcome model."""


@dataclass(frozen=True)
class Scenario:
    """One question asked of the estimator again and again.

    Attributes:
        name: what it is asked for by.
        meaning: what it tries, in a few words.
        world: what people, selection, outcome and effect are like.
        epsilon, delta: the privacy budget of each study.
        aggregation: ``secure``, noise summed over nodes, or ``local``, every node its own full noise.
        lost_after: the round after which the third node is lost; nobody is when not given.
        analysis: the headline, as a plan says it.
        noise: whether noise is added.
    """

    name: str
    meaning: str
    world: ArrayWorldSpec
    epsilon: float = 1.0
    delta: float = 1e-6
    aggregation: Literal["secure", "local"] = "secure"
    lost_after: str | None = None
    analysis: Approach = DEFAULT
    noise: bool = True

    @property
    def label(self) -> str:
        """The name, and that the noise is off where it is."""
        return self.name + ("" if self.noise else ", noise off")

    @cached_property
    def plan(self) -> Plan:
        """The study's plan."""
        return scenario_plan(self)

    @cached_property
    def schedule(self) -> Schedule:
        """Every round and vector of the plan."""
        return schedule(self.plan)

    def without_noise(self) -> Scenario:
        """Returns the same scenario with the noise off."""
        return replace(self, noise=False)


def scenario_plan(scenario: Scenario) -> Plan:
    """Returns the plan of a scenario's studies, on ready tables."""
    law, nodes = scenario.world.law, range(1, scenario.world.nodes + 1)
    return Plan.model_validate({
        "cohortium": 1, "study": "coverage", "title": scenario.meaning, "data": "table",
        "question": "Does the interval hold the truth?",
        "covariates": [*map(_number, NUMBERS), *map(_yes_or_no, YES_NO)],
        "outcomes": [{"name": law.name, "low": 0.0, "clip": law.clip, "kind": law.kind}],
        "analysis": scenario.analysis.model_dump(mode="json"),
        "privacy": {
            "epsilon": scenario.epsilon, "delta": scenario.delta, "aggregation": scenario.aggregation,
            "tolerate_lost_nodes": int(scenario.lost_after is not None), "noise": scenario.noise,
        },
        "nodes": {"roster": [f"node-{node}" for node in nodes], "deadline": "2099-12-31"},
    })  # fmt: skip


def _number(name: str) -> dict[str, Any]:
    known = COVARIATES[name]
    low, high = (transformed(bound, known.transform) for bound in (known.low, known.high))
    return {"name": name, "title": known.title, "low": known.low, "high": known.high, "centre": known.centre,
            "scale": public_scale(known.sd, known.centre, low, high), "transform": known.transform}  # fmt: skip


def _yes_or_no(name: str) -> dict[str, Any]:
    return {"name": name, "low": 0.0, "high": 1.0, "centre": 0.5, "scale": 0.5}


_EFFECTS: dict[str, tuple[Law, float]] = {
    "counts": (Counts(), -0.22), "yes": (Yes(), -0.40), "share": (Share(), -0.20), "days": (BedDays(), -0.30),
}  # fmt: skip
"""An outcome's law, and help of a size that charities hope for: about a fifth to a third fewer."""


def _of(name: str, meaning: str, outcome: str = "counts", **changed: Any) -> Scenario:
    """Returns a scenario that differs from the base case in what is named; some of that is the world's."""
    law, effect = _EFFECTS[outcome]
    about_study = {
        key: changed.pop(key) for key in ("epsilon", "aggregation", "lost_after", "analysis") if key in changed
    }
    return Scenario(name, meaning, ArrayWorldSpec(law, **{"effect": effect, **changed}), **about_study)


def _approach(**written: Any) -> Approach:
    return Approach.model_validate(written)


_LOST_AFTER = "model_2"
_PAIRS, _STRATA = _approach(method="matched_pairs"), _approach(method="strata")

SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        _of("base", "counts with a log-linear mean, strong selection, 500 helped of 50,000, 10 nodes, epsilon 1"),
        _of("null", "help changes nothing", effect=0.0),
        _of("heterogeneous", "help changes more for older people and for women", heterogeneous=True),
        _of("node_shift", "nodes differ in outcome and in selection, beyond covariates", node_shift=0.1),
        _of("rare_binary", "a yes or no that 3 people in 100 have", "yes"),
        _of("bounded_share", "a share between 0 and 1", "share"),
        _of("bed_days", "days in bed, heavy-tailed, clipped at 60", "days"),
        _of("counts_gentle", "gentle selection", selection=0.7),
        _of("nodes_5", "5 nodes", nodes=5),
        _of("nodes_42", "42 nodes", nodes=42),
        _of("treated_200", "200 helped", helped=200),
        _of("treated_2000", "2,000 helped", helped=2000),
        _of("eps_0.5", "epsilon 0.5", epsilon=0.5),
        _of("eps_2", "epsilon 2", epsilon=2.0),
        _of("eps_4", "epsilon 4", epsilon=4.0),
        _of("node_lost", f"one node lost after round {_LOST_AFTER}", lost_after=_LOST_AFTER),
        _of("local_noise", "every node adds all of the noise", aggregation="local"),
        _of("worst_rare", "rare yes or no, 200 helped, epsilon 0.5", "yes", helped=200, epsilon=0.5),
        _of("worst_overlap", "still stronger selection, 2,000 helped", selection=2.0, helped=2000),
        _of("worst_tail", "bed days, epsilon 0.5, 42 nodes", "days", epsilon=0.5, nodes=42),
        _of("worst_null", "no effect, epsilon 4", effect=0.0, epsilon=4.0),
        _of("worst_nodes", "heterogeneous effect, nodes differ, and one is lost", heterogeneous=True, node_shift=0.1,
            lost_after=_LOST_AFTER),
        _of("pairs", "pairs inside nodes on both scores", analysis=_PAIRS),
        _of("pairs_expected", "pairs on the expected outcome alone",
            analysis=_approach(method="matched_pairs", score="prognostic")),
        _of("pairs_odds", "pairs on the likelihood of being helped alone",
            analysis=_approach(method="matched_pairs", score="propensity")),
        _of("pairs_raw", "pairs whose outcome model is not taken off",
            analysis=_approach(method="matched_pairs", adjusted=False)),
        _of("pairs_gentle", "pairs, gentle selection", selection=0.7, analysis=_PAIRS),
        _of("pairs_null", "pairs, help changes nothing", effect=0.0, analysis=_PAIRS),
        _of("strata", "10 strata of the expected outcome", analysis=_STRATA),
        _of("strata_gentle", "strata, gentle selection", selection=0.7, analysis=_STRATA),
        _of("strata_null", "strata, help changes nothing", effect=0.0, analysis=_STRATA),
        _of("within_node", "weighted comparators of the same node", analysis=_approach(comparison="within_node")),
    )
}  # fmt: skip
"""Name -> scenario, in the order in which they are shown."""
