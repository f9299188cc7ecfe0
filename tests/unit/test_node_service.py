"""The node's work from envelope to envelope: plans, approvals, frozen data, rounds, the end of a study."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from node_parts import (
    EXPIRES,
    NOW,
    OTHER_LAB,
    POLICY,
    STRANGER,
    People,
    caps,
    close_message,
    content,
    make_plan,
    open_node,
    open_service,
    people,
    plan_content,
    plan_message,
    round_message,
    send,
)

from cohortium_node.service import NodeService
from cohortium_protocols.canonical import unpack_integers
from cohortium_protocols.errors import InputError, LedgerError, PolicyRefusal, StorageError
from cohortium_protocols.plan import plan_digest
from cohortium_protocols.schedules import schedule

PLAN = make_plan()
ASKING = replace(POLICY, standing=())
"""A policy without standing approvals."""

NO_FILE = InputError("The cohort file for 'weights' is not there yet.", do="put it there")


def answer(service: NodeService, message: bytes, now: Any = NOW) -> dict[str, Any]:
    """The body of the one answer to a message."""
    (envelope,) = service.handle(message, now)
    return dict(content(envelope))


def decision(service: NodeService, message: bytes = plan_message(PLAN), now: Any = NOW) -> tuple[str, str]:
    body = answer(service, message, now)
    assert body["plan_digest"] == plan_digest(PLAN)
    return body["decision"], body["code"]


def audit(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "audit.jsonl").read_text().splitlines()]


# Plans.


def test_a_plan_under_a_standing_approval_is_approved_and_its_data_frozen(tmp_path: Path) -> None:
    with open_node(tmp_path) as node:
        assert decision(NodeService(node)) == ("approved", "")
        (opened,) = node.ledger.entries()
        assert opened.body["frozen"] == people().digest(node.freeze_key)
        assert opened.body["approval"] == "standing approval 1"


def test_a_plan_that_comes_again_gets_the_same_bytes_also_after_its_end(tmp_path: Path) -> None:
    with open_service(tmp_path) as service:
        first = service.handle(plan_message(PLAN), NOW)
        assert service.handle(plan_message(PLAN), NOW) == first
        assert service.handle(plan_message(PLAN), EXPIRES + timedelta(1)) == first


def test_a_later_end_does_not_prolong_what_was_approved(tmp_path: Path) -> None:
    later = plan_message(PLAN, expires=(EXPIRES + timedelta(365)).isoformat())
    with open_service(tmp_path) as service:
        decision(service)
        assert decision(service, later) == ("approved", "")
        assert answer(service, round_message(PLAN, "profile"), EXPIRES)["code"] == "expired"


def test_a_plan_without_a_standing_approval_waits_for_the_custodian(tmp_path: Path) -> None:
    with open_node(tmp_path, policy=ASKING) as node:
        service = NodeService(node)
        assert decision(service) == ("waiting", "")
        assert answer(service, round_message(PLAN, "profile"))["code"] == "refused_by_policy"
        assert service.decisions(NOW) == []
        node.desk.wish("weights", "approve")
        ((study, envelope),) = service.decisions(NOW)
        assert content(envelope)["decision"] == "approved"
        assert [entry.body["approval"] for entry in node.ledger.entries()] == ["the custodian"]
        assert len(service.decisions(NOW)) == 1  # until it was handed over
        service.delivered(study)
        assert service.decisions(NOW) == []


def test_what_the_custodian_refused_stays_refused(tmp_path: Path) -> None:
    with open_node(tmp_path, policy=ASKING) as node:
        service = NodeService(node)
        decision(service)
        node.desk.wish("weights", "refuse")
        ((_, envelope),) = service.decisions(NOW)
        assert (content(envelope)["decision"], content(envelope)["code"]) == ("refused", "refused_by_policy")
        assert decision(service) == ("refused", "refused_by_policy")
        assert answer(service, round_message(PLAN, "profile"))["code"] == "refused_by_policy"
        assert list(node.ledger.entries()) == []


@pytest.mark.parametrize("fault", [NO_FILE, PolicyRefusal("The cohort file has 59 rows."), KeyError("4010232137")])
def test_before_approval_faulty_data_leave_the_plan_waiting_with_a_word_for_the_custodian(
    tmp_path: Path, fault: Exception
) -> None:
    source = People(people(), fault)
    with open_node(tmp_path, source) as node:
        service = NodeService(node)
        assert decision(service) == ("waiting", "")
        note = node.desk.find("weights").note
        assert note == str(fault) if not isinstance(fault, KeyError) else "stopped with KeyError" in note
        assert "4010232137" not in (tmp_path / "audit.jsonl").read_text() + note
        source.fault = None
        ((_, envelope),) = service.decisions(NOW)
        assert content(envelope)["decision"] == "approved"


def test_a_stop_between_the_ledger_and_the_desk_is_made_good(tmp_path: Path) -> None:
    with open_node(tmp_path) as node:
        decision(NodeService(node))
        node.desk._database.execute("UPDATE study SET state = 'waiting'")
    source = People(people(seed=1))
    with open_node(tmp_path, source) as node:
        service = NodeService(node)
        assert decision(service) == ("approved", "")
        assert len(list(node.ledger.entries())) == 1
        assert answer(service, round_message(PLAN, "profile"))["code"] == "data_changed"


def test_a_waiting_plan_expires(tmp_path: Path) -> None:
    with open_service(tmp_path, policy=ASKING) as service:
        decision(service)
        ((_, envelope),) = service.decisions(EXPIRES)
        assert (content(envelope)["decision"], content(envelope)["code"]) == ("refused", "expired")


def test_a_plan_that_intake_refuses_gets_a_code_and_may_be_corrected(tmp_path: Path) -> None:
    dear = make_plan(epsilon=3.0)
    with open_service(tmp_path) as service:
        body = answer(service, plan_message(dear))
        assert body == {"plan_digest": plan_digest(dear), "decision": "refused", "code": "refused_by_policy"}
        assert decision(service) == ("approved", "")


def test_a_body_without_a_plan_is_refused_by_name_of_its_digest(tmp_path: Path) -> None:
    with open_service(tmp_path) as service:
        assert answer(service, send("plan", "weights", {}))["code"] == "not_trusted"


def test_a_second_plan_under_the_name_of_the_first_is_refused(tmp_path: Path) -> None:
    with open_service(tmp_path) as service:
        decision(service)
        other = make_plan(title="Another title")
        assert answer(service, plan_message(other))["code"] == "replayed"
        theirs = send("plan", "weights", plan_content(PLAN), OTHER_LAB, "other")
        assert answer(service, theirs)["code"] == "replayed"
        assert decision(service) == ("approved", "")


def test_studies_that_are_open_leave_less_for_the_next(tmp_path: Path) -> None:
    plans = [make_plan(f"study-{number}", epsilon=2.0) for number in range(5)]
    with open_service(tmp_path) as service:
        codes = [answer(service, plan_message(plan))["code"] for plan in plans]
    assert codes == ["", "", "", "over_budget", "over_budget"]


@pytest.mark.parametrize(
    "message",
    [
        b"noise",
        send("plan", "weights", plan_content(PLAN), STRANGER, "stranger"),
        send("plan", "weights", plan_content(PLAN), STRANGER),
        send("plan", "weights", plan_content(PLAN), to="south"),
        send("answer", "weights", {}),
        send("round", "weights", {}),
        send("close", "weights", {}),
    ],
)
def test_what_is_not_understood_or_not_trusted_gets_no_answer_and_a_line_in_the_log(
    tmp_path: Path, message: bytes
) -> None:
    with open_service(tmp_path) as service:
        assert service.handle(message, NOW) == []
    assert [line["event"] for line in audit(tmp_path)] == ["dropped"]


# Rounds.


def test_a_whole_study(tmp_path: Path) -> None:
    with open_node(tmp_path) as node:
        service = NodeService(node)
        decision(service)
        for spec in schedule(PLAN).rounds:
            body = answer(service, round_message(PLAN, spec.name))
            assert (body["code"], set(body["vectors"])) == ("", {vector.name for vector in spec.vectors})
        receipt = answer(service, close_message(PLAN))
        assert receipt == {"plan_digest": plan_digest(PLAN), "ledger_head": node.ledger.head}
        account = node.ledger.accounts.studies["weights"]
        assert float(account.charged) == pytest.approx(schedule(PLAN).mu2, rel=1e-12)
        assert account.charged <= POLICY.caps.study


def test_the_same_request_gets_the_same_bytes_also_after_a_restart_and_after_the_end(tmp_path: Path) -> None:
    with open_service(tmp_path) as service:
        decision(service)
        first = service.handle(round_message(PLAN, "profile"), NOW)
        assert service.handle(round_message(PLAN, "profile"), NOW) == first
    with open_service(tmp_path) as service:
        assert service.handle(round_message(PLAN, "profile"), NOW) == first
        receipt = service.handle(close_message(PLAN), NOW)
        assert service.handle(round_message(PLAN, "profile"), EXPIRES + timedelta(1)) == first
        assert service.handle(close_message(PLAN), NOW) == receipt


def test_after_a_restart_the_study_goes_on_with_the_same_data(tmp_path: Path) -> None:
    with open_service(tmp_path) as service:
        decision(service)
        answer(service, round_message(PLAN, "profile"))
    source = People(people())
    with open_service(tmp_path, source) as service:
        assert answer(service, round_message(PLAN, "model_1"))["code"] == ""
        assert answer(service, round_message(PLAN, "model_2"))["code"] == ""
    assert source.asked == 1


@pytest.mark.parametrize(
    "source", [People(people(seed=1)), People(people(), NO_FILE), People(people(), ValueError("row"))]
)
def test_changed_data_are_never_released(tmp_path: Path, source: People) -> None:
    with open_service(tmp_path) as service:
        decision(service)
        first = service.handle(round_message(PLAN, "profile"), NOW)
    with open_node(tmp_path, source) as node:
        service = NodeService(node)
        for _ in range(2):
            body = answer(service, round_message(PLAN, "model_1"))
            assert (body["code"], body["vectors"]) == ("data_changed", {})
        assert service.handle(round_message(PLAN, "profile"), NOW) == first
        assert list(node.ledger.accounts.studies["weights"].rounds) == ["profile"]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (round_message(PLAN, "profile", round="bonus"), "refused_by_policy"),
        (round_message(PLAN, "profile", attempt=2), "not_supported"),
        (round_message(PLAN, "profile", parameters={"beta": [[0.0]]}), "refused_by_policy"),
        (round_message(PLAN, "model_1", value=1e9), "refused_by_policy"),
        (round_message(PLAN, "model_1", parameters={}), "refused_by_policy"),
        (round_message(PLAN, "profile", plan_digest="another"), "not_trusted"),
        (round_message(make_plan("unknown"), "profile"), "not_trusted"),
    ],
)
def test_a_round_that_was_not_approved_is_refused_by_code_and_costs_nothing(
    tmp_path: Path, message: bytes, code: str
) -> None:
    with open_node(tmp_path) as node:
        service = NodeService(node)
        decision(service)
        body = answer(service, message)
        assert (body["code"], body["vectors"]) == (code, {})
        assert node.ledger.accounts.charged == 0


def test_another_operator_cannot_ask_for_a_round_or_end_a_study(tmp_path: Path) -> None:
    with open_service(tmp_path) as service:
        decision(service)
        body = {"plan_digest": plan_digest(PLAN), "round": "profile", "attempt": 1, "parameters": {}}
        assert answer(service, send("round", "weights", body, OTHER_LAB, "other"))["code"] == "not_trusted"
        end = {"plan_digest": plan_digest(PLAN), "reason": "mine"}
        assert service.handle(send("close", "weights", end, OTHER_LAB, "other"), NOW) == []
        assert answer(service, round_message(PLAN, "profile"))["code"] == ""


def test_a_round_with_other_parameters_than_before_is_refused(tmp_path: Path) -> None:
    with open_service(tmp_path) as service:
        decision(service)
        assert answer(service, round_message(PLAN, "model_1", 0.5))["code"] == ""
        assert answer(service, round_message(PLAN, "model_1", 0.6))["code"] == "replayed"


def test_a_policy_that_was_tightened_after_approval_holds(tmp_path: Path) -> None:
    with open_service(tmp_path) as service:
        decision(service)
    nobody_pinned = replace(POLICY, operators={"other": OTHER_LAB.public})
    with open_service(tmp_path, policy=nobody_pinned) as service:
        assert service.handle(round_message(PLAN, "profile"), NOW) == []
        assert service.decisions(NOW) == []


def test_an_operator_who_is_no_longer_pinned_loses_a_waiting_plan(tmp_path: Path) -> None:
    with open_service(tmp_path, policy=ASKING) as service:
        decision(service)
    with open_service(tmp_path, policy=replace(ASKING, operators={"other": OTHER_LAB.public})) as service:
        ((_, envelope),) = service.decisions(NOW)
        assert (content(envelope)["decision"], content(envelope)["code"]) == ("refused", "bad_signature")


def test_a_cohort_of_nobody_answers_with_zeros_and_noise(tmp_path: Path) -> None:
    with open_service(tmp_path, People(people(count=0))) as service:
        decision(service)
        body = answer(service, round_message(PLAN, "profile"))
    spec = schedule(PLAN).round("profile")
    for vector in spec.vectors:
        released = unpack_integers(body["vectors"][vector.name])
        assert 0 < np.abs(released).max() < 7 * vector.sigma


def test_values_that_cannot_be_reduced_do_not_show_outside(tmp_path: Path) -> None:
    odd = people()
    odd.exits[0] = 99
    with open_service(tmp_path, People(odd)) as service:
        decision(service)
        body = answer(service, round_message(PLAN, "profile"))
    assert (body["code"], len(body["vectors"])) == ("", len(schedule(PLAN).round("profile").vectors))
    assert [line["why"] for line in audit(tmp_path) if line["event"].startswith("fault")] == ["ValueError"]


# The end, and the log.


def test_a_study_that_was_never_opened_can_be_closed(tmp_path: Path) -> None:
    with open_node(tmp_path, policy=ASKING) as node:
        service = NodeService(node)
        decision(service)
        assert answer(service, close_message(PLAN))["ledger_head"] == ""
        assert node.desk.find("weights").state == "closed"
        assert service.decisions(NOW) == []


def test_the_end_of_a_study_that_never_came_here_is_receipted_and_opens_nothing(tmp_path: Path) -> None:
    with open_node(tmp_path) as node:
        service = NodeService(node)
        assert answer(service, close_message(PLAN)) == {"plan_digest": plan_digest(PLAN), "ledger_head": ""}
        assert (node.desk.studies(), node.ledger.accounts.studies) == ([], {})


def test_the_end_of_a_study_that_the_policy_refused_is_receipted_too(tmp_path: Path) -> None:
    with open_service(tmp_path, policy=replace(POLICY, caps=caps(0.1, 0.1))) as service:
        assert answer(service, plan_message(PLAN))["decision"] == "refused"
        assert answer(service, close_message(PLAN))["ledger_head"] == ""


def test_after_the_end_no_further_round_is_released(tmp_path: Path) -> None:
    with open_service(tmp_path) as service:
        decision(service)
        answer(service, close_message(PLAN))
        assert answer(service, round_message(PLAN, "profile"))["code"] == "refused_by_policy"


def test_the_audit_log_tells_what_left_by_digest_and_size(tmp_path: Path) -> None:
    with open_service(tmp_path) as service:
        decision(service)
        (envelope,) = service.handle(round_message(PLAN, "profile"), NOW)
    lines = audit(tmp_path)
    assert [line["event"] for line in lines] == ["plan arrived", "approved", "answered", "answered"]
    assert (lines[-1]["kind"], lines[-1]["bytes"]) == ("round", len(envelope))


def test_when_the_log_cannot_be_written_nothing_goes_out(tmp_path: Path) -> None:
    with open_node(tmp_path) as node:
        node.audit.close()
        node.audit.__init__(Path("/dev/full"))
        with pytest.raises(StorageError, match="nothing goes out without it"):
            NodeService(node).handle(plan_message(PLAN), NOW)


def test_when_the_ledger_cannot_be_written_nothing_goes_out(tmp_path: Path) -> None:
    with open_node(tmp_path) as node:
        service = NodeService(node)
        decision(service)
        node.ledger._database.execute("PRAGMA query_only = ON")
        with pytest.raises(LedgerError):
            service.handle(round_message(PLAN, "profile"), NOW)
