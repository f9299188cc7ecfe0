"""What is known about a person at the index date: the covariates."""

from __future__ import annotations

import datetime as dt
import math

from cohortium_node.data.reference import Admission

INDEX = dt.date(2022, 6, 1)


def coded(codes: str, shift: int = -100) -> list[Admission]:
    return [Admission("", INDEX + dt.timedelta(days=shift), None, "21", "1", diagnoses=codes)]


def test_age_is_completed_years(rules) -> None:
    births = {"birthday": "1980-06-01", "day after": "1980-06-02", "leap day": "1980-02-29"}
    found = rules.covariate(
        "age", {name: {"birth_date": dt.date.fromisoformat(d)} for name, d in births.items()}
    )
    assert found == {"birthday": 42, "day after": 41, "leap day": 42}


def test_a_value_that_is_no_level_is_other_then_unknown_then_missing(rules) -> None:
    groups = ["white", "asian", "other", "unknown", None]
    found = rules.covariate("ethnicity", {str(group): {"ethnicity": group} for group in groups})
    assert found == {
        "white": "white",
        "asian": "other",
        "other": "other",
        "unknown": "unknown",
        "None": "unknown",
    }
    found = rules.covariate(
        "sex", {str(sex): {"sex": sex} for sex in ("female", "male", "other", "unknown", None)}
    )
    assert found == {"female": "female", "male": "male", "other": "", "unknown": "", "None": ""}


def test_a_deprivation_decile_that_is_not_known_is_missing(rules) -> None:
    found = rules.covariate("imd_decile", {"known": {"imd_decile": 3}, "not known": {"imd_decile": None}})
    assert found["known"] == 3
    assert math.isnan(found["not known"])


def test_the_index_quarter_is_a_calendar_quarter(rules) -> None:
    starts = ["2022-01-01", "2022-03-31", "2022-04-01", "2022-12-31"]
    found = rules.covariate(
        "index_quarter", {start: {"start": dt.date.fromisoformat(start)} for start in starts}
    )
    assert found == {
        "2022-01-01": "2022Q1",
        "2022-03-31": "2022Q1",
        "2022-04-01": "2022Q2",
        "2022-12-31": "2022Q4",
    }


def test_charlson_adds_the_weights_of_the_conditions_recorded(rules) -> None:
    found = rules.covariate(
        "charlson",
        {
            "nothing": [],
            "one condition twice": coded("I21.9;I252"),
            "two conditions": coded("J44.9, F03"),
            "with a weight of two": coded("N183"),
            "not listed": coded("I10;Z999"),
            "no codes": coded(""),
        },
    )
    assert found == {
        "nothing": 0, "one condition twice": 1, "two conditions": 2, "with a weight of two": 2,
        "not listed": 0, "no codes": 0,
    }  # fmt: skip


def test_the_graver_form_of_a_disease_replaces_the_milder(rules) -> None:
    found = rules.covariate(
        "charlson",
        {
            "diabetes": coded("E119;E112"),
            "liver": coded("K703;K704"),
            "cancer": coded("C509;C787"),
            "mild": coded("K703"),
        },
    )
    assert found == {"diabetes": 2, "liver": 3, "cancer": 6, "mild": 1}


def test_frailty_counts_syndromes(rules) -> None:
    found = rules.covariate(
        "frailty",
        {"falls twice": coded("W19;W01"), "two by one code": coded("Z741"), "three": coded("F05;R54;L89")},
    )
    assert found == {"falls twice": 1, "two by one code": 2, "three": 3}


def test_diagnoses_count_for_two_years_before_the_index_date(rules) -> None:
    found = rules.covariate("charlson", {str(shift): coded("I21", shift) for shift in (-731, -730, -1, 0)})
    assert {shift for shift, points in found.items() if points} == {"-730", "-1"}
