"""How much a yes or no varies among the people helped is told by their mean, however people are compared."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from visits_study import exact_answers, people, study

from cohortium_coordinator.combine.analysis import Analysis
from cohortium_coordinator.combine.expected import Level, expected
from cohortium_coordinator.combine.learned import Learned
from cohortium_coordinator.combine.pairs import _variance_of_yes_no
from cohortium_coordinator.combine.part import Part
from cohortium_coordinator.combine.sums import Answers, Separate
from cohortium_protocols.estimates import split_name
from cohortium_protocols.plan import Plan
from cohortium_simulations.table import TableStudy

BESIDE = {
    "strata": {"sensitivity": [{"method": "strata", "share": 0.3}]},
    "same holder": {"sensitivity": [{"comparison": "within_node", "share": 0.3}]},
    "subgroups": {"subgroups": [{"by": "area", "share": 0.3}]},
    "pairs": {"sensitivity": [{"method": "matched_pairs", "share": 0.3}]},
    "raw pairs": {"sensitivity": [{"method": "matched_pairs", "adjusted": False, "share": 0.3}]},
}
SQUARES = {"grouped_treated": "square", "matched_sums": "treated square"}
"""How the entries are called that hold squares of the people helped."""


def made(analysis: dict[str, Any], kind: str) -> TableStudy:
    """A study of visits, counted or as a yes or no."""
    frame, clip = people(3000, 1), 1.0 if kind == "binary" else 8.0
    frame["visits"] = np.minimum(frame["visits"].astype(int), int(clip)).astype(str)
    ready = study(frame, analysis, nodes=2)
    written = ready.plan.model_dump(mode="json", by_alias=True)
    written["outcomes"][0] |= {"kind": kind, "clip": clip}
    return replace(ready, plan=Plan.model_validate(written))


def without_squares(ready: TableStudy, answers: Answers) -> Answers:
    """The same answers, but all squares of the people helped are 0."""
    kept = {
        vector.name: np.array([not label.startswith(SQUARES[family]) for label in vector.labels], dtype=np.int64)
        for vector in Analysis(ready.plan).schedule.round("outcome").vectors
        if (family := split_name(vector.name)[0]) in SQUARES
    }
    nodes = answers["outcome"].by_node  # type: ignore[union-attr]
    changed = {
        node: {name: vector * kept.get(name, 1) for name, vector in vectors.items()} for node, vectors in nodes.items()
    }
    return {**answers, "outcome": Separate(changed)}


def learned(ready: TableStudy, answers: Answers) -> Learned:
    return Learned(ready.plan, Analysis(ready.plan).schedule, answers, before=None)


def parts(ready: TableStudy, answers: Answers) -> list[Part]:
    found = Analysis(ready.plan).findings(learned(ready, answers), answers).further
    return [each.part for each in found if each.part is not None]


@pytest.mark.parametrize("kind", ["binary", "count"])
@pytest.mark.parametrize("analysis", BESIDE.values(), ids=BESIDE)
def test_squares_of_a_yes_or_no_are_not_looked_at_and_those_of_a_count_are(analysis: dict[str, Any], kind: str) -> None:
    ready = made(analysis, kind)
    answers = exact_answers(ready)
    same = parts(ready, answers) == parts(ready, without_squares(ready, answers))
    assert same == (kind == "binary")


@pytest.mark.parametrize("name", ["pairs", "raw pairs"])
def test_pairs_of_a_yes_or_no_are_thought_to_vary_as_the_expected_share_says(name: str) -> None:
    ready = made(BESIDE[name], "binary")
    answers = exact_answers(ready)
    share = expected(learned(ready, answers), 0).mean
    assert [part.spread**2 for part in parts(ready, answers)] == pytest.approx([share * (1 - share)])


def matched_spread(chance: float, noise: float) -> float:
    """The variance among matched people helped, of whom ``chance`` say yes; of their comparators, 6 in 100 do."""
    return _variance_of_yes_no(0.06 * 0.94, Level(chance - 0.06, noise), 0.06)


def test_the_spread_of_a_yes_or_no_in_pairs_follows_its_mean() -> None:
    for chance in (0.03, 0.06, 0.09):
        assert matched_spread(chance, 0.0) == pytest.approx(chance * (1 - chance))


def test_a_spread_in_pairs_seen_through_much_noise_is_that_of_the_comparators() -> None:
    assert matched_spread(0.03, 1e8) == pytest.approx(0.06 * 0.94)
