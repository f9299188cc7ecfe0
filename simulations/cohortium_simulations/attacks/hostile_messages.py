"""Attacks with messages: replayed, altered, forged, or for more than was approved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from cohortium_protocols.schedules import schedule
from cohortium_protocols.signing import SigningKey
from cohortium_simulations.attacks.finding import Finding
from cohortium_simulations.attacks.target import (
    NOW,
    Tables,
    approved,
    caps,
    close_message,
    fresh,
    node,
    plan,
    plan_message,
    reply,
    round_message,
)
from cohortium_simulations.neighbours import WORST, people

_SOURCE = Tables({"any": people(WORST, helped=True)})


def altering_plans(trials: int) -> Finding:
    """Sends plans with altered bytes, forged signatures, and schedules or privacy that are not the plan's."""
    with node(_SOURCE, caps(study=4.0)) as service:
        tried = [*_flipped(plan_message(plan("flipped")), trials), *_forged(), *_dishonest()]
        accepted = sum(reply(service, message).get("decision") == "approved" for message in tried)
    how = (
        f"{len(tried)} plans: one byte altered, signed by a stranger, for another node, without noise, with less noise "
        f"than the plan needs, over the cap; {accepted} were let in"
    )
    return Finding("altering plans", accepted / len(tried), 0.0, how)


def _flipped(honest: bytes, count: int) -> Iterator[bytes]:
    places = np.linspace(0, len(honest) - 1, count).astype(int)
    return (honest[:place] + bytes([honest[place] ^ 1]) + honest[place + 1 :] for place in places)


def _forged() -> list[bytes]:
    stranger = SigningKey.generate()
    return [plan_message(plan("forged"), stranger), plan_message(plan("forged"), recipient="two")]


def _dishonest() -> list[bytes]:
    wanted = plan("dishonest")
    less = [_less_noise(dict(each)) for each in schedule(wanted).declaration()]
    return [
        plan_message(wanted, schedule=less),
        plan_message(wanted, schedule=[]),
        plan_message(plan("dishonest", noise=False)),
        plan_message(plan("dishonest", epsilon=9.0)),
    ]


def _less_noise(declared: dict[str, Any]) -> Mapping[str, Any]:
    return declared | {"vectors": [dict(vector) | {"sigma": vector["sigma"] / 2} for vector in declared["vectors"]]}


def replaying_plans(trials: int) -> Finding:
    """Replays a plan and its rounds after the study was closed, and sends other plans under its name."""
    study = plan("replayed")
    others = [plan("replayed", 2.0 + number / trials) for number in range(trials)]
    with node(_SOURCE, caps()) as service:
        approved(service, study)
        kept = service.handle(round_message(study, "profile"), NOW)
        reply(service, close_message(study))
        opened = [approved(service, each) for each in (study, *others)]
        answers = [service.handle(round_message(study, spec.name), NOW) for spec in schedule(study).rounds]
    new = fresh(answers, kept)
    how = (
        f"after a study was closed its plan, {trials} other plans of its name and each of its rounds were sent again: "
        f"{sum(opened)} were opened, {new} answers were new; the one given before came back as the same bytes"
    )
    return Finding("replaying plans", (sum(opened) + new) / (len(opened) + len(answers)), 0.0, how)
