"""A generated world is repeatable, realistic, dirty where real extracts are dirty, and its truth is true."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.stats import poisson

from cohortium_node.data.cohort import read_cohort
from cohortium_node.data.source import FolderSource
from cohortium_node.data.table import AnalysisTable
from cohortium_node.linkage.nhs_number import check_digit_holds
from cohortium_protocols.attrition import EXIT_STEPS
from cohortium_protocols.plan import Plan
from cohortium_simulations.events import Effects
from cohortium_simulations.nhs_numbers import draw_nhs_numbers
from cohortium_simulations.truth import DEFAULT_CLIPS, DEFAULT_RATIOS, plan_truth, truth
from cohortium_simulations.worlds import World, WorldSpec, make_world
from cohortium_simulations.write_world import write_world

SMALL = WorldSpec(nodes={"north": 9_000, "south": 3_000}, helped=400, seed=7)
CONFOUNDED = WorldSpec(nodes={"north": 42_000, "south": 18_000}, helped=2_000, seed=11)
PLAN = Plan.model_validate(
    {
        "cohortium": 1,
        "study": "world",
        "title": "A generated world",
        "question": "Does the analysis find what help changed?",
        "intake": {"from": "2022-01-01", "to": "2022-12-31"},
        "follow_up": "365 days",
        "covariates": [
            "age",
            "sex",
            "imd_decile",
            "charlson",
            "prior.ae_attendances",
            "prior.emergency_admissions",
            "prior.elective_admissions",
            "prior.bed_days",
        ],
        "outcomes": list(DEFAULT_CLIPS),
        "privacy": {"epsilon": 2.0, "delta": 1e-6, "aggregation": "local"},
        "nodes": {"roster": ["north", "south"], "deadline": "2026-12-31"},
    }
)


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(SMALL)


@pytest.fixture(scope="module")
def folder(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("world")
    write_world(world, place)
    return place


@pytest.fixture(scope="module")
def confounded(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, list[AnalysisTable]]:
    place, world = tmp_path_factory.mktemp("confounded"), make_world(CONFOUNDED)
    write_world(world, place)
    return world, analysis_tables(place)


def analysis_tables(folder: Path) -> list[AnalysisTable]:
    """What each node's own code makes of its tables."""
    cohort = read_cohort(folder / "cohort.csv")
    sources = [FolderSource(folder / name / "data") for name in PLAN.nodes.roster]
    return [source.analysis_table(PLAN, cohort, b"one key for all nodes, 32 bytes.") for source in sources]


def clipped_outcomes(tables: list[AnalysisTable]) -> tuple[Mapping[str, np.ndarray], np.ndarray]:
    outcomes = np.vstack([table.outcomes for table in tables])
    named = {name: np.minimum(outcomes[:, k], clip) for k, (name, clip) in enumerate(DEFAULT_CLIPS.items())}
    return named, np.concatenate([table.treated for table in tables])


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def read_all(folder: Path, table: str) -> pd.DataFrame:
    return pd.concat([pd.read_parquet(path) for path in sorted(folder.glob(f"*/data/{table}.parquet"))])


def test_nhs_numbers_are_valid_and_different() -> None:
    numbers = draw_nhs_numbers(50_000, np.random.default_rng(1))
    assert len(np.unique(numbers)) == 50_000
    assert check_digit_holds(numbers).all()
    assert (numbers // 10**9 == 9).all(), "the block that is not issued"


def test_the_same_specification_gives_the_same_files(world: World, folder: Path, tmp_path: Path) -> None:
    write_world(make_world(SMALL), tmp_path)
    assert digests(tmp_path) == digests(folder)
    assert len(digests(folder)) == 2 * 3 + 2


def test_another_seed_gives_other_people() -> None:
    assert not np.array_equal(make_world(replace(SMALL, seed=8)).people.age, make_world(SMALL).people.age)


def test_other_effects_leave_people_and_choices_as_they_were(world: World) -> None:
    other = make_world(replace(SMALL, effects=Effects(0.3, 0.2, -0.1)))
    assert np.array_equal(other.people.death, world.people.death)
    pd.testing.assert_frame_equal(other.cohort, world.cohort)


def test_a_specification_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="ends before"):
        replace(SMALL, intake_from=SMALL.intake_to, intake_to=SMALL.intake_from)
    with pytest.raises(ValueError, match="quarter of all people"):
        replace(SMALL, helped=6_000)
    with pytest.raises(ValueError, match="no truth for"):
        truth(make_world(SMALL), {"happiness": 10})


