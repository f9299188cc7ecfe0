"""The demo's study over many worlds: does its interval hold the truth as often as it says?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean, median
from tempfile import TemporaryDirectory
from typing import Any

from cohortium_coordinator.result import OutcomeEstimate
from cohortium_node.data.cohort import read_cohort
from cohortium_node.data.source import FolderSource
from cohortium_node.data.table import AnalysisTable
from cohortium_protocols.errors import UsageFault
from cohortium_protocols.plan import Plan
from cohortium_simulations.federation import run_study
from cohortium_simulations.truth import plan_truth
from cohortium_simulations.worlds import World, WorldSpec, make_world
from cohortium_simulations.write_world import write_world

_STUDY_KEY = bytes(32)
"""Decides comparators' pseudo index dates; any will do in a simulation."""


@dataclass(frozen=True)
class Replicate:
    """One outcome of one world's study: the estimate beside the truth, and the same study without noise.

    All amounts are per person.
    """

    seed: int
    outcome: str
    truth: float
    estimate: float
    low: float
    high: float
    se: float
    exact_estimate: float
    exact_low: float
    exact_high: float

    @property
    def covered(self) -> bool:
        """Whether the interval holds the truth."""
        return self.low <= self.truth <= self.high


@dataclass(frozen=True)
class Summary:
    """One outcome over all worlds.

    Attributes:
        outcome: its name.
        replicates: how many worlds.
        coverage: share of the intervals that hold the truth.
        bias_over_se: mean error, in mean standard errors.
        median_width: of the interval.
        width_ratio: median width over that without noise.
        exact_coverage: coverage without noise.
        exact_bias_over_se: mean error without noise, in standard errors of the noisy estimate.
    """

    outcome: str
    replicates: int
    coverage: float
    bias_over_se: float
    median_width: float
    width_ratio: float
    exact_coverage: float
    exact_bias_over_se: float


def replicates(spec: WorldSpec, seeds: Iterable[int], plan: Plan, progress: Callable[[int], None]) -> list[Replicate]:
    """Returns every outcome of the plan's study in every world, with the plan's noise and without.

    Args:
        spec: the worlds, but for their seed.
        seeds: one world each.
        plan: the study.
        progress: told each seed when its studies are done.
    """
    found = []
    for seed in seeds:
        found += _one_world(make_world(replace(spec, seed=seed)), seed, plan)
        progress(seed)
    return found


def summaries(found: list[Replicate]) -> list[Summary]:
    """Returns the figures of each outcome, in the order in which they came."""
    names = dict.fromkeys(each.outcome for each in found)
    return [_summary(name, [each for each in found if each.outcome == name]) for name in names]


def seed_range(text: str) -> range:
    """Returns the seeds written as ``FIRST..LAST``.

    Raises:
        UsageFault: that is not what is written.
    """
    first, dots, last = text.partition("..")
    if not (dots and first.isdecimal() and last.isdecimal() and int(first) <= int(last)):
        raise UsageFault(f"'{text}' is not a range of seeds.", do="write, for example, --seeds 300..319")
    return range(int(first), int(last) + 1)


def summary_lines(found: list[Summary]) -> list[str]:
    """Returns a table of the summaries, in Markdown, which is readable on a terminal too."""
    head = ("outcome", "worlds", "coverage", "bias / se", "median width", "width / width without noise",
            "without noise: coverage", "without noise: bias / se")  # fmt: skip
    rows = (
        (each.outcome, str(each.replicates), f"{each.coverage:.0%}", f"{each.bias_over_se:+.2f}",
         f"{each.median_width:.4f}", f"{each.width_ratio:.2f}", f"{each.exact_coverage:.0%}",
         f"{each.exact_bias_over_se:+.2f}")
        for each in found
    )  # fmt: skip
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def replicates_json(found: list[Replicate]) -> dict[str, Any]:
    """Returns every estimate and the summaries as a plain JSON value."""
    return {"summaries": [asdict(each) for each in summaries(found)], "replicates": [asdict(each) for each in found]}


def _one_world(world: World, seed: int, plan: Plan) -> list[Replicate]:
    known = plan_truth(world, plan).effects
    tables = _tables(world, plan)
    silent = plan.model_copy(update={"privacy": plan.privacy.model_copy(update={"noise": False})})
    noisy, exact = (run_study(each, tables).outcomes for each in (plan, silent))
    return [_replicate(seed, known, *pair) for pair in zip(noisy, exact, strict=True)]


def _tables(world: World, plan: Plan) -> dict[str, AnalysisTable]:
    with TemporaryDirectory() as folder:
        write_world(world, Path(folder), {outcome.name: outcome.clip for outcome in plan.outcomes})
        cohort = read_cohort(Path(folder) / "cohort.csv")
        sources = {name: FolderSource(Path(folder) / name / "data") for name in plan.nodes.roster}
        return {name: source.analysis_table(plan, cohort, _STUDY_KEY) for name, source in sources.items()}


def _replicate(seed: int, known: Mapping[str, float], noisy: OutcomeEstimate, exact: OutcomeEstimate) -> Replicate:
    return Replicate(seed, noisy.name, known[noisy.name], noisy.estimate, noisy.low, noisy.high, noisy.se,
                     exact.estimate, exact.low, exact.high)  # fmt: skip


def _summary(name: str, found: list[Replicate]) -> Summary:
    se = fmean(each.se for each in found)
    width = median(each.high - each.low for each in found)
    return Summary(
        outcome=name,
        replicates=len(found),
        coverage=fmean(each.covered for each in found),
        bias_over_se=fmean(each.estimate - each.truth for each in found) / se,
        median_width=width,
        width_ratio=width / median(each.exact_high - each.exact_low for each in found),
        exact_coverage=fmean(each.exact_low <= each.truth <= each.exact_high for each in found),
        exact_bias_over_se=fmean(each.exact_estimate - each.truth for each in found) / se,
    )
