"""The two state machines on their own: order, restarts, what is late, what is false."""

from __future__ import annotations

import numpy as np
import pytest
from secure_group import Group, identity_key, session

from cohortium_protocols.errors import (
    BY_CODE,
    ReplayError,
    SecureSumRefused,
    SignatureError,
    StorageError,
    SumNotRecovered,
    TrustError,
)
from cohortium_protocols.secure_sum import Aggregator, Identity, Participant, Rules, Secrets
from cohortium_protocols.secure_sum.messages import (
    STAGES,
    Acknowledgements,
    Announcement,
    Announcements,
    Deliveries,
    Reveal,
    SealedShares,
    SurvivorList,
    opened,
    signed,
)
from cohortium_protocols.signing import Envelope, SigningKey

RULES = Rules(5, 1, 1)


@pytest.fixture
def group() -> Group:
    return Group(session(RULES, dimension=8))


# A node


@pytest.mark.parametrize("crashes", range(len(STAGES)))
def test_a_node_that_restarts_after_any_step_says_the_same_bytes_again_and_goes_on(group: Group, crashes: int) -> None:
    node = group.session.roster[0]
    requests: dict = dict.fromkeys(group.session.roster)
    for number, stage in enumerate(STAGES):
        first = {each: group.step(each, stage, requests[each]) for each in requests}
        if number == crashes:
            group.nodes[node] = group.participant(node, group.nodes[node].secrets.to_bytes())
            assert group.nodes[node].said(stage) == first[node]
            assert group.step(node, stage, requests[node]) == first[node]
        assert all(group.aggregator.take(message) for message in first.values())
        requests = group.aggregator.close()
    assert np.array_equal(group.aggregator.total.values, group.expected(group.session.roster))


def test_a_node_that_restarts_before_a_step_says_what_it_would_have_said(group: Group) -> None:
    requests = group.run(until="mask")
    node = group.session.roster[0]
    again = group.participant(node, group.nodes[node].secrets.to_bytes())
    assert again.mask(requests[node], group.vectors[node]) == group.step(node, "mask", requests[node])


def test_the_same_input_again_is_free(group: Group) -> None:
    requests = group.run(until="acknowledge")
    node = group.session.roster[0]
    before = group.step(node, "acknowledge", requests[node]), group.nodes[node].secrets
    turned = requests[node].model_copy(update={"alive": requests[node].alive[::-1]})
    assert (group.step(node, "acknowledge", turned), group.nodes[node].secrets) == before


def test_a_refused_step_changes_nothing(group: Group) -> None:
    requests = group.run(until="mask")
    node = group.nodes[group.session.roster[0]]
    before = node.secrets.to_bytes()
    with pytest.raises(SecureSumRefused, match="not 8 whole numbers"):
        node.mask(requests[group.session.roster[0]], np.zeros(7, dtype=np.int64))
    with pytest.raises(SecureSumRefused, match="not 8 whole numbers"):
        node.mask(requests[group.session.roster[0]], np.zeros(8))  # type: ignore[arg-type]
    assert node.secrets.to_bytes() == before


def test_steps_cannot_be_taken_out_of_order(group: Group) -> None:
    node, sum_digest = group.nodes[group.session.roster[0]], group.session.digest
    early = [
        lambda: node.share(Announcements(session=sum_digest, envelopes=())),
        lambda: node.mask(Deliveries(session=sum_digest, sealed={}), np.zeros(8, dtype=np.int64)),
        lambda: node.acknowledge(SurvivorList(session=sum_digest, alive=group.session.roster, dead=())),
        lambda: node.reveal(Acknowledgements(session=sum_digest, envelopes=())),
    ]
    for step in early:
        with pytest.raises(SecureSumRefused, match="before the step it follows"):
            step()


def test_secrets_are_not_shown_when_they_are_printed_or_damaged(group: Group) -> None:
    group.run(until="acknowledge")
    secrets = group.nodes[group.session.roster[0]].secrets
    hidden = [secrets.own_seed, secrets.mask_seed, secrets.share_seed, *(held.own for held in secrets.held.values())]
    assert not any(seed in repr(secrets) for seed in hidden)
    damaged = secrets.to_bytes().replace(b'"node"', b'"nodo"')
    with pytest.raises(StorageError) as fault:
        Secrets.from_bytes(damaged)
    assert not any(seed in f"{fault.value!r} {fault.value.__cause__!r}" for seed in hidden)


