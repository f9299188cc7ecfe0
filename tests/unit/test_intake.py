"""Intake: one test a refusal, in the order of the steps; only what passes all of them is a VerifiedPlan."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from node_group import policy_of, secure_plan
from node_parts import (
    EXPIRES,
    LAB,
    NOW,
    OTHER_LAB,
    POLICY,
    STRANGER,
    caps,
    make_plan,
    plan_content,
    plan_message,
    send,
)

from cohortium_node.accounts import Accounts, Place, Price, StudyAccount
from cohortium_node.intake import LARGEST_ENVELOPE, Standing, VerifiedPlan, read_envelope, verify_plan
from cohortium_protocols import signing
from cohortium_protocols.canonical import canonical_bytes
from cohortium_protocols.errors import (
    BudgetRefusal,
    CohortiumError,
    ExpiredError,
    PlanError,
    PolicyRefusal,
    ReplayError,
    SignatureError,
    TrustError,
)
from cohortium_protocols.plan import Analysis, plan_digest
from cohortium_protocols.plan_analysis import METHODS, Method
from cohortium_protocols.signing import Envelope

PLAN = make_plan()
NOTHING_KNOWN = Standing({})
PLACE = Place("other", 2025, "older records", "others")
"""Of a study that has nothing in common with the plan."""


def intake(data: bytes, standing: Standing = NOTHING_KNOWN, policy: Any = POLICY, now: Any = NOW) -> VerifiedPlan:
    return verify_plan(read_envelope(data, "north", policy), now, "north", policy, standing)


def refusal(data: bytes, **known: Any) -> CohortiumError:
    with pytest.raises(CohortiumError) as caught:
        intake(data, **known)
    return caught.value


def altered(data: bytes, **fields: str) -> bytes:
    return canonical_bytes(json.loads(data) | fields)


def test_a_plan_that_passes_every_step() -> None:
    verified = intake(plan_message(PLAN))
    assert (verified.plan, verified.digest, verified.operator) == (PLAN, plan_digest(PLAN), "lab")
    assert (verified.expires, verified.verdict.standing) == (EXPIRES, 1)


def test_nobody_else_can_make_a_verified_plan() -> None:
    verified = intake(plan_message(PLAN))
    with pytest.raises(TypeError, match="only intake verifies plans"):
        VerifiedPlan(PLAN, "", "lab", verified.schedule, EXPIRES, verified.verdict, object())
    with pytest.raises((TypeError, ValueError)):
        replace(verified, operator="other")


# 1 size, 2 parse, 3 signature, 4 recipient


def test_1_too_large() -> None:
    error = refusal(b"[" * (LARGEST_ENVELOPE + 1))
    assert (type(error), str(error)) == (
        TrustError,
        "A message of 4,194,305 bytes arrived.\n  why: at most 4,194,304 are read\n  what to do: ignore it",
    )


@pytest.mark.parametrize(
    "data",
    [b"", b"not json", b"[]", b"{}", b'{"kind": "plan"}', b"\xff", b"[" * 100_000, b'{"kind": 1' + b"0" * 5000 + b"}"],
)
def test_2_not_an_envelope(data: bytes) -> None:
    error = refusal(data)
    assert (type(error), error.what) == (SignatureError, "A message that arrived is not a signed envelope.")


def test_3_a_sender_who_is_not_pinned() -> None:
    error = refusal(send("plan", "weights", plan_content(PLAN), STRANGER, "stranger"))
    assert type(error) is SignatureError
    assert error.what == "A plan message is from 'stranger', whose key is not pinned here."


@pytest.mark.parametrize(
    "data",
    [
        send("plan", "weights", plan_content(PLAN), STRANGER),
        send("plan", "weights", plan_content(PLAN), OTHER_LAB),
        altered(plan_message(PLAN), study="heights"),
        altered(plan_message(PLAN), recipient="south"),
        altered(plan_message(PLAN), body=base64.b64encode(b"{}").decode()),
        altered(plan_message(PLAN), signature=base64.b64encode(bytes(64)).decode()),
        altered(plan_message(PLAN), signature=""),
    ],
)
def test_3_a_signature_that_does_not_fit(data: bytes) -> None:
    error = refusal(data)
    assert type(error) is SignatureError
    assert error.what == "The signature on a plan message from 'lab' does not fit."


def test_3_text_that_has_no_canonical_form() -> None:
    data = plan_message(PLAN).replace(b'"weights"', b'"\\ud800"')
    assert type(refusal(data)) is SignatureError


def test_4_for_another_node() -> None:
    error = refusal(send("plan", "weights", plan_content(PLAN), to="south"))
    assert (type(error), error.what) == (TrustError, "A plan message is for 'south', and this node is 'north'.")


# 5 schema


@pytest.mark.parametrize(
    "changes",
    [
        {"bonus": 1},
        {"plan": "weights"},
        {"expires": 5},
        {"plan": PLAN.model_dump(mode="json", by_alias=True) | {"x": 1}},
    ],
)
def test_5_a_body_with_other_fields(changes: dict[str, Any]) -> None:
    error = refusal(send("plan", "weights", plan_content(PLAN) | changes))
    assert type(error) is TrustError
    assert error.what == "A plan message from 'lab' has a body this version does not understand."


def test_5_a_body_that_is_nested_too_deeply() -> None:
    deep = b"[" * 50_000 + b"]" * 50_000
    signature = LAB.sign(signing._signed("plan", "weights", "lab", "north", deep))
    assert isinstance(refusal(Envelope("plan", "weights", "lab", "north", deep, signature).to_bytes()), TrustError)


def test_5_a_plan_for_another_study_than_its_envelope() -> None:
    error = refusal(send("plan", "heights", plan_content(PLAN)))
    assert error.what == "An envelope for 'heights' holds a plan for 'weights'."


def test_5_a_roster_without_this_node() -> None:
    elsewhere = make_plan(nodes=PLAN.nodes.model_copy(update={"roster": ("south", "east")}))
    assert refusal(plan_message(elsewhere)).what == "The plan 'weights' does not have 'north' on its roster."


@pytest.mark.parametrize("expires", ["soon", "", "2026-12-31", "2026-12-31T00:00:00"])
def test_5_an_end_that_is_no_moment(expires: str) -> None:
    assert type(refusal(plan_message(PLAN, expires=expires))) is TrustError


# 6 expiry and replay


@pytest.mark.parametrize("after", [timedelta(0), timedelta(seconds=1), timedelta(days=400)])
def test_6_expired(after: timedelta) -> None:
    error = refusal(plan_message(PLAN), now=EXPIRES + after)
    assert (type(error), error.what) == (ExpiredError, "The plan 'weights' expired on 2026-12-31 at 00:00 UTC.")


def test_6_another_plan_under_a_known_name() -> None:
    error = refusal(plan_message(PLAN), standing=Standing({"weights": ("lab", "another digest")}))
    assert (type(error), error.what) == (ReplayError, "Another plan with the name 'weights' came before.")


def test_6_the_same_plan_from_another_operator() -> None:
    data = send("plan", "weights", plan_content(PLAN), OTHER_LAB, "other")
    assert type(refusal(data, standing=Standing({"weights": ("lab", plan_digest(PLAN))}))) is ReplayError


def test_6_the_same_plan_from_the_same_operator_is_no_replay() -> None:
    intake(plan_message(PLAN), Standing({"weights": ("lab", plan_digest(PLAN))}))


# 7 the declared schedule


def declared(**changes: Any) -> list[dict[str, Any]]:
    rounds = json.loads(json.dumps(plan_content(PLAN)["schedule"]))
    rounds[0]["vectors"][0] |= changes
    return rounds


@pytest.mark.parametrize(
    "rounds",
    [
        [],
        declared(sigma=1.0),
        declared(mu2=0.0),
        declared(d2=1),
        declared(labels=["count"]),
        declared(note="more"),
        plan_content(PLAN)["schedule"][:-1],
        [*plan_content(PLAN)["schedule"], plan_content(PLAN)["schedule"][0]],
        plan_content(make_plan(epsilon=0.5))["schedule"],
    ],
)
def test_7_a_schedule_that_is_not_the_plans(rounds: list[dict[str, Any]]) -> None:
    error = refusal(plan_message(PLAN, schedule=rounds))
    assert (type(error), error.what) == (
        PlanError,
        "The plan 'weights' declares other releases than the ones it needs.",
    )


# 8 possible


@pytest.mark.parametrize("method", METHODS)
def test_8_every_method_is_taken(method: Method) -> None:
    assert intake(plan_message(make_plan(analysis=Analysis(method=method)))).plan.analysis.method == method


def test_8_without_noise_only_in_a_simulation() -> None:
    silent = make_plan(privacy=PLAN.privacy.model_copy(update={"noise": False}))
    error = refusal(plan_message(silent))
    assert (type(error), error.what) == (PolicyRefusal, "The plan 'weights' asks for answers without noise.")
    intake(plan_message(silent), Standing({}, simulation=True))


def test_8_a_secure_sum_with_nodes_that_are_not_pinned() -> None:
    secure = secure_plan()
    error = refusal(plan_message(secure), policy=policy_of("north", secure, unpinned=("east", "west")))
    assert (type(error), error.what) == (
        PolicyRefusal,
        "The plan 'weights' adds up nodes whose keys are not pinned here.",
    )
    assert error.why.startswith("not pinned: east, west; ")
    assert "add the keys under [peers]" in error.do
    assert intake(plan_message(secure), policy=policy_of("north", secure)).plan == secure


# 9 policy, 10 budget


def test_9_more_than_the_policy_allows_one_study() -> None:
    error = refusal(plan_message(make_plan(epsilon=3.0)))
    assert (type(error), error.what) == (PolicyRefusal, "This node's policy refuses the plan 'weights'.")
    assert error.why == "it asks for epsilon 3; this node allows 2 (delta 1e-06)"


def spent(mu2: float, place: Place = PLACE) -> Accounts:
    """A ledger with one other study."""
    accounts = Accounts()
    price = Price({"treated": mu2, "comparator": 0.0}, "declared")
    accounts.studies["other"] = StudyAccount("plan", place, {"profile": price}, "frozen")
    return accounts


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ({"operator": "lab"}, "studies of the operator 'lab'"),
        ({"year": 2026}, "studies approved in 2026"),
        ({"dataset": "records"}, "studies on the dataset 'records'"),
        ({"universe": "people"}, "studies about the people 'people'"),
    ],
)
def test_10_studies_that_have_something_in_common_share_a_cap(place: dict[str, Any], words: str) -> None:
    cap = caps(total=1.2).total
    shared = replace(POLICY.caps, year=cap, operators={"lab": cap}, dataset_cap=cap, universe_cap=cap)
    policy = replace(POLICY, caps=shared)
    assert intake(plan_message(PLAN), Standing({}, spent(cap)), policy=policy)
    error = refusal(plan_message(PLAN), standing=Standing({}, spent(cap, replace(PLACE, **place))), policy=policy)
    assert (type(error), error.why.endswith(f"is left for {words}")) == (BudgetRefusal, True)


def test_10_more_than_is_left() -> None:
    error = refusal(plan_message(PLAN), standing=Standing({}, spent(caps().total - 0.001)))
    assert type(error) is BudgetRefusal
    assert error.what == "The privacy budget that is left does not cover the plan 'weights'."
    assert error.why.startswith("it costs epsilon 1; 0.1")
    assert error.why.endswith("is left for all studies together")


def test_the_steps_are_taken_in_order() -> None:
    """A message with every fault is refused for the first; each fault that is put right shows the next."""
    faulty = make_plan(epsilon=3.0)
    late, over = EXPIRES + timedelta(1), Standing({}, spent(10.0))
    wrong = {"schedule": []}
    steps: list[tuple[bytes, dict[str, Any], type[CohortiumError]]] = [
        (send("plan", "weights", {}, STRANGER, to="south"), {"now": late}, SignatureError),
        (send("plan", "weights", {}, to="south"), {"now": late}, TrustError),
        (send("plan", "weights", {}), {"now": late}, TrustError),
        (plan_message(faulty, **wrong), {"now": late}, ExpiredError),
        (plan_message(faulty, **wrong), {"standing": Standing({"weights": ("lab", "")}, spent(10.0))}, ReplayError),
        (plan_message(faulty, **wrong), {"standing": over}, PlanError),
        (plan_message(faulty), {"standing": over}, PolicyRefusal),
        (plan_message(PLAN), {"standing": over}, BudgetRefusal),
    ]
    assert [type(refusal(data, **known)) for data, known, _ in steps] == [error for _, _, error in steps]
