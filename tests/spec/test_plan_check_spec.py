"""What `cohortium plan check` says: one rule, one small change to a small plan, one fault at one place.

Every row changes one piece of a valid plan. The expected text starts with `line:column`, then what is wrong.
"""

from __future__ import annotations

import pytest

from cohortium_protocols.errors import PlanError
from cohortium_protocols.plan_check import check_plan, load_plan

CANONICAL = """\
cohortium: 1
study: small
title: A small study
question: Do people go to A&E less?
intake: {from: 2022-01-01, to: 2022-12-31}
follow_up: 365 days
population: {age: [18, 110]}
covariates: [age, sex, prior.ae_attendances]
outcomes:
  - {name: ae_attendances, clip: 8}
privacy:
  epsilon: 1.0
  delta: 1e-6
  aggregation: local
nodes: {roster: [north, south], deadline: 2026-12-31}
publish: {minimum_treated: 60}
submitted: 500
"""

TABLE = """\
cohortium: 1
study: quitting
title: Quitting
question: Do people who stop smoking gain weight?
data: table
covariates:
  - {name: age, low: 25, high: 74}
  - {name: sex, levels: ["0", "1"]}
outcomes: [{name: wt82_71, low: -30, clip: 30}]
privacy: {epsilon: 4, aggregation: local}
nodes: {roster: [one], deadline: 2026-12-31}
"""

ALIKE = "covariates: [age, sex, prior.ae_attendances]"

