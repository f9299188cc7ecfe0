"""Squares, ranges and products in a report: judged like covariates, and shown in a unit only where they have one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cohortium_coordinator.result import BalanceRow, StudyResult
from cohortium_node.data.table import AnalysisTable
from cohortium_protocols.plan import Plan
from cohortium_simulations.coverage.study import MemoryStudy
from cohortium_simulations.coverage.summed_noise import SummedNoise

USE = "prior.ae_attendances"
PLAN = Plan.model_validate({
    "cohortium": 1, "study": "small", "title": "Small", "question": "Fewer?", "data": "table",
    "covariates": [
        {"name": USE, "title": "Use before", "low": 0, "high": 10, "square": True, "bins": [1]},
        {"name": "age", "low": 20, "high": 90, "square": True, "bins": [65]},
    ],
    "interactions": [[USE, "age"]],
    "outcomes": [{"name": "ae_attendances", "clip": 8}],
    "privacy": {"epsilon": 1, "aggregation": "local", "noise": False},
    "nodes": {"roster": ["one"], "deadline": "2099-12-31"},
})  # fmt: skip


@pytest.fixture(scope="module")
def found() -> StudyResult:
    """A study of people helped at random, without noise; a third of all people are 65 or older."""
    rng, count = np.random.default_rng(1), 6_000
    treated, age = np.arange(count) < 600, np.where(np.arange(count) % 3 == 0, 80.0, 40.0)
    columns: dict[str, Any] = {USE: rng.poisson(1.0, count).astype(float), "age": age}
    table = AnalysisTable(treated, columns, rng.poisson(1.0, (count, 1)).astype(float), np.zeros(600, np.int64))
    study = MemoryStudy(PLAN, SummedNoise.of(PLAN))
    return study.result(study.answered({"one": table}, rng))


def rows(found: StudyResult) -> dict[str, BalanceRow]:
    return {row.covariate: row for row in found.balance}


def test_every_feature_is_judged_and_read_by_its_title(found: StudyResult):
    assert {row.covariate: row.title for row in found.balance} == {
        USE: "Use before", f"{USE} squared": "Use before squared", f"{USE} 1 or more": "Use before: 1 or more",
        "age": "age", "age squared": "age squared", "age 65 or more": "age: 65 or more",
        f"{USE} x age": "Use before x age",
    }  # fmt: skip


def test_a_feature_must_be_alike_where_all_that_it_is_made_from_must_be(found: StudyResult):
    mandatory = [name for name, row in rows(found).items() if row.mandatory]
    assert mandatory == [USE, f"{USE} squared", f"{USE} 1 or more"]


def test_the_profile_shows_means_with_a_unit_alone_and_ranges_as_shares(found: StudyResult):
    profile = {row.covariate: row for row in found.profile}
    assert list(profile) == [USE, f"{USE} 1 or more", "age", "age 65 or more"]
    assert (profile["age 65 or more"].unit, profile["age"].unit) == ("share", "")
    assert profile["age 65 or more"].comparison_before == pytest.approx(1 / 3, abs=0.01)
