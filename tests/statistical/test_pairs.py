"""Matched pairs from records to result: the sums are those of the plain matcher, and the effect is the one put in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pairs_reference import Someone, reference_pairs
from public_questions import LALONDE, NHEFS
from visits_study import exact_answers, parts, people, study

from cohortium_coordinator.combine.analysis import Analysis
from cohortium_coordinator.result import StudyResult
from cohortium_node.features import StudyArrays, study_arrays
from cohortium_node.local.people import Parameters, Part, People
from cohortium_node.local.reduce import checked_parameters, reduce_round
from cohortium_protocols.matched_pairs import PAIR_SCALE, rows_changed
from cohortium_protocols.plan import Plan
from cohortium_protocols.schedules import schedule
from cohortium_simulations.coverage.monte_carlo import replicates
from cohortium_simulations.coverage.scenarios import SCENARIOS
from cohortium_simulations.federation import run_study
from cohortium_simulations.table import Question, TableStudy, read_table, table_study

PAIRS = {"method": "matched_pairs"}
BOTH = PAIRS | {"exact": ["area"], "ratio": 2, "caliper": 0.5}
FRAME = people(700, 1)
KINDS = pytest.mark.parametrize(
    "analysis",
    [PAIRS, PAIRS | {"adjusted": False}, PAIRS | {"score": "prognostic"},
     PAIRS | {"score": "propensity", "caliper": 0.05}, BOTH],
    ids=["default", "not adjusted", "prognostic", "propensity", "two each, alike in area"],
)  # fmt: skip


def paired(arrays: StudyArrays, asked: Parameters, analysis: dict[str, Any]) -> list[tuple[int, int]]:
    """Who the plain matcher pairs at one node."""
    part, score = Part(arrays, asked), analysis.get("score", "both")
    edges = np.sort(asked["bands"]) if score == "both" else np.empty(0)

    def side(group: People) -> list[Someone]:
        scores = group.exponent if score == "propensity" else group.level[:, 0]
        areas = group.codes["area"] if analysis.get("exact") else np.zeros(len(group), dtype=int)
        strata = 100 * np.searchsorted(edges, group.exponent) + areas
        pairs = zip(scores.tolist(), strata.tolist(), strict=True)
        return [Someone(*one, rank) for rank, one in enumerate(pairs)]

    sides = side(part.treated), side(part.comparators)
    return reference_pairs(*sides, float(asked["caliper"][0]), analysis.get("ratio", 1), "hash")


def by_hand(ready: TableStudy, analysis: dict[str, Any]) -> np.ndarray:
    """Pairs, and the sum of the differences, of all nodes by the plain matcher."""
    asked_of = Analysis(ready.plan)
    spec, answers = asked_of.schedule.round("outcome"), exact_answers(ready)
    asked, total = checked_parameters(spec, asked_of.parameters("outcome", answers)), np.zeros(2)
    for name, table in ready.tables.items():
        arrays = study_arrays(ready.plan, table, name)
        part = Part(arrays, asked)
        sides = part.treated, part.comparators
        helped, others = ((side.r if analysis.get("adjusted", True) else 2 * side.y - 1)[:, 0] for side in sides)
        for one, other in paired(arrays, asked, analysis):
            total += 1, helped[one] - others[other]
    return total


@KINDS
@pytest.mark.parametrize("nodes", [1, 4])
def test_the_sums_are_those_of_the_plain_matcher_at_every_node(analysis: dict[str, Any], nodes: int) -> None:
    ready = study(FRAME, analysis, nodes)
    released = Analysis(ready.plan).schedule.round("outcome").vector("matched_sums.visits")
    sums = exact_answers(ready)["outcome"].total("matched_sums.visits") / released.grid
    pairs, difference = by_hand(ready, analysis)
    assert pairs > 50
    assert sums[0] == pytest.approx(2 * PAIR_SCALE * pairs, abs=1e-6)
    assert sums[1] == pytest.approx(difference, abs=1e-6)


@KINDS
def test_the_estimate_is_the_mean_difference_in_pairs(analysis: dict[str, Any]) -> None:
    ready = study(FRAME, analysis, 2)
    pairs, difference = by_hand(ready, analysis)
    outcome = run_study(*parts(ready)).outcomes[0]
    unit = 8 if analysis.get("adjusted", True) else 4  # without noise no residual is clipped; 2 y - 1 is twice y
    assert outcome.estimate == pytest.approx(unit * difference / pairs, abs=1e-6)
    assert outcome.n_compared == pytest.approx(pairs, abs=1e-6)
    assert outcome.n_treated == pytest.approx(pairs / analysis.get("ratio", 1), abs=1e-6)


@KINDS
def test_where_nobody_was_helped_or_nobody_was_not_there_are_no_pairs(analysis: dict[str, Any]) -> None:
    ready = study(FRAME, analysis, 1)
    ((name, table),) = ready.tables.items()
    asked = Analysis(ready.plan).parameters("outcome", exact_answers(ready))
    everybody = study_arrays(ready.plan, table, name)
    nobody = everybody.treated.part(slice(0)), everybody.comparators.part(slice(0))
    for some in (replace(everybody, treated=nobody[0]), replace(everybody, comparators=nobody[1]),
                 everybody.of(*nobody, everybody.exits[:0])):  # fmt: skip
        sums = reduce_round(Analysis(ready.plan).schedule.round("outcome"), asked, some)
        assert not sums["matched_sums.visits"].any()
        assert not sums["matched_features"].any()


def test_pairs_beside_a_headline_say_what_pairs_as_a_headline_say() -> None:
    headline = run_study(*parts(study(FRAME, PAIRS, 2))).outcomes[0]
    (beside,) = run_study(*parts(study(FRAME, {"sensitivity": [PAIRS | {"share": 0.3}]}, 2))).further
    assert beside.effect is not None
    assert (beside.effect.estimate, beside.effect.se) == pytest.approx((headline.estimate, headline.se), rel=1e-9)
    assert (beside.method, beside.n_treated) == ("matched_pairs", pytest.approx(headline.n_treated, abs=1e-6))


def test_balance_and_estimand_are_about_matched_people() -> None:
    result = run_study(*parts(study(FRAME, PAIRS | {"caliper": 0.001, "exact": ["area"]}, 1)))
    share = next(check for check in result.checks if check.name == "overlap")
    assert (share.title, share.state) == ("People helped who found a match", "informational")
    assert 0.4 < share.value < 0.5  # type: ignore[operator]
    assert "(matched people only, about 4" in result.estimand
    areas = [row.smd_after for row in result.balance if row.covariate.startswith("area")]
    assert areas == pytest.approx([0.0] * len(areas), abs=1e-6)  # pairs agree in it


def test_pairs_are_alike_in_what_they_are_matched_on() -> None:
    for score in ("propensity", "both"):
        result = run_study(*parts(study(people(4000, 1), PAIRS | {"score": score}, 1)))
        before, after = (max(abs(getattr(row, smd)) for row in result.balance) for smd in ("smd_before", "smd_after"))
        assert after < 0.2 < before


# Public data.


def public(folder: Path, question: Question, analysis: dict[str, Any]) -> StudyResult:
    ready = table_study(read_table(folder / "input.csv"), question, source="input.csv", nodes=1, split="random",
                        epsilon=None, delta=1e-6, method="matched_pairs", rng=np.random.default_rng(1))  # fmt: skip
    written = ready.plan.model_dump(mode="json", by_alias=True) | {"analysis": analysis}
    return run_study(Plan.model_validate(written), ready.tables, bounds_from_data=True)


@pytest.mark.parametrize("score", ["prognostic", "propensity", "both"])
@pytest.mark.parametrize("adjusted", [True, False])
def test_pairs_on_nhefs_say_what_the_book_says(require: Callable[[str], Path], score: str, adjusted: bool) -> None:
    """Hernan and Robins: 3.4 kg by weighting; R MatchIt's pairs on the propensity score: 3.5 to 3.6."""
    analysis = PAIRS | {"score": score, "adjusted": adjusted}
    found = public(require("validation") / "nhefs", NHEFS, analysis).outcomes[0]
    assert abs(found.estimate - 3.5) < found.se
    assert 0.4 < found.se < 0.8
    assert found.n_treated > 0.9 * 403