def test_a_node_off_the_roster_takes_no_part(group: Group) -> None:
    with pytest.raises(SecureSumRefused, match="not on the roster"):
        Participant(group.session, Identity("elsewhere", SigningKey.generate(), group.pins))


# The coordinator


@pytest.mark.parametrize(("field", "lost_at"), [("shares_of_own", 4), ("shares_of_key", 2)])
def test_a_share_that_was_revealed_falsely_is_noticed_by_what_was_announced(field: str, lost_at: int) -> None:
    group = Group(session(RULES))
    silent, liar = group.session.roster[:2]
    requests = group.run(until="reveal", lost={silent: lost_at})
    for node in sorted(requests.keys() - {silent}):
        message = group.step(node, "reveal", requests[node])
        if node == liar:
            body = opened(group.session, message, Reveal, group.pins)[1]
            false = body.model_copy(update={field: {**getattr(body, field), silent: "00" * 16}})
            message = signed(group.session, liar, false, identity_key(liar))
        assert group.aggregator.take(message)
    with pytest.raises(SumNotRecovered, match=f"mask of '{silent}'") as failure:
        group.aggregator.close()
    assert (failure.value.stage, failure.value.charged) == ("reveal", group.session.roster)
    assert group.aggregator.total is None


@pytest.mark.parametrize(
    "change", [{"study": "another"}, {"recipient": "elsewhere"}, {"kind": "secure_reveal"}], ids=lambda c: next(iter(c))
)
def test_what_was_signed_for_another_purpose_is_refused(group: Group, change: dict[str, str]) -> None:
    node = group.session.roster[0]
    true = Envelope.from_bytes(group.nodes[node].announce())
    said = {"kind": true.kind, "study": true.study, "recipient": true.recipient} | change
    other = Envelope.sign(said["kind"], said["study"], node, said["recipient"], true.content(), identity_key(node))
    with pytest.raises(TrustError, match="something else"):
        opened(group.session, other.to_bytes(), Announcement, group.pins)


def test_the_coordinator_takes_nothing_that_cannot_be_right(group: Group) -> None:
    requests = group.run(until="share")
    node = group.session.roster[0]
    message = group.step(node, "share", requests[node])
    shares = opened(group.session, message, SealedShares, group.pins)[1]
    partial = shares.model_copy(update={"sealed": dict(list(shares.sealed.items())[:2])})
    with pytest.raises(TrustError, match="cannot be right"):
        group.aggregator.take(signed(group.session, node, partial, identity_key(node)))
    with pytest.raises(SignatureError):
        group.aggregator.take(signed(group.session, node, shares, SigningKey.generate()))
    with pytest.raises(TrustError, match="none that nodes send"):
        group.aggregator.take(Envelope.sign("answer", "befriending", node, "lab", {}, identity_key(node)).to_bytes())
    assert group.aggregator.take(message)
    assert not group.aggregator.take(message)
    with pytest.raises(ReplayError):
        group.aggregator.take(signed(group.session, node, partial, identity_key(node)))


def test_what_is_late_does_not_count(group: Group) -> None:
    late = group.session.roster[0]
    requests = group.run(until="mask")
    said = {node: group.step(node, "mask", requests[node]) for node in requests}
    assert all(group.aggregator.take(said[node]) for node in list(requests)[1:])
    assert group.aggregator.waiting_for == (late,)
    group.aggregator.close()
    assert not group.aggregator.take(said[late])
    assert group.aggregator.waiting_for == group.session.roster[1:]


def test_the_coordinator_comes_to_the_same_end_when_it_hears_everything_again(group: Group) -> None:
    group.run()
    again = Aggregator(group.session, group.pins)
    for stage in STAGES:
        assert all(again.take(group.nodes[node].said(stage)) for node in group.session.roster)
        again.close()
    assert np.array_equal(again.total.values, group.aggregator.total.values)
    assert (again.stage, again.close(), again.take(b"")) == (None, {}, False)


def test_every_failure_has_a_word_on_the_wire() -> None:
    words = {"secure_sum_refused", "secure_sum_failed", "too_few_nodes", "sum_not_recovered"}
    assert words <= BY_CODE.keys()
