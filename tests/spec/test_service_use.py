"""What counts as use of a hospital service."""

from __future__ import annotations

import datetime as dt

from cohortium_node.data.reference import Admission, EmergencyAttendance, OutpatientAppointment

INDEX = dt.date(2022, 6, 1)


def day(shift: int) -> dt.date:
    return INDEX + dt.timedelta(days=shift)


def spell(
    method: str | None, days: int | None = 0, *, on: int = 10, classification: str | None = "1"
) -> Admission:
    return Admission("", day(on), None if days is None else day(on + days), method, classification)


def attendance(department: str | None, category: str | None = "1", *, on: int = 10) -> EmergencyAttendance:
    return EmergencyAttendance("", day(on), department, category)


def test_an_emergency_admission_has_one_of_nine_methods(rules) -> None:
    methods = ["21", "22", "23", "24", "25", "2A", "2C", "2D", "28", "2B", "81", "11", "31", "82", "99", None]
    found = rules.outcome("emergency_admissions", {str(method): [spell(method)] for method in methods})
    assert [method for method, count in found.items() if count] == [
        method for method in found if method in {"21", "22", "23", "24", "25", "2A", "2C", "2D", "28"}
    ]


def test_an_elective_admission_has_one_of_three_methods(rules) -> None:
    methods = ["11", "12", "13", "21", "31", "81", "83", None]
    found = rules.outcome("elective_admissions", {str(method): [spell(method)] for method in methods})
    assert {method for method, count in found.items() if count} == {"11", "12", "13"}


def test_regular_attenders_are_not_admitted(rules) -> None:
    classes = {
        "ordinary": "1",
        "day case": "2",
        "regular day": "3",
        "regular night": "4",
        "not recorded": None,
    }
    found = rules.outcome(
        "elective_admissions", {name: [spell("11", classification=code)] for name, code in classes.items()}
    )
    assert {name for name, count in found.items() if count} == {"ordinary", "day case", "not recorded"}


def test_every_admission_counts_and_any_admission_counts_once(rules) -> None:
    events = {"often": [spell("21", on=5), spell("21", on=5), spell("22", on=90)], "never": []}
    assert rules.outcome("emergency_admissions", events) == {"often": 3, "never": 0}
    assert rules.outcome("any_emergency_admission", events) == {"often": 1, "never": 0}


def test_bed_days_are_nights_after_emergency_and_elective_admission(rules) -> None:
    found = rules.outcome(
        "bed_days",
        {
            "same day": [spell("21", 0)],
            "two spells": [spell("21", 3), spell("11", 4, on=100)],
            "transfer": [spell("2B", 5)],
            "maternity": [spell("31", 2)],
            "regular attender": [spell("11", 1, classification="3")],
            "left before coming": [spell("21", -2)],
        },
    )
    assert found == {
        "same day": 0, "two spells": 7, "transfer": 0, "maternity": 0, "regular attender": 0,
        "left before coming": 0,
    }  # fmt: skip


def test_a_stay_ends_with_the_follow_up_at_the_latest(rules) -> None:
    found = rules.outcome(
        "bed_days",
        {
            "leaves later": [spell("21", 100, on=360)],
            "still in": [spell("21", None, on=363)],
            "discharge date not known": [Admission("", day(363), dt.date(1800, 1, 1), "21", "1")],
        },
    )
    assert found == {"leaves later": 5, "still in": 2, "discharge date not known": 2}


def test_an_attendance_is_at_one_of_four_types_of_department(rules) -> None:
    types = ["01", "02", "03", "04", "05", "1", None]
    found = rules.outcome("ae_attendances", {str(kind): [attendance(kind)] for kind in types})
    assert {kind for kind, count in found.items() if count} == {"01", "02", "03", "04", "1"}


def test_planned_follow_up_attendances_do_not_count(rules) -> None:
    categories = {"first": "1", "planned": "2", "unplanned": "3", "not recorded": None}
    found = rules.outcome(
        "ae_attendances", {name: [attendance("01", code)] for name, code in categories.items()}
    )
    assert found == {"first": 1, "planned": 0, "unplanned": 1, "not recorded": 1}


def test_outpatient_appointments_count_when_attended(rules) -> None:
    said = {"came": True, "did not come": False, "not recorded": None}
    found = rules.outcome(
        "outpatient_attendances",
        {name: [OutpatientAppointment("", day(9), came)] for name, came in said.items()},
    )
    assert found == {"came": 1, "did not come": 0, "not recorded": 0}


