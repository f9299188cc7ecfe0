"""A result as JSON (every figure, published schema), as tidy CSV, and as files on disk."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import ValidationError

from cohortium_coordinator.report import disclosure, strips
from cohortium_coordinator.result import (
    AttritionStep,
    Heterogeneity,
    NodeEstimate,
    NodesCombined,
    OutcomeEstimate,
    PooledEffect,
    RateRatio,
    RatioEstimate,
    StudyResult,
)
from cohortium_protocols.errors import InputError, StorageError

COLUMNS = ("section", "name", "measure", "value", "low", "high", "unit")
SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"
STUDY_MEASURES = (
    "title",
    "question",
    "plan_digest",
    "method",
    "comparison",
    "estimand",
    "published",
    "not_published_because",
    "helped_needed",
)
OUTCOME_MEASURES = (
    "p_value",
    "significant",
    "primary",
    "better",
    "kind",
    "noise_share",
    "pass_through",
    "p_value_holm",
    "expected",
)
PRIVACY_MEASURES = (
    "noise",
    "bounds_from_data",
    "aggregation",
    "epsilon",
    "delta",
    "mu",
    "epsilon_membership",
    "epsilon_known_member",
    "epsilon_if_all_others_collude",
)
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")

Figure = str | int | float | bool | None
Row = tuple[str, str, str, Figure, Figure, Figure, str]


def to_json(result: StudyResult) -> str:
    """The whole result as JSON: amounts per person, counts noisy and unrounded, `published` beside them."""
    return result.model_dump_json(indent=2) + "\n"


def schema_text() -> str:
    """The JSON Schema of `to_json`, as it is kept in `docs/reference/report.schema.json`."""
    schema = {"$schema": SCHEMA_DIALECT, **StudyResult.model_json_schema(mode="serialization")}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def read_result(path: Path) -> StudyResult:
    """The result a report was written from.

    Raises:
        InputError: the file cannot be read, or is not a report of a format this version knows.
    """
    try:
        return StudyResult.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read", why=str(error.strerror), do="check the path") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise InputError(
            f"{path}: not a report of format 1",
            why=f"{place}: {first['msg']}",
            do="give a report.json as Cohortium wrote it",
        ) from error


def to_csv(result: StudyResult) -> str:
    """One figure a row, amounts per person. Counts and means follow the disclosure rules of the page."""
    return csv_text(_rows(result))


def csv_text(rows: Iterable[Row]) -> str:
    """Rows under the names of their columns; no cell is one that a spreadsheet takes for a formula."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([_cell(figure) for figure in row] for row in rows)
    return stream.getvalue()


def _cell(figure: Figure) -> str | int | float:
    """A cell no spreadsheet takes for a formula; truth values as "yes" and "no"."""
    if figure is None:
        return ""
    if isinstance(figure, bool):
        return "yes" if figure else "no"
    if isinstance(figure, str) and figure.startswith(FORMULA_STARTS):
        return f"'{figure}"
    return figure


def _rows(result: StudyResult) -> Iterator[Row]:
    yield from _study(result)
    section = "outcomes" if result.published else "outcomes, not published"
    for outcome in result.outcomes:
        yield from _outcome(section, outcome)
    yield from _further(result, section.replace("outcomes", "further analyses"))
    for ratio in result.ratios:
        yield from _ratio(section.replace("outcomes", "ratios"), ratio, _means_shown(result))
    ratios = {ratio.name: f"{ratio.unit}, per {ratio.per:g}" for ratio in result.ratios}
    for name, true in (result.truth or {}).items():
        yield ("truth of the simulation", name, "effect", true, None, None, ratios.get(name, "per person"))
    units = {outcome.name: f"{outcome.unit} per person" for outcome in result.outcomes}
    for block in result.heterogeneity or ():
        yield from _heterogeneity(f"data holders{section.removeprefix('outcomes')}", block, units[block.outcome])
    yield from _groups(result)
    yield from _attrition(result)
    yield from _privacy(result)


