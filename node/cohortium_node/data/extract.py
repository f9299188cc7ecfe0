"""From canonical tables to the analysis table: heavy work in the database, one row a person out of it.

The steps: read the register's NHS numbers; link them to the cohort and give everybody an index date; let the
database decide who can be analysed, count each person's events and collect past diagnoses; turn the answer
into arrays. ``reference`` says the same in plain Python.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
from ibis.backends.duckdb import Backend
from numpy.typing import NDArray

from cohortium_node.data.cohort import Cohort
from cohortium_node.data.definitions import PRIOR_YEAR, Period, study_dates
from cohortium_node.data.diagnoses import CHARLSON, FRAILTY, LOOKBACK_DAYS, condition_bits, score
from cohortium_node.data.index_date import keyed_digests, keyed_order, pseudo_index_dates
from cohortium_node.data.measures import EVENT_DATE, MEASURES, within
from cohortium_node.data.people import KNOWN, exit_step, level
from cohortium_node.data.schema import ALWAYS_NEEDED
from cohortium_node.data.table import AnalysisTable
from cohortium_node.linkage.exact import UNLINKED, link
from cohortium_node.linkage.nhs_number import check_digit_holds
from cohortium_protocols.outcomes import DAYS_A_YEAR, FOLLOW_UP_YEARS, measure_of
from cohortium_protocols.plan import Outcome, Plan

SCORES = {"charlson": CHARLSON, "frailty": FRAILTY}
LOOKBACK = Period(-LOOKBACK_DAYS, 0)


@dataclass(frozen=True)
class Count:
    """One total a person that a plan asks for: a column of the answer, a measure's name and a period."""

    column: str
    measure: str
    period: Period


def counts(plan: Plan) -> list[Count]:
    """Returns the totals behind a plan's covariates and outcomes."""
    earlier = [
        (c.name, c.name.removeprefix("prior."), PRIOR_YEAR)
        for c in plan.covariates
        if c.name.startswith("prior.")
    ]
    later = (count for outcome in plan.outcomes for count in _outcome_counts(plan, outcome.name))
    return [*(Count(*each) for each in earlier), *later]


def _outcome_counts(plan: Plan, outcome: str) -> Iterator[Count]:
    """Yields the total behind an outcome, if it is one, and behind a change also the total before."""
    dates, measure = study_dates(plan), measure_of(outcome)
    if measure in MEASURES:
        yield Count(f"outcome {outcome}", measure, dates.when(outcome))
    if before := dates.before(outcome):
        yield Count(f"before {outcome}", measure, before)


def needs(plan: Plan) -> Mapping[str, frozenset[str]]:
    """Returns the canonical tables that a plan needs, and the columns of each."""
    found: dict[str, set[str]] = {"person": set(ALWAYS_NEEDED)}
    for covariate in plan.covariates:
        if covariate.name in KNOWN:
            found["person"] |= set(KNOWN[covariate.name][0])
        if covariate.name in SCORES:
            found.setdefault("admission", set()).add("diagnoses")
    for count in counts(plan):
        measure = MEASURES[count.measure]
        found.setdefault(measure.table, set()).update(measure.columns)
    for table in found.keys() & EVENT_DATE.keys():
        found[table] |= {"person_id", EVENT_DATE[table]}
    return {table: frozenset(columns) for table, columns in found.items()}


def extract(
    database: Backend, tables: Mapping[str, ir.Table], plan: Plan, cohort: Cohort, study_key: bytes
) -> AnalysisTable:
    """Returns the analysis table of a plan.

    Args:
        database: where the tables are; temporary tables are made in it.
        tables: the canonical tables that the plan needs, opened and checked, each person and NHS number once.
        plan: what to compute.
        cohort: the people helped.
        study_key: the key common to the nodes, for pseudo index dates and the order of the rows.
    """
    people = _people(database, tables["person"], plan, cohort, study_key)
    analysed = people.filter(people.exit == 0)
    answer = analysed
    for extra in _event_answers(database, tables, analysed, plan):
        answer = answer.left_join(extra, "place").drop("place_right")
    rows = database.to_pyarrow(answer.drop("person_id").order_by("place"))
    left = database.to_pyarrow(people.filter(people.linked).order_by("place").select("exit"))
    return AnalysisTable(
        treated=_numbers(rows, "linked").astype(np.bool_),
        covariates={c.name: _covariate(rows, c.name, c.levels) for c in plan.covariates},
        outcomes=np.column_stack([_outcome(rows, o, plan) for o in plan.outcomes]),
        exits=_numbers(left, "exit").astype(np.int64),
    )


def _people(database: Backend, person: ir.Table, plan: Plan, cohort: Cohort, study_key: bytes) -> ir.Table:
    """Returns a temporary table of everybody who can be linked: index date, exit step, what is known."""
    assigned = assign(usable_numbers(database, person), plan, cohort, study_key)
    joined = person.inner_join(
        database.create_table(ibis.util.gen_name("assigned"), assigned, temp=True), "nhs_number"
    )
    return database.create_table(
        ibis.util.gen_name("people"), joined.select(**_person_columns(joined, plan)), temp=True
    )


def usable_numbers(database: Backend, person: ir.Table) -> NDArray[np.int64]:
    """Returns the NHS numbers of the people who have a valid one."""
    register = database.to_pyarrow(person.select("nhs_number").drop_null())
    numbers = register["nhs_number"].to_numpy()
    return np.asarray(numbers[check_digit_holds(numbers)], dtype=np.int64)