def test_everybody_is_at_one_node(folder: Path) -> None:
    people = read_all(folder, "person")
    assert len(people) == 12_000
    assert people["nhs_number"].is_unique
    assert len(pd.read_parquet(folder / "south/data/person.parquet")) == 3_000


def test_rates_are_those_of_adults_in_england(confounded: tuple[World, list[AnalysisTable]]) -> None:
    outcomes, treated = clipped_outcomes(confounded[1])
    yearly = {name: values[~treated].mean() for name, values in outcomes.items()}
    assert yearly["ae_attendances"] == pytest.approx(0.39, abs=0.05)
    assert yearly["emergency_admissions"] == pytest.approx(0.10, abs=0.02)
    assert yearly["elective_admissions"] == pytest.approx(0.12, abs=0.02)
    assert yearly["death"] == pytest.approx(0.010, abs=0.003)


def test_use_is_overdispersed_and_rises_with_age(confounded: tuple[World, list[AnalysisTable]]) -> None:
    outcomes, treated = clipped_outcomes(confounded[1])
    use = outcomes["ae_attendances"][~treated]
    age = np.concatenate([table.covariates["age"] for table in confounded[1]])[~treated]
    assert use.var() > 1.3 * use.mean()
    assert use[age >= 80].mean() > 1.7 * use[age < 60].mean()


def test_bed_days_have_a_heavy_tail(world: World) -> None:
    urgent = world.admissions[world.admissions["method"] == "21"]
    nights = urgent["discharged"] - urgent["admitted"]
    assert nights.median() <= 3 < 4 < nights.mean() < 8
    assert nights.max() > 40


def test_attendances_hold_the_dirt_that_definitions_leave_out(folder: Path) -> None:
    rows = read_all(folder, "emergency_attendance")
    assert set(rows["attendance_category"]) == {"1", "2", "3"}
    assert set(rows["department_type"]) == {"01", "02", "03", "04", "05"}
    assert rows["arrived"].min() == pd.Timestamp(1800, 1, 1)


def test_admissions_hold_the_dirt_that_definitions_leave_out(folder: Path) -> None:
    rows = read_all(folder, "admission")
    assert {"11", "12", "13", "21", "28", "2A", "2B", "31", "81"} <= set(rows["method"])
    assert set(rows["classification"]) == {"1", "2", "3", "4"}
    assert str(rows["admitted"].min()) == "1800-01-01"
    assert (rows["discharged"] >= rows["admitted"]).all()


def test_no_event_outside_the_time_on_the_register(world: World) -> None:
    for day, rows in (
        (world.admissions["admitted"], world.admissions),
        (world.attendances["arrived"].to_numpy().astype("datetime64[D]").astype(np.int64), world.attendances),
    ):
        dated = np.asarray(day) > 0
        person = rows["person"].to_numpy()[dated]
        assert (np.asarray(day)[dated] >= world.people.registered_from[person]).all()
        assert (np.asarray(day)[dated] <= world.people.left[person]).all()


def test_one_cohort_row_in_twenty_is_a_mistake(world: World, folder: Path) -> None:
    mistakes = ~world.cohort["fate"].isin(["analysed", "opted_out"])
    assert mistakes.mean() == pytest.approx(0.05, abs=0.01)
    assert {"not_found", "outside_intake", "duplicate_person"} <= set(world.cohort["fate"])
    written = pd.read_csv(folder / "cohort.csv", dtype=str)
    assert list(written) == ["nhs_number", "start_date", "end_date", "site", "legal_basis"]
    assert len(written) == len(world.cohort)


def test_the_nodes_find_the_fates_that_the_world_foretells(folder: Path) -> None:
    foretold = json.loads((folder / "truth.json").read_text())["fates"]
    elsewhere = {
        "not_found",
        "duplicate_person",
    }  # a node sees neither: strangers, and rows merged before linkage
    found = Counter(EXIT_STEPS[step] for table in analysis_tables(folder) for step in table.exits)
    assert found == {fate: count for fate, count in foretold.items() if fate not in elsewhere}


def test_the_nodes_measure_what_the_truth_says_on_average(
    confounded: tuple[World, list[AnalysisTable]],
) -> None:
    world, tables = confounded
    outcomes, treated = clipped_outcomes(tables)
    for name, one in truth(world).outcomes.items():
        values = outcomes[name][treated]
        assert values.mean() == pytest.approx(one.helped, abs=3 * values.std() / np.sqrt(len(values)))