def test_pairs_on_lalonde_find_little(require: Callable[[str], Path]) -> None:
    """MatchIt's vignette: a few hundred to two thousand dollars, not told from 0."""
    found = public(require("validation") / "lalonde_matchit", LALONDE, PAIRS | {"score": "both"}).outcomes[0]
    assert found.low < 894 < found.high
    assert abs(found.estimate) < 3000


# With noise.


@pytest.mark.parametrize("name", ["pairs", "pairs_raw"])
def test_with_noise_the_interval_holds_the_truth(name: str) -> None:
    """Thirty studies of 500 helped at epsilon 1: 21 intervals or fewer hold the truth once in 100,000 times."""
    found = list(replicates(SCENARIOS[name], 30, seed=11))
    assert sum(each.covered for each in found) >= 22
    away = [(each.estimate - each.truth) / each.se for each in found]
    assert abs(np.mean(away)) < 0.9  # 0.2 of bias, and chance: four standard errors of a mean of thirty


@pytest.mark.parametrize("analysis", [{"sensitivity": [PAIRS | {"share": 0.3}]}, PAIRS, BOTH])
def test_both_accounts_pay_for_pairs_and_membership_pays_twice(analysis: dict[str, Any]) -> None:
    declared = schedule(study(FRAME, analysis, 2, epsilon=1.0).plan)
    matched = [vector for _, vector in declared.vectors() if vector.block == "matched"]
    paid = sum(vector.mu2 for vector in matched)
    own = [sum(vector.mu2 for _, vector in declared.vectors() if vector.block == block)
           for block in ("treated", "comparator")]  # fmt: skip
    assert declared.cost("treated") == pytest.approx(own[0] + paid)
    assert declared.cost("comparator") == pytest.approx(own[1] + paid)
    assert declared.mu2_of_membership == pytest.approx(sum(own) + 4 * paid)
    assert {vector.changed for vector in matched} == {rows_changed(analysis.get("ratio", 1))}
