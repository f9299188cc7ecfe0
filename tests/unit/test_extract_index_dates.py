"""Pseudo index dates and the analysis table's own promises."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import numpy as np
import pytest

from cohortium_node.data.index_date import keyed_digests, keyed_order, pseudo_index_dates
from cohortium_node.data.table import AnalysisTable

NUMBERS = np.arange(4_000_000_000, 4_000_020_000, dtype=np.int64)
FIRST, LAST = dt.date(2022, 1, 1), dt.date(2022, 1, 10)


def dates(key: bytes, numbers: np.ndarray) -> np.ndarray:
    return pseudo_index_dates(keyed_digests(key, numbers), FIRST, LAST)


def test_a_person_has_the_same_date_at_every_node_and_another_in_another_study() -> None:
    assert (dates(b"key", NUMBERS)[7] == dates(b"key", NUMBERS[7:8])).all()
    assert 0.05 < (dates(b"key", NUMBERS) == dates(b"other key", NUMBERS)).mean() < 0.15


def test_dates_are_spread_evenly_over_the_intake_both_ends_included() -> None:
    days, counts = np.unique(dates(b"key", NUMBERS), return_counts=True)
    assert (days == np.arange(FIRST, LAST + dt.timedelta(1), dtype="datetime64[D]")).all()
    expected = len(NUMBERS) / 10
    assert (
        (counts - expected) ** 2 / expected
    ).sum() < 33.7  # chi-squared, 9 degrees of freedom, 1 in 10,000


def test_the_order_depends_on_the_key_and_not_on_the_files() -> None:
    shuffled = np.random.default_rng(1).permutation(NUMBERS)
    orders = [
        numbers[keyed_order(keyed_digests(key, numbers), numbers)]
        for key, numbers in ((b"key", NUMBERS), (b"key", shuffled), (b"other", NUMBERS))
    ]
    assert (orders[0] == orders[1]).all()
    assert (orders[0] != orders[2]).any()
    assert (orders[0] != NUMBERS).any()


def test_a_date_is_known_from_its_definition() -> None:
    """HMAC-SHA256, RFC 2104: the first eight bytes, big-endian, modulo the ten days, are 1."""
    assert dates(b"key", np.array([9434765919])).tolist() == [dt.date(2022, 1, 2)]


TABLE = AnalysisTable(
    treated=np.array([True, False]),
    covariates={"age": np.array([40.0, np.nan]), "sex": np.array(["female", ""], dtype=np.object_)},
    outcomes=np.array([[0.0, 3.0], [1.0, 2.0]]),
    exits=np.array([0, 3]),
)


def test_the_digest_is_of_the_values_and_not_of_their_layout() -> None:
    same = AnalysisTable(
        treated=np.array([1, 0], dtype=np.bool_),
        covariates={"age": np.array([40.0, -np.nan]), "sex": np.array(["female", ""])},
        outcomes=np.asfortranarray(np.array([[-0.0, 3.0], [1.0, 2.0]], dtype=">f8")),
        exits=np.array([0, 3], dtype=np.int32),
    )
    assert same.digest(b"key") == TABLE.digest(b"key")
    assert same.digest(b"key") != TABLE.digest(b"other key")
    assert TABLE.digest(b"key") == "bae678631ecccc25c10e740c04c0cff5955d4ccb6680ca621d60cc8fce17e2ab"


@pytest.mark.parametrize(
    "changed",
    [
        replace(TABLE, treated=np.array([False, True])),
        replace(TABLE, covariates={"age": np.array([40.0, 41.0]), "sex": TABLE.covariates["sex"]}),
        replace(TABLE, covariates={"age": TABLE.covariates["age"], "sex": np.array(["femal", "e"])}),
        replace(TABLE, covariates={"years": TABLE.covariates["age"], "sex": TABLE.covariates["sex"]}),
        replace(TABLE, covariates=dict(reversed(TABLE.covariates.items()))),
        replace(TABLE, outcomes=np.array([[0.0, 3.0], [1.0, 2.5]])),
        replace(TABLE, outcomes=TABLE.outcomes[:, ::-1]),
        replace(TABLE, exits=np.array([0, 4])),
        replace(TABLE, exits=np.array([0, 3, 0])),
    ],
)
def test_any_other_value_gives_another_digest(changed: AnalysisTable) -> None:
    assert changed.digest(b"key") != TABLE.digest(b"key")


def test_columns_of_different_lengths_are_no_table() -> None:
    with pytest.raises(ValueError, match="one value a person"):
        replace(TABLE, treated=np.array([True]))
