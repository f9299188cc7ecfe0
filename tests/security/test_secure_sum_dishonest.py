"""A coordinator that cheats gets a refusal, and learns nothing it should not.

Each test is one move. The group is five honest nodes that tolerate one loss and assume one colluder, unless said.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from secure_group import Group, identity_key, session

from cohortium_protocols.canonical import canonical_bytes, unpack_integers
from cohortium_protocols.errors import ReplayError, SecureSumRefused, SignatureError, TrustError
from cohortium_protocols.secure_sum import Identity, Participant, Rules
from cohortium_protocols.secure_sum.aggregator import Requests
from cohortium_protocols.secure_sum.messages import (
    Acknowledgement,
    Acknowledgements,
    Announcement,
    Announcements,
    Deliveries,
    MaskedVector,
    Reveal,
    SurvivorList,
    opened,
    signed,
)
from cohortium_protocols.signing import Envelope, SigningKey

RULES = Rules(5, 1, 1)


@pytest.fixture
def group() -> Group:
    return Group(session(RULES, dimension=8))


def survivor_list(group: Group, alive: tuple[str, ...], dead: tuple[str, ...] = ()) -> SurvivorList:
    return SurvivorList(session=group.session.digest, alive=alive, dead=dead)


def masked(group: Group) -> Requests:
    """Runs to where everybody has masked; returns the honest list for each."""
    return group.run(until="acknowledge")


def acknowledgements(group: Group, survivors: SurvivorList, *nodes: str) -> Acknowledgements:
    envelopes = tuple(group.nodes[node].acknowledge(survivors).decode() for node in nodes)
    return Acknowledgements(session=group.session.digest, envelopes=envelopes)


def forged(group: Group, survivors: SurvivorList, node: str, key: SigningKey | None = None) -> str:
    """An acknowledgement as a node that works with the coordinator would make it."""
    body = Acknowledgement(session=group.session.digest, survivors=survivors.digest)
    return signed(group.session, node, body, key or identity_key(node)).decode()


# Who is in the group


def replaced(announcements: Announcements, position: int, envelope: str) -> Announcements:
    envelopes = list(announcements.envelopes)
    envelopes[position] = envelope
    return announcements.model_copy(update={"envelopes": tuple(envelopes)})


def test_substituted_mask_keys_are_refused(group: Group) -> None:
    requests = group.run(until="share")
    node = group.session.roster[0]
    theirs = SigningKey.generate()
    true = Envelope.from_bytes(requests[node].envelopes[1].encode())
    fake = {**true.content(), "mask_key": "ab" * 32}
    resigned = Envelope.sign(true.kind, true.study, true.sender, true.recipient, fake, theirs)
    patched = replace(true, body=canonical_bytes(fake))
    for envelope in (resigned.to_bytes().decode(), patched.to_bytes().decode()):
        with pytest.raises(SignatureError, match="does not fit"):
            group.nodes[node].share(replaced(requests[node], 1, envelope))


def test_a_sybil_that_is_on_the_roster_but_not_pinned_is_refused(group: Group) -> None:
    requests = group.run(until="share")
    node, sybil = group.session.roster[:2]
    careful = {name: key for name, key in group.pins.items() if name != sybil}
    participant = Participant(group.session, Identity(node, identity_key(node), careful), group.nodes[node].secrets)
    with pytest.raises(SignatureError, match="not pinned"):
        participant.share(requests[node])


def test_a_pinned_name_that_is_not_on_the_roster_is_refused(group: Group) -> None:
    requests = group.run(until="share")
    node = group.session.roster[0]
    body = opened(group.session, requests[node].envelopes[1].encode(), Announcement, group.pins)[1]
    stranger = SigningKey.generate()
    envelope = Envelope.sign("secure_announcement", "befriending", "stranger", "lab", body.body(), stranger)
    participant = Participant(
        group.session,
        Identity(node, identity_key(node), {**group.pins, "stranger": stranger.public}),
        group.nodes[node].secrets,
    )
    with pytest.raises(SignatureError, match="not on the roster"):
        participant.share(replaced(requests[node], 1, envelope.to_bytes().decode()))


def test_one_key_pinned_for_two_names_is_refused(group: Group) -> None:
    node, one, other = group.session.roster[:3]
    with pytest.raises(SecureSumRefused, match="same key"):
        Participant(group.session, Identity(node, identity_key(node), {**group.pins, one: group.pins[other]}))


def test_a_group_below_the_floor_gets_no_shares_and_no_masked_vector(group: Group) -> None:
    requests = group.run(until="share")
    node = group.session.roster[0]
    few = requests[node].model_copy(update={"envelopes": requests[node].envelopes[:3]})
    with pytest.raises(SecureSumRefused, match="Only 3 nodes announced themselves; this secure sum needs 4"):
        group.nodes[node].share(few)
    for each in requests:
        group.aggregator.take(group.step(each, "share", requests[each]))
    deliveries = group.aggregator.close()[node]
    lone = deliveries.model_copy(update={"sealed": dict(list(deliveries.sealed.items())[:2])})
    with pytest.raises(SecureSumRefused, match="Only 3 nodes shared"):
        group.nodes[node].mask(lone, group.vectors[node])


def test_a_node_that_is_counted_twice_or_left_out_of_its_own_group_refuses(group: Group) -> None:
    requests = group.run(until="share")
    node = group.session.roster[0]
    envelopes = requests[node].envelopes
    with pytest.raises(SecureSumRefused, match="twice"):
        group.nodes[node].share(requests[node].model_copy(update={"envelopes": (*envelopes, envelopes[1])}))
    with pytest.raises(SecureSumRefused, match="own announcement is missing"):
        group.nodes[node].share(requests[node].model_copy(update={"envelopes": envelopes[1:]}))


# Shares on their way


def delivered(group: Group) -> tuple[str, Deliveries]:
    requests = group.run(until="mask")
    node = group.session.roster[0]
    return node, requests[node]


@pytest.mark.parametrize("place", [0, 30, 119])
def test_altered_shares_are_refused(group: Group, place: int) -> None:
    node, deliveries = delivered(group)
    sender = group.session.roster[1]
    text = deliveries.sealed[sender]
    other = "0" if text[place] != "0" else "1"
    sealed = {**deliveries.sealed, sender: text[:place] + other + text[place + 1 :]}
    with pytest.raises(SecureSumRefused, match="altered"):
        group.nodes[node].mask(deliveries.model_copy(update={"sealed": sealed}), group.vectors[node])


def test_shares_of_one_node_cannot_be_passed_off_as_those_of_another(group: Group) -> None:
    node, deliveries = delivered(group)
    one, other = group.session.roster[1:3]
    sealed = {**deliveries.sealed, one: deliveries.sealed[other], other: deliveries.sealed[one]}
    with pytest.raises(SecureSumRefused, match="altered"):
        group.nodes[node].mask(deliveries.model_copy(update={"sealed": sealed}), group.vectors[node])


def test_shares_from_somebody_who_had_not_announced_itself_are_refused() -> None:
    group = Group(session(RULES))
    node, late = group.session.roster[0], group.session.roster[4]
    requests = group.run(until="mask", lost={late: 0})
    deliveries = requests[node]
    sealed = {**deliveries.sealed, late: deliveries.sealed[group.session.roster[1]]}
    with pytest.raises(SecureSumRefused, match="had not announced itself"):
        group.nodes[node].mask(deliveries.model_copy(update={"sealed": sealed}), group.vectors[node])


# Lists of survivors


def test_a_second_list_is_refused_and_nothing_is_revealed_ever_after(group: Group) -> None:
    masked(group)
    roster = group.session.roster
    first, second = survivor_list(group, roster), survivor_list(group, roster[:4], roster[4:])
    complete = acknowledgements(group, first, *roster)
    with pytest.raises(ReplayError):
        group.nodes[roster[0]].acknowledge(second)
    kept = group.nodes[roster[0]].secrets.to_bytes()
    for participant in (group.nodes[roster[0]], group.participant(roster[0], kept)):
        with pytest.raises(SecureSumRefused, match="two lists"):
            participant.reveal(complete)
        assert participant.said("reveal") is None


def test_re_summing_with_another_survivor_set_is_refused_after_a_finished_sum() -> None:
    group = Group(session(RULES))
    group.total()
    roster = group.session.roster
    smaller = survivor_list(group, roster[:4], roster[4:])
    for node in roster[:4]:
        with pytest.raises(ReplayError):
            group.nodes[node].acknowledge(smaller)
        with pytest.raises(SecureSumRefused):
            group.nodes[node].reveal(acknowledgements_of(group, smaller))


def acknowledgements_of(group: Group, survivors: SurvivorList) -> Acknowledgements:
    envelopes = tuple(forged(group, survivors, node) for node in survivors.alive)
    return Acknowledgements(session=group.session.digest, envelopes=envelopes)


@pytest.mark.parametrize(
    ("alive", "dead", "why"),
    [
        ("01234", "4", "names a node twice"),
        ("012344", "", "names a node twice"),
        ("0123", "44", "names a node twice"),
        ("012", "34", "Only 3 nodes are alive"),
        ("0123", "", "exactly the nodes that shared"),
        ("01234x", "", "exactly the nodes that shared"),
        ("1234", "0", "gives this node up for lost"),
    ],
)
def test_a_list_that_breaks_the_rules_is_refused(group: Group, alive: str, dead: str, why: str) -> None:
    masked(group)
    names = {str(i): node for i, node in enumerate(group.session.roster)} | {"x": "sybil"}
    node = group.nodes[group.session.roster[0]]
    bad = survivor_list(group, tuple(names[c] for c in alive), tuple(names[c] for c in dead))
    with pytest.raises(SecureSumRefused, match=why):
        node.acknowledge(bad)
    assert node.said("acknowledge") is None


@given(st.lists(st.sampled_from(["alive", "dead", "both", "neither"]), min_size=5, max_size=5))
@settings(max_examples=60)
def test_only_a_true_partition_with_this_node_alive_and_enough_others_is_acknowledged(fates: list[str]) -> None:
    group = _MASKED()
    node = group.participant(group.session.roster[0], _KEPT())
    by_fate = {fate: [n for n, f in zip(group.session.roster, fates, strict=True) if f in (fate, "both")]
               for fate in ("alive", "dead")}  # fmt: skip
    listed = survivor_list(group, tuple(by_fate["alive"]), tuple(by_fate["dead"]))
    good = set(fates) <= {"alive", "dead"} and fates[0] == "alive" and fates.count("alive") >= 4
    if good:
        assert node.acknowledge(listed)
    else:
        with pytest.raises(SecureSumRefused):
            node.acknowledge(listed)


def _once(make: Callable[[], object]) -> Callable[[], object]:
    made: list[object] = []
    return lambda: made[0] if made else made.append(make()) or made[0]


def _group_after_masking() -> Group:
    group = Group(session(RULES))
    masked(group)
    return group


_MASKED = _once(_group_after_masking)
_KEPT = _once(lambda: _MASKED().nodes["node-000"].secrets.to_bytes())


@pytest.mark.parametrize("votes", list(product([0, 1], repeat=3)))
def test_two_lists_can_never_both_be_completed_even_with_a_colluder_that_signs_both(votes: tuple[int, ...]) -> None:
    group = _group_after_masking()
    *honest, colluder = group.session.roster
    lists = (survivor_list(group, (*honest, colluder)), survivor_list(group, (*honest[:3], colluder), (honest[3],)))
    vote = dict(zip(honest, (*votes, 0), strict=True))  # the last is dead in the second list
    said = {node: group.nodes[node].acknowledge(lists[vote[node]]).decode() for node in honest}
    completed = set()
    for node, number in product(honest, (0, 1)):
        signatures = [said[other] for other in honest if vote[other] == number]
        proof = (*signatures, forged(group, lists[number], colluder))
        try:
            group.nodes[node].reveal(Acknowledgements(session=group.session.digest, envelopes=proof))
        except (SecureSumRefused, ReplayError):
            continue
        assert number == vote[node]
        completed.add(number)
    assert len(completed) == (0 if sum(votes) == 2 else 1)


# Acknowledgements


def test_too_few_acknowledgements_reveal_nothing(group: Group) -> None:
    masked(group)
    roster = group.session.roster
    everybody = survivor_list(group, roster)
    few = acknowledgements(group, everybody, *roster[:3])
    with pytest.raises(SecureSumRefused, match="Only 3 nodes acknowledged .* needs 4"):
        group.nodes[roster[0]].reveal(few)
    repeated = few.model_copy(update={"envelopes": (*few.envelopes, few.envelopes[0])})
    with pytest.raises(SecureSumRefused, match="twice"):
        group.nodes[roster[0]].reveal(repeated)


def test_acknowledgements_of_another_list_or_by_the_dead_do_not_count(group: Group) -> None:
    masked(group)
    roster = group.session.roster
    mine = survivor_list(group, roster[:4], roster[4:])
    other = survivor_list(group, roster)
    said = acknowledgements(group, mine, *roster[:3])
    for envelope in (forged(group, other, roster[3]), forged(group, mine, roster[4])):
        proof = said.model_copy(update={"envelopes": (*said.envelopes, envelope)})
        with pytest.raises(SecureSumRefused, match="of the list that this node knows"):
            group.nodes[roster[0]].reveal(proof)
    unsigned = said.model_copy(
        update={"envelopes": (*said.envelopes, forged(group, mine, roster[3], SigningKey.generate()))}
    )
    with pytest.raises(SignatureError):
        group.nodes[roster[0]].reveal(unsigned)


def test_of_every_peer_one_secret_is_revealed_and_it_is_the_right_one() -> None:
    group = Group(session(RULES))
    dead = group.session.roster[4]
    requests = group.run(until="reveal", lost={dead: 2})
    for node in requests:
        body = opened(group.session, group.step(node, "reveal", requests[node]), Reveal, group.pins)[1]
        kept = group.nodes[node].secrets
        assert set(body.shares_of_own).isdisjoint(body.shares_of_key)
        assert body.shares_of_key == {dead: kept.held[dead].key}
        assert body.shares_of_own == {peer: kept.held[peer].own for peer in requests if peer != node}
        assert kept.mask_seed not in group.nodes[node].said("reveal").decode()


# Replay


def test_an_attempt_cannot_be_replayed_with_other_input(group: Group) -> None:
    requests = group.run(until="mask")
    node = group.session.roster[0]
    participant = group.nodes[node]
    participant.mask(requests[node], group.vectors[node])
    with pytest.raises(ReplayError, match="other input"):
        participant.mask(requests[node], group.vectors[node] + 1)
    fewer = requests[node].model_copy(update={"sealed": dict(list(requests[node].sealed.items())[:3])})
    with pytest.raises(ReplayError, match="other input"):
        participant.mask(fewer, group.vectors[node])


@pytest.mark.parametrize("change", [{"attempt": 2}, {"request_digest": "c" * 64}, {"round": "outcome"}])
def test_messages_of_one_attempt_are_refused_in_another(group: Group, change: dict[str, object]) -> None:
    requests = group.run(until="share")
    other = Group(session(RULES, dimension=8, **change))  # type: ignore[arg-type]
    node = group.session.roster[0]
    other.nodes[node].announce()
    with pytest.raises(TrustError, match="another secure sum"):
        other.nodes[node].share(requests[node])
    disguised = requests[node].model_copy(update={"session": other.session.digest})
    with pytest.raises(TrustError, match="another secure sum"):
        other.nodes[node].share(disguised)
    with pytest.raises(SecureSumRefused, match="another secure sum"):
        other.participant(node, group.nodes[node].secrets.to_bytes())


def test_the_same_vector_masked_in_two_attempts_gives_unrelated_bytes() -> None:
    seen = []
    for attempt in (1, 2):
        group = Group(session(RULES, dimension=1000, attempt=attempt))
        requests = group.run(until="mask")
        node = group.session.roster[0]
        body = opened(group.session, group.step(node, "mask", requests[node]), MaskedVector, group.pins)[1]
        seen.append(unpack_integers(body.values))
    assert not (seen[0] == seen[1]).any()
