"""A world as files: each node's tables in Parquet, the provider's cohort file, and the truth beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.random import Generator

from cohortium_simulations.arrays import Days, Mask
from cohortium_simulations.people import ETHNICITIES, NEVER
from cohortium_simulations.records import NOT_KNOWN, diagnosis_texts
from cohortium_simulations.truth import DEFAULT_CLIPS, DEFAULT_RATIOS, truth
from cohortium_simulations.worlds import World

_UNDATED = 0.001


def write_world(world: World, folder: Path, clips: Mapping[str, float] = DEFAULT_CLIPS) -> None:
    """Writes a world into a folder, over what is there.

    For each node ``<node>/data/{person,admission,emergency_attendance}.parquet``, the canonical tables; for
    the provider ``cohort.csv``; and ``truth.json``: what the analysis should find, and how the cohort's rows
    end.
    """
    tables = {
        "person": _persons(world),
        "admission": _admissions(world.admissions),
        "emergency_attendance": world.attendances,
    }
    for node, name in enumerate(world.spec.nodes):
        place = folder / name / "data"
        place.mkdir(parents=True, exist_ok=True)
        for table, rows in tables.items():
            here = rows[world.people.node[rows["person"]] == node]
            local = _with_local_ids(here, world.people.node == node)
            local.to_parquet(place / f"{table}.parquet", index=False)
    _cohort(world.cohort).to_csv(folder / "cohort.csv", index=False)
    (folder / "truth.json").write_text(json.dumps(_truth(world, clips), indent=2) + "\n", encoding="utf-8")


def _with_local_ids(rows: pd.DataFrame, here: Mask) -> pd.DataFrame:
    """Numbers a node's people from 1, so that no identifier but the NHS number means anything elsewhere."""
    local = np.cumsum(here)[rows["person"]]
    return rows.assign(person=local).rename(columns={"person": "person_id"})


def _persons(world: World) -> pd.DataFrame:
    people, rng = world.people, world.spec.generator(7)
    names = np.array(list(world.spec.nodes), dtype=object)
    return pd.DataFrame(
        {
            "person": np.arange(len(people)),
            "nhs_number": people.nhs_number.astype(str).astype(object),
            "sex": np.where(people.female, "female", "male").astype(object),
            "birth_date": _dates(people.birth),
            "ethnicity": ETHNICITIES[people.ethnicity],
            "imd_decile": people.imd_decile,
            "area": names[people.node] + np.char.mod("-%02d", people.area).astype(object),
            "registered_from": _dates(people.registered_from),
            "registered_to": _dates(_sometimes_written(people.registered_to, rng)),
            "death_date": _dates(_sometimes_written(people.death, rng)),
            "opt_out": people.opt_out,
        }
    )


def _sometimes_written(days: Days, rng: Generator) -> Days:
    """Writes 1800-01-01 instead of nothing for one in a thousand of the days that never come."""
    return np.where((days == NEVER) & (rng.random(len(days)) < _UNDATED), NOT_KNOWN, days)


def _admissions(rows: pd.DataFrame) -> pd.DataFrame:
    written = rows.assign(
        admitted=_dates(rows["admitted"].to_numpy()),
        discharged=_dates(rows["discharged"].to_numpy()),
        diagnoses=diagnosis_texts(rows["primary_diagnosis"], rows["conditions"].to_numpy()),
    )
    return written.drop(columns="conditions")


def _cohort(rows: pd.DataFrame) -> pd.DataFrame:
    written = rows.assign(
        start_date=_dates(rows["start_date"].to_numpy()), end_date=_dates(rows["end_date"].to_numpy())
    )
    return written.drop(columns=["person", "fate"])


def _dates(days: Days) -> pd.Series[pd.Timestamp]:
    """Days as dates, `NEVER` as a missing one."""
    numbers = pd.Series(np.asarray(days, dtype=np.int32)).mask(days == NEVER)
    return numbers.astype("int32[pyarrow]").astype("date32[pyarrow]")


def _truth(world: World, clips: Mapping[str, float]) -> dict[str, object]:
    spec, fates = world.spec, world.cohort["fate"].value_counts()
    ratios = [ratio for ratio in DEFAULT_RATIOS if {ratio.numerator, ratio.denominator} <= clips.keys()]
    known = truth(world, clips, ratios)
    return {
        "seed": spec.seed,
        "people": dict(spec.nodes),
        "effects": asdict(spec.effects),
        "submitted": len(world.cohort),
        "fates": {str(fate): int(count) for fate, count in fates.sort_index().items()},
        "outcomes": {name: asdict(one) for name, one in known.outcomes.items()},
        "ratios": {name: asdict(one) for name, one in known.ratios.items()},
    }