RULES = [
    # the format and the name
    ("cohortium: 1", "cohortium: 2", "1:12 `cohortium` is 2, but must be 1."),
    ("study: small", "study: Small Study", "2:8 `study` is 'Small Study', but must be small letters,"),
    ("title: A small study\n", "", "1:1 `title` is missing."),
    ("title: A small study", "title: 2024", "3:8 `title` is 2024, but must be text."),
    ("title: A small study", 'title: ""', "3:8 `title` is '', but must be of length at least 1."),
    (
        "title: A small study",
        'title: "a\\e[2Jb"',
        "3:8 `title` is 'a\\x1b[2Jb', but must be one line of printable",
    ),
    ("cohortium: 1", "cohortium: 1\ntitel: x", "2:1 There is no field `titel` in a plan."),
    (
        "submitted: 500",
        "submitted: 500\nsubmitted: 600",
        "18:1 `submitted` is written twice (first in line 17).",
    ),
    # dates and lengths of time
    (
        "from: 2022-01-01",
        "from: 2023-01-01",
        "5:9 The intake ends on 2022-12-31, not after it begins (2023-01-01).",
    ),
    (
        "from: 2022-01-01",
        "from: 2012-01-01",
        "5:9 The intake is 4,017 days long; at most 1,826 are accepted.",
    ),
    ("from: 2022-01-01, ", "", "5:1 `from` is missing."),
    (
        "to: 2022-12-31",
        "to: 2022-02-30",
        "5:32 `intake.to` is '2022-02-30', but must be a date of the calendar.",
    ),
    ("to: 2022-12-31", "to: 31/12/2022", "5:32 '31/12/2022' is not a date."),
    ("intake: {from: 2022-01-01, to: 2022-12-31}\n", "", "1:1 `intake` is missing."),
    ("follow_up: 365 days\n", "", "1:1 `follow_up` is missing."),
    ("365 days", "12 months", "6:12 '12 months' is not a number of days."),
    ("365 days", "0 days", "6:12 `follow_up` is '0 days', but must be at least 1."),
    ("365 days", "1827", "6:12 `follow_up` is 1827, but must be at most 1,826."),
    ("365 days", "yes", "6:12 'yes' is not a number of days."),
    ("365 days", "true", "6:12 `follow_up` is true, but must be a whole number."),
    ("365 days", "365 days\nwashout: -1", "7:10 `washout` is -1, but must be at least 0."),
    # people
    ("[18, 110]", "[110, 18]", "7:19 The age range 110 to 18 is empty."),
    ("[18, 110]", "[18, 130]", "7:24 `population.age[1]` is 130, but must be at most 120."),
    ("[18, 110]", "[18]", "7:14 `population.age[1]` is missing."),
    # covariates
    ("[age, sex, prior", "[age, sexx, prior", "8:19 There is no covariate `sexx`."),
    ("[age, sex, prior", "[age, sex, sex, prior", "8:24 `sex` is listed twice."),
    ("[age, sex, prior", "[age, {name: age, high: 90}, prior", "8:19 `age` is listed twice."),
    (
        "[age, sex, prior",
        "[{name: age, high: 10}, sex, prior",
        "8:14 `high` of `age` is 10, not above its `low`",
    ),
    (
        "[age, sex, prior",
        "[{name: age, centre: 10}, sex, prior",
        "8:14 `centre` of `age` is 10, outside 18 to 110.",
    ),
    (
        "[age, sex, prior",
        "[{name: age, scale: 0}, sex, prior",
        "8:33 `covariates[0].scale` is 0, but must be greater",
    ),
    (
        "[age, sex, prior",
        "[{name: age, low: 1e99}, sex, prior",
        "8:31 `covariates[0].low` is 1e+99, but must be at",
    ),
    (
        "[age, sex, prior",
        "[{name: age, hihg: 90}, sex, prior",
        "8:26 There is no field `hihg` in `covariates[0]`.",
    ),
    (
        "[age, sex, prior",
        "[{name: age, levels: [a, b]}, sex, prior",
        "8:14 `levels` of the covariate `age` cannot",
    ),
    ("[age, sex, prior", "[age, {name: sex, low: 2}, prior", "8:19 `sex` is a category and has bounds."),
    ("[age, sex, prior", "[age, 7, prior", "8:19 `covariates[1]` is 7, but must be made of fields."),
    ("[age, sex, prior", "[{name: age, square: 1}, sex, prior", "8:34 `covariates[0].square` is 1, but must be true"),
    ("[age, sex, prior", "[age, {name: sex, square: true}, prior", "8:19 `sex` is a category and has a `square`."),
    ("[age, sex, prior", "[age, {name: sex, bins: [1]}, prior", "8:19 `sex` is a category and has `bins`."),
    ("[age, sex, prior", "[{name: age, bins: [80, 65]}, sex, prior", "8:14 `bins` of `age` do not increase."),
    ("[age, sex, prior", "[{name: age, bins: [65, 65]}, sex, prior", "8:14 `bins` of `age` do not increase."),
    ("[age, sex, prior", "[{name: age, bins: [18]}, sex, prior", "8:14 `bins` of `age` has 18, not between 18 and"),
    ("[age, sex, prior", "[{name: age, bins: [120]}, sex, prior", "8:14 `bins` of `age` has 120, not between 18 and"),
    ("[age, sex, prior", "[{name: age, bins: 65}, sex, prior", "8:32 `covariates[0].bins` is 65, but must be a list."),
    (
        "[age, sex, prior",
        f"[{{name: age, bins: {list(range(20, 80))}}}, sex, prior",
        "8:13 The covariates make 63 features; at most 60 are accepted.",
    ),
    # interactions
    (ALIKE, f"{ALIKE}\ninteractions: [[age, sexx]]", "9:22 `sexx` is not among the covariates."),
    (ALIKE, f"{ALIKE}\ninteractions: [[age, charlson]]", "9:22 `charlson` is not among the covariates."),
    (ALIKE, f"{ALIKE}\ninteractions: [[age, age]]", "9:16 `age` is combined with itself."),
    (ALIKE, f"{ALIKE}\ninteractions: [[sex, sex]]", "9:16 `sex` is combined with itself."),
    (ALIKE, f"{ALIKE}\ninteractions: [[age, sex], [sex, age]]", "9:28 `sex` and `age` are combined twice."),
    (ALIKE, f"{ALIKE}\ninteractions: [[age]]", "9:16 `interactions[0][1]` is missing."),
    (ALIKE, f"{ALIKE}\ninteractions: [age]", "9:16 `interactions[0]` is 'age', but must be a list."),
    (ALIKE, f"{ALIKE}\ninteractions: [[age, sex, age]]", "9:16 `interactions[0]` is ['age', 'sex', 'age'], but"),
    (
        "[age, sex, prior.ae_attendances]",
        f"[{{name: age, bins: {list(range(20, 76))}}}, sex, prior.ae_attendances]\n"
        "interactions: [[age, sex], [sex, prior.ae_attendances]]",
        "9:15 The covariates make 61 features; at most 60 are accepted.",
    ),
    ("[age, sex, prior.ae_attendances]", "[]", "8:13 `covariates` is empty."),
    ("[age, sex, prior.ae_attendances]", "age", "8:13 `covariates` is 'age', but must be a list."),
    # outcomes
    (
        "[age, sex, prior.ae_attendances]",
        "[age]",
        "10:5 The outcome `ae_attendances` needs the covariate `prior.ae_",
    ),
    ("name: ae_attendances", "name: ae_visits", "10:5 There is no outcome `ae_visits`."),
    ("clip: 8}", "clip: 8}\n  - ae_attendances", "11:5 `ae_attendances` is listed twice."),
    ("clip: 8}", "clip: 0}", "10:5 `clip` of `ae_attendances` is 0, not above its `low` of 0."),
    ("clip: 8}", "clip: .inf}", "10:34 `outcomes[0].clip` is inf, but must be a number."),
    ("clip: 8}", "kind: days}", "10:5 `kind` of the outcome `ae_attendances` cannot be changed."),
    ("clip: 8}", "primary: 1}", "10:37 `outcomes[0].primary` is 1, but must be true or false."),
    ("clip: 8}", "}\n  - {name: death, clip: 2}", "11:5 `death` is either 0 or 1, but its range is 0 to 2."),
    # privacy
    ("epsilon: 1.0", "epsilon: 0", "12:12 `privacy.epsilon` is 0, but must be greater than 0."),
    ("epsilon: 1.0", "epsilon: 10.5", "12:12 `privacy.epsilon` is 10.5, but must be at most 10."),
    ("epsilon: 1.0", "epsilon: '1'", "12:12 `privacy.epsilon` is '1', but must be a number."),
    ("  epsilon: 1.0\n", "", "11:1 `epsilon` is missing."),
    ("delta: 1e-6", "delta: 1e-3", "13:10 `privacy.delta` is 0.001, but must be at most 0.0001."),
    ("delta: 1e-6", "delta: 0.0", "13:10 `privacy.delta` is 0.0, but must be greater than 0."),
    (
        "aggregation: local",
        "aggregation: locale",
        "14:16 `privacy.aggregation` is 'locale', but must be 'local'",
    ),
    (
        "aggregation: local",
        "aggregation: local\n  tolerate_lost_nodes: 2",
        "16:17 Every node of the roster (2) could",
    ),
    ("  aggregation: local\n", "", "11:1 `aggregation` is missing."),
    (
        "aggregation: local",
        "aggregation: secure",
        "15:17 A secure sum needs at least 3 nodes; the roster has 2.",
    ),
    # nodes
    ("[north, south]", "[]", "15:17 `nodes.roster` is [], but must be of length at least 1."),
    ("[north, south]", "[north, north]", "15:25 `north` is listed twice."),
    ("[north, south]", "[north, South]", "15:25 `nodes.roster[1]` is 'South', but must be small letters,"),
    (
        "deadline: 2026-12-31",
        "deadline: 2023-12-30",
        "15:43 The deadline 2023-12-30 is before the end of the last",
    ),
    # publishing
    (
        "minimum_treated: 60",
        "minimum_treated: 9",
        "16:28 `publish.minimum_treated` is 9, but must be at least 10.",
    ),
    (
        "minimum_treated: 60",
        "balance: blok",
        "16:20 `publish.balance` is 'blok', but must be 'block' or 'show'.",
    ),
    (
        "submitted: 500",
        "submitted: 59",
        "17:12 59 people were submitted, and `publish.minimum_treated` is 60.",
    ),
]

