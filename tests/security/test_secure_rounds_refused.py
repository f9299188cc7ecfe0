"""Secure sums through real nodes, led by an operator who does not keep to the rules; and what a custodian is told."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from node_group import (
    KEYS,
    NodeGroup,
    Sum,
    charged,
    content,
    kinds,
    node_group,
    policy_of,
    request_for,
    secure_plan,
    step_for,
)
from node_parts import (
    EXPIRES,
    NOW,
    People,
    make_plan,
    open_service,
    people,
    plan_content,
    plan_message,
    send,
)

from cohortium_node.anchors import fault
from cohortium_node.views import plan_text, shown
from cohortium_protocols.errors import PlanError
from cohortium_protocols.heads import kept_head, released
from cohortium_protocols.messages import Close
from cohortium_protocols.plan import plan_digest
from cohortium_protocols.privacy.distributed import epsilon_if_all_others_collude
from cohortium_protocols.schedules import schedule
from cohortium_protocols.secure_rounds import check_shares, rules_of
from cohortium_protocols.secure_sum import Secrets
from cohortium_protocols.secure_sum.messages import Stage, SurvivorList
from cohortium_protocols.signing import Envelope
from cohortium_protocols.statistics import RoundSpec, Schedule, VectorSpec

PLAN = secure_plan()
PROFILE = schedule(PLAN).round("profile")
NORTH, SOUTH, EAST, WEST = PLAN.nodes.roster


# What a dishonest operator could try.


def test_a_masked_vector_is_made_for_one_message_only(group: NodeGroup) -> None:
    led = Sum(group)
    requests = led.until("mask")
    led.take(NORTH)
    fewer = requests[NORTH].model_copy(
        update={"sealed": {peer: each for peer, each in requests[NORTH].sealed.items() if peer != WEST}}
    )
    assert group.code(NORTH, step_for(PLAN, NORTH, "mask", fewer)) == ("replayed", "mask")
    assert kinds(group) == ["opened", "reserved", "answered"]


def test_altered_shares_are_refused_before_anything_is_charged(group: NodeGroup) -> None:
    led = Sum(group)
    requests = led.until("mask")
    sealed = dict(requests[NORTH].sealed)
    sealed[SOUTH] = sealed[SOUTH][:-2] + ("00" if sealed[SOUTH][-2:] != "00" else "01")
    altered = requests[NORTH].model_copy(update={"sealed": sealed})
    assert group.code(NORTH, step_for(PLAN, NORTH, "mask", altered)) == ("secure_sum_refused", "mask")
    assert charged(group) == 0
    assert led.total() is not None


def test_two_lists_of_survivors_end_the_attempt_for_good(group: NodeGroup) -> None:
    led = Sum(group)
    requests = led.until("acknowledge")
    for node in led.messages:
        led.take(node)
    other = SurvivorList(session=requests[NORTH].session, alive=(NORTH, SOUTH, EAST), dead=(WEST,))
    assert group.code(NORTH, step_for(PLAN, NORTH, "acknowledge", other)) == ("replayed", "acknowledge")
    led.close()
    group.restart(NORTH)
    assert group.code(NORTH, led.messages[NORTH]) == ("secure_sum_refused", "reveal")


def test_an_attempt_is_begun_with_one_request(group: NodeGroup) -> None:
    group.ask(NORTH, request_for(PLAN, NORTH, "model_1", value=0.5))
    assert group.code(NORTH, request_for(PLAN, NORTH, "model_1", value=0.6)) == ("replayed", "")


def test_when_another_attempt_begins_the_secrets_of_the_last_are_destroyed(group: NodeGroup) -> None:
    led = Sum(group)
    led.until("reveal")
    group.ask(NORTH, request_for(PLAN, NORTH, attempt=2))
    kept = group.ledger(NORTH).attempt("weights", "profile", 1)
    assert kept is not None
    assert kept.secrets == b""
    assert group.code(NORTH, led.messages[NORTH]) == ("replayed", "reveal")
    assert group.code(NORTH, request_for(PLAN, NORTH)) == ("replayed", "")
    assert charged(group) == pytest.approx(max(PROFILE.cost("treated"), PROFILE.cost("comparator")))


def test_a_masked_vector_is_sent_again_when_its_secrets_are_gone(group: NodeGroup) -> None:
    led = Sum(group)
    led.until("mask")
    said, message = led.take(NORTH), led.messages[NORTH]
    group.ask(NORTH, request_for(PLAN, NORTH, attempt=2))
    assert group.ask(NORTH, message) == said


def test_the_end_of_the_study_destroys_all_secrets(group: NodeGroup) -> None:
    led = Sum(group)
    led.until("reveal")
    before = group.ledger(NORTH).attempt("weights", "profile", 1)
    assert before is not None
    seed = Secrets.from_bytes(before.secrets).share_seed.encode()
    assert seed in on_disk(group, NORTH)
    close = Close(plan_digest=plan_digest(PLAN), reason="done").body()
    receipt = Envelope.from_bytes(group.ask(NORTH, send("close", "weights", close, to=NORTH)))
    assert receipt.kind == "receipt"
    kept = group.ledger(NORTH).attempt("weights", "profile", 1)
    assert kept is not None
    assert kept.secrets == b""
    assert seed not in on_disk(group, NORTH)
    assert group.code(NORTH, led.messages[NORTH]) == ("refused_by_policy", "reveal")


def test_the_secrets_of_a_study_that_is_never_closed_are_destroyed_when_its_plan_has_expired(group: NodeGroup) -> None:
    led = Sum(group)
    led.until("reveal")
    begun = group.ledger(NORTH).attempt("weights", "profile", 1)
    assert begun is not None
    seed = Secrets.from_bytes(begun.secrets).share_seed.encode()
    group.restart(NORTH)
    group.wait(NORTH, EXPIRES - timedelta(seconds=1))
    assert seed in on_disk(group, NORTH)
    group.wait(NORTH, EXPIRES)
    assert seed not in on_disk(group, NORTH)
    assert group.ledger(NORTH).unfinished() == set()
    assert '"secrets destroyed"' in (group.folder / NORTH / "audit.jsonl").read_text()
    assert group.code(NORTH, led.messages[NORTH]) == ("replayed", "reveal")


def on_disk(group: NodeGroup, node: str) -> bytes:
    return b"".join(path.read_bytes() for path in (group.folder / node).iterdir())


def test_a_masked_vector_states_the_ledger_that_it_was_charged_to(group: NodeGroup) -> None:
    led = Sum(group)
    led.until("mask")
    said = content(led.take(NORTH))
    head = kept_head(said["head"])
    assert (head.sequence, head.released) == (2, released(said))
    assert fault(head, group.ledger(NORTH)) == ""


def test_a_list_that_was_acknowledged_stands_in_the_chain(group: NodeGroup) -> None:
    led = Sum(group)
    led.until("mask")
    led.until(None, without=(EAST,))
    assert led.aggregator.survivors is not None
    (entry,) = (each.body for each in group.ledger(NORTH).entries() if each.body["kind"] == "acknowledged")
    facts = {"study": "weights", "round": "profile", "attempt": 1, "survivors": led.aggregator.survivors.digest}
    assert facts.items() <= entry.items()


def test_a_vector_with_too_little_noise_for_a_share_is_no_plan() -> None:
    loud = Schedule((RoundSpec("profile", (VectorSpec("count", "treated", ("n",), 1.0, 1e19, "people", "", ""),)),))
    with pytest.raises(PlanError, match="share of the noise on 'count' in round 'profile' is"):
        check_shares(PLAN, loud)


# What the custodian sees.


def test_show_says_what_holds_if_all_others_collude_and_what_this_node_adds(group: NodeGroup) -> None:
    view = shown(group.nodes[NORTH].desk.find("weights"), NORTH, group.policies[NORTH])
    vectors = list(schedule(PLAN).vectors())
    alone = max(
        epsilon_if_all_others_collude(
            [(each.d2, each.sigma) for _, each in vectors if each.block == block], rules_of(PLAN), 1e-6
        )
        for block in ("treated", "comparator")
    )
    assert view["secure"]["epsilon_if_all_others_collude"] == pytest.approx(alone)
    assert 1 < alone < 2  # each node adds half of the noise's variance
    ratios = [each["own_noise_sd"] / each["noise_sd"] for spec in view["rounds"] for each in spec["vectors"]]
    assert ratios == pytest.approx([np.sqrt(1 / 2)] * len(vectors))
    text = "\n".join(plan_text(view))
    assert f"{alone:.3g} if all other nodes work with the operator" in text
    assert "pinned" not in text


def test_show_says_which_nodes_of_a_sum_are_not_pinned_any_more(group: NodeGroup) -> None:
    policy = policy_of(NORTH, PLAN, unpinned=(WEST,))
    text = "\n".join(plan_text(shown(group.nodes[NORTH].desk.find("weights"), NORTH, policy)))
    assert "not pinned in your policy: west" in text
    assert "refuses it: a secure sum needs all of its nodes pinned" in text


# Who counts as a peer.


@pytest.mark.parametrize("unpinned", [(WEST,), (EAST, WEST), (SOUTH, EAST, WEST)])
def test_a_node_that_does_not_know_all_nodes_of_a_sum_refuses_its_plan_and_tells_its_custodian_who(
    tmp_path: Path, unpinned: tuple[str, ...]
) -> None:
    policy = policy_of(NORTH, PLAN, unpinned)
    with node_group(tmp_path, PLAN, {NORTH: policy}) as group:
        said = group.ask(NORTH, send("plan", "weights", plan_content(PLAN), to=NORTH))
        assert content(said) == {
            "plan_digest": plan_digest(PLAN), "decision": "refused", "code": "refused_by_policy",
        }  # fmt: skip
        assert kinds(group) == []
    log = (tmp_path / NORTH / "audit.jsonl").read_text()
    assert f"not pinned: {', '.join(unpinned)};" in log
    assert "add the keys under [peers] in the policy" in log


def test_a_node_that_does_not_know_all_nodes_takes_part_where_each_adds_its_own_noise(tmp_path: Path) -> None:
    with open_service(tmp_path, policy=policy_of(NORTH, PLAN, (SOUTH, EAST, WEST))) as service:
        (said,) = service.handle(plan_message(make_plan()), NOW)
    assert content(said)["decision"] == "approved"


def test_a_peer_that_is_taken_out_of_the_policy_ends_the_nodes_part(group: NodeGroup) -> None:
    led = Sum(group)
    led.until("mask")
    group.policies[NORTH] = policy_of(NORTH, PLAN, unpinned=(WEST,))
    group.restart(NORTH)
    assert group.code(NORTH, led.messages[NORTH]) == ("refused_by_policy", "mask")
    assert group.code(NORTH, request_for(PLAN, NORTH, attempt=2)) == ("refused_by_policy", "")
    assert charged(group) == 0


def test_two_peers_with_one_key_are_refused(tmp_path: Path) -> None:
    policy = policy_of(NORTH, PLAN)
    doubled = replace(policy, peers={**policy.peers, EAST: KEYS[SOUTH].public})
    with node_group(tmp_path, PLAN, {NORTH: doubled}) as group:
        assert group.code(NORTH, request_for(PLAN, NORTH)) == ("secure_sum_refused", "")


# Words of the closed vocabulary.


@pytest.mark.parametrize("stage", ["share", "mask", "acknowledge", "reveal"])
def test_a_step_of_an_attempt_that_never_began_is_refused(group: NodeGroup, stage: Stage) -> None:
    assert group.code(NORTH, step_for(PLAN, NORTH, stage, {"session": "a" * 64})) == ("refused_by_policy", stage)


@pytest.mark.parametrize("stage", ["share", "mask", "acknowledge", "reveal"])
@pytest.mark.parametrize("content", [{}, {"session": 1}, {"session": "a" * 64, "rows": []}])
def test_content_that_does_not_belong_there_is_refused(group: NodeGroup, stage: Stage, content: object) -> None:
    group.ask(NORTH, request_for(PLAN, NORTH))
    assert group.code(NORTH, step_for(PLAN, NORTH, stage, content)) == ("not_trusted", stage)


def test_steps_come_in_order(group: NodeGroup) -> None:
    led = Sum(group)
    requests = led.until("mask")
    again = Sum(group, attempt=2)
    again.until("share")
    early = requests[NORTH].model_copy(update={"session": again.aggregator.session.digest})
    assert group.code(NORTH, step_for(PLAN, NORTH, "mask", early, attempt=2)) == ("secure_sum_refused", "mask")
    assert charged(group) == 0


@pytest.mark.parametrize("attempt", [0, -1])
def test_attempts_are_counted_from_one(group: NodeGroup, attempt: int) -> None:
    assert group.code(NORTH, request_for(PLAN, NORTH, attempt=attempt)) == ("refused_by_policy", "")


def test_a_plan_without_secure_sums_has_no_secure_steps(tmp_path: Path) -> None:
    local = make_plan()
    with open_service(tmp_path) as service:
        service.handle(plan_message(local), NOW)
        (answer,) = service.handle(step_for(local, "north", "share", {"session": "a" * 64}), NOW)
    assert content(answer)["code"] == "refused_by_policy"


def test_data_that_changed_are_refused_before_the_group_is_formed(group: NodeGroup) -> None:
    group.restart(NORTH)
    source = group.nodes[NORTH].source
    assert isinstance(source, People)
    source.table = people(99)
    assert group.code(NORTH, request_for(PLAN, NORTH)) == ("data_changed", "")
