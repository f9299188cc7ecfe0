"""The durable mailbox: stored once, in order, before the sender hears, and still there after a crash."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cohortium_coordinator.relay.mailbox import Mailbox
from cohortium_protocols.errors import ChannelError, StorageError
from cohortium_protocols.relay.wire import ENVELOPE_LIMIT


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "mailbox.sqlite"


@pytest.fixture
def mailbox(path: Path) -> Iterator[Mailbox]:
    with closing(Mailbox(path)) as opened:
        yield opened


def test_the_same_bytes_have_one_number_after_a_restart_too(path: Path) -> None:
    first = Mailbox(path)
    numbers = [first.post("lab", data) for data in (b"a", b"b", b"a")]
    first.close()
    with closing(Mailbox(path)) as again:
        assert [again.post("lab", b"a"), again.post("lab", b"c")] == [numbers[0], 3]
        assert again.fetch("lab", 0) == [(1, b"a"), (2, b"b"), (3, b"c")]


def test_numbers_rise_over_all_parties(mailbox: Mailbox) -> None:
    assert [mailbox.post(name, name.encode()) for name in ("north", "lab", "south")] == [1, 2, 3]
    assert mailbox.fetch("south", 0) == [(3, b"south")]


def test_what_was_withdrawn_is_gone_after_a_restart_too_and_its_number_with_it(path: Path) -> None:
    first = Mailbox(path)
    for data in (b"a", b"b"):
        first.post("north", data)
    first.withdraw(b"b")
    first.close()
    with closing(Mailbox(path)) as again:
        assert again.fetch("north", 0) == [(1, b"a")]
        assert again.post("north", b"b") == 3


def test_every_commit_waits_for_the_disk(mailbox: Mailbox) -> None:
    assert mailbox._database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert mailbox._database.execute("PRAGMA synchronous").fetchone() == (2,)    # FULL


def test_what_was_acknowledged_survives_the_death_of_the_process(path: Path) -> None:
    program = (
        "import sys, os; from pathlib import Path; from cohortium_coordinator.relay.mailbox import Mailbox\n"
        "mailbox = Mailbox(Path(sys.argv[1]))\n"
        "for i in range(6): mailbox.post('lab', bytes([i]))\n"
        "mailbox.withdraw(bytes([5]))\n"
        "os.kill(os.getpid(), 9)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    died = subprocess.run([sys.executable, "-c", program, str(path)], env=environment, check=False)
    assert died.returncode == -9
    with closing(Mailbox(path)) as again:
        assert [data for _, data in again.fetch("lab", 0)] == [bytes([i]) for i in range(5)]


def test_many_threads_post_and_fetch_at_once(mailbox: Mailbox) -> None:

    def work(name: str) -> None:
        for i in range(20):
            mailbox.post("lab", f"{name} {i}".encode())
            mailbox.post("lab", f"shared {i}".encode())
            mailbox.fetch("lab", 0)

    threads = [threading.Thread(target=work, args=(f"t{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    numbers, found = zip(*mailbox.fetch("lab", 0), strict=True)
    assert len(set(found)) == len(found) == 8 * 20 + 20
    assert list(numbers) == sorted(numbers)


def test_a_wait_can_be_ended_from_outside(mailbox: Mailbox) -> None:
    ended = threading.Event()
    threading.Timer(0.1, lambda: (ended.set(), mailbox.wake())).start()
    assert mailbox.fetch("lab", 0, wait=30, ended=ended.is_set) == []


def test_an_envelope_that_is_too_large_is_not_stored(mailbox: Mailbox) -> None:
    with pytest.raises(ChannelError, match="16 MiB"):
        mailbox.post("lab", bytes(ENVELOPE_LIMIT + 1))
    assert mailbox.fetch("lab", 0) == []


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a database, and long enough to be read as one" * 10)
    with pytest.raises(StorageError, match=r"notes\.txt cannot be used"):
        Mailbox(tmp_path / "notes.txt")


def test_a_database_of_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "other.sqlite")) as other:
        other.execute("CREATE TABLE t (x)")
        other.commit()
        with pytest.raises(StorageError, match="not a mailbox of this version"):
            Mailbox(tmp_path / "other.sqlite")
        assert other.execute("SELECT name FROM sqlite_schema").fetchall() == [("t",)]


def test_a_full_disk_is_an_error_and_the_mailbox_works_again_when_there_is_room(mailbox: Mailbox) -> None:
    mailbox.post("lab", b"small")
    pages = mailbox._database.execute("PRAGMA page_count").fetchone()[0]
    mailbox._database.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageError, match="cannot be used") as caught:
        mailbox.post("lab", bytes(100_000))
    assert "full" in caught.value.why
    mailbox._database.execute("PRAGMA max_page_count = 1000000")
    mailbox.post("lab", bytes(100_000))
    assert [len(data) for _, data in mailbox.fetch("lab", 0)] == [5, 100_000]
