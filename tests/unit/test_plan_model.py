"""A plan is resolved once, and the same after any trip through JSON."""

from __future__ import annotations

import json
import math
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from cohortium_protocols.attrition import EXIT_LABELS, EXIT_STEPS
from cohortium_protocols.canonical import canonical_bytes
from cohortium_protocols.covariates import COVARIATES, quarters
from cohortium_protocols.outcomes import OUTCOMES
from cohortium_protocols.plan import Covariate, Intake, Outcome, Plan, plan_digest, plan_schema
from cohortium_protocols.plan_check import check_plan, load_plan
from cohortium_protocols.plan_yaml import read_yaml
from cohortium_protocols.ratios import RATIOS

EXAMPLE = Path(__file__).parents[2] / "examples" / "befriending-2024.yaml"
CANONICAL: dict[str, Any] = {
    "cohortium": 1,
    "study": "small",
    "title": "A small study",
    "question": "Do people go to A&E less?",
    "intake": {"from": "2021-11-01", "to": "2022-05-31"},
    "follow_up": "365 days",
    "population": {"age": [18, 110]},
    "covariates": ["age", "sex", "prior.ae_attendances"],
    "outcomes": ["ae_attendances"],
    "privacy": {"epsilon": 1, "aggregation": "local"},
    "nodes": {"roster": ["north"], "deadline": "2026-12-31"},
}
TABLE: dict[str, Any] = {
    **{name: CANONICAL[name] for name in ("cohortium", "study", "title", "question", "privacy", "nodes")},
    "data": "table",
    "covariates": [{"name": "age", "low": 25, "high": 74}],
    "outcomes": [{"name": "wt82_71", "low": -30, "clip": 30}],
}


def plan(**changes: Any) -> Plan:
    return Plan.model_validate({**CANONICAL, **changes})


def table(**changes: Any) -> Plan:
    return Plan.model_validate({**TABLE, **changes})


def as_json(value: Plan) -> Any:
    return json.loads(canonical_bytes(value.model_dump(mode="json", by_alias=True)))


def the_covariate(entry: object, **changes: Any) -> Covariate:
    return plan(covariates=["prior.ae_attendances", entry], **changes).covariates[1]


def test_the_example_is_valid_and_complete() -> None:
    example = load_plan(EXAMPLE.read_text(encoding="utf-8"), EXAMPLE.name)
    assert (example.privacy.aggregation, example.privacy.tolerate_lost_nodes) == ("secure", 1)
    assert example.analysis.method == "doubly_robust"
    assert len(example.outcomes) == 8
    assert [ratio.name for ratio in example.ratios] == ["mean_length_of_stay"]
    assert [outcome.name for outcome in example.outcomes if outcome.primary] == ["ae_attendances"]


def test_the_schema_accepts_what_operators_write_and_what_plans_become() -> None:
    schema = plan_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    written = read_yaml(EXAMPLE.read_text(encoding="utf-8"), EXAMPLE.name).data
    for instance in (written, as_json(Plan.model_validate(written)), CANONICAL, TABLE, as_json(table())):
        validator.validate(instance)


@pytest.mark.parametrize(
    "change",
    [
        {"follow_up": "1 year"},
        {"covariates": ["sexx"]},
        {"titel": "x"},
        {"privacy": {"epsilon": 20, "aggregation": "local"}},
    ],
)
def test_the_schema_refuses_what_a_plan_refuses(change: dict[str, Any]) -> None:
    assert not jsonschema.Draft202012Validator(plan_schema()).is_valid({**CANONICAL, **change})


def test_every_field_of_the_schema_is_described() -> None:
    schema = plan_schema()
    models = [schema, *(schema["$defs"][name] for name in schema["$defs"])]
    fields = {
        (model["title"], name): field for model in models for name, field in model["properties"].items()
    }
    assert [place for place, field in fields.items() if not field.get("description")] == []


def test_a_plan_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        plan().study = "other"


def test_days_are_a_number_however_they_are_written() -> None:
    assert plan(follow_up="1 day").follow_up == 1
    assert plan(follow_up=90).follow_up == 90
    assert plan(washout="30 days").washout == 30


def test_parts_can_be_built_from_python_values() -> None:
    intake = Intake(from_=date(2021, 11, 1), to=date(2022, 5, 31))
    assert plan(intake=intake) == plan()


def test_the_first_outcome_leads_unless_one_is_marked() -> None:
    assert [outcome.primary for outcome in plan(outcomes=["death", "ae_attendances"]).outcomes] == [
        True,
        False,
    ]
    marked = plan(outcomes=["death", {"name": "ae_attendances", "primary": True}])
    assert [outcome.primary for outcome in marked.outcomes] == [False, True]


