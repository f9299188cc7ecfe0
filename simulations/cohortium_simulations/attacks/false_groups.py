"""Attacks on who is in a secure sum: strangers on the roster, false keys, one node in two groups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from cohortium_protocols.canonical import canonical_bytes
from cohortium_protocols.secure_sum import Identity, Participant
from cohortium_protocols.secure_sum.messages import Announcements, Deliveries, Said
from cohortium_protocols.signing import Envelope, SigningKey
from cohortium_simulations.attacks.finding import Finding
from cohortium_simulations.attacks.group import HONEST, PINNED, ROSTER, Group, Sum, group, group_plan, took

ATTACKER = SigningKey.generate()


def false_roster(trials: int) -> Finding:
    """Puts nodes of its own on the roster, under names of their own, or in the place of others."""
    del trials
    tries = (_on_the_roster, _in_the_place_of_others)
    tried = [took(answer) for sybils in range(1, len(ROSTER)) for sent in tries for answer in sent(sybils)]
    through, served = sum(tried), _served()
    how = (
        "one to four of five nodes were the coordinator's own, under names of their own or in the place of others: in "
        f"{len(tried)} tries {through} nodes entrusted shares to a group with somebody whose key their custodian had "
        f"not pinned; five that had pinned each other {'did' if served else 'did not'} to their own"
    )
    return Finding("false roster and sybils", through / len(tried) if served else 1.0, 0.0, how)


def _on_the_roster(count: int) -> Iterator[bytes]:
    """Yields what nodes say to a plan's group with so many sybils under names of their own."""
    honest, sybils = ROSTER[:-count], [f"sybil-{number}" for number in range(count)]
    with group(group_plan((*honest, *sybils))) as nodes:
        yield from _asked_to_share(nodes, honest, sybils)


def _in_the_place_of_others(count: int) -> Iterator[bytes]:
    """Yields what nodes say to a group in which so many of those they pinned are sybils with other keys."""
    with group() as nodes:
        yield from _asked_to_share(nodes, ROSTER[:-count], ROSTER[-count:])


def _asked_to_share(nodes: Group, honest: Sequence[str], sybils: Sequence[str]) -> Iterator[bytes]:
    led = Sum(nodes)
    said = [*(led.said(name, "announce") for name in honest), *(_sybil(led, name) for name in sybils)]
    yield from (nodes.step(name, "share", _announcements(led, said)) for name in honest)


def _served() -> bool:
    """Returns whether nodes share in a group of those they pinned: who refuses everything would prove nothing."""
    with group() as nodes:
        led = Sum(nodes)
        led.until("share")
        return all([took(led.said(name, "share")) for name in ROSTER])


def _sybil(led: Sum, name: str) -> bytes:
    return Participant(led.session, Identity(name, SigningKey.generate(), PINNED)).announce()


def _announcements(led: Sum, envelopes: list[bytes]) -> Announcements:
    return Announcements(session=led.session.digest, envelopes=tuple(each.decode() for each in envelopes))


def substituted_mask_keys(trials: int) -> Finding:
    """Replaces the keys that nodes announce by others, to make their pairwise masks itself."""
    with group() as nodes:
        old = _announced(Sum(nodes))
        led = Sum(nodes, attempt=2)
        now = _announced(led)
        tried = [
            nodes.step(victim, "share", false, attempt=2)
            for victim in HONEST
            for false in _substituted(now, old, victim, trials)
        ]
        served = took(led.said(HONEST[0], "share"))
    through = sum(map(took, tried))
    how = (
        f"{len(tried)} announcements had a key of the coordinator's under the old signature or its own, one digit "
        f"altered, or came from another attempt: {through} were believed, the true ones "
        f"{'were' if served else 'were not'} afterwards"
    )
    return Finding("substituted mask keys", through / len(tried) if served else 1.0, 0.0, how)


def _substituted(now: Announcements, old: Announcements, victim: str, trials: int) -> Iterator[Announcements]:
    """Yields what the victim is to get, with another's announcement replaced."""
    for place, envelope in enumerate(now.envelopes):
        true = Envelope.from_bytes(envelope.encode())
        if true.sender == victim:
            continue
        keys = ["ab" * 32, "00" * 32, *_altered(true.content()["mask_key"], trials)]
        bodies = [{**true.content(), field: key} for field in ("mask_key", "share_key") for key in keys]
        forged = [replace(true, body=canonical_bytes(body)) for body in bodies]
        own = [Envelope.sign(true.kind, true.study, true.sender, true.recipient, body, ATTACKER) for body in bodies[:2]]
        texts = [*(each.to_bytes().decode() for each in (*forged, *own)), old.envelopes[place]]
        for text in texts:
            yield now.model_copy(update={"envelopes": (*now.envelopes[:place], text, *now.envelopes[place + 1 :])})


def _altered(key: str, trials: int) -> list[str]:
    places = range(0, len(key), max(1, 400 // trials))
    return [key[:place] + ("0" if key[place] != "0" else "1") + key[place + 1 :] for place in places]


def two_groups(trials: int) -> Finding:
    """Forms two overlapping groups in one attempt, to have two sums that differ in one node."""
    del trials
    pairs = [(one, other) for one in ("", ROSTER[0]) for other in ROSTER if one != other]
    with group() as nodes:
        tried = [each for number, pair in enumerate(pairs) for each in _both(nodes, 2 * number + 1, *pair)]
    through = sum(tried)
    how = (
        f"{len(pairs)} times nodes of one group were asked to share or mask in a second that differs in one node, and "
        f"to go on in an attempt after the next had begun: {through} of {len(tried)} such steps were taken"
    )
    return Finding("two groups", through / len(tried), 0.0, how)


def _both(nodes: Group, attempt: int, one: str, other: str) -> Iterator[bool]:
    """Yields whether nodes took steps in a group without ``other`` after they had in a group without ``one``."""
    everybody = _announced(Sum(nodes, attempt))
    members = [name for name in ROSTER if name != one]
    common = [name for name in members if name != other]
    first, second = (_announced_without(everybody, out) for out in (one, other))
    sealed = {name: Envelope.from_bytes(nodes.step(name, "share", first, attempt)).content() for name in members}
    yield from (took(nodes.step(name, "share", second, attempt)) for name in common)
    for name in common[:-1]:
        given = _delivered(sealed, name)
        served = took(nodes.step(name, "mask", given, attempt))  # who refuses everything would prove nothing
        yield not served or took(nodes.step(name, "mask", delivered_without(given, other), attempt))
    Sum(nodes, attempt + 1).until("share")
    yield took(nodes.step(common[-1], "mask", _delivered(sealed, common[-1]), attempt))


def _delivered(said: Mapping[str, Mapping[str, Any]], name: str) -> Deliveries:
    session = next(iter(said.values()))["session"]
    return Deliveries(session=session, sealed={peer: said[peer]["sealed"][name] for peer in said if peer != name})


def _announced(led: Sum) -> Announcements:
    """Leads an attempt to where everybody gets all announcements; returns these."""
    return Announcements.model_validate(next(iter(led.until("share").values())).body())


def _announced_without(everybody: Announcements, out: str) -> Announcements:
    kept = tuple(each for each in everybody.envelopes if Envelope.from_bytes(each.encode()).sender != out)
    return everybody.model_copy(update={"envelopes": kept})


def delivered_without(said: Said, out: str) -> Deliveries:
    """Returns the shares that a node is to get, but for those of one node."""
    deliveries = Deliveries.model_validate(said.body())
    return deliveries.model_copy(update={"sealed": {k: v for k, v in deliveries.sealed.items() if k != out}})
