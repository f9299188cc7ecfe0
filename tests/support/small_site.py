"""A small custodian's site on disk: three hundred people, a cohort file, and a node made by `cohortium-node init`."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import pytest
from node_parts import LAB

from cohortium_node import cli
from cohortium_protocols.plan import Plan
from cohortium_protocols.plan_check import load_plan

CANONICAL = """\
cohortium: 1
study: {study}
title: Does it help?
question: Do fewer of the people helped die?
intake: {{from: 2022-01-01, to: 2022-12-31}}
follow_up: 365 days
covariates: [age, sex]
outcomes: [death]
privacy: {{epsilon: 1.0, aggregation: local}}
nodes: {{roster: [north, south], deadline: 2030-12-31}}
"""


def canonical_plan(study: str = "befriending") -> Plan:
    """A plan on health records that needs the table `person` only."""
    return load_plan(CANONICAL.format(study=study))


def nhs_number(stem: int) -> str:
    """A number with the check digit that its first nine digits need; only for stems that have one."""
    digits = f"{stem:09d}"
    check = (11 - sum(int(digit) * (10 - place) for place, digit in enumerate(digits)) % 11) % 11
    return f"{digits}{check}" if check < 10 else nhs_number(stem + 100_000_000)


def make_site(folder: Path, relay: str = "127.0.0.1:1") -> Path:
    """Makes a node and its records; returns the node's configuration file."""
    node = folder / "north"
    code = command("init", node, "--operator", "lab", "--operator-key", LAB.public.text, "--relay", relay)
    assert code == 0
    rows = [_person(number) for number in range(300)]
    with (node / "data" / "person.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        writer.writerows(rows)
    return node / "node.toml"


_COLUMNS = ("person_id", "nhs_number", "sex", "birth_date", "registered_from", "registered_to", "death_date",
            "opt_out")  # fmt: skip


def _person(number: int) -> tuple[str, ...]:
    died = "2022-11-05" if number % 7 == 0 else ""
    facts = ("female" if number % 2 else "male", f"{1930 + number % 60}-06-15", "2000-01-01", "", died, "false")
    return f"p{number}", nhs_number(400_000_000 + number), *facts


def write_cohort(folder: Path, study: str = "befriending", rows: int = 80) -> None:
    """Writes a cohort file of the site's first people."""
    lines = [f"{nhs_number(400_000_000 + i)},2022-0{i % 9 + 1}-10\n" for i in range(rows)]
    (folder / "north" / "cohorts" / f"{study}.csv").write_text("nhs_number,start_date\n" + "".join(lines))


def command(*words: object) -> int:
    """The exit code of `cohortium-node` with these words, in this process."""
    before, sys.argv = sys.argv, ["cohortium-node", *map(str, words)]
    try:
        with pytest.raises(SystemExit) as ended:
            cli.main()
    finally:
        sys.argv = before
    return int(ended.value.code or 0)