def _study(result: StudyResult) -> Iterator[Row]:
    yield ("study", result.study, "created", result.created.isoformat(), None, None, "")
    for measure in STUDY_MEASURES:
        yield ("study", result.study, measure, getattr(result, measure), None, None, "")
    for node in result.nodes:
        yield ("nodes", node.name, "status", node.status, None, None, "")
        yield ("nodes", node.name, "rounds answered", node.rounds_answered, None, None, "rounds")


def _outcome(section: str, outcome: OutcomeEstimate) -> Iterator[Row]:
    unit = f"{outcome.unit} per person"
    yield (section, outcome.name, "effect", outcome.estimate, outcome.low, outcome.high, unit)
    for measure in ("se", "clip_low", "clip_high", "residual_clip"):
        yield (section, outcome.name, measure, getattr(outcome, measure), None, None, unit)
    for group, people in (("treated", outcome.n_treated), ("compared", outcome.n_compared)):
        yield (section, outcome.name, f"n_{group}", disclosure.figure(people, "people"), None, None, "people")
    for group, people in (("treated", outcome.n_treated), ("comparison", outcome.n_compared)):
        shown = disclosure.mean_may_be_shown(people)
        mean = getattr(outcome, f"{group}_mean") if shown else disclosure.SUPPRESSED
        yield (section, outcome.name, f"{group}_mean", mean, None, None, unit)
    for measure in OUTCOME_MEASURES:
        yield (section, outcome.name, measure, getattr(outcome, measure), None, None, "")
    yield (section, outcome.name, "people_needed", outcome.people_needed, None, None, "people")
    yield (section, outcome.name, "rate_ratio", *_interval(outcome.rate_ratio), "")
    for measure in ("estimate", "limit") if outcome.e_value else ():
        yield (section, outcome.name, f"e_value_{measure}", getattr(outcome.e_value, measure), None, None, "")


def _further(result: StudyResult, section: str) -> Iterator[Row]:
    for each in result.further:
        unit = f"{strips.outcome_of(result, each.outcome).unit} per person"
        name = "/".join(filter(None, (each.outcome, each.key, each.group)))
        yield (section, name, "analysis", each.title, None, None, "")
        yield (section, name, "n_treated", disclosure.figure(each.n_treated, "people"), None, None, "people")
        found = strips.shown(each.effect, each.n_treated)
        if isinstance(found, str):
            yield (section, name, "effect", disclosure.SUPPRESSED if each.effect else found, None, None, unit)
            continue
        yield from effect_rows(section, name, "effect", found, unit)
        yield (section, name, "rate_ratio", *_interval(each.rate_ratio), "")
        yield (section, name, "noise_share", each.noise_share, None, None, "")
        for group in each.alone:
            yield (section, name, "nobody comparable", group, None, None, "")


def _means_shown(result: StudyResult) -> bool:
    return all(disclosure.mean_may_be_shown(outcome.n_treated) for outcome in result.outcomes)


def _ratio(section: str, ratio: RatioEstimate, shown: bool) -> Iterator[Row]:
    unit, effect = f"{ratio.unit}, per {ratio.per:g}", ratio.effect
    yield (section, ratio.name, "difference", *_interval(effect), unit)
    if effect:
        yield (section, ratio.name, "treated", effect.treated if shown else disclosure.SUPPRESSED, None, None, unit)
        yield (section, ratio.name, "comparison", effect.comparison, None, None, unit)
        yield (section, ratio.name, "significant", effect.significant, None, None, "")
        yield (section, ratio.name, "rate_ratio", *_interval(effect.rate_ratio), "")


def _interval(found: PooledEffect | RateRatio | None) -> tuple[Figure, Figure, Figure]:
    return (found.estimate, found.low, found.high) if found else (None, None, None)


def _heterogeneity(section: str, block: Heterogeneity, unit: str) -> Iterator[Row]:
    name = f"{block.outcome}/{block.compared_with}"
    yield (section, name, "shared_se", block.shared_se, None, None, unit)
    if block.combined:
        yield from _combined(section, name, block.combined, unit)
    for node in block.nodes:
        yield from _node(section, f"{name}/{node.node}", node, unit)


