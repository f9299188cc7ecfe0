"""The privacy ledger: append-only, chained, one holder at a time, exact caps."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from cohortium_node.accounts import Caps, Charge, Price, Prices
from cohortium_node.ledger import GENESIS, Ledger
from cohortium_protocols.errors import BudgetRefusal, LedgerError, PolicyRefusal, ReplayError

PRICES = {
    "profile": Price({"treated": 0.01, "comparator": 0.02}, "what the profile declares"),
    "outcome": Price({"treated": 0.04, "comparator": 0.02}, "what the outcome declares"),
}
"""The larger block is 0.05."""
CAPS = Caps(study=0.05, total=0.1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    with closing(Ledger.open(path, CAPS)) as opened:
        yield opened


def open_study(ledger: Ledger, study: str = "weights", prices: Prices = PRICES) -> None:
    ledger.open_study(study, "plan", prices, "frozen", "the custodian")


def reserve(ledger: Ledger, request: str = "r1", round_name: str = "profile", study: str = "weights") -> None:
    ledger.reserve(Charge(request, study, "plan", round_name, PRICES[round_name]))


def filled(path: Path) -> str:
    """A ledger of four entries; returns its head."""
    with closing(Ledger.open(path, CAPS)) as ledger:
        open_study(ledger)
        reserve(ledger)
        ledger.store_answer("r1", b"answer one")
        reserve(ledger, "r2", "outcome")
        return ledger.head


def kinds(ledger: Ledger) -> list[str]:
    return [entry.body["kind"] for entry in ledger.entries()]


# What is charged.


def test_a_charge_is_made_when_a_round_is_reserved_and_only_once_for_one_request(ledger: Ledger) -> None:
    open_study(ledger)
    reserve(ledger)
    reserve(ledger)
    assert kinds(ledger) == ["opened", "reserved"]
    assert float(ledger.accounts.charged) == 0.02


def test_a_study_costs_the_larger_of_its_two_blocks_and_studies_add_up(ledger: Ledger) -> None:
    for study in ("weights", "heights"):
        open_study(ledger, study)
        for round_name in PRICES:
            reserve(ledger, f"{study} {round_name}", round_name, study)
    assert float(ledger.accounts.studies["weights"].charged) == 0.05
    assert float(ledger.accounts.charged) == 0.1


def test_an_open_study_counts_with_its_whole_price_and_a_closed_one_with_what_it_spent(ledger: Ledger) -> None:
    open_study(ledger)
    reserve(ledger)
    assert float(ledger.accounts.committed) == 0.05
    ledger.close_study("weights")
    assert float(ledger.accounts.committed) == 0.02


def test_the_cap_of_a_study_is_exact(ledger: Ledger) -> None:
    open_study(ledger)
    dearer = PRICES | {"more": Price({"treated": 1e-17, "comparator": 0.0}, "")}
    with pytest.raises(BudgetRefusal):
        open_study(ledger, "dearer", dearer)


def test_the_total_cap_covers_all_studies_together(ledger: Ledger) -> None:
    open_study(ledger, "one")
    open_study(ledger, "two")
    with pytest.raises(BudgetRefusal, match="does not cover the study 'three'"):
        open_study(ledger, "three", {"profile": Price({"treated": 1e-12, "comparator": 0.0}, "")})
    assert kinds(ledger) == ["opened", "opened"]


def test_a_cap_that_was_lowered_after_approval_still_holds(path: Path) -> None:
    filled(path)
    with closing(Ledger.open(path, Caps(study=0.03, total=0.1))) as ledger, pytest.raises(BudgetRefusal):
        ledger.open_study("next", "plan", PRICES, "frozen", "the custodian")


ALTERED = replace(PRICES["outcome"], declaration="more than the outcome declares")
FREE = Price({"treated": 0.0, "comparator": 0.0}, "what the outcome declares")


@pytest.mark.parametrize(
    ("request_digest", "plan_digest", "round_name", "price", "error"),
    [
        ("r2", "plan", "profile", PRICES["profile"], ReplayError),  # the round again, with other numbers
        ("r2", "plan", "outcome", FREE, PolicyRefusal),  # a price that was not approved
        ("r2", "plan", "outcome", ALTERED, PolicyRefusal),  # a declaration that was not approved
        ("r2", "plan", "bonus", FREE, PolicyRefusal),  # a round that was not approved
        ("r2", "another plan", "outcome", PRICES["outcome"], PolicyRefusal),
    ],
)
def test_only_approved_rounds_at_their_approved_price_are_charged(
    ledger: Ledger, request_digest: str, plan_digest: str, round_name: str, price: Price, error: type[Exception]
) -> None:
    open_study(ledger)
    reserve(ledger)
    with pytest.raises(error):
        ledger.reserve(Charge(request_digest, "weights", plan_digest, round_name, price))
    assert kinds(ledger) == ["opened", "reserved"]


def test_nothing_is_charged_to_a_study_that_is_not_open(ledger: Ledger) -> None:
    with pytest.raises(PolicyRefusal):
        reserve(ledger)
    open_study(ledger)
    ledger.close_study("weights")
    with pytest.raises(PolicyRefusal):
        reserve(ledger)


def test_opening_again_with_the_same_plan_and_data_changes_nothing(ledger: Ledger) -> None:
    open_study(ledger)
    open_study(ledger)
    with pytest.raises(ReplayError):
        ledger.open_study("weights", "plan", PRICES, "other data", "the custodian")
    with pytest.raises(ReplayError):
        ledger.open_study("weights", "another plan", PRICES, "frozen", "the custodian")
    assert kinds(ledger) == ["opened"]


# What is answered.


def test_an_answer_is_stored_once_and_only_for_a_reserved_request(ledger: Ledger) -> None:
    open_study(ledger)
    with pytest.raises(LedgerError):
        ledger.store_answer("r1", b"answer one")
    reserve(ledger)
    ledger.store_answer("r1", b"answer one")
    with pytest.raises(LedgerError):
        ledger.store_answer("r1", b"answer two")
    assert ledger.answer("r1") == b"answer one"
    assert ledger.answer("r2") is None


def test_closing_gives_the_same_head_every_time(ledger: Ledger) -> None:
    open_study(ledger)
    assert ledger.close_study("weights") == ledger.close_study("weights") == ledger.head


def test_everything_is_there_after_the_file_is_opened_again(path: Path) -> None:
    head = filled(path)
    with closing(Ledger.open(path, CAPS)) as ledger:
        assert (ledger.head, ledger.verify()) == (head, 4)
        assert ledger.answer("r1") == b"answer one"
        assert float(ledger.accounts.charged) == 0.05


def test_what_failed_inside_a_transaction_leaves_no_trace(ledger: Ledger) -> None:
    open_study(ledger)
    reserve(ledger)
    head = ledger.head
    ledger._database.execute("CREATE TEMP TRIGGER refuse BEFORE INSERT ON answer BEGIN SELECT RAISE(ABORT, 'no'); END")
    with pytest.raises(LedgerError):
        ledger.store_answer("r1", b"answer one")
    assert (ledger.head, kinds(ledger), ledger.answer("r1")) == (head, ["opened", "reserved"], None)


# The chain.


@pytest.mark.parametrize("table", ["entry", "answer"])
@pytest.mark.parametrize("statement", ["DELETE FROM {}", "UPDATE {} SET rowid = rowid + 1"])
def test_the_database_refuses_changes_and_deletions(path: Path, table: str, statement: str) -> None:
    filled(path)
    with closing(sqlite3.connect(path)) as database, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        database.execute(statement.format(table))


def test_an_empty_ledger_has_the_genesis_head(ledger: Ledger) -> None:
    assert (ledger.head, ledger.verify()) == (GENESIS, 0)


SWAP = """
UPDATE entry SET sequence = -2 WHERE sequence = 2; UPDATE entry SET sequence = 2 WHERE sequence = 3;
UPDATE entry SET sequence = 3 WHERE sequence = -2
"""


@pytest.mark.parametrize(
    ("tampering", "message"),
    [
        ("UPDATE entry SET body = CAST(replace(CAST(body AS TEXT), '0.01', '0.00') AS BLOB) WHERE sequence = 2",
         "broken at entry 2"),
        ("DELETE FROM entry WHERE sequence = 3", "broken at entry 3"),
        ("DELETE FROM entry WHERE sequence = 1", "broken at entry 1"),
        (SWAP, "broken at entry 2"),
        ("UPDATE entry SET hash = 'forged' WHERE sequence = 4", "broken at entry 4"),
        ("UPDATE answer SET envelope = x'00'", "The stored answer r1 is not the one in the chain"),
        ("DELETE FROM answer", "The stored answer r1 is not the one in the chain"),
        ("INSERT INTO answer VALUES ('r9', x'00')", "The stored answer r9 has no entry in the chain"),
    ],
)  # fmt: skip
def test_verification_names_the_first_broken_link(path: Path, tampering: str, message: str) -> None:
    filled(path)
    with closing(sqlite3.connect(path)) as database:
        for table in ("entry", "answer"):
            for verb in ("update", "delete"):
                database.execute(f"DROP TRIGGER {table}_{verb}")
        database.executescript(tampering)
    with pytest.raises(LedgerError, match=message), closing(Ledger.read(path)) as copy:
        copy.verify()


def test_a_broken_chain_is_not_opened_for_work(path: Path) -> None:
    filled(path)
    with closing(sqlite3.connect(path)) as database:
        database.execute("DROP TRIGGER entry_delete")
        database.execute("DELETE FROM entry WHERE sequence = 2")
        database.commit()
    for _ in range(2):  # the second time shows that the first let go of the lock
        with pytest.raises(LedgerError, match="broken at entry 2"):
            Ledger.open(path, CAPS)


def test_an_entry_of_an_unknown_kind_is_refused(path: Path) -> None:
    with closing(Ledger.open(path, CAPS)) as ledger:
        with pytest.raises(LedgerError, match="Entry 1 of the ledger cannot follow"), ledger._transaction():
            ledger._append("refund", {"study": "weights"})
        assert ledger.verify() == 0


def test_a_copy_is_verified_offline_while_the_ledger_is_in_use(ledger: Ledger, path: Path, tmp_path: Path) -> None:
    open_study(ledger)
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", f"{tmp_path / 'copy.sqlite'}{suffix}")
    for file in (path, tmp_path / "copy.sqlite"):
        with closing(Ledger.read(file)) as copy:
            assert copy.verify() == 1


# Who may hold it, and when it cannot be written.


def test_a_second_daemon_on_the_same_ledger_is_refused(ledger: Ledger, path: Path) -> None:
    with pytest.raises(LedgerError, match="Another daemon is at work"):
        Ledger.open(path, CAPS)


def test_the_ledger_is_free_again_when_its_holder_ends(path: Path) -> None:
    Ledger.open(path, CAPS).close()
    Ledger.open(path, CAPS).close()


def test_a_ledger_that_another_program_keeps_busy_refuses(ledger: Ledger, path: Path) -> None:
    open_study(ledger)
    ledger._database.execute("PRAGMA busy_timeout = 50")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerError, match="database is locked"):
            reserve(ledger)
        other.execute("ROLLBACK")
    reserve(ledger)
    assert kinds(ledger) == ["opened", "reserved"]


def refusal_in_a_process(before: str, folder: Path) -> str:
    """What a process says that opens a ledger in a folder and opens a study."""
    script = f"""
import os, resource, signal, sys
from pathlib import Path
from cohortium_node.accounts import Caps, Price
from cohortium_node.ledger import Ledger
from cohortium_protocols.errors import LedgerError, StorageError
try:
    {before}
    ledger = Ledger.open(Path({str(folder / "ledger.sqlite")!r}), Caps(1.0, 1.0))
    for number in range(2000):
        ledger.open_study(f"study-{{number}}", "plan", {{"profile": {FREE}}}, "frozen", "x")
except StorageError as error:
    print(error.what, error.why)
    os._exit(error.exit_code)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (8, "")
    return run.stdout


def test_a_folder_that_cannot_be_written_is_a_refusal() -> None:
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o555)
        nobody = "os.setuid(65534)" if os.geteuid() == 0 else "pass"
        assert "cannot be written. Permission denied" in refusal_in_a_process(nobody, Path(name))


def test_a_full_disk_is_a_refusal_and_loses_nothing(tmp_path: Path) -> None:
    full = "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (90_000, 90_000))"
    assert "cannot be read or written" in refusal_in_a_process(full, tmp_path)
    with closing(Ledger.open(tmp_path / "ledger.sqlite", CAPS)) as ledger:
        assert ledger.verify() > 0