def test_several_outcomes_may_lead() -> None:
    both = [{"name": name, "primary": True} for name in ("death", "ae_attendances")]
    assert all(outcome.primary for outcome in plan(outcomes=both).outcomes)


def test_a_registry_outcome_is_filled_in() -> None:
    assert plan().outcomes[0] == Outcome(
        name="ae_attendances", title="A&E attendances", low=0.0, clip=10.0, primary=True, kind="count",
        unit="attendances", better="lower",
    )  # fmt: skip


def test_title_and_clip_of_an_outcome_can_be_chosen() -> None:
    (outcome,) = plan(outcomes=[{"name": "ae_attendances", "clip": 5, "title": "Visits"}]).outcomes
    assert (outcome.clip, outcome.title, outcome.kind) == (5.0, "Visits", "count")


def test_a_table_outcome_is_a_number_unless_said_otherwise() -> None:
    (outcome,) = table().outcomes
    assert (outcome.title, outcome.kind, outcome.unit, outcome.better) == ("wt82_71", "number", "", "neither")


def test_age_takes_its_bounds_from_the_population() -> None:
    age = the_covariate("age", population={"age": [65, 110]})
    assert (age.low, age.high, age.centre) == (65.0, 110.0, 77.5)
    assert age.scale == pytest.approx(32.5 / 3.5)


@pytest.mark.parametrize("ages", [(0, 120), (18, 110), (90, 91), (95, 120), (16, 25)])
def test_age_can_be_used_for_any_population(ages: tuple[int, int]) -> None:
    age = the_covariate("age", population={"age": list(ages)})
    assert age.low <= age.centre <= age.high


def test_index_quarter_has_the_quarters_of_the_intake() -> None:
    assert the_covariate("index_quarter").levels == ("2021Q4", "2022Q1", "2022Q2")


def test_quarters_run_over_the_end_of_a_year() -> None:
    assert quarters(date(2021, 12, 31), date(2022, 1, 1)) == ("2021Q4", "2022Q1")


def test_scales_follow_the_recipe() -> None:
    assert the_covariate("imd_decile").scale == 2.87
    assert the_covariate("prior.bed_days").scale == pytest.approx((math.log(61) - 0.12) / 3.5)
    assert the_covariate({"name": "prior.bed_days", "high": 4}).scale == 0.5
    assert the_covariate({"name": "prior.bed_days", "low": 2}).centre == pytest.approx(math.log(3))


def test_a_covariate_about_which_nothing_is_known_is_spread_evenly() -> None:
    (age,) = table().covariates
    assert age.centre == 49.5
    assert age.scale == pytest.approx(49 / 12**0.5)


def test_a_covariate_of_the_registry_can_be_bent_and_combined() -> None:
    asked = plan(
        covariates=[{"name": "age", "square": True, "bins": [65, 80]}, "sex", "prior.ae_attendances"],
        interactions=[["age", "sex"]],
    )
    assert (asked.covariates[0].square, asked.covariates[0].bins) == (True, (65.0, 80.0))
    assert plan_digest(asked) != plan_digest(plan())


@pytest.mark.parametrize("name", COVARIATES)
def test_every_covariate_of_the_registry_can_be_planned(name: str) -> None:
    assert name in [
        covariate.name for covariate in plan(covariates=[*{"prior.ae_attendances", name}]).covariates
    ]


@pytest.mark.parametrize("name", OUTCOMES)
def test_every_outcome_of_the_registry_can_be_planned_with_its_prior_use(name: str) -> None:
    prior = OUTCOMES[name].prior
    asked = plan(outcomes=list(dict.fromkeys([name, "death"])), covariates=["age", prior] if prior else ["age"])
    assert asked.outcomes[0].name == name


def test_every_exit_step_has_a_label() -> None:
    assert tuple(EXIT_LABELS) == EXIT_STEPS


def test_every_way_to_compare_people_survives_being_written() -> None:
    analysis = {"method": "matched_pairs", "exact": ["sex"], "score": "both", "ratio": 2,
                "sensitivity": [{"method": "strata", "share": 0.2}]}  # fmt: skip
    asked = plan(analysis=analysis)
    assert asked.analysis.comparison == "within_node"
    assert Plan.model_validate(as_json(asked)) == asked


def test_from_three_nodes_up_they_add_up_securely_unless_the_plan_says_otherwise() -> None:
    nodes = {**CANONICAL["nodes"], "roster": ["a", "b", "c"]}
    assert plan(nodes=nodes, privacy={"epsilon": 1}).privacy.aggregation == "secure"
    assert plan(nodes=nodes, privacy={"epsilon": 1, "aggregation": "local"}).privacy.aggregation == "local"
    with pytest.raises(ValidationError, match="privacy.aggregation"):
        plan(privacy={"epsilon": 1})
    assert "aggregation" not in plan_schema()["$defs"]["Privacy"]["required"]