def test_truth_equals_the_exact_values_where_there_are_any(world: World) -> None:
    found, windows = truth(world).outcomes, world.analysed
    exact = {
        "ae_attendances": ("attendances", 0.80),
        "emergency_admissions": ("emergency", 0.85),
        "any_emergency_admission": ("emergency", 0.85),
        "elective_admissions": ("elective", 1.10),
    }
    for name, (kind, change) in exact.items():
        expected: Any = world.people.rates[kind][windows.person] * windows.days / 365.25
        with_help, without = (mean_clipped_poisson(expected * k, DEFAULT_CLIPS[name]) for k in (change, 1.0))
        assert found[name].effect == pytest.approx(with_help - without, abs=4 * found[name].error)
        assert found[name].helped == pytest.approx(with_help, rel=0.02)


def mean_clipped_poisson(expected: np.ndarray, clip: float) -> float:
    """E[min(N, clip)] is the sum of P(N > k) over k below the clip."""
    return float(sum(poisson.sf(k, expected).mean() for k in range(int(clip))))


def test_truth_of_bed_days_equals_a_naive_simulation(world: World) -> None:
    rng = np.random.default_rng(3)
    draws = np.array([naive_bed_days(world, rng) for _ in range(60)])
    found = truth(world).outcomes["bed_days"]
    error = np.hypot(found.error, np.std(draws[:, 0] - draws[:, 1]) / np.sqrt(len(draws)))
    assert np.mean(draws[:, 0] - draws[:, 1]) == pytest.approx(found.effect, abs=4 * error)
    assert np.mean(draws[:, 1]) == pytest.approx(found.not_helped, rel=0.06)


def naive_bed_days(world: World, rng: np.random.Generator) -> tuple[float, float]:
    """Mean clipped bed-days with and without help, one stay after the other."""
    people, windows, totals = world.people, world.analysed, []
    for person, start, stop in zip(windows.person, windows.start, windows.stop, strict=True):
        years, illnesses = (stop - start) / 365.25, int(people.conditions[person]).bit_count()
        both = lost = added = 0
        for _ in range(rng.poisson(people.rates["emergency"][person] * years)):
            typical = 0.85 + 0.012 * (people.age[person] - 60) + 0.08 * illnesses
            days = min(int(min(rng.lognormal(typical, 1.2), 150)), stop - rng.integers(start, stop))
            if rng.random() < 0.15:
                lost += days
            else:
                both += days
        for _ in range(rng.poisson(people.rates["elective"][person] * years)):
            both += naive_planned_days(start, stop, rng)
        for _ in range(rng.poisson(0.1 * people.rates["elective"][person] * years)):
            added += naive_planned_days(start, stop, rng)
        totals.append((min(both + added, 30), min(both + lost, 30)))
    with_help, without = np.mean(totals, axis=0)
    return float(with_help), float(without)


def naive_planned_days(start: int, stop: int, rng: np.random.Generator) -> int:
    nights = 1 + int(min(rng.lognormal(0.6, 0.8), 60)) if rng.random() >= 0.8 else 0
    return int(min(nights, stop - rng.integers(start, stop)))


def test_no_effect_means_a_truth_of_zero() -> None:
    nothing = truth(make_world(replace(SMALL, effects=Effects(0.0, 0.0, 0.0))), ratios=DEFAULT_RATIOS, draws=80)
    assert set(nothing.effects.values()) == {0.0}
    assert nothing.ratios.keys() >= {"mean_length_of_stay", "ae_attendances.rate"}


def test_the_truth_is_known_much_better_than_any_study_could_estimate_it(
    confounded: tuple[World, list[AnalysisTable]],
) -> None:
    world, tables = confounded
    outcomes, treated = clipped_outcomes(tables)
    for name, one in truth(world).outcomes.items():
        sampling_error = outcomes[name][treated].std() / np.sqrt(treated.sum())
        assert one.error <= max(0.02 * abs(one.effect), 0.05 * sampling_error)


def test_death_is_not_changed(world: World) -> None:
    assert truth(world).outcomes["death"].effect == 0
    assert truth(world).outcomes["death"].helped > 0