def test_follow_up_starts_after_the_washout_and_ends_before_the_last_day(rules) -> None:
    days = [-1, 0, 29, 30, 89, 90]
    found = rules.outcome(
        "ae_attendances",
        {str(shift): [attendance("01", on=shift)] for shift in days},
        washout=30,
        follow_up=60,
    )
    assert {shift for shift, count in found.items() if count} == {"30", "89"}


def test_prior_use_is_of_the_365_days_before_the_index_date(rules) -> None:
    found = rules.covariate(
        "prior.ae_attendances", {str(shift): [attendance("01", on=shift)] for shift in (-366, -365, -1, 0)}
    )
    assert {shift for shift, count in found.items() if count} == {"-365", "-1"}


def test_a_stay_that_began_before_the_index_date_counts_up_to_it(rules) -> None:
    assert rules.covariate("prior.bed_days", {"ann": [spell("21", 30, on=-10)]}) == {"ann": 10}


def test_events_without_a_date_do_not_count(rules) -> None:
    unknown = [None, *(dt.date(*each) for each in [(1582, 10, 15), (1600, 1, 1), (1800, 1, 1), (1801, 1, 1)])]
    found = rules.outcome(
        "ae_attendances", {str(date): [EmergencyAttendance("", date, "01", "1")] for date in unknown}
    )
    assert set(found.values()) == {0}


def test_only_first_attendances_at_major_departments_count_in_the_narrow_measure(rules) -> None:
    found = rules.outcome(
        "ae_attendances_major",
        {
            "major, first": [attendance("01", "1")],
            "written short": [attendance("1", "1")],
            "minor": [attendance("03", "1")],
            "major, follow-up": [attendance("01", "3")],
            "category not recorded": [attendance("01", None)],
        },
    )
    assert {person for person, count in found.items() if count} == {"major, first", "written short"}


def test_the_broad_measure_counts_maternity_and_other_admissions_too(rules) -> None:
    methods = ["21", "2D", "31", "32", "82", "83", "11", "2B", "81", "98"]
    found = rules.outcome("nonelective_admissions_broad", {method: [spell(method, 1)] for method in methods})
    assert {method for method, count in found.items() if count} == {"21", "2D", "31", "32", "82", "83"}


def test_all_admissions_are_those_whose_bed_days_count(rules) -> None:
    found = rules.outcome("all_admissions", {"two": [spell("21", 3), spell("11", 0, on=9)], "none": [spell("31", 2)]})
    assert found == {"two": 2, "none": 0}


def test_an_avoidable_admission_is_an_emergency_whose_primary_diagnosis_is_listed(rules) -> None:
    codes = {"asthma": "J45.9", "heart failure": "i110", "diabetes": "E11", "pneumonia": "J18.9", "not recorded": None}
    found = rules.outcome(
        "avoidable_emergency_admissions",
        {name: [Admission("", day(9), None, "21", "1", code)] for name, code in codes.items()}
        | {"elective": [Admission("", day(9), None, "11", "1", "J459")]},
    )
    assert {name for name, count in found.items() if count} == {"asthma", "heart failure", "diabetes"}


def test_earlier_use_is_of_the_365_days_before_the_year_before_the_index_date(rules) -> None:
    days = (-731, -730, -366, -365, 0)
    found = rules.outcome("earlier.ae_attendances", {str(shift): [attendance("01", on=shift)] for shift in days})
    assert {shift for shift, count in found.items() if count} == {"-730", "-366"}


def test_a_change_is_use_after_less_use_before_for_as_long_each_at_most_the_clip(rules) -> None:
    before, after = [attendance("01", on=-9)], [attendance("01", on=9)]
    found = rules.outcome(
        "ae_attendances.change",
        {"fewer": before * 3, "more": after * 2, "less": [*before * 2, *after], "many": [*before * 20, *after * 30]},
        follow_up=730,
    )
    assert found == {"fewer": -6, "more": 2, "less": -3, "many": 0}


def test_the_time_observed_ends_with_death_or_with_moving_away(rules) -> None:
    days = {
        "stays": {},
        "dies": {"death_date": day(99)},
        "moves": {"registered_to": day(49)},
        "moves and dies later": {"registered_to": day(49), "death_date": day(99)},
        "dies later": {"death_date": day(400)},
        "date not known": {"death_date": dt.date(1800, 1, 1)},
        "dies in the washout": {"death_date": day(19)},
    }
    found = rules.outcome("follow_up_years", {}, people=days, washout=30, follow_up=300)
    assert {person: round(years * 365.25) for person, years in found.items()} == {
        "stays": 300, "dies": 70, "moves": 20, "moves and dies later": 20, "dies later": 300, "date not known": 300,
        "dies in the washout": 0,
    }  # fmt: skip