def test_the_digest_is_that_of_the_meaning_not_of_the_text() -> None:
    assert plan_digest(plan()) == plan_digest(plan(follow_up=365, washout=0))
    assert plan_digest(plan()) != plan_digest(plan(follow_up=364))


def test_a_resolved_plan_leaves_no_default_to_the_reader() -> None:
    assert as_json(plan()).keys() == Plan.model_fields.keys()
    assert as_json(plan())["covariates"][0].keys() == Covariate.model_fields.keys()


def test_a_finished_covariate_is_held_to_the_registry_too() -> None:
    sex = the_covariate("sex").model_copy(update={"levels": ("f", "m")})
    with pytest.raises(ValidationError, match="cannot be changed"):
        plan(covariates=["prior.ae_attendances", sex])


bounds = st.tuples(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6)).map(lambda pair: (pair[0], pair[0] + pair[1]))
texts = st.text(
    alphabet=st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), min_size=1, max_size=12
)
privacies = st.fixed_dictionaries(
    {"epsilon": st.floats(1e-3, 10), "delta": st.floats(1e-12, 1e-4), "aggregation": st.just("local")},
    optional={"noise": st.booleans(), "assume_colluding_nodes": st.integers(0, 5)},
)
numbers = st.builds(
    lambda name, pair, square, bins: {"name": name, "low": pair[0], "high": pair[1], "square": square,
                                      "bins": cut_points(*pair, bins)},
    texts, bounds, st.booleans(), st.integers(0, 3),
)  # fmt: skip
categories = st.builds(
    lambda name, levels: {"name": name, "levels": levels},
    texts,
    st.lists(texts, min_size=2, max_size=5, unique=True),
)
measures = st.builds(lambda name, pair: {"name": name, "low": pair[0], "clip": pair[1]}, texts, bounds)


def cut_points(low: float, high: float, count: int) -> list[float]:
    return [low + (high - low) * (place + 1) / (count + 1) for place in range(count)]


def unique(entries: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(entries, min_size=1, max_size=5, unique_by=lambda entry: entry["name"])


def assert_round_trip(value: Plan) -> None:
    again = Plan.model_validate(as_json(value))
    assert again == value
    assert plan_digest(again) == plan_digest(value)
    assert Plan.model_validate(value.model_dump()) == value


@given(unique(numbers | categories), unique(measures), privacies, texts, st.booleans())
def test_any_table_plan_survives_json(
    covariates: list[Any], outcomes: list[Any], privacy: Any, title: str, together: bool
) -> None:
    pairs = [list(pair) for pair in pairwise(each["name"] for each in covariates)] if together else []
    asked = table(covariates=covariates, interactions=pairs, outcomes=outcomes, privacy=privacy, title=title)
    assert_round_trip(asked)


@given(
    st.sets(st.sampled_from(sorted(COVARIATES))),
    st.lists(st.sampled_from(sorted(OUTCOMES)), min_size=1, unique=True),
    st.dates(date(2000, 1, 1), date(2020, 1, 1)),
    st.integers(93, 1826),
    st.tuples(st.integers(0, 119), st.integers(1, 60)).map(
        lambda pair: [pair[0], min(pair[0] + pair[1], 120)]
    ),
)
def test_any_canonical_plan_survives_json(
    covariates: set[str], outcomes: list[str], start: date, days: int, ages: list[int]
) -> None:
    needed = {OUTCOMES[name].prior for name in outcomes} - {None}
    intake = {"from": start, "to": date.fromordinal(start.toordinal() + days)}
    entries = sorted(covariates | needed | {"age"})
    outcomes = list(dict.fromkeys([*outcomes, "death"]))
    ratios = [ratio.name for ratio in RATIOS.values() if {ratio.numerator, ratio.denominator} <= set(outcomes)]
    population = {"age": ages}
    assert_round_trip(plan(covariates=entries, outcomes=outcomes, ratios=ratios, intake=intake, population=population))


@settings(max_examples=60)
@given(st.data())
def test_a_plan_file_with_any_one_change_is_accepted_or_explained(data: st.DataObject) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    start = data.draw(st.integers(0, len(text) - 1))
    length = data.draw(st.integers(0, 12))
    filling = data.draw(st.text(alphabet="{}[]:,-#'\" \nae19.~\x07é", max_size=4))
    for fault in check_plan(text[:start] + filling + text[start + length :]):
        assert fault.line >= 1
        assert fault.column >= 1
        assert fault.what
