"""Anchors: what a statement shows about a ledger, what is kept of it, and what cannot be kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from node_parts import NORTH, STRANGER

from cohortium_node.anchors import Anchors, fault, read_anchors
from cohortium_protocols.errors import LedgerError, SignatureError, StorageError, TrustError
from cohortium_protocols.heads import read_head, released, statement
from cohortium_protocols.messages import Head
from cohortium_protocols.signing import Envelope

ANSWER = {"plan_digest": "p", "vectors": {"counts": "AAAA"}}


def head(sequence: int = 3, entry: str = "h3", request: str = "r1", answer: Any = ANSWER) -> Head:
    return Head(sequence=sequence, hash=entry, request=request, released=released(answer))


def stated(*facts: Any) -> str:
    return statement(head(*facts), "weights", "north", "lab", NORTH)


class Chain:
    """A ledger of four entries with one answer."""

    def hash_at(self, sequence: int) -> str | None:
        return f"h{sequence}" if 1 <= sequence <= 4 else None

    def answer(self, request: str) -> bytes | None:
        body = ANSWER | {"head": "whatever"}
        return Envelope.sign("answer", "weights", "north", "lab", body, NORTH).to_bytes() if request == "r1" else None


@pytest.mark.parametrize("entry", [1, 2, 3, 4])
def test_a_ledger_at_or_after_a_statement_has_no_fault(entry: int) -> None:
    assert fault(head(entry, f"h{entry}"), Chain()) == ""


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (head(5, "h5"), "it ends before entry 5"),
        (head(3, "another"), "its entry 3 is another"),
        (head(request="r2"), "does not hold the answer that left after entry 3"),
        (head(answer={"vectors": {"counts": "AAAB"}}), "does not hold the answer that left after entry 3"),
    ],
)
def test_a_ledger_that_is_behind_or_another_one_is_named(found: Head, words: str) -> None:
    assert words in fault(found, Chain())
    anchors = Anchors()
    anchors.take("lab", statement(found, "weights", "north", "lab", NORTH), "")
    with pytest.raises(LedgerError, match="not the one that 'lab' holds an anchor of"):
        anchors.check(Chain())


def test_a_statement_does_not_depend_on_itself() -> None:
    assert released(ANSWER) == released(ANSWER | {"head": "anything"})
    assert released(ANSWER) != released(ANSWER | {"code": "x"})


def test_only_the_node_itself_can_make_its_statements() -> None:
    assert read_head(stated(), {"north": NORTH.public}) == ("north", head())
    forged = statement(head(), "weights", "north", "lab", STRANGER)
    other = Envelope.sign("answer", "weights", "north", "lab", head().body(), NORTH).to_bytes().decode()
    for text in (forged, other, "", "{}", "\ud800"):
        with pytest.raises(SignatureError):
            read_head(text, {"north": NORTH.public})
    empty = Envelope.sign("head", "weights", "north", "lab", {}, NORTH).to_bytes().decode()
    with pytest.raises(TrustError, match="does not understand"):
        read_head(empty, {"north": NORTH.public})


def test_the_newest_statement_of_each_witness_is_kept_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "anchors.json"
    anchors = Anchors(path)
    for witness, number in (("lab", 2), ("lab", 4), ("lab", 3), ("south", 1)):
        anchors.take(witness, stated(number, f"h{number}"), "")
    assert anchors.witnessed("south", stated(1, "h1"))
    assert read_anchors(path) == ({"lab": stated(4, "h4"), "south": stated(1, "h1")}, {"south": stated(1, "h1")})
    assert Anchors(path).of("south") == stated(1, "h1")
    assert path.stat().st_mode & 0o077 == 0


def test_a_peer_that_contradicts_itself_is_not_witnessed() -> None:
    anchors = Anchors()
    assert anchors.witnessed("south", stated(3, "h3"))
    assert anchors.witnessed("south", stated(3, "h3"))
    assert anchors.witnessed("south", stated(2, "h2"))
    assert not anchors.witnessed("south", stated(3, "another"))
    assert anchors.of("south") == stated(3, "h3")


def test_nothing_is_released_before_the_witness_has_answered_this_start() -> None:
    anchors = Anchors(witness="lab")
    for witness, nonce in (("south", anchors.nonce), ("lab", ""), ("lab", Anchors().nonce)):
        anchors.take(witness, "", nonce)
        with pytest.raises(LedgerError, match="'lab' has not said yet"):
            anchors.check(Chain())
    anchors.take("lab", "", anchors.nonce)
    anchors.check(Chain())


@pytest.mark.parametrize("text", ["", "[]", '{"mine": {}}', '{"mine": {"lab": "x"}, "peers": {}}'])
def test_a_file_that_cannot_be_read_is_a_refusal(tmp_path: Path, text: str) -> None:
    (tmp_path / "anchors.json").write_text(text)
    with pytest.raises(StorageError, match="cannot be read"):
        Anchors(tmp_path / "anchors.json")


def test_a_file_that_cannot_be_written_is_a_refusal(tmp_path: Path) -> None:
    anchors = Anchors(tmp_path / "absent" / "anchors.json")
    with pytest.raises(StorageError, match=r"cannot be written.\n  why: No such file"):
        anchors.take("lab", stated(), "")


def test_the_file_is_plain_json(tmp_path: Path) -> None:
    Anchors(tmp_path / "anchors.json").take("lab", stated(), "")
    assert set(json.loads((tmp_path / "anchors.json").read_text())) == {"format", "mine", "peers"}
