"""Strata, exact categories, data holders and subgroups: what a federation says is what pooled data say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from visits_study import exact_answers, parts, people, study

from cohortium_coordinator.combine.analysis import Analysis
from cohortium_coordinator.combine.found import Found
from cohortium_coordinator.combine.grouped import _read, _shares, _standardised
from cohortium_coordinator.combine.learned import Learned
from cohortium_coordinator.combine.sums import NoisySum
from cohortium_node.features import study_arrays
from cohortium_node.local.people import Part
from cohortium_node.local.reduce import checked_parameters
from cohortium_protocols.doubly_robust import WEIGHT_SCALE
from cohortium_protocols.links import Link
from cohortium_protocols.plan_analysis import Analysis as PlannedAnalysis
from cohortium_simulations.federation import run_study
from cohortium_simulations.table import TableStudy


def found(ready: TableStudy) -> list[Found]:
    analysis, answers = Analysis(ready.plan), exact_answers(ready)
    return list(analysis.findings(Learned(ready.plan, analysis.schedule, answers, before=None), answers).further)


FRAME = people(1500, 1)
STRATA = {"method": "strata", "strata": 6}
WITHIN = {"method": "doubly_robust", "comparison": "within_node", "exact": ["area"]}


@pytest.mark.parametrize("analysis", [STRATA, STRATA | {"exact": ["area"]}], ids=["strata", "exact strata"])
@pytest.mark.parametrize("nodes", [2, 17])
def test_many_nodes_say_what_one_says(analysis: dict[str, Any], nodes: int):
    one, many = (run_study(*parts(study(FRAME, analysis, count))) for count in (1, nodes))
    for mine, pooled in zip(many.outcomes, one.outcomes, strict=True):
        for figure in ("estimate", "low", "high", "treated_mean", "comparison_mean", "n_compared"):
            assert getattr(mine, figure) == pytest.approx(getattr(pooled, figure), rel=1e-9, abs=1e-9), figure
    for mine, pooled in zip(many.balance, one.balance, strict=True):
        assert mine.smd_after == pytest.approx(pooled.smd_after, rel=1e-9, abs=1e-9)


def test_the_effect_is_the_strata_s_differences_in_the_proportions_of_the_people_helped():
    ready = study(FRAME, STRATA, nodes=1)
    analysis, answers = Analysis(ready.plan), exact_answers(ready)
    spec = analysis.schedule.round("outcome")
    (name, table), = ready.tables.items()
    asked = checked_parameters(spec, analysis.parameters("outcome", answers))
    part = Part(study_arrays(ready.plan, table, name), asked)
    bins = [np.searchsorted(np.sort(asked["edges"][0]), side.level[:, 0]) for side in (part.treated, part.comparators)]
    gaps = [part.treated.r[bins[0] == g, 0].mean() - part.comparators.r[bins[1] == g, 0].mean() for g in range(6)]
    by_hand = np.average(gaps, weights=np.bincount(bins[0], minlength=6)) * float(asked["clip"][0]) * 8
    estimate = run_study(*parts(ready)).outcomes[0].estimate
    assert estimate == pytest.approx(by_hand, abs=0.02)  # means of strata are drawn together a little
    assert 0.2 < estimate < 0.8


def test_within_data_holders_a_shift_of_whole_places_is_no_effect():
    """Helped people are mostly at a place where everybody has two visits more."""
    frame = people(6000, 3)
    place = np.where(np.random.default_rng(0).random(6000) < np.where(frame["helped"] == "1", 0.8, 0.2), "x", "y")
    visits = np.minimum(frame["visits"].astype(int) + 2 * (place == "x"), 8)
    frame = frame.assign(place=place, visits=visits.astype(str))
    ready = study(frame, {"sensitivity": [WITHIN | {"share": 0.2}]}, split="by:place")
    national = run_study(*parts(ready)).outcomes[0].estimate
    (within,) = (each.effect for each in found(ready))
    assert within is not None
    assert national > 1.2
    assert 8 * within.low < 0.5 < 8 * within.high


def test_a_place_where_nobody_can_be_compared_is_named():
    frame = people(3000, 4)
    place = np.where((frame["helped"] == "1") & (frame["area"] == "a"), "only helped", "rest")
    ready = study(frame.assign(place=place), {"sensitivity": [WITHIN | {"exact": [], "share": 0.2}]}, split="by:place")
    assert [each.alone for each in found(ready)] == [(min(ready.plan.nodes.roster),)]


def test_subgroups_find_where_the_effect_is():
    ready = study(people(8000, 5, effect=1.5), {"subgroups": [{"by": "area", "share": 0.3}]})
    effects = {each.group: each.effect for each in found(ready) if each.effect is not None}
    assert set(effects) == {"area=a", "area=b", "area=c"}
    assert 8 * effects["area=c"].low < 2.0 < 8 * effects["area=c"].high
    assert 8 * effects["area=a"].high < 1.2 < 8 * effects["area=c"].low


def test_too_small_a_subgroup_is_not_estimated():
    frame = people(2000, 6)
    frame["area"] = np.where(np.arange(2000) < 8, "rare", "usual")
    ready = study(frame, {"subgroups": [{"by": "area", "share": 0.3}]})
    shown = {each.group: each.effect is not None for each in found(ready)}
    assert shown == {"area=rare": False, "area=usual": True, "area=(other)": False}


@pytest.mark.parametrize("analysis", [STRATA, WITHIN], ids=["strata", "within"])
def test_with_noise_the_interval_still_holds_the_effect(analysis: dict[str, Any]):
    ready = study(people(30_000, 7), analysis, epsilon=4.0)
    outcome = run_study(*parts(ready)).outcomes[0]
    assert outcome.noise_share > 0
    assert outcome.estimate - 4 * outcome.se < 0.5 < outcome.estimate + 4 * outcome.se  # by chance once in 15,000


def test_every_kind_of_analysis_can_be_planned():
    assert PlannedAnalysis.model_validate(WITHIN).comparison == "within_node"


def test_noise_that_groups_share_when_they_are_drawn_together_is_in_the_interval():
    """Ten groups alike, with much noise: each is drawn to all, so that the noise of all is what is left."""
    rng, groups, noise = np.random.default_rng(1), 10, 13.0
    columns = np.tile([WEIGHT_SCALE * 200.0, 0.0, 4.0, 8.0, 20.0], groups)
    helped = _shares(NoisySum(np.full(groups + 2, 25.0), 1.0), groups)
    found = []
    for _ in range(2000):
        released = NoisySum(columns + rng.normal(0, noise, columns.size), noise**2)
        found.append(_standardised(_read(released, Link(1.0), groups), helped))
    spread = float(np.var([each.residual for each in found]))
    said = float(np.median([each.noise + each.sampling for each in found]))
    assert 0.8 * spread < said < 1.6 * spread


def test_what_is_expected_where_nobody_can_be_compared_is_that_of_all_groups_and_doubtful():
    columns = np.tile([WEIGHT_SCALE * 200.0, 0.0, 4.0, 8.0, WEIGHT_SCALE * 40.0], (3, 1))
    columns[2] = 0.0
    groups = _read(NoisySum(columns.ravel(), 1.0), Link(1.0), 3)
    assert groups.thin.tolist() == [False, False, True]
    assert groups.level == pytest.approx([0.2, 0.2, 0.2], rel=0.02)
    assert groups.level_variance[2] == pytest.approx(0.2**2, rel=0.02)
    assert groups.level_variance[0] < 0.05 * groups.level_variance[2]
