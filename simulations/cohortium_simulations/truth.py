"""The truth of a world: what help did to the people analysed, from many draws of their potential outcomes.

For each analysed person, given the person's own rates of use and length of follow-up, the outcomes with and
without help are drawn together many times. The truth is the mean difference of the clipped outcomes: the
average effect on those helped, with everything averaged out that is luck. Help changes neither death nor
moves, and nothing that was before it: the effect on a change is that on the use afterwards, and the effect on
earlier use is 0.

A ratio is of means over people: its truth is the ratio of the clipped means with help, less that without.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.random import Generator

from cohortium_node.data.definitions import EARLIER_YEAR
from cohortium_protocols.outcomes import DAYS_A_YEAR, EARLIER, OUTCOMES, measure_of
from cohortium_protocols.plan import Plan
from cohortium_protocols.ratios import RATIOS, RatioDefinition
from cohortium_protocols.ratios import Ratio as PlannedRatio
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
        "earlier.ae_attendances": 8,
        "earlier.emergency_admissions": 4,
        "earlier.elective_admissions": 4,
        "earlier.bed_days": 30,
    }
)
DEFAULT_RATIOS = tuple(
    ratio for ratio in RATIOS.values() if {ratio.numerator, ratio.denominator} <= DEFAULT_CLIPS.keys()
)
"""Every ratio of the registry whose two outcomes have a truth here."""
_BATCH = 40
_Means = dict[str, Floats]
"""Outcome -> a row for each batch: mean clipped outcome with and without help, then the same without clipping."""


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


@dataclass(frozen=True)
class RatioTruth:
    """The truth of one ratio of two outcomes, in its own unit.

    Attributes:
        effect: the ratio with help less that without.
        error: standard error of ``effect`` from the finite number of draws.
        helped, not_helped: the ratio of the same people's mean clipped outcomes with and without help.
    """

    effect: float
    error: float
    helped: float
    not_helped: float


@dataclass(frozen=True)
class Truth:
    """The truth of a world: of each outcome, and of each ratio of them, by name."""

    outcomes: dict[str, OutcomeTruth]
    ratios: dict[str, RatioTruth]

    @property
    def effects(self) -> dict[str, float]:
        """The effects on outcomes, and then on ratios."""
        return {name: each.effect for known in (self.outcomes, self.ratios) for name, each in known.items()}


def plan_truth(world: World, plan: Plan) -> Truth:
    """The truth of a plan's outcomes, clipped as the plan says, and of its ratios.

    Raises:
        ValueError: an outcome has no truth here.
    """
    return truth(world, {outcome.name: outcome.clip for outcome in plan.outcomes}, plan.ratios)


def truth(
    world: World,
    clips: Mapping[str, float] = DEFAULT_CLIPS,
    ratios: Sequence[RatioDefinition | PlannedRatio] = (),
    draws: int = 800,
) -> Truth:
    """The truth of each outcome named in ``clips`` and of each ratio of two of them.

    Every analysed person's outcomes are drawn at least ``draws`` times. Of a change, the means are those of the use
    afterwards; of earlier use, those of anybody with the same rates of use.

    Raises:
        ValueError: an outcome has no truth here.
    """
    known = OUTCOMES.keys() & {name for name in clips if measure_of(name) in DEFAULT_CLIPS}
    if unknown := clips.keys() - known:
        raise ValueError(f"no truth for {sorted(unknown)}; there is one for {sorted(DEFAULT_CLIPS)}")
    generators = world.spec.generator(6), world.spec.generator(8)
    batches = [_means(world, clips, *generators) for _ in range(-(-draws // _BATCH))]
    means = {name: np.array([batch[name] for batch in batches]) for name in clips}
    return Truth(
        {name: _summary(clip, means[name]) for name, clip in clips.items()},
        {ratio.name: _ratio(ratio, means) for ratio in ratios},
    )


def _summary(clip: float, means: Floats) -> OutcomeTruth:
    """From each batch's means."""
    helped, not_helped, helped_unclipped, not_helped_unclipped = means.mean(axis=0).tolist()
    return OutcomeTruth(
        clip=clip,
        effect=helped - not_helped,
        error=_error(means[:, 0] - means[:, 1]),
        helped=helped,
        not_helped=not_helped,
        helped_unclipped=helped_unclipped,
        not_helped_unclipped=not_helped_unclipped,
    )


def _ratio(ratio: RatioDefinition | PlannedRatio, means: _Means) -> RatioTruth:
    top, bottom = (means[name][:, :2] for name in (ratio.numerator, ratio.denominator))
    per = ratio.per if isinstance(ratio, PlannedRatio) else 1.0
    helped, not_helped = (per * top.mean(axis=0) / bottom.mean(axis=0)).tolist()
    batches = per * top / bottom
    return RatioTruth(helped - not_helped, _error(batches[:, 0] - batches[:, 1]), helped, not_helped)


def _error(batches: Floats) -> float:
    """The standard error of the mean of independent batches."""
    return float(np.std(batches, ddof=1) / np.sqrt(len(batches)))


def _means(
    world: World, clips: Mapping[str, float], rng: Generator, earlier_rng: Generator
) -> dict[str, tuple[float, float, float, float]]:
    """Means over one batch of draws of every analysed person."""
    windows = world.analysed.where(np.tile(np.arange(len(world.analysed.person)), _BATCH))
    untouched = draw_history(world.people, windows, rng)
    helped = helped_history(world.people, untouched, windows, world.spec.effects, rng)
    after = [_outcomes(world, one, windows) for one in (helped, untouched)]
    before: dict[str, Floats] = {}
    if any(name.startswith(EARLIER) for name in clips):
        earlier = _earlier(world, windows)
        before = _outcomes(world, draw_history(world.people, earlier, earlier_rng), earlier)
    means: dict[str, tuple[float, float, float, float]] = {}
    for name, clip in clips.items():
        drawn = (before, before) if name.startswith(EARLIER) else after
        with_help, without = (each[measure_of(name)] for each in drawn)
        clipped = [float(np.minimum(each, clip).mean()) for each in (with_help, without)]
        means[name] = (clipped[0], clipped[1], float(with_help.mean()), float(without.mean()))
    return means


def _earlier(world: World, windows: Windows) -> Windows:
    """The year before last, seen from the start of each stretch, as far as there are records of the person."""
    first = np.maximum(world.people.registered_from[windows.person], world.spec.span[0])
    start, stop = (np.maximum(windows.start + days, first) for days in (EARLIER_YEAR.first, EARLIER_YEAR.end))
    return Windows(windows.person, start, stop)


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
