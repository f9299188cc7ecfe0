"""The one door: what leaves is declared, reserved before it is noised, stored before it is returned, drawn once."""

from __future__ import annotations

import ast
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from node_parts import NORTH, NOW, POLICY, caps, content, make_plan, open_node, open_service, round_message

import cohortium_node
from cohortium_node.accounts import prices
from cohortium_node.ledger import Ledger
from cohortium_node.release.gate import FAULT_POINTS, Gate
from cohortium_node.release.noise import with_noise
from cohortium_protocols.canonical import digest, unpack_integers
from cohortium_protocols.errors import BudgetRefusal, LedgerError, PolicyRefusal, ReplayError
from cohortium_protocols.plan import plan_digest
from cohortium_protocols.schedules import schedule
from cohortium_protocols.signing import Envelope
from cohortium_protocols.statistics import RoundSpec, Schedule, VectorSpec

PLAN = make_plan()
PROFILE = schedule(PLAN).round("profile")
PROCESS = Path(__file__).parents[1] / "support" / "node_process.py"

Vectors = dict[str, np.ndarray]


def request(round_name: str = "profile", value: float = 0.5) -> Envelope:
    return Envelope.from_bytes(round_message(PLAN, round_name, value))


def zeros(spec: RoundSpec = PROFILE) -> Vectors:
    return {vector.name: np.zeros(vector.dimension, dtype=np.int64) for vector in spec.vectors}


def released(envelope: bytes) -> Vectors:
    return {name: unpack_integers(packed) for name, packed in content(envelope)["vectors"].items()}


def open_study(ledger: Ledger) -> None:
    ledger.open_study("weights", plan_digest(PLAN), prices(schedule(PLAN)), "frozen", "the custodian")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with closing(Ledger.open(tmp_path / "ledger.sqlite", POLICY.caps)) as opened:
        open_study(opened)
        yield opened


@pytest.fixture
def gate(ledger: Ledger) -> Gate:
    return Gate(ledger, NORTH)


def kinds(path: Path) -> list[str]:
    """The entries that another process sees on the disk."""
    with closing(sqlite3.connect(path)) as database:
        bodies = [body for (body,) in database.execute("SELECT body FROM entry ORDER BY sequence")]
    return [str(body).split('"kind":"')[1].split('"')[0] for body in bodies]


# In order: declared, reserved, noised, stored, returned.


def test_at_every_step_the_disk_shows_what_must_be_there_before_it(tmp_path: Path, ledger: Ledger) -> None:
    seen: dict[str, list[str]] = {}
    gate = Gate(ledger, NORTH, faults=lambda point: seen.update({point: kinds(tmp_path / "ledger.sqlite")}))
    gate.release(request(), PROFILE, zeros())
    assert list(seen) == list(FAULT_POINTS)
    assert seen == {
        "after_reserve": ["opened", "reserved"],
        "after_noise": ["opened", "reserved"],
        "before_store": ["opened", "reserved"],
        "after_store": ["opened", "reserved", "answered"],
    }


def test_without_a_reservation_no_noise_is_drawn(ledger: Ledger) -> None:
    points: list[str] = []
    ledger.close_study("weights")
    with pytest.raises(PolicyRefusal):
        Gate(ledger, NORTH, faults=points.append).release(request(), PROFILE, zeros())
    assert points == []


def test_the_same_request_gets_the_same_bytes_and_no_new_charge(gate: Gate, ledger: Ledger) -> None:
    first = gate.release(request(), PROFILE, zeros())
    charged = ledger.accounts.charged
    again = gate.release(request(), PROFILE, {name: values + 1 for name, values in zeros().items()})
    assert (again, gate.stored(request()), ledger.accounts.charged) == (first, first, charged)


def test_a_round_is_released_for_one_request_only(gate: Gate) -> None:
    gate.release(request("model_1", 0.5), schedule(PLAN).round("model_1"), zeros(schedule(PLAN).round("model_1")))
    with pytest.raises(ReplayError):
        gate.release(request("model_1", 0.6), schedule(PLAN).round("model_1"), zeros(schedule(PLAN).round("model_1")))


