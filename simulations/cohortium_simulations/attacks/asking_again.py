"""Attacks that ask again: to average the noise away, or to get past the budget."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from cohortium_node.features import study_arrays
from cohortium_node.local.reduce import reduce_round
from cohortium_node.service import NodeService
from cohortium_protocols.canonical import unpack_integers
from cohortium_protocols.plan import Plan
from cohortium_protocols.schedules import schedule
from cohortium_simulations.attacks.finding import Finding
from cohortium_simulations.attacks.target import (
    NOW,
    Tables,
    approved,
    caps,
    charged,
    close_message,
    content,
    fresh,
    node,
    plan,
    reply,
    round_message,
    whole_study,
)
from cohortium_simulations.neighbours import WORST, parameters, people

_SOURCE = Tables({"any": people(WORST, helped=True)})


def averaging_repeats(trials: int) -> Finding:
    """Asks for one round again and again, word for word and with small changes, also after a restart."""
    study = plan()
    with TemporaryDirectory() as name:
        folder = Path(name)
        with node(_SOURCE, caps(), folder) as service:
            approved(service, study)
            first = service.handle(round_message(study, "model_1"), NOW)
            answers = [service.handle(message, NOW) for message in _again(study, trials)]
        with node(_SOURCE, caps(), folder) as service:
            answers += [service.handle(message, NOW) for message in _again(study, trials)]
    new = fresh(answers, first)
    how = (
        f"asked for one round {len(answers)} more times, word for word, as other attempts and with other parameters, "
        f"half of them after a restart: {new} answers with new noise"
    )
    return Finding("averaging repeats", new / len(answers), 0.0, how)


def _again(study: Plan, count: int) -> list[bytes]:
    asked = parameters(schedule(study).round("model_1"))
    nearly = [asked | {"log_scale": 60.0 - 1e-9 * (1 + k)} for k in range(count)]
    return [
        *[round_message(study, "model_1")] * count,
        *(round_message(study, "model_1", attempt=2 + k) for k in range(count)),
        *(round_message(study, "model_1", parameters=each) for each in nearly),
    ]


def tracker(trials: int) -> Finding:
    """Sends study after study until the node lets no more in; then closes all, restarts it and tries again."""
    budget = caps(study=1.0, total=4)
    with TemporaryDirectory() as name:
        folder = Path(name)
        with node(_SOURCE, budget, folder) as service:
            first = _exhausted(service, trials)
        with node(_SOURCE, budget, folder) as service:
            again = _exhausted(service, trials, "restarted")
            spent = charged(folder / "ledger.sqlite")
    score = spent / budget.total
    how = (
        f"{first} of {trials} studies at epsilon 1 were let in before a budget of four was spent, {again} of {trials} "
        f"after closing all and a restart; {score:.3f} of the budget was charged, and nothing left without a charge"
    )
    return Finding("tracker sequence exhausting the budget", score, 1.0, how)


def _exhausted(service: NodeService, trials: int, stem: str = "tracker") -> int:
    studies = [plan(f"{stem}-{number}", epsilon=1.0) for number in range(trials)]
    let_in = 0
    for study in studies:
        let_in += bool(whole_study(service, study))
        reply(service, close_message(study))
    return let_in


def late_node(trials: int) -> Finding:
    """Leaves a node out of a round, then asks it alone, and asks those that answered for a second sum with it in."""
    study = plan()
    with node(_SOURCE, caps()) as prompt, node(_SOURCE, caps()) as late:
        for service in (prompt, late):
            approved(service, study)
        first = prompt.handle(round_message(study, "profile"), NOW)
        alone = late.handle(round_message(study, "profile"), NOW)
        second = [prompt.handle(round_message(study, "profile", attempt=1 + k), NOW) for k in range(trials)]
        thin = _without_noise(alone)
    new = fresh(second, first)
    how = (
        f"a node that was asked after the others answered alone{', without noise' if thin else ', with full noise'}; "
        f"the others, asked {trials} times again for sums that differ in it, gave {new} new answers"
    )
    return Finding("late node", max(float(thin), new / trials), 0.0, how)


def _without_noise(answers: list[bytes]) -> bool:
    """Returns whether a profile came with the exact sums, or without any numbers."""
    vectors = content(answers).get("vectors", {})
    profile = schedule(plan()).round("profile")
    exact = reduce_round(profile, {}, study_arrays(plan(), people(WORST, helped=True)))
    return not vectors or any(np.array_equal(unpack_integers(vectors[name]), exact[name]) for name in exact)
