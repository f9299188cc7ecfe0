"""What a node computes for each person, feature by feature."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohortium_node.data.table import AnalysisTable
from cohortium_node.features import study_arrays
from cohortium_protocols.features import features
from cohortium_protocols.plan import Plan

PLAN = Plan.model_validate({
    "cohortium": 1, "study": "small", "title": "A small study", "question": "Do they?", "data": "table",
    "covariates": [
        {"name": "age", "low": 20, "high": 80, "square": True, "bins": [40, 60]},
        {"name": "use", "low": 0, "high": 10, "transform": "log", "square": True, "bins": [1]},
        {"name": "sex", "levels": ["female", "male"]}, {"name": "area", "levels": ["a", "b", "c"]},
    ],
    "interactions": [["age", "use"], ["age", "sex"], ["sex", "area"]],
    "outcomes": [{"name": "visits", "clip": 8}], "privacy": {"epsilon": 1, "aggregation": "local"},
    "nodes": {"roster": ["north"], "deadline": "2099-01-01"},
})  # fmt: skip
FEATURES = {feature.name: feature for feature in features(PLAN)}
TYPICAL: dict[str, Any] = {"age": 65.0, "use": 2.0, "sex": "male", "area": "c"}


def computed(**changes: Any) -> dict[str, float]:
    """The features of one comparator, by name."""
    person = TYPICAL | changes
    columns = {name: np.array([person[name]], float if name in ("age", "use") else object) for name in TYPICAL}
    table = AnalysisTable(np.array([False]), columns, np.zeros((1, 1)), np.zeros(0, dtype=np.int64))
    return dict(zip(FEATURES, study_arrays(PLAN, table).comparators.u[0].tolist(), strict=True))


def held(name: str, found: dict[str, float]) -> float:
    """What was centred and scaled: 1 or 0 of a level or range, the product or square itself of the others."""
    return FEATURES[name].centre + FEATURES[name].scale * found[name]


def test_a_square_is_that_of_the_scaled_number():
    found = computed(age=75.0, use=4.0)
    assert held("age squared", found) == pytest.approx(found["age"] ** 2)
    assert held("use squared", found) == pytest.approx(found["use"] ** 2)


def test_a_number_beyond_its_bounds_counts_as_the_bound_in_every_feature():
    assert computed(age=500.0, use=math.inf) == computed(age=80.0, use=10.0)
    assert computed(age=-500.0, use=-math.inf) == computed(age=20.0, use=0.0)


@pytest.mark.parametrize(
    ("age", "ranges"), [(20.0, (0, 0)), (39.9, (0, 0)), (40.0, (1, 0)), (59.9, (1, 0)), (60.0, (0, 1)), (99.0, (0, 1))]
)
def test_a_person_is_in_the_one_range_that_holds_the_value_and_the_first_has_no_feature(
    age: float, ranges: tuple[int, int]
):
    found = computed(age=age)
    assert [held(name, found) for name in ("age 40 to under 60", "age 60 or more")] == pytest.approx(ranges)


def test_ranges_of_a_logarithm_are_in_the_number_s_own_unit():
    assert [held("use 1 or more", computed(use=use)) for use in (0.0, 1.0)] == pytest.approx([0, 1])


def test_a_product_is_that_of_the_two_scaled_values():
    found = computed()
    for name, pair in {"age x use": ("age", "use"), "age x sex=male": ("age", "sex=male"),
                       "sex=male x area=c": ("sex=male", "area=c")}.items():  # fmt: skip
        assert held(name, found) == pytest.approx(found[pair[0]] * found[pair[1]])


@pytest.mark.parametrize(
    ("missing", "nothing"),
    [({"age": math.nan}, "age"), ({"use": math.nan}, "use"), ({"sex": ""}, "sex"), ({"area": ""}, "area")],
)
def test_a_missing_value_counts_as_the_centre_of_every_feature_made_from_it_and_changes_no_other(
    missing: dict[str, Any], nothing: str
):
    found, complete = computed(**missing), computed()
    for name, feature in FEATURES.items():
        assert found[name] == (0.0 if nothing in feature.covariates else complete[name]), name


def test_a_missing_value_is_in_no_range_not_even_in_the_one_that_holds_the_centre():
    assert held("age 40 to under 60", computed(age=50.0)) == pytest.approx(1)
    assert held("age 40 to under 60", computed(age=math.nan)) == pytest.approx(1 / 3)


def test_somebody_at_the_centre_is_not_somebody_of_whom_nothing_is_known():
    assert computed(age=50.0)["age squared"] < -0.5
    assert computed(age=math.nan)["age squared"] == 0


anything = st.floats(allow_nan=True, allow_infinity=True)
words = st.sampled_from(["female", "male", "a", "b", "c", "", "?"])


@given(anything, anything, words, words)
def test_whatever_is_written_every_feature_is_a_number_within_reach(age: float, use: float, sex: str, area: str):
    found = computed(age=age, use=use, sex=sex, area=area)
    assert all(abs(value) <= 3.5 * (1 + 1e-9) for value in found.values())
