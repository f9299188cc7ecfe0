"""Squares, ranges and products: what they are called, and the public constants by which they are centred and scaled."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohortium_protocols.covariates import FARTHEST
from cohortium_protocols.expansion import Feature, Product
from cohortium_protocols.features import features
from cohortium_protocols.plan import Plan

PLAN: dict[str, Any] = {
    "cohortium": 1, "study": "small", "title": "A small study", "question": "Do they?", "data": "table",
    "outcomes": [{"name": "visits", "clip": 8}], "privacy": {"epsilon": 1, "aggregation": "local"},
    "nodes": {"roster": ["north"], "deadline": "2099-01-01"},
}  # fmt: skip
AGE = {"name": "age", "title": "Age (years)", "low": 20, "high": 80}
SEX = {"name": "sex", "title": "Sex", "levels": ["female", "male"]}
AREA = {"name": "area", "levels": ["a", "b", "c"]}


def made(*covariates: dict[str, Any], interactions: list[list[str]] | None = None) -> dict[str, Feature]:
    """The features of a plan, by name."""
    plan = Plan.model_validate(PLAN | {"covariates": list(covariates), "interactions": interactions or []})
    return {feature.name: feature for feature in features(plan)}


def test_a_plan_that_asks_for_nothing_has_each_number_and_each_level_but_the_first():
    assert list(made(AGE, SEX, AREA)) == ["age", "sex=male", "area=b", "area=c"]


def test_squares_and_ranges_follow_their_covariate_and_products_come_last():
    found = made(AGE | {"square": True, "bins": [40, 65.5]}, SEX, interactions=[["sex", "age"]])
    assert list(found) == ["age", "age squared", "age 40 to under 65.5", "age 65.5 or more", "sex=male",
                           "sex=male x age"]  # fmt: skip


def test_people_read_titles():
    found = made(AGE | {"square": True, "bins": [65]}, SEX, interactions=[["age", "sex"]])
    assert [feature.title for feature in found.values() if feature.derived] == [
        "Age (years) squared", "Age (years): 65 or more", "Age (years) x Sex: male",
    ]  # fmt: skip


def test_every_level_but_the_first_takes_part_in_a_product():
    products = [name for name, feature in made(SEX, AREA, interactions=[["sex", "area"]]).items() if feature.derived]
    assert products == ["sex=male x area=b", "sex=male x area=c"]


def test_a_feature_knows_the_covariates_that_it_is_made_from():
    found = made(AGE | {"square": True, "bins": [65]}, SEX, interactions=[["age", "sex"]])
    assert {name: feature.covariates for name, feature in found.items()} == {
        "age": ("age",), "age squared": ("age",), "age 65 or more": ("age",), "sex=male": ("sex",),
        "age x sex=male": ("age", "sex"),
    }  # fmt: skip


def test_means_of_squares_and_products_have_no_unit_and_those_of_ranges_are_shares():
    found = made(AGE | {"square": True, "bins": [65]}, SEX, interactions=[["age", "sex"]])
    assert [feature.unit for feature in found.values()] == ["", None, "share", "share", None]
    range_ = found["age 65 or more"]
    assert range_.shown((1 - range_.centre) / range_.scale) == pytest.approx(1)


@pytest.mark.parametrize("law", ["even", "normal"])
def test_where_people_lie_evenly_round_the_centre_the_square_is_centred_and_does_not_go_with_the_number(law: str):
    found = made(AGE | {"scale": 60 / math.sqrt(12) if law == "even" else 12, "square": True})
    rng = np.random.default_rng(1)
    u = rng.uniform(-math.sqrt(3), math.sqrt(3), 10**6) if law == "even" else rng.normal(size=10**6)
    square = found["age squared"]
    v = (u * u - square.centre) / square.scale
    assert v.mean() == pytest.approx(0, abs=0.01)
    assert np.corrcoef(u, v)[0, 1] == pytest.approx(0, abs=0.01)
    assert 0.5 < v.std() < 1.1


def test_a_scale_that_leaves_no_room_for_a_standard_deviation_of_one_does_not_move_the_square_away():
    square = made(AGE | {"scale": 300, "square": True})["age squared"]
    reached = np.array([0.0, 30 / 300]) ** 2
    assert np.all(np.abs(reached - square.centre) <= square.scale)


numbers = st.tuples(st.floats(-1e3, 1e3), st.floats(0.1, 1e3), st.floats(0, 1), st.floats(0.05, 100)).map(
    lambda drawn: {"low": drawn[0], "high": drawn[0] + drawn[1], "centre": drawn[0] + drawn[1] * drawn[2],
                   "scale": drawn[1] * drawn[3]}
)  # fmt: skip


@given(numbers, numbers)
def test_no_square_or_product_lies_farther_from_0_than_the_farthest_bound_may(first: Any, second: Any) -> None:
    found = made({"name": "a", "square": True, **first}, {"name": "b", **second}, interactions=[["a", "b"]])
    for feature in (found["a squared"], found["a x b"]):
        assert isinstance(feature.source, Product)
        one, other = (ends(found[name]) for name in (feature.source.first, feature.source.second))
        corners = np.multiply.outer([*one, 0.0], [*other, 0.0]) if one != other else np.square([*one, 0.0])
        assert np.max(np.abs(corners - feature.centre)) / feature.scale <= FARTHEST * (1 + 1e-9)


def ends(feature: Feature) -> tuple[float, float]:
    """The u of a number's two bounds."""
    return tuple((bound - feature.centre) / feature.scale for bound in (feature.source.low, feature.source.high))


def test_a_range_is_scaled_like_one_level_of_as_many():
    found = made(AGE | {"bins": [40, 60]}, AREA)
    for name in ("age 40 to under 60", "age 60 or more"):
        assert (found[name].centre, found[name].scale) == (found["area=b"].centre, found["area=b"].scale)


def test_cut_points_are_written_in_full_so_that_no_two_ranges_have_one_name():
    ranges = made({"name": "x", "low": 0, "high": 1, "bins": [0.1234567, 0.12345678]})
    assert list(ranges)[1:] == ["x 0.1234567 to under 0.12345678", "x 0.12345678 or more"]
