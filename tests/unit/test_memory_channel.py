"""The hostile relay in memory: each fault is seen, and nothing that was taken is lost for good."""

from __future__ import annotations

import numpy as np
import pytest

from cohortium_protocols.errors import ChannelError, SignatureError
from cohortium_protocols.signing import Envelope, SigningKey
from cohortium_simulations.memory_channel import Faults, MemoryChannel, MemoryRelay

KEY = SigningKey.generate()
SENT = [Envelope.sign("round", "study", "lab", "north", i, KEY).to_bytes() for i in range(40)]


def received(faults: Faults, seed: int = 1) -> list[bytes]:
    """What north receives when everything is posted one by one and fetched after each."""
    relay = MemoryRelay(faults, np.random.default_rng(seed))
    north, after, arrived = relay.channel("north"), 0, []
    for data in [*SENT, *[b""] * 200]:
        if data:
            relay.post("north", data)
        batch = fetched(north, after)
        arrived += [data for _, data in batch]
        after = batch[-1][0] if batch else after
    return arrived


def fetched(channel: MemoryChannel, after: int) -> list[tuple[int, bytes]]:
    try:
        return channel.fetch(after)
    except ChannelError:
        return []


def test_what_was_withdrawn_comes_no_more_held_back_repeated_or_replayed() -> None:
    relay = MemoryRelay(Faults(delay=0.5, duplicate=0.5, replay=0.5), np.random.default_rng(4))
    for data in SENT:
        relay.post("north", data)
    relay.fetch("north", 0)
    for data in SENT[::2]:
        relay.withdraw(data)
    assert {data for _ in range(40) for _, data in relay.fetch("north", 0)} == set(SENT[1::2])


def test_without_faults_everything_comes_once_in_order() -> None:
    assert received(Faults()) == SENT


@pytest.mark.parametrize("name", ["drop", "delay", "duplicate", "reorder", "tamper", "replay"])
def test_under_every_fault_everything_comes_at_last(name: str) -> None:
    assert set(SENT) <= set(received(Faults(**{name: 0.5})))


def test_delayed_and_reordered_envelopes_come_in_another_order() -> None:
    arrived = received(Faults(delay=0.7, reorder=0.5))
    assert arrived != SENT
    assert sorted(arrived) == sorted(SENT)


def test_duplicates_and_replays_are_copies_of_what_was_sent() -> None:
    for faults in (Faults(duplicate=0.3), Faults(replay=0.3)):
        arrived = received(faults)
        assert len(arrived) > len(SENT)
        assert set(arrived) == set(SENT)


def test_an_altered_copy_never_verifies() -> None:
    altered = [data for data in received(Faults(tamper=0.5)) if data not in SENT]
    assert altered
    for data in altered:
        with pytest.raises(SignatureError):
            Envelope.from_bytes(data).verified({"lab": KEY.public})


def test_a_lost_submission_was_stored_or_not_and_can_be_repeated() -> None:
    relay = MemoryRelay(Faults(drop=0.5), np.random.default_rng(3))
    north = relay.channel("north")
    stored_when_lost = set()
    for i in range(40):
        answer = Envelope.sign("answer", "study", "north", "lab", i, KEY).to_bytes()
        for _ in range(50):
            before = len(relay.fetch("lab", 0))
            try:
                north.submit(answer)
            except ChannelError:
                stored_when_lost.add(len(relay.fetch("lab", 0)) > before)
            else:
                break
    assert len(relay.fetch("lab", 0)) == 40
    assert stored_when_lost == {True, False}


def test_the_same_generator_gives_the_same_faults() -> None:
    faults = Faults(drop=0.2, delay=0.2, duplicate=0.2, reorder=0.2, tamper=0.2, replay=0.2)
    assert received(faults, seed=7) == received(faults, seed=7) != received(faults, seed=8)
