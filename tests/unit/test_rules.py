"""The thresholds do what their descriptions say, and stand in one place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from scipy.stats import norm

from cohortium_coordinator.combine import rules
from cohortium_coordinator.combine.estimate import Z95
from cohortium_coordinator.combine.ratio import fieller

PACKAGES = ("coordinator/cohortium_coordinator", "simulations/cohortium_simulations")


@pytest.mark.parametrize(("noise", "least"), [(0.0, 10.0), (4.0, 10.0), (9.0, 15.0), (400.0, 100.0)])
def test_a_group_counts_above_ten_people_and_above_five_deviations_of_its_noise(noise: float, least: float) -> None:
    assert rules.least_counted(noise) == least


@pytest.mark.parametrize(("deviations", "passes"), [(0, 2.87e-7), (5, 0.5), (10, 1 - 2.87e-7)])
def test_groups_pass_as_often_as_is_said(deviations: float, passes: float) -> None:
    assert norm.sf(rules.COUNT_SDS - deviations) == pytest.approx(passes, rel=1e-2)


def test_a_ratio_that_is_shown_is_hardly_wider_for_its_bottom() -> None:
    se = 1 / rules.AWAY_FROM_ZERO
    doubtful, known = fieller(0.0, 1.0, 0.01, se**2, 0.0), fieller(0.0, 1.0, 0.01, 0.0, 0.0)
    assert doubtful is not None
    assert known is not None
    assert doubtful.high / known.high == pytest.approx((1 - (Z95 * se) ** 2) ** -0.5) == pytest.approx(1.09, abs=0.005)


def test_no_threshold_is_written_down_a_second_time() -> None:
    root = Path(__file__).parents[2]
    names = [name for name in vars(rules) if name.isupper()]
    assigned = re.compile(rf"^_?({'|'.join(names)}|LEAST_PAIRS) *(:[^=]*)?= ", re.MULTILINE)
    homes = [path.name for package in PACKAGES for path in (root / package).rglob("*.py")
             if assigned.search(path.read_text(encoding="utf-8"))]  # fmt: skip
    assert homes == ["rules.py"]