def assign(numbers: NDArray[np.int64], plan: Plan, cohort: Cohort, study_key: bytes) -> pa.Table:
    """Returns everybody's place in the order, index date and legal ground, by NHS number."""
    dates, digests = study_dates(plan), keyed_digests(study_key, numbers)
    order = keyed_order(digests, numbers)
    numbers, digests = numbers[order], digests[order]
    row = link(numbers, cohort.nhs_numbers)
    linked = row != UNLINKED
    index = pseudo_index_dates(digests, dates.first, dates.last)
    index[linked] = cohort.start_dates[row[linked]]
    consent = np.zeros(numbers.shape, dtype=np.bool_)
    consent[linked] = cohort.consent[row[linked]]
    columns = {"place": np.arange(numbers.size), "index_date": index, "linked": linked, "consent": consent}
    return pa.table({"nhs_number": numbers, **columns})


def _person_columns(joined: ir.Table, plan: Plan) -> Mapping[str, ir.Value]:
    columns = {name: joined[name] for name in ("place", "person_id", "index_date", "linked")}
    columns["exit"] = exit_step(joined, plan)
    for covariate in plan.covariates:
        if covariate.name in KNOWN:
            value = KNOWN[covariate.name][1](joined)
            columns[covariate.name] = level(value, covariate) if covariate.levels else value
    after = study_dates(plan).follow_up
    died = joined.death_date.delta(joined.index_date, unit="day")
    left = joined.registered_to.delta(joined.index_date, unit="day")
    observed = ibis.least(died.fill_null(after.end), left.fill_null(after.end), after.end - 1) + 1 - after.first
    known = {
        "death": within(died, after).fill_null(False).cast("int64"),
        FOLLOW_UP_YEARS: ibis.greatest(observed, 0) / DAYS_A_YEAR,
    }
    columns |= {f"outcome {o.name}": known[o.name] for o in plan.outcomes if o.name in known}
    return columns


def _event_answers(
    database: Backend, tables: Mapping[str, ir.Table], analysed: ir.Table, plan: Plan
) -> Iterator[ir.Table]:
    """Yields, for each table of events, one row for each person with events in the periods asked for."""
    wanted = counts(plan)
    for name in EVENT_DATE:
        mine = [count for count in wanted if MEASURES[count.measure].table == name]
        if mine:
            events = _events(tables[name], EVENT_DATE[name], analysed, [count.period for count in mine])
            totals = {count.column: MEASURES[count.measure].total(events, count.period) for count in mine}
            yield events.group_by("place").aggregate(**totals)
    if any(covariate.name in SCORES for covariate in plan.covariates):
        yield _histories(
            database, _events(tables["admission"], EVENT_DATE["admission"], analysed, [LOOKBACK])
        )


def _events(table: ir.Table, date: str, analysed: ir.Table, periods: Iterable[Period]) -> ir.Table:
    """Returns the events of the people analysed, with ``day``, from the first to the last day asked for."""
    joined = table.inner_join(analysed.select("person_id", "place", "index_date"), "person_id")
    events = joined.mutate(day=joined[date].delta(joined.index_date, unit="day"))
    span = Period(min(period.first for period in periods), max(period.end for period in periods))
    return events.filter(within(events.day, span))


def _histories(database: Backend, admissions: ir.Table) -> ir.Table:
    """Returns each person's recorded conditions as one integer, a bit a condition."""
    codes = admissions.select("place", code=admissions.diagnoses.unnest())
    plain = codes.select("place", code=codes.code.upper().re_replace("[^A-Z0-9]", ""))
    bits = condition_bits()
    listed = pa.table({"prefix": list(bits), "bits": pa.array(bits.values(), pa.int64())})
    prefixes = database.create_table(ibis.util.gen_name("prefixes"), listed, temp=True)
    found = [plain.mutate(prefix=plain.code.left(width)).inner_join(prefixes, "prefix") for width in (3, 4)]
    both = found[0].select("place", "bits").union(found[1].select("place", "bits"))
    return both.group_by("place").aggregate(history=both.bits.bit_or())


def _covariate(rows: pa.Table, name: str, levels: tuple[str, ...]) -> NDArray[Any]:
    if name in SCORES:
        return score(_numbers(rows, "history").astype(np.int64), SCORES[name])
    if not levels:
        return _numbers(rows, name, missing=np.nan if name in KNOWN else 0.0)
    return np.array([*levels, ""], dtype=np.object_)[_numbers(rows, name).astype(np.int64)]


def _outcome(rows: pa.Table, outcome: Outcome, plan: Plan) -> NDArray[np.float64]:
    """Returns an outcome's values; of a change, use less earlier use for as long a time, each at most the clip."""
    values, dates = _numbers(rows, f"outcome {outcome.name}"), study_dates(plan)
    period = dates.before(outcome.name)
    if period is None:
        return values
    earlier = _numbers(rows, f"before {outcome.name}") * (dates.follow_up.days / period.days)
    return np.minimum(values, outcome.clip) - np.minimum(earlier, outcome.clip)


def _numbers(rows: pa.Table, name: str, missing: float = 0.0) -> NDArray[np.float64]:
    """Returns a column as numbers; who has no events has a total of 0."""
    column = rows[name].cast(pa.float64()).to_numpy()
    return np.where(np.isnan(column), missing, column)
