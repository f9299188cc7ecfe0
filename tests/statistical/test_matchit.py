"""Pairs on public data are those of R MatchIt 4.7.2, on its score, in its order, with its caliper.

On NHEFS every score is different, so the pairs are the same person for person. In LaLonde many people have the same
score, and which of them is taken is chance: there, counts, scores and distances are the same.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cohortium_node.local.matching import Order, Scored, matched

NHEFS, LALONDE = "nhefs", "lalonde_matchit"
SPECS: dict[str, tuple[Order, int]] = {
    "nn_data": ("hash", 1),  # ranks are row numbers: "data order"
    "nn_cal02_data": ("hash", 1),
    "nn_cal005_data": ("hash", 1),
    "nn_cal001abs_data": ("hash", 1),
    "nn_cal02_logit_data": ("hash", 1),
    "nn_cal02": ("largest", 1),
    "nn2_cal02": ("largest", 2),
}
every_spec = pytest.mark.parametrize("spec", SPECS)


@dataclass(frozen=True)
class Case:
    """One data set with its reference.

    Attributes:
        frame: everybody, with the columns ``ps`` and ``logit``, by id.
        treat: the column of treatment.
        y: the column of outcome.
        summary: MatchIt's figures by spec.
        folder: where MatchIt's pairs are.
    """

    frame: pd.DataFrame
    treat: str
    y: str
    summary: dict[str, Any]
    folder: Path

    def ours(self, spec: str) -> list[tuple[int, int]]:
        """(treated id, comparator id)."""
        sides = [self.frame[self.frame[self.treat] == side] for side in (1, 0)]
        columns = (self._scored(side, "logit" if "logit" in spec else "ps") for side in sides)
        order, ratio = SPECS[spec]
        caliper = self.summary[spec]["caliper_used"]
        pairs = matched(*columns, caliper=math.inf if caliper is None else caliper, ratio=ratio, order=order)
        return list(zip(sides[0].index[pairs.treated], sides[1].index[pairs.comparators], strict=True))

    def theirs(self, spec: str) -> list[tuple[int, int]]:
        table = pd.read_csv(self.folder / f"pairs_{spec}.csv", index_col="treated_id")
        return [(int(one), int(other)) for column in table for one, other in table[column].dropna().items()]

    def distances(self, pairs: list[tuple[int, int]], score: str) -> list[float]:
        values = self.frame[score]
        return sorted(abs(values[one] - values[other]) for one, other in pairs)

    def scores(self, pairs: list[tuple[int, int]], side: int, score: str) -> list[float]:
        return sorted(self.frame[score][pair[side]] for pair in pairs)

    def effect(self, pairs: list[tuple[int, int]]) -> float:
        """The mean over the treated of their outcome less the mean of their partners'."""
        y = self.frame[self.y]
        table = pd.DataFrame({"one": [one for one, _ in pairs], "theirs": [y[other] for _, other in pairs]})
        partners = table.groupby("one")["theirs"].mean()
        return float((y[partners.index] - partners).mean())

    def _scored(self, side: pd.DataFrame, score: str) -> Scored:
        codes = np.zeros(len(side), dtype=np.int64)
        return Scored(side[score].to_numpy(), codes, np.arange(len(side), dtype=np.uint64))


@pytest.fixture(scope="module")
def case(require: Callable[[str], Path]) -> Callable[[str], Case]:
    """Reads one data set."""
    return lambda name: _case(require("validation") / name)


def _case(folder: Path) -> Case:
    spec, summary = (json.loads((folder / f"{name}.json").read_text()) for name in ("spec", "summary"))
    frame = pd.read_csv(folder / "input.csv", index_col="id")
    frame = frame.join(pd.read_csv(folder / "ps.csv", index_col="id"))
    return Case(frame, spec["treat"], spec["y"], summary["specs"], folder)


@every_spec
def test_on_nhefs_the_pairs_are_the_same_people(case: Callable[[str], Case], spec: str) -> None:
    nhefs = case(NHEFS)
    ours = nhefs.ours(spec)
    assert sorted(ours) == sorted(nhefs.theirs(spec))
    known = nhefs.summary[spec]
    assert len({one for one, _ in ours}) == known["n_treated_matched"]
    assert len(ours) == known["n_control_matched"]


@every_spec
@pytest.mark.parametrize(("name", "digits"), [(NHEFS, 2e-12), (LALONDE, 2e-11)])
def test_the_effect_is_the_same_to_the_printed_digits(
    case: Callable[[str], Case], name: str, digits: float, spec: str
) -> None:
    """On LaLonde too: the people matched are the same, though who of them stands beside whom is not."""
    known = case(name)
    assert known.effect(known.ours(spec)) == pytest.approx(known.summary[spec]["est"], abs=digits)


def test_nhefs_in_the_figures_of_the_reference(case: Callable[[str], Case]) -> None:
    nhefs = case(NHEFS)
    found = {spec: (len(nhefs.ours(spec)), round(nhefs.effect(nhefs.ours(spec)), 3))
             for spec in ("nn_cal02_data", "nn_cal02")}  # fmt: skip
    assert found == {"nn_cal02_data": (389, 3.609), "nn_cal02": (392, 3.484)}


@every_spec
def test_on_lalonde_counts_scores_and_distances_are_the_same(case: Callable[[str], Case], spec: str) -> None:
    lalonde = case(LALONDE)
    score = "logit" if "logit" in spec else "ps"
    ours, theirs = lalonde.ours(spec), lalonde.theirs(spec)
    assert len(ours) == lalonde.summary[spec]["n_control_matched"]
    assert len({one for one, _ in ours}) == lalonde.summary[spec]["n_treated_matched"]
    for side in (0, 1):
        assert lalonde.scores(ours, side, score) == pytest.approx(lalonde.scores(theirs, side, score), abs=1e-12)
    assert lalonde.distances(ours, score) == pytest.approx(lalonde.distances(theirs, score), abs=1e-12)


def test_the_published_balance_of_lalonde(case: Callable[[str], Case]) -> None:
    """The table of the MatchIt vignette: mean differences in standard deviations of the treated."""
    lalonde = case(LALONDE)
    pairs = lalonde.ours("nn_data")
    treated = lalonde.frame[lalonde.frame[lalonde.treat] == 1]
    smd = {}
    for name in ("ps", "age", "educ", "black"):
        column = lalonde.frame[name]
        gap = column[[one for one, _ in pairs]].mean() - column[[other for _, other in pairs]].mean()
        binary = set(column) == {0, 1}
        share = treated[name].mean()
        smd[name] = round(gap / (math.sqrt(share * (1 - share)) if binary else treated[name].std()), 4)
    assert smd == {"ps": 0.9739, "age": 0.0718, "educ": -0.1290, "black": 1.0259}
