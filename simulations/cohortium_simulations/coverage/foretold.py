"""The planner held against the coverage study: what it foretells of a scenario, and what its studies show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import median

import numpy as np

from cohortium_coordinator.forecast.expectation import Expectation
from cohortium_coordinator.forecast.study import StudyForecast, study_forecast
from cohortium_coordinator.forecast.verdict import Verdict
from cohortium_simulations.coverage.array_worlds import make_array_world
from cohortium_simulations.coverage.monte_carlo import Replicate
from cohortium_simulations.coverage.scenarios import Scenario

JUDGED = ("base", "null", "treated_200", "treated_2000", "eps_0.5", "eps_4", "local_noise", "rare_binary",
          "bounded_share", "bed_days")  # fmt: skip
"""Scenarios in which the forecast must be right to ``LARGEST_ERROR``."""
LARGEST_ERROR = 0.2
"""Largest distance of the forecast width from the median width, as a part of that."""


@lru_cache(maxsize=64)
def scenario_forecast(scenario: Scenario) -> StudyForecast:
    """Returns what the planner says when it is told the people and the true level of one of the scenario's worlds."""
    world = make_array_world(scenario.world, np.random.default_rng(0))
    level = float(np.mean(world.without_help.mean[world.table.treated]))
    spec = scenario.world
    expected = Expectation(spec.helped, spec.people - spec.helped, {spec.law.name: level})
    return study_forecast(scenario.plan, expected)


@dataclass(frozen=True)
class Comparison:
    """A scenario's forecast beside its studies; widths in the outcome's unit per person.

    Attributes:
        scenario: its name.
        studies: how many there were.
        forecast: width foretold.
        median: median width of all studies, published or not.
        verdict: the planner's.
    """

    scenario: str
    studies: int
    forecast: float
    median: float
    verdict: Verdict

    @property
    def error(self) -> float:
        """By how much the forecast is too wide, as a part of the median."""
        return self.forecast / self.median - 1


def compared(scenario: Scenario, studies: Iterable[Replicate]) -> Comparison:
    """Returns the comparison of a scenario with its studies, of which there is at least one."""
    widths, found = [each.high - each.low for each in studies], scenario_forecast(scenario)
    return Comparison(scenario.name, len(widths), found.outcomes[0].width, median(widths), found.verdict)


def table_lines(found: Sequence[Comparison]) -> list[str]:
    """Returns the figures as a table in Markdown, which is readable on a terminal too."""
    head = ("scenario", "studies", "width foretold", "median width", "foretold / median", "verdict")
    rows = (
        (each.scenario, f"{each.studies:,}", f"{each.forecast:.4f}", f"{each.median:.4f}", f"{1 + each.error:.2f}",
         each.verdict)
        for each in found
    )  # fmt: skip
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def page(found: Sequence[Comparison], seed: int) -> str:
    """Returns the page for the documentation; its command line is complete."""
    names, most = ",".join(each.scenario for each in found), max(each.studies for each in found)
    beyond = [each.scenario for each in found if abs(each.error) > LARGEST_ERROR]
    again = f"cohortium-sim forecast --scenario {names} --replicates {most} --seed {seed} --out docs/validation"
    parts = (
        "# The planner: how near its widths come",
        "`cohortium plan forecast` foretells the width of the 95 % interval without data. Here it is held against the "
        "median width of made-up studies of the coverage study's scenarios, published or not. It was told how many "
        "people there are and the true mean of the people helped without help, and nothing else; widths are in the "
        "outcome's unit per person.",
        f"```sh\n{again}\n```",
        "\n".join(table_lines(found)),
        f"Wanted: within {LARGEST_ERROR:.0%}. Beyond: {', '.join(beyond) or 'none'}.",
        "How people vary beyond what covariates foretell, where residuals are clipped, and how much the model's noise "
        "weighs were measured in these worlds (the constants in `coordinator/cohortium_coordinator/forecast`), so that "
        "this shows how one formula serves them all, and not how it does elsewhere. [Validation](README.md) holds it "
        "against worlds that nothing was fitted to.",
    )
    return "\n\n".join(parts) + "\n"
