"""People whose outcome bends with age and turns with sex, as does who is helped; help itself does nothing.

Both are U-shaped in age, and rise with age for men where they fall for women. The truth is 0, so that an estimate is
its error.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cohortium_coordinator.result import OutcomeEstimate
from cohortium_node.data.table import AnalysisTable
from cohortium_protocols.plan import Plan
from cohortium_simulations.coverage.study import MemoryStudy
from cohortium_simulations.coverage.summed_noise import SummedNoise

AGE = {"name": "age", "low": 20, "high": 90}
OTHERS = [{"name": "prior", "low": 0, "high": 10, "centre": 0.5, "scale": 0.6, "transform": "log"},
          {"name": "sex", "levels": ["female", "male"]}]  # fmt: skip
PAIR = {"interactions": [["age", "sex"]]}
PLAIN: dict[str, Any] = {"covariates": [AGE, *OTHERS]}
EXPANDED: dict[str, Any] = {"covariates": [AGE | {"square": True}, *OTHERS], **PAIR}
IN_RANGES: dict[str, Any] = {"covariates": [AGE | {"bins": [34, 48, 62, 76]}, *OTHERS], **PAIR}


def study(asked: dict[str, Any], epsilon: float | None = None) -> MemoryStudy:
    """The study of a plan that asks for these covariates; without noise where there is no epsilon."""
    plan = Plan.model_validate({
        "cohortium": 1, "study": "bent", "title": "Bent", "question": "Did they visit less?", "data": "table",
        "outcomes": [{"name": "visits", "low": 0, "clip": 8, "kind": "count"}],
        "privacy": {"epsilon": epsilon or 1.0, "aggregation": "local", "noise": epsilon is not None},
        "nodes": {"roster": ["one"], "deadline": "2099-12-31"}, **asked,
    })  # fmt: skip
    return MemoryStudy(plan, SummedNoise.of(plan))


def people(count: int, helped: int, bend: float, seed: int) -> AnalysisTable:
    """So many people, about so many of them helped; at a ``bend`` of 0 neither visits nor help depend on shape."""
    rng = np.random.default_rng(seed)
    age, male, prior = rng.uniform(20, 90, count), rng.random(count) < 0.5, rng.exponential(0.8, count)
    v = (age - 55) / 20
    shape = bend * ((v * v - 1) + v * (2 * male - 1))
    likely = np.exp(shape + 0.4 * np.log1p(prior))
    treated = rng.random(count) < helped * likely / likely.sum()
    visits = rng.poisson(np.exp(-1.0 + 0.7 * shape + 0.6 * np.log1p(prior)))
    covariates = {"age": age, "prior": prior, "sex": np.where(male, "male", "female").astype(object)}
    return AnalysisTable(treated, covariates, visits[:, None].astype(float), np.zeros(int(treated.sum()), np.int64))


def found(asked: MemoryStudy, table: AnalysisTable, seed: int) -> OutcomeEstimate:
    """The study's estimate."""
    return asked.result(asked.answered({"one": table}, np.random.default_rng(seed))).outcomes[0]