def test_a_plain_comparison_has_the_wrong_sign_and_an_adjusted_one_finds_the_truth(
    confounded: tuple[World, list[AnalysisTable]],
) -> None:
    world, tables = confounded
    outcomes, treated = clipped_outcomes(tables)
    use, effect = outcomes["ae_attendances"], truth(world).outcomes["ae_attendances"].effect
    weights = odds_of_help(tables, treated)
    assert weights.sum() ** 2 / (weights**2).sum() > 5 * treated.sum(), "overlap"
    helped, others = use[treated], use[~treated]
    naive, naive_error = helped.mean() - others.mean(), helped.std() / np.sqrt(len(helped))
    alike = np.average(others, weights=weights)
    error = np.hypot(naive_error, np.sqrt((weights**2 * (others - alike) ** 2).sum()) / weights.sum())
    assert effect < -3 * error
    assert naive > 3 * naive_error
    assert helped.mean() - alike == pytest.approx(effect, abs=2.5 * error)


def odds_of_help(tables: list[AnalysisTable], treated: np.ndarray) -> np.ndarray:
    """Fitted odds of each comparator, by a logit in the covariates of the plan within their bounds."""
    columns = []
    for covariate in PLAN.covariates:
        values = np.concatenate([table.covariates[covariate.name] for table in tables])
        number = values == "female" if covariate.levels else np.clip(values, covariate.low, covariate.high)
        columns.append(number.astype(float))
    design = sm.add_constant(np.column_stack(columns))
    chance = sm.GLM(treated.astype(float), design, family=sm.families.Binomial()).fit().predict()
    return (chance / (1 - chance))[~treated]


def test_help_changes_nothing_that_was_before_it(world: World) -> None:
    earlier = {name: one for name, one in truth(world).outcomes.items() if name.startswith("earlier.")}
    assert len(earlier) == 4
    for name, one in earlier.items():
        assert (one.effect, one.error) == (0.0, 0.0), name
        assert one.helped > 0


def test_earlier_use_is_that_of_a_whole_year_where_people_were_registered(world: World) -> None:
    people, windows = world.people, world.analysed
    first = np.maximum(people.registered_from[windows.person], world.spec.span[0])
    days = np.clip(windows.start - 365 - np.maximum(windows.start - 730, first), 0, 365)
    expected = people.rates["attendances"][windows.person] * days / 365.25
    found = truth(world).outcomes["earlier.ae_attendances"]
    assert found.helped == pytest.approx(mean_clipped_poisson(expected, 8), rel=0.02)


def test_a_ratio_is_of_the_people_s_means_and_has_an_effect_of_its_own(world: World) -> None:
    found = truth(world, ratios=DEFAULT_RATIOS)
    days, stays = (found.outcomes[name] for name in ("bed_days", "all_admissions"))
    stay = found.ratios["mean_length_of_stay"]
    assert stay.helped == pytest.approx(days.helped / stays.helped)
    assert stay.not_helped == pytest.approx(days.not_helped / stays.not_helped)
    assert stay.effect == pytest.approx(stay.helped - stay.not_helped)
    assert 0 < stay.error < 0.1 * abs(stay.effect)
    years, visits = found.outcomes["follow_up_years"], found.outcomes["ae_attendances"]
    assert found.ratios["ae_attendances.rate"].effect == pytest.approx(visits.effect / years.helped)


def test_a_plan_has_the_truth_of_all_it_asks_for_clipped_as_it_says(world: World) -> None:
    rate = {"name": "visits", "numerator": "ae_attendances", "denominator": "follow_up_years", "per": 100, "unit": "x"}
    written = PLAN.model_dump(mode="json", by_alias=True)
    plan = Plan.model_validate(written | {
        "outcomes": [{"name": "ae_attendances", "clip": 2}, "follow_up_years", "earlier.bed_days"], "ratios": [rate],
    })  # fmt: skip
    found = plan_truth(world, plan)
    assert list(found.effects) == ["ae_attendances", "follow_up_years", "earlier.bed_days", "visits"]
    assert found.outcomes["ae_attendances"].clip == 2
    whole = truth(world, {"ae_attendances": 2, "follow_up_years": 1}, draws=800).outcomes["ae_attendances"]
    assert found.outcomes["ae_attendances"].effect == whole.effect
    years = found.outcomes["follow_up_years"].helped
    assert found.effects["visits"] == pytest.approx(100 * whole.effect / years)


def test_a_world_s_files_hold_the_truth_of_ratios_and_of_earlier_use(folder: Path) -> None:
    known = json.loads((folder / "truth.json").read_text())
    assert known["outcomes"]["earlier.bed_days"]["effect"] == 0
    assert known["ratios"]["mean_length_of_stay"]["effect"] != 0
