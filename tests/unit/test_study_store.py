"""The coordinator's store: whole steps, first answers, nothing lost when the process is killed."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cohortium_coordinator.store import Message, SqliteStore
from cohortium_coordinator.study.records import Ending, Fault, Received, Reported, Sent, Summed
from cohortium_protocols.errors import StorageError

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
PLANS = [
    Message(Sent("plan", "", node, f"digest {node}", NOW), f"plan {node}".encode()) for node in ("a", "b")
]
REQUEST = Sent("round", "one", "a", "d", NOW)
STEP = Sent("round", "one", "a", "d", NOW, "share")
ANSWER = Received("answer", "one", "a", "approved", "", NOW)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "studies.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    made = SqliteStore(path)
    made.add_study("s", "digest", NOW, PLANS)
    yield made
    made.close()


def test_what_was_added_is_there_after_a_restart(store: SqliteStore, path: Path) -> None:
    store.add_messages("s", [Message(REQUEST, b"request"), Message(STEP, b"step")])
    store.receive(6, "s", Received("answer", "one", "a", "approved", "", NOW, "announce"), b"announcement")
    store.add_total("s", Summed("one", 1, ("a", "b"), NOW), "packed")
    store.receive(7, "s", ANSWER, b"answer")
    store.add_fault(8, "s", Fault("b", "It was altered.", NOW))
    store.end("s", Ending("finished", ("a", "b"), "", "", NOW))
    store.add_report("s", Reported(False, "Too few.", NOW))
    before = store.records("s")
    store.close()
    again = SqliteStore(path)
    assert again.records("s") == before
    assert (again.studies(), again.consumed, again.answers("s")) == (["s"], 8, [b"answer"])
    assert again.envelope("s", REQUEST) == b"request"
    assert again.envelope("s", STEP) == b"step"
    assert again.steps("s", "one") == {"announce": [b"announcement"], "": [b"answer"]}
    assert again.totals("s") == {"one": "packed"}
    assert again.first("s", "plan") == b"plan a"
    again.close()


def test_the_first_answer_stands_and_a_second_different_one_is_a_fault(store: SqliteStore) -> None:
    for sequence, envelope in enumerate([b"first", b"first", b"second", b"second"], start=1):
        store.receive(sequence, "s", ANSWER, envelope)
    records = store.records("s")
    assert records is not None
    assert (store.answers("s"), records.received) == ([b"first"], (ANSWER,))
    assert [fault.what for fault in records.faults] == [
        "'a' sent a second, different answer one; the first one stands."
    ]
    assert store.consumed == 4


def test_a_decision_may_wait_first_and_is_final_once(store: SqliteStore) -> None:
    for sequence, standing in enumerate(["waiting", "approved", "refused"], start=1):
        store.receive(sequence, "s", Received("decision", "", "a", standing, "", NOW), standing.encode())
    records = store.records("s")
    assert records is not None
    assert records.said("decision")["a"].standing == "approved"
    assert len(records.faults) == 1


def test_the_mailbox_is_never_read_backwards(store: SqliteStore) -> None:
    store.receive(9, "s", ANSWER, b"answer")
    store.receive(3, "s", ANSWER, b"answer")
    assert store.consumed == 9


def test_a_step_is_stored_whole_or_not_at_all(store: SqliteStore) -> None:
    good = Message(Sent("round", "one", "a", "d", NOW), b"request")
    with pytest.raises(StorageError):
        store.add_messages("s", [good, good])
    records = store.records("s")
    assert records is not None
    assert records.asked("one") == ()
    with pytest.raises(StorageError):
        store.add_study("s", "other", NOW, [])


def test_a_study_ends_once(store: SqliteStore) -> None:
    store.end("s", Ending("closed", (), "", "Enough.", NOW))
    with pytest.raises(StorageError):
        store.end("s", Ending("finished", ("a",), "", "", NOW))


def test_only_one_process_has_the_store_open(store: SqliteStore, path: Path) -> None:
    with pytest.raises(StorageError, match="another process has them open"):
        SqliteStore(path)


def test_a_store_of_another_version_is_refused(tmp_path: Path) -> None:
    newer = sqlite3.connect(tmp_path / "newer.sqlite")
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(StorageError, match="another version"):
        SqliteStore(tmp_path / "newer.sqlite")


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database at all " * 50)
    with pytest.raises(StorageError, match="cannot be used"):
        SqliteStore(tmp_path / "text")


WRITER = """
import sys
from datetime import UTC, datetime
from cohortium_coordinator.store import Message, SqliteStore
from cohortium_coordinator.study.records import Received, Sent

now = datetime(2026, 1, 1, tzinfo=UTC)
store = SqliteStore(sys.argv[1])
store.add_study("s", "digest", now, [])
for step in range(1, 100_000):
    requests = [Message(Sent("round", str(step), node, "d", now), b"x" * 2000) for node in "abcde"]
    store.add_messages("s", requests)
    store.receive(step, "s", Received("answer", str(step), "a", "approved", "", now), b"y" * 2000)
    print(step, flush=True)
"""


@pytest.mark.process
@pytest.mark.parametrize("steps", [1, 7, 30])
def test_killed_at_any_moment_it_keeps_every_step_that_returned_and_no_part_of_another(
    path: Path, steps: int
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        said = [int(writer.stdout.readline()) for _ in range(steps)]
        writer.send_signal(signal.SIGKILL)
        said += [int(line) for line in writer.stdout.read().split()]
    assert writer.returncode == -signal.SIGKILL
    store = SqliteStore(path)
    records = store.records("s")
    assert records is not None
    rounds = sorted({int(sent.round) for sent in records.sent})
    assert len(rounds) - said[-1] in (0, 1)
    assert rounds == list(range(1, len(rounds) + 1))
    assert all(len(records.asked(str(number))) == 5 for number in rounds)
    assert store.consumed == len(store.answers("s")) >= said[-1]
    store.close()
