"""Who is analysed: each person of the cohort found here ends at one step; comparators pass the same tests."""

from __future__ import annotations

import datetime as dt

INDEX = dt.date(2022, 6, 1)
DAY = dt.timedelta(days=1)


def test_the_start_lies_in_the_intake_both_ends_included(rules) -> None:
    starts = ["2021-12-31", "2022-01-01", "2022-12-31", "2023-01-01"]
    found = rules.step({start: {"start": dt.date.fromisoformat(start)} for start in starts})
    assert found == {
        "2021-12-31": "outside_intake", "2022-01-01": "analysed", "2022-12-31": "analysed",
        "2023-01-01": "outside_intake",
    }  # fmt: skip


def test_a_person_is_registered_on_the_index_date(rules) -> None:
    found = rules.step(
        {
            "no dates": {},
            "from that day": {"registered_from": INDEX},
            "until that day": {"registered_to": INDEX},
            "from the next day": {"registered_from": INDEX + DAY},
            "until the day before": {"registered_to": INDEX - DAY},
            "until a date not known": {"registered_to": dt.date(1801, 1, 1)},
        }
    )
    assert {name for name, step in found.items() if step == "not_registered"} == {
        "from the next day",
        "until the day before",
    }


def test_age_on_the_index_date_lies_in_the_population(rules) -> None:
    found = rules.step(
        {
            "18 that day": {"birth_date": dt.date(2004, 6, 1)},
            "18 the next day": {"birth_date": dt.date(2004, 6, 2)},
            "30, not yet 31": {"birth_date": dt.date(1991, 6, 2)},
            "31 that day": {"birth_date": dt.date(1991, 6, 1)},
            "not known": {"birth_date": None},
        },
        population={"age": (18, 30)},
    )
    assert {name for name, step in found.items() if step == "analysed"} == {"18 that day", "30, not yet 31"}
    assert set(found.values()) == {"analysed", "outside_population"}


def test_a_person_is_alive_on_the_index_date(rules) -> None:
    found = rules.step({"day before": {"death_date": INDEX - DAY}, "that day": {"death_date": INDEX}})
    assert found == {"day before": "died_before_index", "that day": "analysed"}


def test_the_national_data_opt_out_applies_unless_the_person_consented(rules) -> None:
    found = rules.step(
        {
            "opted out": {"opt_out": True},
            "not recorded": {"opt_out": None},
            "opted out, then consented": {"opt_out": True, "consent": True},
        }
    )
    assert found == {
        "opted out": "opted_out", "not recorded": "opted_out", "opted out, then consented": "analysed",
    }  # fmt: skip


def test_the_first_test_that_fails_is_the_one_counted(rules) -> None:
    everything = {
        "opt_out": True,
        "death_date": INDEX - DAY,
        "birth_date": None,
        "registered_from": INDEX + DAY,
    }
    found = rules.step({"all": everything, "and started early": everything | {"start": dt.date(2020, 1, 1)}})
    assert found == {"all": "not_registered", "and started early": "outside_intake"}


def test_death_counts_in_the_follow_up_only(rules) -> None:
    deaths = {"on the last day": INDEX + 364 * DAY, "a day later": INDEX + 365 * DAY}
    found = rules.step({name: {"death_date": date} for name, date in deaths.items()})
    assert set(found.values()) == {"analysed"}