def test_every_declared_number_leaves_with_noise_of_the_declared_size(gate: Gate) -> None:
    answer = released(gate.release(request(), PROFILE, zeros()))
    assert list(answer) == sorted(vector.name for vector in PROFILE.vectors)
    for vector in PROFILE.vectors:
        assert answer[vector.name].shape == (vector.dimension,)
        assert 0 < np.abs(answer[vector.name]).max() < 7 * vector.sigma


def test_the_answer_is_signed_by_this_node_for_the_one_who_asked(gate: Gate) -> None:
    answer = gate.release(request(), PROFILE, zeros())
    envelope = Envelope.from_bytes(answer)
    assert (envelope.kind, envelope.study, envelope.sender, envelope.recipient) == ("answer", "weights", "north", "lab")
    assert content(answer)["request_digest"] == digest(request().body)


# Only what is declared.


def renamed(vectors: Vectors) -> Vectors:
    return {name.replace("attrition", "rows"): values for name, values in vectors.items()}


@pytest.mark.parametrize(
    ("alter", "words"),
    [
        (renamed, "are not the declared ones"),
        (lambda vectors: vectors | {"extra": np.zeros(1, dtype=np.int64)}, "are not the declared ones"),
        (lambda vectors: dict(list(vectors.items())[1:]), "are not the declared ones"),
        (lambda vectors: dict(reversed(vectors.items())), "are not the declared ones"),
        (lambda vectors: {}, "are not the declared ones"),
        (lambda vectors: vectors | {"attrition": np.zeros((6, 1), int)}, "'attrition' is not 6 whole numbers"),
        (lambda vectors: vectors | {"attrition": np.zeros(6, dtype=np.uint64)}, "'attrition' is not 6 whole numbers"),
        (lambda vectors: vectors | {"attrition": np.zeros(6, dtype=object)}, "'attrition' is not 6 whole numbers"),
        (lambda vectors: vectors | {"attrition": np.zeros(7, dtype=np.int64)}, "'attrition' is not 6 whole numbers"),
        (lambda vectors: vectors | {"attrition": np.zeros(6)}, "'attrition' is not 6 whole numbers"),
        (lambda vectors: vectors | {"attrition": np.zeros(6, dtype=np.int32)}, "'attrition' is not 6 whole numbers"),
    ],
)  # fmt: skip
def test_what_is_not_declared_does_not_leave_and_is_not_charged(gate: Gate, ledger: Ledger, alter, words) -> None:
    with pytest.raises(PolicyRefusal, match=words):
        gate.release(request(), PROFILE, alter(zeros()))
    assert ledger.accounts.charged == 0


def test_a_round_that_was_altered_after_approval_does_not_leave(gate: Gate) -> None:
    cheaper = tuple(
        VectorSpec(each.name, each.block, each.labels, each.bound, each.budget / 2, each.unit, "", "", each.rule)
        for each in PROFILE.vectors
    )
    with pytest.raises(PolicyRefusal, match="at this price"):
        gate.release(request(), RoundSpec("profile", cheaper), zeros())


def with_other(**facts: object) -> RoundSpec:
    """The round, with other facts about its first vector; also about what is worked out from these."""
    first, *others = PROFILE.vectors
    own = {each.name for each in fields(first)}
    altered = replace(first, **{name: value for name, value in facts.items() if name in own})
    vars(altered).update({name: value for name, value in facts.items() if name not in own})
    return RoundSpec("profile", (altered, *others))