TABLE_RULES = [
    ("{name: age, low: 25, high: 74}", "age", "7:5 The covariate `age` needs its bounds or its levels."),
    ("{name: age, low: 25, high: 74}", "{name: age, low: 25}", "7:5 `high` is missing."),
    ("{name: age, low: 25, high: 74}", "{name: age, low: 2, high: 1}", "7:5 `high` of `age` is 1, not above"),
    ('["0", "1"]', '["0"]', "8:5 The category `sex` needs at least two different levels."),
    ('["0", "1"]', '["0", "0"]', "8:5 The category `sex` needs at least two different levels."),
    ('["0", "1"]', '["0", 1]', "8:31 `covariates[1].levels[1]` is 1, but must be text."),
    (
        '{name: sex, levels: ["0", "1"]}',
        "{name: sex, kind: category}",
        "8:5 The category `sex` needs at least",
    ),
    (
        "{name: sex, levels",
        "{name: sex, kind: number, low: 0, high: 1, levels",
        "8:5 `sex` is a number and has levels.",
    ),
    (
        "{name: age, low: 25, high: 74}",
        "{name: age, low: 25, high: 74, square: true}\n  - {name: age squared, low: 0, high: 1}",
        "7:3 Two features are both called `age squared`.",
    ),
    ("{name: wt82_71, low: -30, clip: 30}", "wt82_71", "9:12 The outcome `wt82_71` needs its range."),
    (", clip: 30", "", "9:12 `clip` is missing."),
    (
        "low: -30, clip: 30",
        "kind: binary, clip: 30",
        "9:12 `wt82_71` is either 0 or 1, but its range is 0 to 30.",
    ),
    ("data: table", "data: table\nfollow_up: 10 days", "6:12 `follow_up` has no meaning here."),
    ("data: table", "data: tabel", "5:7 `data` is 'tabel', but must be 'canonical' or 'table'."),
]

