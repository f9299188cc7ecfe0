"""A ledger that was set back, cut off or copied to a second machine releases nothing: others hold its head."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from node_parts import (
    LAB,
    NORTH,
    NOW,
    PLAN,
    POLICY,
    STRANGER,
    content,
    key_of,
    make_plan,
    open_node,
    plan_message,
    round_message,
    send,
)

from cohortium_coordinator.config import StudySettings
from cohortium_coordinator.service import StudyService
from cohortium_coordinator.store import SqliteStore
from cohortium_node.anchors import Anchors, read_anchors
from cohortium_node.daemon import Daemon
from cohortium_node.service import Node, NodeService
from cohortium_protocols.errors import LedgerError
from cohortium_protocols.messages import Anchor
from cohortium_protocols.schedules import schedule
from cohortium_protocols.signing import Envelope
from cohortium_simulations.memory_channel import MemoryRelay

STUDY = make_plan()
ROUNDS = [spec.name for spec in schedule(STUDY).rounds]
SOUTH = key_of(9)
WITNESSED = replace(POLICY, peers={"south": SOUTH.public})


@contextmanager
def opened(folder: Path) -> Iterator[Node]:
    """A node as its daemon opens it; opening it again is a restart."""
    anchors = Anchors(folder / "anchors.json", witness="lab")
    with open_node(folder, policy=WITNESSED, anchors=anchors) as node:
        yield node


class World:
    """One node's machine and a relay; the lab and a peer answer as witnesses."""

    def __init__(self, folder: Path) -> None:
        self.relay, self.folder = MemoryRelay(), folder / "north"
        self.folder.mkdir()
        self.newest = ""
        self.read = 0

    def witness(self, *, answers: bool = True) -> None:
        """Takes in what the node said; anchors every statement, and answers recalls."""
        for number, data in self.relay.fetch("lab", self.read):
            self.read = number
            envelope = Envelope.from_bytes(data)
            body = envelope.content()
            if envelope.kind == "answer":
                self.newest = body["head"]
                self.anchor(self.newest)
            if envelope.kind == "recall" and answers:
                self.anchor(self.newest, body["nonce"])

    def anchor(self, head: str, nonce: str = "", **by: Any) -> None:
        body = Anchor(node="north", head=head, nonce=nonce).body()
        self.relay.post("north", send("anchor", "weights", body, **by))

    def turns(self, node: Node, times: int = 4) -> None:
        daemon = Daemon(NodeService(node), node.desk, self.relay.channel("north"), poll=0.0)
        for _ in range(times):
            daemon.step()
            self.witness()

    def answers(self) -> list[Mapping[str, Any]]:
        said = [Envelope.from_bytes(data) for _, data in self.relay.fetch("lab", 0)]
        return [content(each.to_bytes()) for each in said if each.kind == "answer"]

    def ask(self, name: str) -> None:
        self.relay.post("north", round_message(STUDY, name))


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A node that has answered the first round."""
    made = World(tmp_path)
    made.relay.post("north", plan_message(STUDY))
    made.ask(ROUNDS[0])
    with opened(made.folder) as node:
        made.turns(node)
    assert len(made.answers()) == 1
    return made


def test_an_answer_commits_to_the_entry_that_charged_it(world: World) -> None:
    head = Envelope.from_bytes(world.answers()[0]["head"].encode()).content()
    with opened(world.folder) as node:
        kinds = [entry.body["kind"] for entry in node.ledger.entries()]
        assert (head["sequence"], kinds[head["sequence"] - 1]) == (2, "reserved")
        assert node.ledger.hash_at(2) == head["hash"]
    assert set(read_anchors(world.folder / "anchors.json")[0]) == {"lab"}


def test_a_restart_goes_on_where_it_was(world: World) -> None:
    world.ask(ROUNDS[1])
    with opened(world.folder) as node:
        world.turns(node)
    assert len(world.answers()) == 2


# Set back.


def saved(folder: Path, *names: str) -> Callable[[], None]:
    """Takes a backup of some files; returns what puts it back."""
    backup = folder.parent / "backup"
    backup.mkdir()
    for name in names:
        for path in folder.glob(f"{name}*"):
            shutil.copy(path, backup / path.name)

    def restore() -> None:
        for name in names:
            for path in folder.glob(f"{name}*"):
                path.unlink()
        shutil.copytree(backup, folder, dirs_exist_ok=True)

    return restore


@pytest.mark.parametrize(
    "names",
    [
        ("ledger.sqlite",),
        ("ledger.sqlite", "anchors.json"),
        ("ledger.sqlite", "studies.sqlite"),
        ("ledger.sqlite", "anchors.json", "studies.sqlite", "audit.jsonl"),
    ],
    ids=["the ledger", "and the anchors", "and the desk", "everything"],
)
def test_an_old_copy_that_is_put_back_releases_nothing(world: World, names: tuple[str, ...]) -> None:
    restore = saved(world.folder, *names)
    world.ask(ROUNDS[1])
    with opened(world.folder) as node:
        world.turns(node)
    restore()
    world.ask(ROUNDS[2])
    with opened(world.folder) as node, pytest.raises(LedgerError, match="not the one that 'lab' holds an anchor of"):
        world.turns(node)
    assert len(world.answers()) == 2


def test_a_new_ledger_under_the_old_name_and_key_releases_nothing(world: World) -> None:
    shutil.rmtree(world.folder)
    world.folder.mkdir()
    with opened(world.folder) as node, pytest.raises(LedgerError, match="it ends before entry 2"):
        world.turns(node)


@pytest.mark.parametrize(
    ("cut", "words"), [(1, "does not hold the answer that left after entry 2"), (2, "ends before entry 2")]
)
def test_a_ledger_whose_newest_entries_were_cut_off_releases_nothing(world: World, cut: int, words: str) -> None:
    """Also when the charge is still there and only the answer is gone: it would be drawn anew."""
    with closing(sqlite3.connect(world.folder / "ledger.sqlite")) as database:
        for table in ("entry", "answer"):
            database.execute(f"DROP TRIGGER {table}_delete")
        database.execute("DELETE FROM answer")
        database.execute("DELETE FROM entry WHERE sequence > ?", (3 - cut,))
        database.commit()
    with opened(world.folder) as node:
        node.ledger.verify()  # the chain itself shows nothing
        with pytest.raises(LedgerError, match=words):
            world.turns(node)


def test_before_the_lab_has_answered_nothing_is_handled(world: World) -> None:
    world.ask(ROUNDS[1])
    with opened(world.folder) as node:
        daemon = Daemon(NodeService(node), node.desk, world.relay.channel("north"), poll=0.0)
        for _ in range(3):
            daemon.step()
            world.witness(answers=False)
        assert len(world.answers()) == 1
        with pytest.raises(LedgerError, match="has not said yet"):
            NodeService(node).handle(round_message(STUDY, ROUNDS[1]), NOW)


def test_an_old_word_of_the_lab_does_not_count_as_an_answer(world: World) -> None:
    old = [data for _, data in world.relay.fetch("north", 0) if Envelope.from_bytes(data).kind == "anchor"]
    with opened(world.folder) as node:
        for data in old:
            NodeService(node).recollect(data)
        assert not node.anchors.recalled


# Copied.


def test_of_two_machines_with_one_state_the_second_stops_and_both_leave_one_chain(world: World, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    shutil.copytree(world.folder, clone)
    world.ask(ROUNDS[1])
    with opened(world.folder) as first, opened(clone) as second:
        other = Daemon(NodeService(second), second.desk, world.relay.channel("north"), poll=0.0)
        other.step()
        world.witness()  # the second machine is recalled, and idle
        world.turns(first)
        with pytest.raises(LedgerError, match="another machine works with a copy of it"):
            world.turns(second)
        assert second.ledger.sequence == 3
    assert len(world.answers()) == 2


def test_two_machines_that_answer_one_request_at_the_same_time_are_told_apart(world: World, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    shutil.copytree(world.folder, clone)
    request = round_message(STUDY, ROUNDS[1])
    heads = []
    for folder in (world.folder, clone):
        with opened(folder) as node:
            node.anchors.take("lab", "", node.anchors.nonce)
            (answer,) = NodeService(node).handle(request, NOW)
            heads.append(content(answer)["head"])
    assert heads[0] != heads[1]
    with opened(clone) as node, pytest.raises(LedgerError):
        NodeService(node).recollect(send("anchor", "weights", Anchor(node="north", head=heads[0]).body()))


# Witnesses.


def test_a_peers_word_is_enough_to_stop_a_ledger_that_was_set_back(world: World) -> None:
    restore = saved(world.folder, "ledger.sqlite", "anchors.json", "studies.sqlite")
    world.ask(ROUNDS[1])
    with opened(world.folder) as node:
        world.turns(node)
    restore()
    world.newest = world.answers()[0]["head"]  # the lab plays along
    body = Anchor(node="north", head=world.answers()[1]["head"]).body()
    with opened(world.folder) as node:
        service = NodeService(node)
        with pytest.raises(LedgerError, match="'south' holds an anchor of"):
            service.handle(send("anchor", "weights", body, SOUTH, "south"), NOW)
        service.recollect(send("anchor", "", body | {"head": "", "nonce": node.anchors.nonce}))
        with pytest.raises(LedgerError, match="'south' holds an anchor of"):
            service.handle(round_message(STUDY, ROUNDS[2]), NOW)


@pytest.mark.parametrize(
    ("key", "sender", "head"),
    [
        (STRANGER, "south", "genuine"),  # not the peer's key
        (STRANGER, "stranger", "genuine"),  # nobody
        (SOUTH, "south", "forged"),  # a witness cannot invent a statement
        (LAB, "lab", "forged"),
    ],
)
def test_a_false_anchor_stops_nobody(world: World, key: Any, sender: str, head: str) -> None:
    genuine = Envelope.from_bytes(world.answers()[0]["head"].encode())
    forged = Envelope.sign("head", "weights", "north", "lab", genuine.content() | {"sequence": 99}, key)
    text = {"genuine": genuine, "forged": forged}[head].to_bytes().decode()
    with opened(world.folder) as node:
        service = NodeService(node)
        assert service.handle(send("anchor", "weights", Anchor(node="north", head=text).body(), key, sender), NOW) == []
        service.recollect(send("anchor", "", Anchor(node="north", head="", nonce=node.anchors.nonce).body()))
        assert len(service.handle(round_message(STUDY, ROUNDS[1]), NOW)) == 1


def test_a_node_witnesses_its_peers_and_says_so_to_them_alone(world: World) -> None:
    def anchor_of(peer: str, key: Any, sequence: int, entry: str) -> bytes:
        facts = {"sequence": sequence, "hash": entry, "request": "r", "released": "d"}
        head = Envelope.sign("head", "weights", peer, "lab", facts, key).to_bytes().decode()
        return send("anchor", "weights", Anchor(node=peer, head=head).body())

    with opened(world.folder) as node:
        service = NodeService(node)
        (word,) = service.handle(anchor_of("south", SOUTH, 5, "five"), NOW)
        assert (Envelope.from_bytes(word).kind, Envelope.from_bytes(word).recipient) == ("anchor", "south")
        assert service.handle(anchor_of("south", SOUTH, 5, "another"), NOW) == []  # it contradicts itself
        assert service.handle(anchor_of("east", SOUTH, 5, "five"), NOW) == []  # not pinned here
        (answer,) = service.handle(send("recall", "", {"nonce": "n"}, SOUTH, "south"), NOW)
        assert content(answer) == {"node": "south", "head": content(word)["head"], "nonce": "n"}
        assert service.handle(send("recall", "", {"nonce": "n"}), NOW) == []


# With the operator's own service.


class Federation:
    """The real service and two real nodes that pin each other."""

    def __init__(self, folder: Path) -> None:
        self.keys = {"north": NORTH, "south": SOUTH}
        self.relay, self.folder = MemoryRelay(), folder
        pinned = {name: key.public for name, key in self.keys.items()}
        self.store = SqliteStore(":memory:")
        self.service = StudyService(StudySettings("lab", folder, pinned), self.store, self.relay, LAB)
        self.policy = replace(POLICY, peers=pinned)

    @contextmanager
    def node(self, name: str, folder: str = "") -> Iterator[Daemon]:
        place = self.folder / (folder or name)
        place.mkdir(exist_ok=True)
        anchors = Anchors(place / "anchors.json", witness="lab")
        peers = {peer: key.public for peer, key in self.keys.items() if peer != name}
        policy = replace(self.policy, peers=peers)
        with open_node(place, policy=policy, anchors=anchors, name=name, key=self.keys[name]) as node:
            yield Daemon(NodeService(node), node.desk, self.relay.channel(name), poll=0.0)

    def turns(self, *daemons: Daemon, times: int = 5) -> None:
        for _ in range(times):
            self.service.advance(NOW)
            for daemon in daemons:
                daemon.step()

    def rounds(self, name: str) -> int:
        (found,) = [node for node in self.service.status("weights", NOW).nodes if node.name == name]
        return found.rounds_answered


@pytest.fixture
def federation(tmp_path: Path) -> Iterator[Federation]:
    made = Federation(tmp_path)
    made.service.submit(PLAN.format(study="weights", epsilon=1.0), NOW)
    yield made
    made.store.close()


def test_heads_are_anchored_by_the_operator_and_by_the_peer(federation: Federation) -> None:
    with federation.node("north") as north, federation.node("south") as south:
        federation.turns(north, south, times=8)
        assert federation.rounds("north") == federation.rounds("south") > 2
    for name, peer in (("north", "south"), ("south", "north")):
        mine, peers = read_anchors(federation.folder / name / "anchors.json")
        assert set(mine) == {"lab", peer}
        assert set(peers) == {peer}
    assert federation.service.status("weights", NOW).faults == ()


def test_a_backup_of_a_whole_machine_stops_and_the_operator_sees_no_second_answer(federation: Federation) -> None:
    with federation.node("north") as north, federation.node("south") as south:
        federation.turns(north, south, times=5)
    shutil.copytree(federation.folder / "north", federation.folder / "backup")
    with federation.node("north") as north, federation.node("south") as south:
        federation.turns(north, south, times=4)
        federation.turns(times=1)
        answered = federation.rounds("north")
    with federation.node("north", "backup") as north, pytest.raises(LedgerError):
        federation.turns(north, times=4)
    assert federation.rounds("north") == answered


def test_two_statements_about_one_entry_are_a_fault_at_the_operator(federation: Federation) -> None:
    with federation.node("north") as north, federation.node("south") as south:
        federation.turns(north, south, times=3)
        federation.turns(times=1)
    shutil.copytree(federation.folder / "north", federation.folder / "clone")
    request = next(
        data for _, data in federation.relay.fetch("north", 0)
        if Envelope.from_bytes(data).kind == "round" and Envelope.from_bytes(data).content()["round"] == "profile"
    )  # fmt: skip
    for folder in ("north", "clone"):
        place = federation.folder / folder
        with open_node(place, policy=federation.policy) as node:
            (answer,) = NodeService(node).handle(request, NOW + timedelta(minutes=1))
            federation.relay.channel("north").submit(answer)
    federation.turns(times=2)
    (fault,) = federation.service.status("weights", NOW).faults
    assert "'north' made two statements about entry" in fault