def _combined(section: str, name: str, found: NodesCombined, unit: str) -> Iterator[Row]:
    for measure in ("fixed", "random", "dersimonian_laird"):
        yield from effect_rows(section, name, measure, getattr(found, measure), unit)
    if found.prediction:
        yield (section, name, "prediction", None, found.prediction.low, found.prediction.high, unit)
    for measure in ("tau2", "tau2_dersimonian_laird"):
        yield (section, name, measure, getattr(found, measure), None, None, f"({unit}) squared")
    for measure in ("i2", "q", "q_p_value"):
        yield (section, name, measure, getattr(found, measure), None, None, "")


def _node(section: str, name: str, node: NodeEstimate, unit: str) -> Iterator[Row]:
    yield (section, name, "n_treated", disclosure.figure(node.n_treated, "people"), None, None, "people")
    if node.effect is None:
        yield (section, name, "effect", disclosure.TOO_FEW, None, None, unit)
    elif not disclosure.mean_may_be_shown(node.n_treated):
        yield (section, name, "effect", disclosure.SUPPRESSED, None, None, unit)
    else:
        yield from effect_rows(section, name, "effect", node.effect, unit)
        yield (section, name, "own_se", node.own_se, None, None, unit)
        if node.without:
            yield from effect_rows(section, name, "without", node.without, unit)


def effect_rows(section: str, name: str, measure: str, found: PooledEffect, unit: str) -> Iterator[Row]:
    """An effect with its interval, and its standard error."""
    yield (section, name, measure, found.estimate, found.low, found.high, unit)
    yield (section, name, f"{measure}_se", found.se, None, None, unit)


def _groups(result: StudyResult) -> Iterator[Row]:
    for balance in result.balance:
        yield ("balance", balance.covariate, "smd_before", balance.smd_before, None, None, "sd")
        yield ("balance", balance.covariate, "smd_after", balance.smd_after, balance.low, balance.high, "sd")
        yield ("balance", balance.covariate, "state", balance.state, None, None, "")
        yield ("balance", balance.covariate, "mandatory", balance.mandatory, None, None, "")
    for row in result.profile:
        for measure in ("treated", "comparison_before", "comparison_after"):
            yield ("profile", row.covariate, measure, getattr(row, measure), None, None, row.unit)
    for check in result.checks:
        value = None if check.value is None else disclosure.figure(check.value, check.unit)
        yield ("checks", check.name, "value", value, None, None, check.unit)
        yield ("checks", check.name, "state", check.state, None, None, "")


def _attrition(result: StudyResult) -> Iterator[Row]:
    yield ("attrition", "submitted", "count", result.attrition.submitted, None, None, "people")
    for step in result.attrition.steps:
        yield ("attrition", step.name, "count", *_count(step), "people")


def _count(step: AttritionStep) -> tuple[Figure, Figure, Figure]:
    if step.count is None:
        return disclosure.NOT_RELEASED, None, None
    shown = disclosure.presented(step.count)
    if shown is None:
        return disclosure.SUPPRESSED, None, None
    return shown, *disclosure.limits(step.low, step.high)


def _privacy(result: StudyResult) -> Iterator[Row]:
    privacy = result.privacy
    for measure in PRIVACY_MEASURES:
        yield ("privacy", "study", measure, getattr(privacy, measure), None, None, "")
    for release in privacy.releases:
        name = f"{release.round}/{release.vector}"
        for measure in ("block", "figures", "values", "mu2", "share"):
            yield ("releases", name, measure, getattr(release, measure), None, None, "")


def write_files(folder: Path, files: dict[str, str]) -> dict[str, Path]:
    """Writes each text under its name, whole or not at all, and returns where they are.

    Raises:
        StorageError: the folder cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return {name: _replace(folder / name, content) for name, content in files.items()}
    except OSError as error:
        raise StorageError(
            f"{folder}: the report cannot be written",
            why=str(error.strerror),
            do="free some space or choose another folder",
        ) from error


def _replace(path: Path, content: str) -> Path:
    draft = path.with_name(f".{path.name}.part")
    with draft.open("w", encoding="utf-8", newline="") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return draft.replace(path)
