"""A study from submission to closing: what the coordinator does with what nodes say, and after restarts."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from study_lab import KEY, START, Lab

from cohortium_coordinator.study.rounds import Writer, plan_message
from cohortium_protocols.canonical import pack_integers
from cohortium_protocols.errors import InputError, PlanError
from cohortium_protocols.messages import PlanMessage, RoundAnswer, RoundRequest, read
from cohortium_protocols.plan_check import load_plan
from cohortium_protocols.signed_plan import signed_plan_text
from cohortium_protocols.signing import Envelope
from cohortium_simulations.memory_channel import Faults, MemoryRelay

ROSTER = ("east", "north", "west")


@pytest.fixture
def lab(tmp_path: Path, custodian: Callable[..., Any], plan_text: str) -> Iterator[Callable[..., Lab]]:
    """Makes a lab to which the plan was submitted."""
    made: list[Lab] = []

    def make(folder: str = "data", relay: MemoryRelay | None = None, **nodes: Any) -> Lab:
        made.append(Lab(tmp_path / folder, ROSTER, custodian, relay, **nodes))
        made[-1].service.submit(plan_text, START)
        return made[-1]

    yield make
    for each in made:
        each.store.close()


def results(report: dict[str, Any]) -> Any:
    return report["outcomes"], report["balance"], report["attrition"], report["published"]


def test_a_study_runs_from_submission_to_receipts(lab: Callable[..., Lab]) -> None:
    here = lab()
    status = here.run()
    assert status.phase == "published"
    assert [(node.state, node.rounds_answered, node.closed) for node in status.nodes] == [
        ("answered", status.rounds, True)
    ] * 3
    assert here.report()["outcomes"][0]["estimate"] == pytest.approx(-3, abs=1)
    assert status.faults == ()
    for suffix in ("html", "csv"):
        assert here.service.report("weights", suffix)


def test_every_node_gets_each_message_once_and_in_order(lab: Callable[..., Lab]) -> None:
    here = lab()
    here.run()
    rounds = [name for spec in here.report()["privacy"]["releases"] for name in [spec["round"]]]
    kinds = [Envelope.from_bytes(data).kind for data in here.nodes["east"].handled]
    assert kinds == ["plan", *["round"] * len(set(rounds)), "close"]


def test_a_restart_after_every_step_changes_no_byte(lab: Callable[..., Lab]) -> None:
    steady, restarted = lab("steady"), lab("restarted")
    restarted.nodes = {name: dataclasses.replace(node, handled=[]) for name, node in steady.nodes.items()}
    restarted.settings = dataclasses.replace(restarted.settings, nodes=steady.settings.nodes)
    restarted.restart()
    steady.run()
    for _ in range(60):
        restarted.restart()
        if restarted.turn().ended:
            break
    restarted.run()
    assert restarted.nodes["east"].handled == steady.nodes["east"].handled
    assert restarted.service.report("weights", "json") == steady.service.report("weights", "json")


FAULTS = st.fixed_dictionaries({name: st.sampled_from([0.0, 0.3]) for name in (
    "drop", "delay", "duplicate", "reorder", "tamper", "replay")})  # fmt: skip


@settings(max_examples=6)
@given(faults=FAULTS, seed=st.integers(0, 2**32))
def test_any_order_loss_repetition_and_alteration_on_the_way_gives_the_same_result(
    tmp_path_factory: pytest.TempPathFactory, custodian: Callable[..., Any], plan_text: str,
    faults: dict[str, float], seed: int,
) -> None:  # fmt: skip
    found = []
    for relay in (MemoryRelay(), MemoryRelay(Faults(**faults), np.random.default_rng(seed))):
        here = Lab(tmp_path_factory.mktemp("lab"), ROSTER, custodian, relay)
        here.settings = dataclasses.replace(here.settings, time_to_answer=timedelta(days=2))
        here.restart()
        here.service.submit(plan_text, START)
        here.run()
        found.append(results(here.report()))
        here.store.close()
    assert found[0] == found[1]


def test_a_node_that_stops_answering_is_left_behind_when_its_time_is_over(lab: Callable[..., Lab]) -> None:
    here = lab(west={"silent": ("model_2",)})
    for _ in range(20):
        status = here.turn()
    assert (status.round_name, status.nodes[2].state) == ("model_2", "answered")
    here.now += timedelta(hours=1)
    status = here.run(40)
    assert (status.phase, status.nodes[2].state, status.nodes[2].rounds_answered) == (
        "published",
        "offline",
        2,
    )
    assert [node["status"] for node in here.report()["nodes"]] == ["answered", "answered", "offline"]


def test_a_coordinator_that_was_away_gives_nodes_their_time_again(lab: Callable[..., Lab]) -> None:
    here = lab(west={"silent": ("model_2",)}, north={"silent": ("model_2",)})
    for _ in range(20):
        here.turn()
    here.now += timedelta(days=30)
    here.restart()
    assert here.turn().round_name == "model_2"


@pytest.mark.parametrize(
    ("node", "state", "status"),
    [({"decision": "refused"}, "refused", "over budget"),
     ({"refusals": {"model_3": "data_changed"}}, "refused", "refused"),
     ({"refusals": {"profile": "over_budget"}}, "refused", "over budget")],
)  # fmt: skip
def test_a_node_that_refuses_is_left_out_at_once(
    lab: Callable[..., Lab], node: Any, state: str, status: str
) -> None:
    here = lab(north=node)
    found = here.run()
    assert (found.phase, found.nodes[1].state) == ("published", state)
    assert here.report()["nodes"][1]["status"] == status


def test_too_many_refusals_end_the_study_and_close_it_at_the_nodes(lab: Callable[..., Lab]) -> None:
    here = lab(north={"decision": "refused"}, west={"refusals": {"profile": "data_changed"}})
    status = here.run()
    assert (status.phase, status.code) == ("failed", "refused")
    assert (
        status.reason == "1 of 3 nodes can still take part; the plan needs 2. Refused: west (data_changed)."
    )
    assert all(node.closed for node in status.nodes)
    with pytest.raises(InputError, match="no report"):
        here.report()


def test_too_few_answers_in_time_end_the_study(lab: Callable[..., Lab]) -> None:
    here = lab(north={"silent": ("plan",)}, west={"silent": ("plan",)})
    here.turn()
    here.now += timedelta(days=3)
    status = here.turn()
    assert (status.phase, status.code) == ("failed", "channel")
    assert [node.state for node in status.nodes] == ["approved", "offline", "offline"]


def test_an_operator_can_close_a_study_before_its_end(lab: Callable[..., Lab]) -> None:
    here = lab()
    here.turn()
    here.turn()
    here.service.close("weights", "The provider withdrew.", here.now)
    status = here.run()
    assert (status.phase, status.reason) == ("closed", "The provider withdrew.")
    assert all(node.closed for node in status.nodes)


def _answer_changed(change: Callable[[RoundAnswer], RoundAnswer]) -> Callable[[Any, Envelope], bytes]:
    def say(node: Any, request: Envelope) -> bytes:
        answer = read(Envelope.from_bytes(node._round(request)), RoundAnswer)
        data: bytes = node.say("answer", change(answer))
        return data

    return say


def _vector(answer: RoundAnswer, values: Any) -> RoundAnswer:
    return answer.model_copy(update={"vectors": {**answer.vectors, "attrition": values}})


BAD = {
    "another plan": (lambda a: a.model_copy(update={"plan_digest": "0" * 64}), "another plan"),
    "another request": (lambda a: a.model_copy(update={"request_digest": "0" * 64}), "another request"),
    "a round not asked": (lambda a: a.model_copy(update={"round": "outcome"}), "was not asked"),
    "an unknown round": (lambda a: a.model_copy(update={"round": "gossip"}), "was not asked"),
    "a vector missing": (
        lambda a: a.model_copy(update={"vectors": dict(list(a.vectors.items())[1:])}),
        "other vectors",
    ),
    "a vector more": (lambda a: a.model_copy(update={"vectors": {**a.vectors, "more": ""}}), "other vectors"),
    "a vector too short": (
        lambda a: _vector(a, pack_integers(np.zeros(1, np.int64))),
        "1 integers; 6 are declared",
    ),
    "no integers": (lambda a: _vector(a, "AAAA"), "not packed integers"),
    "no sum": (lambda a: _vector(a, pack_integers(np.full(6, -(2**63)))), "no sum can reach"),
    "a refusal with vectors": (
        lambda a: a.model_copy(update={"code": "over_budget"}),
        "vectors with the refusal",
    ),
    "an unknown code": (
        lambda a: a.model_copy(update={"code": "n=3", "vectors": {}}),
        "code that does not belong",
    ),
}


@pytest.mark.parametrize("fault", BAD)
def test_an_answer_that_is_not_as_asked_is_a_fault_and_does_not_count(
    lab: Callable[..., Lab], fault: str
) -> None:
    change, sentence = BAD[fault]
    here = lab()
    here.turn()
    here.service.advance(here.now)
    west = here.nodes["west"]
    request = Envelope.from_bytes(here.channels["west"].fetch(here.read["west"])[0][1])
    here.channels["west"].submit(_answer_changed(change)(west, request))
    here.service.advance(here.now)
    status = here.service.status("weights", here.now)
    assert [sentence in found for found in status.faults] == [True], status.faults
    assert status.nodes[2].rounds_answered == 0
    assert here.run().phase == "published"


def test_a_second_different_answer_never_replaces_the_first(lab: Callable[..., Lab]) -> None:
    here = lab()
    here.turn()
    here.turn()
    west = here.nodes["west"]
    request = next(
        Envelope.from_bytes(data) for data in west.handled if Envelope.from_bytes(data).kind == "round"
    )
    here.channels["west"].submit(
        _answer_changed(lambda a: _vector(a, pack_integers(np.zeros(6, np.int64))))(west, request)
    )
    status = here.run()
    assert status.faults == ("'west' sent an answer with a statement about another one.",)
    assert here.report()["outcomes"][0]["n_treated"] > 300


@pytest.mark.parametrize("data", [b"", b"{}", b"[" * 5000, json.dumps({"body": 1}).encode()])
def test_what_is_no_envelope_is_put_aside(lab: Callable[..., Lab], data: bytes) -> None:
    here = lab()
    here.relay.post("lab", data)
    assert here.run().phase == "published"


def test_strangers_and_forgers_are_put_aside(lab: Callable[..., Lab], custodian: Callable[..., Any]) -> None:
    here = lab()
    here.turn()
    plan = here.nodes["west"].handled[0]
    for name in ("stranger", "west"):
        here.relay.post("lab", custodian(name).handle(plan))  # signed with another key than the pinned one
    elsewhere = RoundRequest(plan_digest="0", round="profile", attempt=1, parameters={})
    here.relay.post("lab", here.nodes["west"].say("gossip", elsewhere))
    here.relay.post("lab", here.nodes["west"].say("answer", elsewhere, study="another"))
    status = here.run()
    assert status.phase == "published"
    assert status.faults == ("'west' sent a message of the kind 'gossip', which nodes do not send.",)


def test_the_same_plan_again_changes_nothing_and_another_plan_needs_another_name(
    lab: Callable[..., Lab], plan_text: str
) -> None:
    here = lab()
    assert here.service.submit(plan_text, START + timedelta(days=1)) == "weights"
    assert here.service.studies() == ["weights"]
    with pytest.raises(InputError, match="another study called 'weights'"):
        here.service.submit(plan_text.replace("epsilon: 1.0", "epsilon: 2.0"), START)


def _with_other_statistics(message: PlanMessage) -> PlanMessage:
    return message.model_copy(update={"schedule": ()})


def _with_pairs(message: PlanMessage) -> PlanMessage:
    analysis = message.plan.analysis.model_copy(update={"method": "matched_pairs", "comparison": "within_node"})
    return message.model_copy(update={"plan": message.plan.model_copy(update={"analysis": analysis})})


@pytest.mark.parametrize("change", [_with_other_statistics, _with_pairs])
def test_a_plan_signed_with_another_version_is_refused(
    lab: Callable[..., Lab], plan_text: str, change: Callable[..., PlanMessage]
) -> None:
    message = change(plan_message(load_plan(plan_text), START))
    signed = Writer("lab", "weights", KEY).plan(message, START)
    with pytest.raises(PlanError):
        lab().service.submit(signed_plan_text([each.envelope for each in signed]), START)


def test_nodes_of_the_roster_must_be_enrolled(lab: Callable[..., Lab], plan_text: str) -> None:
    with pytest.raises(InputError, match="Not enrolled here: south"):
        lab().service.submit(
            plan_text.replace("west]", "west, south]").replace("study: weights", "study: s"), START
        )


def test_a_plan_with_faults_is_refused(lab: Callable[..., Lab], plan_text: str) -> None:
    with pytest.raises(PlanError, match="rooster"):
        lab().service.submit(plan_text.replace("roster", "rooster"), START)
