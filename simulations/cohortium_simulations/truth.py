"""The truth of a world: what help did to the people analysed, from many draws of their potential outcomes.

For each analysed person, given the person's own rates of use and length of follow-up, the outcomes with and
without help are drawn together many times. The truth is the mean difference of the clipped outcomes: the
average effect on those helped, with everything averaged out that is luck. Help changes neither death nor
moves, and nothing that was before it: the effect on a change is that on the use afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.random import Generator

from cohortium_protocols.outcomes import CHANGE, DAYS_A_YEAR
from cohortium_simulations.arrays import Floats
from cohortium_simulations.events import History, Windows, draw_history, helped_history
from cohortium_simulations.worlds import World

DEFAULT_CLIPS: Mapping[str, float] = MappingProxyType(
    {
        "ae_attendances": 8,
        "any_emergency_admission": 1,
        "emergency_admissions": 4,
        "elective_admissions": 4,
        "all_admissions": 6,
        "bed_days": 30,
        "death": 1,
        "follow_up_years": 1,
    }
)
_BATCH = 40


@dataclass(frozen=True)
class OutcomeTruth:
    """The truth of one outcome, per person analysed and in the outcome's own unit.

    Attributes:
        clip: what the outcome is clipped to, from above.
        effect: the average effect on those helped, on the clipped outcome.
        error: standard error of ``effect`` from the finite number of draws.
        helped, not_helped: mean clipped outcome of the same people with and without help.
        helped_unclipped, not_helped_unclipped: the same without clipping.
    """

    clip: float
    effect: float
    error: float
    helped: float
    not_helped: float
    helped_unclipped: float
    not_helped_unclipped: float


def truth(
    world: World, clips: Mapping[str, float] = DEFAULT_CLIPS, draws: int = 800
) -> dict[str, OutcomeTruth]:
    """The truth of each outcome named in ``clips``, from at least ``draws`` draws of every analysed person.

    Of a change, the means are those of the use afterwards.

    Raises:
        ValueError: an outcome has no truth here.
    """
    if unknown := {name.removesuffix(CHANGE) for name in clips} - DEFAULT_CLIPS.keys():
        raise ValueError(f"no truth for {sorted(unknown)}; there is one for {sorted(DEFAULT_CLIPS)}")
    rng = world.spec.generator(6)
    batches = [_means(world, clips, rng) for _ in range(-(-draws // _BATCH))]
    means = {name: np.array([batch[name] for batch in batches]) for name in clips}
    return {name: _summary(clip, means[name]) for name, clip in clips.items()}


def _summary(clip: float, means: Floats) -> OutcomeTruth:
    """From each batch's means: clipped with and without help, unclipped with and without help."""
    helped, not_helped, helped_unclipped, not_helped_unclipped = means.mean(axis=0).tolist()
    error = np.std(means[:, 0] - means[:, 1], ddof=1) / np.sqrt(len(means))
    return OutcomeTruth(
        clip=clip,
        effect=helped - not_helped,
        error=float(error),
        helped=helped,
        not_helped=not_helped,
        helped_unclipped=helped_unclipped,
        not_helped_unclipped=not_helped_unclipped,
    )


def _means(
    world: World, clips: Mapping[str, float], rng: Generator
) -> dict[str, tuple[float, float, float, float]]:
    """Means over one batch of draws of every analysed person."""
    windows = world.analysed.where(np.tile(np.arange(len(world.analysed.person)), _BATCH))
    untouched = draw_history(world.people, windows, rng)
    helped = helped_history(world.people, untouched, windows, world.spec.effects, rng)
    values = [_outcomes(world, one, windows) for one in (helped, untouched)]
    means: dict[str, tuple[float, float, float, float]] = {}
    for name, clip in clips.items():
        with_help, without = (each[name.removesuffix(CHANGE)] for each in values)
        clipped = [float(np.minimum(each, clip).mean()) for each in (with_help, without)]
        means[name] = (clipped[0], clipped[1], float(with_help.mean()), float(without.mean()))
    return means


def _outcomes(world: World, history: History, windows: Windows) -> dict[str, Floats]:
    """Every outcome of every row of the windows, from events that all lie in them."""
    rows = len(windows.person)
    count = {kind: np.bincount(events.row, minlength=rows) for kind, events in history.items()}
    outcomes = {
        "ae_attendances": count["attendances"],
        "any_emergency_admission": count["emergency"] > 0,
        "emergency_admissions": count["emergency"],
        "elective_admissions": count["elective"],
        "all_admissions": count["emergency"] + count["elective"],
        "bed_days": _bed_days(history, windows),
        "follow_up_years": windows.days / DAYS_A_YEAR,
        "death": world.people.death[windows.person] < windows.start + world.spec.follow_up,
    }
    return {name: np.asarray(values, dtype=np.float64) for name, values in outcomes.items()}


def _bed_days(history: History, windows: Windows) -> Floats:
    """Nights of the admissions, up to the end of follow-up."""
    spells = history["emergency"] + history["elective"]
    nights = np.minimum(spells.stop, windows.stop[spells.row]) - spells.start
    return np.bincount(spells.row, nights.astype(np.float64), len(windows.person)).astype(np.float64)
