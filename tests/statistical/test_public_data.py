"""Public data with published answers (../shared/validation says where the references come from)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from public_questions import LALONDE, NHEFS

from cohortium_coordinator.result import OutcomeEstimate, StudyResult
from cohortium_simulations.federation import run_study
from cohortium_simulations.table import Question, read_table, table_study

REPLICATES = 100


def run(folder: Path, question: Question, nodes: int, epsilon: float | None, seed: int = 1) -> StudyResult:
    frame = read_table(folder / "input.csv")
    ready = table_study(frame, question, source="input.csv", nodes=nodes, split="random",
                        epsilon=epsilon, delta=1e-6, method="doubly_robust",
                        rng=np.random.default_rng(seed))  # fmt: skip
    return run_study(ready.plan, ready.tables, bounds_from_data=ready.bounds_from_data)


def width(outcome: OutcomeEstimate) -> float:
    return outcome.high - outcome.low


@pytest.fixture(scope="module")
def validation(require: Callable[[str], Path]) -> Path:
    return require("validation")


def test_quitting_smoking_put_on_as_much_weight_as_the_book_says(validation: Path):
    """Hernan and Robins, What If: 3.4 kg (2.4 to 4.5) by weighting, 3.5 by standardisation; unadjusted 2.5."""
    found = run(validation / "nhefs", NHEFS, 5, None).outcomes[0]
    assert found.n_treated == pytest.approx(403, abs=1e-6)
    assert 3.2 < found.estimate < 3.7
    assert found.low == pytest.approx(2.4, abs=0.15)
    assert found.high == pytest.approx(4.5, abs=0.3)


def test_weights_make_the_groups_alike(validation: Path):
    rows = run(validation / "nhefs", NHEFS, 1, None).balance
    assert max(abs(row.smd_before) for row in rows) > 0.25
    assert max(abs(row.smd_after) for row in rows) <= 0.105


def test_quitting_smoking_with_noise_covers_the_book_and_is_not_twice_as_wide(validation: Path):
    """At epsilon 4 over five nodes, each with its own noise: 100 draws."""
    exact = run(validation / "nhefs", NHEFS, 5, None).outcomes[0]
    noisy = [run(validation / "nhefs", NHEFS, 5, 4.0, seed).outcomes[0] for seed in range(REPLICATES)]
    assert sum(each.low <= 3.45 <= each.high for each in noisy) >= 0.9 * REPLICATES
    assert np.median([width(each) for each in noisy]) <= 2 * width(exact)
    assert abs(np.mean([each.estimate for each in noisy]) - exact.estimate) < 0.6


def test_training_and_earnings_agree_with_matching_on_the_same_people(validation: Path):
    """The 614 rows of the MatchIt vignette: MatchIt's regression-adjusted pairs, and weighting, on the same people."""
    reference = json.loads((validation / "lalonde_matchit" / "summary.json").read_text())
    references = [reference["ipw_att"], *(reference["specs"][spec]["est_adj"] for spec in ("nn_data", "nn_cal02"))]
    found = run(validation / "lalonde_matchit", LALONDE, 5, None).outcomes[0]
    assert found.n_treated == pytest.approx(185, abs=1e-6)
    assert reference["unadjusted"] < 0
    assert min(references) - found.se < found.estimate < max(references) + found.se
    assert found.low < 0 < found.high