FIRST = PROFILE.vectors[0]
SAME_PRICE = {"mu2": FIRST.mu2}
ALTERED: dict[str, dict[str, object]] = {
    "name": {"name": "treated_rows"},
    "block": {"block": "comparator"},
    "rule": {"rule": "gram", "grid": FIRST.grid, "d2": FIRST.d2, "sigma": FIRST.sigma, **SAME_PRICE},
    "labels": {"labels": (*FIRST.labels[:-1], "income"), **SAME_PRICE},
    "dimension": {"labels": (*FIRST.labels, "income"), **SAME_PRICE},
    "bound": {"bound": 2 * FIRST.bound, "grid": FIRST.grid, "d2": FIRST.d2, "sigma": FIRST.sigma, **SAME_PRICE},
    "unit": {"unit": "thousands of people"},
    "changed": {"changed": 2, "grid": FIRST.grid, "d2": FIRST.d2, "sigma": FIRST.sigma, **SAME_PRICE},
    "grid": {"grid": 2 * FIRST.grid, "d2": FIRST.d2, "sigma": FIRST.sigma, **SAME_PRICE},
    "d2": {"d2": FIRST.d2 - 1, "sigma": FIRST.sigma, **SAME_PRICE},
    "reach": {"over_nodes": 2.0, "sigma": FIRST.sigma, **SAME_PRICE},
    "sigma": {"sigma": FIRST.sigma - 1, **SAME_PRICE},
    "mu2": {"mu2": FIRST.mu2 / 2},
    "figures": {"figures": "rows"},
    "derivation": {"derivation": "none"},
}


def test_every_declared_fact_is_altered_below() -> None:
    assert FIRST.rule == "sum"
    assert set(ALTERED) == set(FIRST.declaration())
    for fact, facts in ALTERED.items():
        assert with_other(**facts).vectors[0].declaration()[fact] != FIRST.declaration()[fact]


@pytest.mark.parametrize("fact", ALTERED)
def test_a_declaration_that_was_altered_after_approval_does_not_leave_and_is_not_charged(
    tmp_path: Path, gate: Gate, ledger: Ledger, fact: str
) -> None:
    """Also when its price is the same; the ledger remembers what was declared."""
    altered = with_other(**ALTERED[fact])
    with pytest.raises(PolicyRefusal, match="has no open round 'profile' at this price"):
        gate.release(request(), altered, zeros(altered))
    with pytest.raises(PolicyRefusal, match="has no open round 'profile' at this price"):
        gate.check(request(), altered)
    assert kinds(tmp_path / "ledger.sqlite") == ["opened"]


def test_what_was_declared_is_known_after_a_restart(tmp_path: Path) -> None:
    with closing(Ledger.open(tmp_path / "ledger.sqlite", POLICY.caps)) as ledger:
        open_study(ledger)
    altered = with_other(sigma=FIRST.sigma - 1, mu2=FIRST.mu2)
    with closing(Ledger.open(tmp_path / "ledger.sqlite", POLICY.caps)) as ledger:
        assert ledger.verify() == 1
        with pytest.raises(PolicyRefusal, match="at this price"):
            Gate(ledger, NORTH).release(request(), altered, zeros(altered))
        assert released(Gate(ledger, NORTH).release(request(), PROFILE, zeros()))


def test_rounds_are_not_exchanged_and_vectors_not_left_out(gate: Gate, ledger: Ledger) -> None:
    for vectors in (PROFILE.vectors[::-1], PROFILE.vectors[1:], schedule(PLAN).round("model_1").vectors):
        altered = RoundSpec("profile", vectors)
        with pytest.raises(PolicyRefusal, match="at this price"):
            gate.release(request(), altered, zeros(altered))
    assert ledger.accounts.charged == 0


def test_a_round_that_the_plan_does_not_have_does_not_leave(gate: Gate, ledger: Ledger) -> None:
    unknown = RoundSpec("rows", PROFILE.vectors)
    with pytest.raises(PolicyRefusal, match="no open round 'rows'"):
        gate.release(request(), unknown, zeros(unknown))
    assert ledger.accounts.charged == 0


def test_nothing_leaves_without_noise_except_in_a_simulation(ledger: Ledger) -> None:
    silent = RoundSpec("profile", tuple(
        VectorSpec(each.name, each.block, each.labels, each.bound, 0.0, each.unit, "", "", each.rule)
        for each in PROFILE.vectors
    ))  # fmt: skip
    with pytest.raises(PolicyRefusal, match="has no noise"):
        Gate(ledger, NORTH).release(request(), silent, zeros(silent))
    simulated = Ledger.in_memory(POLICY.caps)
    simulated.open_study("weights", plan_digest(PLAN), prices(Schedule((silent,))), "frozen", "a simulation")
    answer = Gate(simulated, NORTH, simulation=True).release(request(), silent, zeros(silent))
    assert all(not values.any() for values in released(answer).values())
    simulated.close()