THREE = CANONICAL.replace("aggregation: local", "aggregation: secure").replace("south]", "south, east]")
SECURE_RULES = [
    (
        "aggregation: secure",
        "tolerate_lost_nodes: 1",
        "15:17 A secure sum of 3 nodes cannot tolerate 1 lost and 1 colluding nodes together. The roster must be "
        "larger than twice the lost nodes plus the colluding ones, neither below 0. Ask at least 4 nodes, or write "
        "`tolerate_lost_nodes: 0`, or write `assume_colluding_nodes: 0`.",
    ),
    (
        "aggregation: secure",
        "assume_colluding_nodes: 3",
        "15:17 A secure sum of 3 nodes cannot tolerate 0 lost and 3 colluding nodes together.",
    ),
]


def changed(plan: str, old: str, new: str) -> str:
    assert plan.count(old) == 1, f"{old!r} must occur once"
    return plan.replace(old, new)


def places(text: str) -> list[str]:
    return [f"{fault.line}:{fault.column} {fault.what}" for fault in check_plan(text)]


@pytest.mark.parametrize("plan", [CANONICAL, TABLE])
def test_a_valid_plan_has_no_fault(plan: str) -> None:
    assert check_plan(plan) == []
    assert load_plan(plan).cohortium == 1


@pytest.mark.parametrize(("old", "new", "expected"), RULES)
def test_each_fault_is_named_at_its_place(old: str, new: str, expected: str) -> None:
    found = places(changed(CANONICAL, old, new))
    assert len(found) == 1
    assert found[0].startswith(expected)


@pytest.mark.parametrize(("old", "new", "expected"), SECURE_RULES)
def test_a_secure_sum_that_cannot_be_is_named_with_what_to_change(old: str, new: str, expected: str) -> None:
    (fault,) = check_plan(changed(THREE, old, new))
    assert f"{fault.line}:{fault.column} {fault.what} {fault.why} {fault.do}".startswith(expected)


