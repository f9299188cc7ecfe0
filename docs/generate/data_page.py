"""The canonical tables, the cohort file, and what counts as what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from markup import code, page, table

from cohortium_node.data.cohort import LEGAL_BASES, OPTIONAL, REQUIRED
from cohortium_node.data.definitions import (
    DEPARTMENT_TYPES,
    ELECTIVE_METHODS,
    EMERGENCY_METHODS,
    PLANNED_FOLLOW_UP,
    PRIOR_YEAR,
    REGULAR_ATTENDERS,
)
from cohortium_node.data.diagnoses import CHARLSON, FRAILTY, LOOKBACK_DAYS, Condition
from cohortium_node.data.extract import SCORES
from cohortium_node.data.measures import EVENT_DATE, MEASURES
from cohortium_node.data.people import KNOWN
from cohortium_node.data.schema import ALWAYS_NEEDED, NULL_DATES, TABLES, Column
from cohortium_protocols.attrition import EXIT_LABELS, EXIT_STEPS

_HEAD = """\
# The data at a node

A node reads a folder with one file a table, `person.parquet` or `person.csv` and so on, and never writes to it.
[Prepare a data folder](../how-to/prepare-a-data-folder.md) says how to make one. Columns that a study does not need may
be left out; columns that are not listed here are ignored. An empty cell means "not known"."""
_KINDS = {
    "text": "text",
    "nhs_number": "ten digits; others than valid NHS numbers link nobody",
    "date": "`YYYY-MM-DD`",
    "number": "a number",
    "boolean": "`true` or `false`",
    "codes": "ICD-10 codes, with commas or semicolons between them",
}
_COHORT = {
    "nhs_number": "ten digits with a check digit that fits",
    "start_date": "`YYYY-MM-DD`: the day the help began, this person's index date",
    "end_date": "`YYYY-MM-DD`; not used yet",
    "site": "text; not used yet",
    "subgroup": "text; not used yet",
    "legal_basis": f"{' or '.join(map(code, LEGAL_BASES))}; the national data opt-out is not applied to `consent`",
}


def text() -> str:
    """Returns the page."""
    return page(
        _HEAD,
        *(part for name in TABLES for part in _table(name)),
        "Dates written instead of \"not known\" are read as missing: " + _listed(NULL_DATES) + ".",
        "## The cohort file",
        "`<study>.csv`, from the provider: CSV with commas, UTF-8, a header, one row for each person helped. "
        "A file with a fault is refused as a whole, and every fault is named by row and column.",
        table(("column", "required", "what it holds"), (
            (code(name), "yes" if name in REQUIRED else "", _COHORT[name]) for name in (*REQUIRED, *OPTIONAL)
        )),
        "A person who is there twice counts once, from the earliest start date.",
        "## Who is analysed",
        "Comparators get a pseudo index date inside the intake, drawn from the study key and their NHS number: the "
        "same at every node. A person of the cohort file who is found at a node ends at the first of these steps that "
        "holds, or is analysed; comparators are tested in the same way.",
        table(("step", "in the report"), ((code(step), EXIT_LABELS[step]) for step in EXIT_STEPS[1:])),
        "A registration without a date is open on that side. An opt-out that is not known counts as an opt-out.",
        "## What counts",
        f"Each measure is counted over the plan's follow-up (outcomes) and from {-PRIOR_YEAR.first} days before the "
        "index date up to the day before (covariates, `prior.` and its name).",
        table(("measure", "table", "columns it needs"), _measures()),
        _rules(),
        "## Other covariates",
        table(("covariate", "table", "columns it needs"), _known()),
        "A value that is not a level of the plan's covariate counts as `other` if that is a level, and otherwise as "
        "not known. What is not known counts as `unknown` if that is a level, and otherwise as the covariate's centre.",
        *_score("Charlson score", CHARLSON),
        *_score("Frailty count", FRAILTY),
    )  # fmt: skip


def _table(name: str) -> Iterator[str]:
    yield f"## {name}"
    if name == "admission":
        yield "One row a spell (a continuous stay), not one an episode."
    rows = ((code(column.name), _holds(column), _needed(name, column)) for column in TABLES[name])
    yield table(("column", "what it holds", "needed for"), rows)


def _holds(column: Column) -> str:
    return ", ".join(code(value) for value in column.values) or _KINDS[column.kind]


def _needed(name: str, column: Column) -> str:
    if name == "person" and column.name in ALWAYS_NEEDED:
        return "always"
    if name in EVENT_DATE and column.name in ("person_id", EVENT_DATE[name]):
        return "whenever the table is"
    measures = [key for key, measure in MEASURES.items() if measure.table == name and column.name in measure.columns]
    known = [key for key, (columns, _) in KNOWN.items() if name == "person" and column.name in columns]
    scores = list(SCORES) if (name, column.name) == ("admission", "diagnoses") else []
    return _listed([*measures, *known, *scores]) or "not used yet"


def _measures() -> Iterator[tuple[str, str, str]]:
    for name, measure in MEASURES.items():
        yield code(name), code(measure.table), _listed(measure.columns)
    yield code("death"), code("person"), _listed(["death_date"])


def _rules() -> str:
    return "\n".join((
        f"- *A&E attendances*: department types {_listed(DEPARTMENT_TYPES)}, without planned follow-ups "
        f"(category `{PLANNED_FOLLOW_UP}`).",
        f"- *Emergency admissions*: admission methods {_listed(EMERGENCY_METHODS)}. Transfers (`2B`, `81`) are not new "
        "admissions.",
        f"- *Elective admissions*: admission methods {_listed(ELECTIVE_METHODS)}.",
        f"- Regular day and night attenders (classification {_listed(REGULAR_ATTENDERS)}) are left out of admissions.",
        "- *Bed-days*: days from admission to discharge of emergency and elective admissions that begin in the period, "
        "up to its end. A stay that ends on the day it began has none.",
        "- Counts are not cut off at death or when a registration ends.",
    ))  # fmt: skip


def _known() -> Iterator[tuple[str, str, str]]:
    for name, (columns, _) in KNOWN.items():
        yield code(name), code("person"), _listed(columns or {"age": ["birth_date"]}.get(name, []))
    for name in SCORES:
        yield code(name), code("admission"), _listed(["admitted", "diagnoses"])


def _score(title: str, conditions: tuple[Condition, ...]) -> Iterator[str]:
    yield f"### {title}"
    yield (
        f"Admissions of the {LOOKBACK_DAYS} days before the index date; a code counts by its first three or four "
        "characters. Missing diagnoses mean none."
    )
    yield table(("condition", "points", "ICD-10"), (
        (each.name.removeprefix("frailty: "), each.weight, each.codes) for each in conditions
    ))  # fmt: skip
    if any(each.replaced_by for each in conditions):
        yield "Where a milder and a graver form of a disease are both recorded, the graver one alone counts."


def _listed(names: Iterable[object]) -> str:
    return ", ".join(code(name) for name in names)
