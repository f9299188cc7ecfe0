"""People of three areas whom help gives more visits, as a study: shared by tests of ways to compare people."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cohortium_coordinator.combine.analysis import Analysis
from cohortium_coordinator.combine.sums import Answers, Separate
from cohortium_node.features import study_arrays
from cohortium_node.local.reduce import reduce_round
from cohortium_protocols.plan import Plan
from cohortium_simulations.table import Column, Question, TableStudy, table_study

QUESTION = Question(
    treated="helped", outcomes=[Column("visits", 0, 8)], covariates=[Column("age", 18, 110), Column("prior", 0, 10)],
    categorical=["area"],
)  # fmt: skip


def people(count: int, seed: int, effect: float = 0.0) -> pd.DataFrame:
    """People of three areas; in area c the help changes visits by ``effect`` more."""
    rng = np.random.default_rng(seed)
    age, prior = rng.integers(18, 95, count), rng.poisson(0.8, count)
    area = rng.choice(["a", "b", "c"], count)
    helped = rng.random(count) < 1 / (1 + np.exp(2.2 - 0.02 * (age - 50) - 0.4 * prior))
    gain = helped * (0.5 + effect * (area == "c"))
    visits = rng.poisson(np.exp(-1 + 0.4 * prior) + gain)
    frame = {"helped": helped.astype(int), "age": age, "prior": prior, "area": area, "visits": visits}
    return pd.DataFrame(frame).astype(str)


def study(frame: pd.DataFrame, analysis: dict[str, Any], nodes: int = 3, epsilon: float | None = None,
          split: str = "random", seed: int = 0) -> TableStudy:  # fmt: skip
    ready = table_study(frame, QUESTION, source="people", nodes=nodes, split=split, epsilon=epsilon, delta=1e-6,
                        method="doubly_robust", rng=np.random.default_rng(seed))  # fmt: skip
    written = ready.plan.model_dump(mode="json", by_alias=True) | {"analysis": analysis}
    return TableStudy(Plan.model_validate(written), ready.tables, ready.bounds_from_data)


def exact_answers(ready: TableStudy) -> Answers:
    analysis, answers = Analysis(ready.plan), {}
    arrays = {name: study_arrays(ready.plan, table, name) for name, table in ready.tables.items()}
    for spec in analysis.schedule.rounds:
        asked = analysis.parameters(spec.name, answers)
        answers[spec.name] = Separate({name: reduce_round(spec, asked, each) for name, each in arrays.items()})
    return answers


def parts(ready: TableStudy) -> tuple[Plan, Any]:
    """What a federation is run with."""
    return ready.plan, ready.tables