@pytest.mark.parametrize(("old", "new", "expected"), TABLE_RULES)
def test_each_fault_of_a_table_study_is_named_at_its_place(old: str, new: str, expected: str) -> None:
    found = places(changed(TABLE, old, new))
    assert len(found) == 1
    assert found[0].startswith(expected)


@pytest.mark.parametrize(("old", "new", "expected"), RULES)
def test_every_fault_says_what_why_and_what_to_do(old: str, new: str, expected: str) -> None:
    for fault in check_plan(changed(CANONICAL, old, new)):
        assert fault.what.endswith(".")
        assert fault.do.endswith((".", "?"))
        assert fault.why.endswith(".") or "There is no field" in fault.what


def test_all_faults_are_reported_at_once_in_the_order_of_the_file() -> None:
    text = changed(CANONICAL, "study: small", "study: Small")
    text = changed(text, "[age, sex, prior", "[age, sexx, prior")
    text = changed(text, "epsilon: 1.0", "epsilon: 20\n  epsilno: 2")
    text = changed(text, "submitted: 500", "submitted: 500\nanalysis: {method: strata}\nstudy: other")
    assert [place.split(" ")[0] for place in places(text)] == [
        "2:8",
        "8:19",
        "12:12",
        "13:3",
        "20:1",
    ]


def test_one_fault_does_not_hide_another_in_a_later_field() -> None:
    text = changed(CANONICAL, "365 days", "a year")
    text = changed(text, "[age, sex, prior.ae_attendances]", "[age]")
    assert [place.split(" ")[0] for place in places(text)] == ["6:12", "10:5"]


def test_a_fault_in_the_intake_is_not_blamed_on_what_depends_on_it() -> None:
    text = changed(CANONICAL, "from: 2022-01-01", "from: soon")
    text = changed(text, "[age, sex, prior", "[age, index_quarter, prior")
    assert [place.split(" ")[0] for place in places(text)] == ["5:16"]


def test_index_quarter_needs_two_quarters() -> None:
    text = changed(CANONICAL, "to: 2022-12-31", "to: 2022-03-31")
    text = changed(text, "[age, sex, prior", "[age, index_quarter, prior")
    assert places(text) == ["8:19 `index_quarter` has one level only: the whole intake lies in 2022Q1."]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("titel: x", "Did you mean `title`?"),
        ("folow_up: 3", "Did you mean `follow_up`?"),
        ("zzz: 3", "Known names: cohortium, study, title,"),
    ],
)
def test_an_unknown_field_suggests_the_nearest_one(written: str, meant: str) -> None:
    (fault,) = check_plan(f"{written}\n{CANONICAL}")
    assert fault.do.startswith(meant)


def test_an_unknown_name_suggests_the_nearest_of_the_registry() -> None:
    (fault,) = check_plan(changed(CANONICAL, "name: ae_attendances", "name: ae_atendances"))
    assert fault.do == "Did you mean `ae_attendances`?"


def test_the_refusal_of_a_plan_lists_every_fault_with_file_line_and_column() -> None:
    text = changed(CANONICAL, "epsilon: 1.0", "epsilon: 20")
    text = changed(text, "study: small", "study: Small")
    with pytest.raises(PlanError) as refused:
        load_plan(text, "plans/small.yaml")
    assert "2 faults" in refused.value.what
    assert "plans/small.yaml:2:8: `study` is 'Small'" in refused.value.what
    assert "plans/small.yaml:12:12: `privacy.epsilon` is 20" in refused.value.what
    assert refused.value.exit_code == 4


def test_a_fault_never_carries_control_characters_to_a_terminal() -> None:
    (fault,) = check_plan('"\\e[2J": 1\n' + CANONICAL)
    assert str(fault).isprintable()
    assert "There is no field `?[2J` in a plan." in str(fault)
