"""Attacks that guess: is this person in the data, was this person helped? The score is the guesser's advantage.

The attacker knows everything about everybody but the one thing it guesses, and knows how the noise is made. Its
advantage (hits less false alarms) is held against 2 Phi(mu / 2) - 1, the most that mu-GDP leaves to anybody.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from cohortium_node.data.table import AnalysisTable
from cohortium_node.features import study_arrays
from cohortium_node.local.reduce import reduce_round
from cohortium_protocols.plan import Plan
from cohortium_protocols.schedules import schedule
from cohortium_simulations.attacks.finding import Finding
from cohortium_simulations.attacks.target import Tables, approved, caps, node, plan, whole_study
from cohortium_simulations.distinguish import Array, best_advantage, evidence
from cohortium_simulations.neighbours import DELTA, WORST, Study, along, parameters, people, shift

RISK = 1e-6
_EPSILON = 4.0

World = Sequence[tuple[Plan, AnalysisTable]]
"""The studies of one node, each with the people that it is about."""


def membership_inference(trials: int) -> Finding:
    """Guesses from everything that one study releases whether a person is in the data."""
    study = plan(epsilon=_EPSILON)
    absent, present = [(study, people(None, helped=True))], [(study, people(WORST, helped=True))]
    mu = math.sqrt(schedule(study).cost("treated"))
    how = f"guessed from every number of a study at epsilon {_EPSILON:g} whether a person helped is in the data at all"
    return _guessed("membership inference: presence", absent, present, mu, trials, how)


def membership_of_a_registered_person(trials: int) -> Finding:
    """Guesses from everything that one study releases whether a registered person was helped."""
    study = plan(epsilon=_EPSILON)
    comparator, helped = ([(study, people(WORST, helped=helped))] for helped in (False, True))
    mu = math.sqrt(schedule(study).mu2_of_membership)
    how = "guessed whether a person known to be in the data was helped: both groups move, at most sqrt(2) mu"
    return _guessed("membership inference: helped or not", comparator, helped, mu, trials, how)


def differencing(trials: int) -> Finding:
    """Studies a cohort with a person and the same cohort without, and takes one answer from the other."""
    first, second = plan("with", _EPSILON), plan("without", _EPSILON)
    nobody = people(None, helped=True)
    absent = [(first, nobody), (second, nobody)]
    present = [(first, people(WORST, helped=True)), (second, people(WORST, helped=False))]
    mu = math.sqrt(schedule(first).mu2 + schedule(second).mu2)
    allowed = _studies_allowed(3)
    how = (
        f"two cohorts that differ in one person, each at epsilon {_EPSILON:g}: every study has noise of its own and "
        f"is charged; a budget of two such studies let {allowed} of 3 in"
    )
    finding = _guessed("differencing two cohorts", absent, present, mu, trials, how)
    return finding if allowed == 2 else Finding(finding.name, 1.0, finding.bound, how)


def _studies_allowed(asked: int) -> int:
    source = Tables({"any": people(None, helped=True)})
    with node(source, caps(study=_EPSILON, total=2)) as service:
        return sum(approved(service, plan(f"cohort-{number}", _EPSILON)) for number in range(asked))


def _guessed(name: str, first: World, second: World, mu: float, trials: int, how: str) -> Finding:
    exact = [_exact(world) for world in (first, second)]
    seen = [[_seen(world) for _ in range(trials)] for world in (first, second)]
    columns, lengths = [], []
    for index, (study, _) in enumerate(first):
        for spec, vector in schedule(study).vectors():
            moved = shift(exact[0][index], exact[1][index], spec, vector)
            columns.append([along([studies[index] for studies in side], spec, vector, moved) for side in seen])
            lengths.append(float(np.linalg.norm(moved)))
    without, present = (np.column_stack([pair[side] for pair in columns]) for side in (0, 1))
    return _finding(name, without, present, np.array(lengths), mu, how)


def _finding(name: str, without: Array, present: Array, lengths: Array, mu: float, how: str) -> Finding:
    found = evidence(without, present, lengths, delta=DELTA, risk=RISK)
    most, chance = best_advantage(mu), 2 / math.sqrt(2 * len(without))
    said = (
        f"{how}; advantage {found.counted:.2f}, give or take {chance:.2f} by chance, of at most {most:.2f} "
        f"in {len(without)} trials a side"
    )
    return Finding(name, max(found.counted, 0.0), most, said, chance_free=found.advantage)


def _exact(world: World) -> list[Study]:
    return [
        {
            spec.name: reduce_round(spec, parameters(spec), study_arrays(study, table))
            for spec in schedule(study).rounds
        }
        for study, table in world
    ]


def _seen(world: World) -> list[Study]:
    """Returns what a new node releases of every study in turn."""
    with node(Tables({study.study: table for study, table in world}), caps()) as service:
        return [whole_study(service, study) for study, _ in world]