def test_a_cap_stops_a_release_before_noise(tmp_path: Path) -> None:
    with closing(Ledger.open(tmp_path / "ledger.sqlite", POLICY.caps)) as ledger:
        open_study(ledger)
    with closing(Ledger.open(tmp_path / "ledger.sqlite", caps(study=0.1))) as ledger:
        with pytest.raises(BudgetRefusal):
            Gate(ledger, NORTH).release(request(), PROFILE, zeros())
        assert ledger.accounts.charged == 0


# Noise.


@pytest.mark.parametrize("name", ["treated_profile", "comparator_moments"])
def test_the_noise_has_the_declared_variance(name: str) -> None:
    """Each sum of squares over its declared variance lies within 6 standard deviations of its mean."""
    spec = PROFILE.vector(name)
    draws = np.array([with_noise(np.zeros(spec.dimension, dtype=np.int64), spec) for _ in range(2000)], dtype=float)
    rows, columns = np.triu_indices(spec.width)
    off = (rows != columns) if spec.rule == "gram" else np.zeros(spec.dimension, dtype=bool)
    sigma = np.where(off, spec.sigma_off_diagonal, spec.sigma)
    ratio = (draws**2).mean(axis=0) / sigma**2
    assert np.all(np.abs(ratio - 1) < 6 * np.sqrt(2 / 2000))


def test_noise_is_drawn_by_one_module_and_called_by_one(shipped_imports: dict[str, set[str]]) -> None:
    importers = {name for name, modules in shipped_imports.items() if any("opendp_backend" in each for each in modules)}
    assert importers == {"release/noise.py"}
    importers = {name for name, modules in shipped_imports.items() if "cohortium_node.release.noise" in modules}
    assert importers == {"release/gate.py"}


@pytest.fixture(scope="module")
def shipped_imports() -> dict[str, set[str]]:
    """Module of the node -> what it imports."""
    root = Path(cohortium_node.__file__).parent
    return {
        path.relative_to(root).as_posix(): {
            node.module or "" for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)
        }
        for path in root.rglob("*.py")
    }


# A process killed at any step.


def killed_at(fault_point: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(PROCESS.parent), *filter(None, sys.path)])}
    command = [sys.executable, str(PROCESS), str(folder), "profile", fault_point]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def handled_after_restart(folder: Path) -> bytes:
    with open_service(folder) as service:
        return service.handle(round_message(PLAN, "profile"), NOW)[0]


@pytest.mark.process
@pytest.mark.parametrize("point", FAULT_POINTS)
def test_after_a_kill_the_request_is_completed_with_one_charge_and_one_answer(tmp_path: Path, point: str) -> None:
    killed = killed_at(point, tmp_path)
    assert (killed.returncode, killed.stdout) == (-signal.SIGKILL, "")
    with open_node(tmp_path) as node:
        before = node.ledger.answer(digest(request().body))
        assert len(node.ledger.accounts.studies["weights"].rounds) == 1
        assert (before is not None) == (point == "after_store")
    completed, repeated = handled_after_restart(tmp_path), handled_after_restart(tmp_path)
    assert completed == repeated
    assert before in (None, completed)
    assert set(released(completed)) == {vector.name for vector in PROFILE.vectors}
    assert kinds(tmp_path / "ledger.sqlite") == ["opened", "reserved", "answered"]


def test_a_ledger_that_cannot_be_written_lets_nothing_out(tmp_path: Path) -> None:
    with open_node(tmp_path) as node:
        open_study(node.ledger)
        node.ledger._database.execute("PRAGMA query_only = ON")
        points: list[str] = []
        with pytest.raises(LedgerError, match="nothing was released"):
            Gate(node.ledger, NORTH, faults=points.append).release(request(), PROFILE, zeros())
        assert points == []
