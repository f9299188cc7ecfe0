"""Attacks on small counts: does a refusal, an error or the size of an answer tell how many people were found?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from cohortium_node.cohorts import CohortFolder
from cohortium_node.data.cohort import Cohort
from cohortium_node.data.table import AnalysisTable
from cohortium_node.frozen import DataSource
from cohortium_protocols.attrition import EXIT_STEPS
from cohortium_protocols.plan import Plan
from cohortium_protocols.schedules import schedule
from cohortium_protocols.signing import Envelope
from cohortium_simulations.attacks.finding import Finding
from cohortium_simulations.attacks.target import (
    NOW,
    Tables,
    caps,
    close_message,
    node,
    plan,
    plan_message,
    round_message,
)
from cohortium_simulations.neighbours import people
from cohortium_simulations.nhs_numbers import draw_nhs_numbers

MINIMUM = 60
Transcript = tuple[tuple[str, str, str, int], ...]
"""What an observer of the wire sees but for the noised numbers: kind, decision, code and size of every answer."""


@dataclass(frozen=True)
class _Register:
    """Records that know so many of any cohort's people: they are helped, forty others are not."""

    known: int

    def analysis_table(self, plan: Plan, cohort: Cohort, study_key: bytes) -> AnalysisTable:
        """Returns the people found."""
        found = min(self.known, len(cohort.nhs_numbers))
        treated = np.arange(found + 40) < found
        ages, outcomes = np.full(found + 40, 70.0), np.zeros((found + 40, 1))
        return AnalysisTable(treated, {"age": ages}, outcomes, np.zeros(found, dtype=np.int64))


def exact_count_oracle(trials: int) -> Finding:
    """Submits cohorts around the minimum, of whom a node knows few or many, and looks who is refused."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        seen = [{submitted(folder, rows, known) for known in _counts(rows, trials)} for rows in (MINIMUM - 1, MINIMUM)]
    told = sum(len(transcripts) - 1 for transcripts in seen)
    how = (
        f"cohorts of {MINIMUM - 1} and {MINIMUM} rows of whom none, one, some or all are known to the node: refused by "
        f"rows submitted, never by people found; {told} cases looked different"
    )
    return Finding("exact-count oracle at the minimum cohort", float(told > 0), 0.0, how)


def _counts(rows: int, trials: int) -> list[int]:
    return sorted({0, 1, 2, rows - 1, rows, *np.linspace(0, rows, min(trials, 20)).astype(int).tolist()})


def submitted(folder: Path, rows: int, known: int) -> Transcript:
    """Returns what the wire shows of a study of so many submitted rows, of whom a node knows so many."""
    numbers = draw_nhs_numbers(rows, np.random.default_rng(1))
    lines = [f"{number},2022-03-01\n" for number in numbers]
    (folder / "study.csv").write_text("nhs_number,start_date\n" + "".join(lines), encoding="utf-8")
    return transcript(CohortFolder(folder, _Register(known), b"k" * 32, MINIMUM))


def refusal_side_channel(trials: int) -> Finding:
    """Lets nodes with few people, none, and broken values answer a whole study, and compares what is not noise."""
    del trials
    cases = _cases()
    seen = {name: transcript(Tables({"any": table})) for name, table in cases.items()}
    different = [name for name, transcript in seen.items() if transcript != seen["many"]]
    how = (
        f"{len(cases)} nodes ({', '.join(cases)}) answered every round, a wrong request and the end of a study: kinds, "
        f"codes and sizes were {'the same' if not different else 'different for ' + ', '.join(different)}"
    )
    return Finding("refusal side channel", len(different) / len(cases), 0.0, how)


def _cases() -> Mapping[str, AnalysisTable]:
    many = people(None, helped=True)
    return {
        "many": many,
        "nobody": _first(many, 0),
        "one person": _first(many, 1),
        "five people": _first(many, 5),
        "no number is one": _with(many, np.nan),
        "infinite values": _with(many, np.inf),
        "values that cannot be reduced": _unreadable(many),
    }


def _first(table: AnalysisTable, count: int) -> AnalysisTable:
    treated = table.treated[:count]
    covariates = {name: column[:count] for name, column in table.covariates.items()}
    return AnalysisTable(treated, covariates, table.outcomes[:count], table.exits[: int(treated.sum())])


def _with(table: AnalysisTable, value: float) -> AnalysisTable:
    covariates = {name: np.full_like(column, value) for name, column in table.covariates.items()}
    return AnalysisTable(table.treated, covariates, np.full_like(table.outcomes, value), table.exits)


def _unreadable(table: AnalysisTable) -> AnalysisTable:
    beyond = np.full_like(table.exits, len(EXIT_STEPS))
    return AnalysisTable(table.treated, table.covariates, table.outcomes, beyond)


def transcript(source: DataSource) -> Transcript:
    """Returns what the wire shows of a study from its plan to its end, one wrong request among its rounds."""
    study = plan()
    messages = [
        plan_message(study),
        *(round_message(study, spec.name) for spec in schedule(study).rounds),
        round_message(study, "model_1", parameters={}),
        round_message(study, "model_1", attempt=2),
        close_message(study),
    ]
    with node(source, caps()) as service:
        return tuple(_shape(answer) for message in messages for answer in service.handle(message, NOW))


def _shape(answer: bytes) -> tuple[str, str, str, int]:
    envelope = Envelope.from_bytes(answer)
    body = envelope.content()
    return envelope.kind, body.get("decision", ""), body.get("code", ""), len(answer)
