"""Attacks with lists of survivors: another list after the sum, and two lists in one attempt.

The sums of two lists that differ in one node, with the same noise, differ by what that node alone sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np

from cohortium_node.features import study_arrays
from cohortium_node.local.reduce import reduce_round
from cohortium_protocols.privacy.distributed import node_sigma
from cohortium_protocols.schedules import schedule
from cohortium_protocols.secure_rounds import joined, rules_of
from cohortium_protocols.secure_sum import Session
from cohortium_protocols.secure_sum.messages import (
    Acknowledgement,
    Acknowledgements,
    SurvivorList,
    signed,
)
from cohortium_simulations.attacks.false_groups import delivered_without
from cohortium_simulations.attacks.finding import Finding
from cohortium_simulations.attacks.group import COLLUDER, HONEST, KEYS, ROSTER, ROUND, SOURCE, Group, Sum, group, took
from cohortium_simulations.neighbours import parameters, sigmas

_MOST_SUMS = 16
_HALFWAY = 3.0
"""Between the noise of one node (1) and that of five and four nodes together (9), as ratios."""


def resumming(trials: int) -> Finding:
    """Opens the sum of one list, then asks for that of another: in the same attempt, and in one of its own."""
    with group() as nodes:
        lost = ("", HONEST[-1])
        asked = [each for number, name in enumerate(lost, start=1) for each in _another_list(nodes, number, name)]
        left = _noise_left(nodes, range(len(lost) + 1, len(lost) + 1 + min(trials, _MOST_SUMS)))
    reused = left < _HALFWAY
    how = (
        f"after sums with and without a lost node, nodes were asked {len(asked)} times to open another list or to mask "
        f"again what they had masked: {sum(asked)} did; new attempts with a node left out differ from those with it "
        f"by its vector and {left:.1f} times its noise (9 when all noise is new, 1 if it were used again)"
    )
    return Finding("re-summing after a dropout", (sum(asked) + reused) / (len(asked) + 1), 0.0, how)


def _another_list(nodes: Group, attempt: int, lost: str) -> Iterator[bool]:
    """Yields whether a node helped with anything but the list whose sum was opened."""
    led = Sum(nodes, attempt)
    deliveries = led.until("mask")
    led.total(lost)
    for left_out in (name for name in HONEST if name != lost):
        other = _list(led.session, left_out)
        for name in (each for each in HONEST if each not in (lost, left_out)):
            acknowledged = nodes.step(name, "acknowledge", other, attempt)
            yield took(acknowledged)
            yield took(nodes.step(name, "reveal", _acknowledgements(led.session, other, [acknowledged]), attempt))
            yield took(nodes.step(name, "mask", delivered_without(deliveries[name], left_out), attempt))


def _noise_left(nodes: Group, attempts: Sequence[int]) -> float:
    """Returns how much noise is on one node's figures in the difference of two attempts, in shares of one node."""
    spec = schedule(nodes.plan).round(ROUND)
    arrays = study_arrays(nodes.plan, SOURCE.analysis_table(nodes.plan))
    exact = joined(spec, reduce_round(spec, parameters(spec), arrays))
    rules = rules_of(nodes.plan)
    declared = np.concatenate([sigmas(vector) for vector in spec.vectors])
    share = np.array([node_sigma(float(sigma), rules) for sigma in declared])
    pairs = zip(attempts[::2], attempts[1::2], strict=False)
    moved = [_left_out(nodes, first, second) - exact for first, second in pairs]
    return float(np.mean((np.array(moved) / share) ** 2))


def _left_out(nodes: Group, first: int, second: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    left_out = HONEST[second % len(HONEST)]
    return Sum(nodes, first).total().values - Sum(nodes, second).total(left_out).values


def inconsistent_survivor_lists(trials: int) -> Finding:
    """Shows different lists of survivors to different nodes, and acknowledges both as the node that colludes."""
    victim, *others = HONEST
    ways = [way for way in product((True, False), repeat=len(others)) if not all(way)][: max(trials, 1)]
    with group() as nodes:
        opened = [_both_opened(nodes, number, victim, way) for number, way in enumerate(ways, start=1)]
    wrong = [each for pair in opened for each in pair]
    how = (
        f"in {len(ways)} attempts some nodes were told that another is alive and the rest that it is lost, then each "
        f"the other list, while a colluding node acknowledged both: {sum(wrong)} times both lists were opened, or a "
        "node that had seen both revealed anything"
    )
    return Finding("inconsistent survivor lists", sum(wrong) / len(wrong), 0.0, how)


def _both_opened(nodes: Group, attempt: int, victim: str, alive: Sequence[bool]) -> tuple[bool, bool]:
    """Returns whether both of two lists were opened, and whether a node revealed after it saw the other list too."""
    led = Sum(nodes, attempt)
    led.until("acknowledge")
    lists = (_list(led.session), _list(led.session, victim))
    told = {victim: 0} | {name: int(not each) for name, each in zip(HONEST[1:], alive, strict=True)}
    said = {name: nodes.step(name, "acknowledge", lists[which], attempt) for name, which in told.items()}
    proofs = [
        _acknowledgements(led.session, each, [said[name] for name in told if told[name] == which])
        for which, each in enumerate(lists)
    ]
    opened = {which for name, which in told.items() if took(nodes.step(name, "reveal", proofs[which], attempt))}
    silent = [name for name, which in told.items() if which not in opened]
    return len(opened) == 2, any([_after_both(nodes, attempt, name, lists, proofs, told[name]) for name in silent])


def _after_both(
    nodes: Group,
    attempt: int,
    name: str,
    lists: Sequence[SurvivorList],
    proofs: Sequence[Acknowledgements],
    first: int,
) -> bool:
    """Returns whether a node that acknowledged one list acknowledges the other, or reveals anything after it."""
    again = nodes.step(name, "acknowledge", lists[1 - first], attempt)
    return took(again) or any([took(nodes.step(name, "reveal", proof, attempt)) for proof in proofs])


def _list(session: Session, dead: str = "") -> SurvivorList:
    alive = tuple(name for name in ROSTER if name != dead)
    return SurvivorList(session=session.digest, alive=alive, dead=(dead,) if dead else ())


def _acknowledgements(session: Session, survivors: SurvivorList, said: Sequence[bytes]) -> Acknowledgements:
    """Returns those acknowledgements that were given, and the colluder's, which signs anything."""
    body = Acknowledgement(session=session.digest, survivors=survivors.digest)
    false = signed(session, COLLUDER, body, KEYS[COLLUDER])
    envelopes = tuple(each.decode() for each in (*said, false) if took(each))
    return Acknowledgements(session=session.digest, envelopes=envelopes)
