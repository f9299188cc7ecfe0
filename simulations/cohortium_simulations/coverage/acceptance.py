"""What a scenario's replicates come to, and whether that is accepted (statistics design, "Acceptance").

Coverage, bias, error and width are of the published studies; ``coverage_all`` is of all of them. A scenario passes when

- the 99 % Clopper-Pearson interval of the coverage of the nominal 95 % interval meets [93 %, 97.5 %]; pairs whose
  outcome model is not taken off may cover more (their variance leaves out that people of a pair are alike), and are
  then called conservative,
- the bias is at most 0.2 of the mean standard error,
- ``floor_ratio`` is at most 1.00 for counts and shares, 1.15 for yes or no and days, where noise is summed, 500 people
  are helped and epsilon is 1; elsewhere it is told and not judged,
- at least 95 % of the studies are published, unless the planner had called the scenario infeasible.

With fewer than a thousand replicates the same rules are applied, and the verdict is a hint.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median

from scipy.stats import beta

from cohortium_coordinator.forecast.verdict import PUBLISHED
from cohortium_protocols.plan_analysis import is_plain
from cohortium_simulations.coverage.foretold import scenario_forecast
from cohortium_simulations.coverage.monte_carlo import Replicate
from cohortium_simulations.coverage.scenarios import Scenario

ENOUGH = 1000
"""Replicates from which on a verdict counts."""
COVERAGE = (0.93, 0.975)
LARGEST_BIAS = 0.2
_FLOOR_LIMITS = {"count": 1.0, "share": 1.0, "binary": 1.15, "days": 1.15}


@dataclass(frozen=True)
class Summary:
    """A scenario's figures; those of published studies are None when none was.

    Attributes:
        replicates, published: how many studies, and how many of them were published.
        coverage: share of the intervals that hold the truth; ``coverage_interval`` is its 99 % interval.
        bias_over_se: mean error, in mean standard errors.
        rmse: root mean squared error, in the outcome's own unit per person.
        mean_se: mean standard error, likewise.
        floor_ratio: median width over the median ideal width.
        coverage_all: coverage of all studies, published or not.
    """

    replicates: int
    published: int
    coverage: float | None
    coverage_interval: tuple[float, float]
    bias_over_se: float | None
    rmse: float | None
    mean_se: float | None
    floor_ratio: float | None
    coverage_all: float

    @property
    def published_share(self) -> float:
        """Share of the studies that were published."""
        return self.published / self.replicates


@dataclass(frozen=True)
class Verdict:
    """A scenario's summary judged: what it fails by, nothing when it passes, and the limit on its width if any."""

    scenario: Scenario
    summary: Summary
    faults: tuple[str, ...]
    floor_limit: float | None

    @property
    def passed(self) -> bool:
        """Whether nothing is at fault."""
        return not self.faults

    @property
    def conservative(self) -> bool:
        """Whether the intervals hold the truth more often than they say, beyond chance."""
        return self.summary.coverage_interval[0] > COVERAGE[1]

    @property
    def counts(self) -> bool:
        """Whether there are enough replicates to say so."""
        return self.summary.replicates >= ENOUGH


def summarised(found: Sequence[Replicate]) -> Summary:
    """Returns the figures of one scenario's replicates, of which there is at least one."""
    shown = [each for each in found if each.published]
    covered = sum(each.covered for each in shown)
    se = fmean(each.se for each in shown) if shown else None
    errors = [each.estimate - each.truth for each in shown]
    return Summary(
        replicates=len(found), published=len(shown),
        coverage=covered / len(shown) if shown else None,
        coverage_interval=clopper_pearson(covered, len(shown)),
        bias_over_se=fmean(errors) / se if se else None,
        rmse=math.sqrt(fmean(error**2 for error in errors)) if shown else None, mean_se=se,
        floor_ratio=median(each.high - each.low for each in shown) / median(each.ideal for each in shown)
        if shown else None,
        coverage_all=fmean(each.covered for each in found),
    )  # fmt: skip


def clopper_pearson(successes: int, count: int, level: float = 0.99) -> tuple[float, float]:
    """Returns the exact interval of a share (Clopper and Pearson 1934); all of [0, 1] when nothing was counted."""
    tail, failures = (1 - level) / 2, count - successes
    low = float(beta.ppf(tail, successes, failures + 1)) if successes else 0.0
    high = float(beta.isf(tail, successes + 1, failures)) if failures else 1.0
    return low, high


def judged(scenario: Scenario, summary: Summary) -> Verdict:
    """Returns whether a scenario's figures are accepted."""
    limit = floor_limit(scenario)
    faults = (_publishing(scenario, summary), _coverage(scenario, summary), _bias(summary), _width(summary, limit))
    return Verdict(scenario, summary, tuple(filter(None, faults)), limit)


def floor_limit(scenario: Scenario) -> float | None:
    """Returns the largest accepted floor ratio; None where the design sets no limit."""
    plain = scenario.noise and scenario.aggregation == "secure" and is_plain(scenario.analysis)
    if not plain or scenario.world.helped != 500 or scenario.epsilon != 1.0:
        return None
    return _FLOOR_LIMITS[scenario.world.law.kind]


def _publishing(scenario: Scenario, summary: Summary) -> str | None:
    if summary.published_share >= PUBLISHED or scenario_forecast(scenario).verdict == "infeasible":
        return None
    return f"{summary.published_share:.1%} published, below {PUBLISHED:.0%}, and the planner had not foreseen it"


def _coverage(scenario: Scenario, summary: Summary) -> str | None:
    (low, high), (least, most) = COVERAGE, summary.coverage_interval
    may_cover_more = scenario.analysis.method == "matched_pairs" and not scenario.analysis.adjusted
    if summary.coverage is None or (most >= low and (least <= high or may_cover_more)):
        return None
    return f"coverage {summary.coverage:.1%}, which chance does not bring from {low:.0%} to {high:.1%}"


def _bias(summary: Summary) -> str | None:
    if summary.bias_over_se is None or abs(summary.bias_over_se) <= LARGEST_BIAS:
        return None
    return f"bias {summary.bias_over_se:+.2f} of the standard error, beyond {LARGEST_BIAS}"


def _width(summary: Summary, limit: float | None) -> str | None:
    if limit is None or summary.floor_ratio is None or summary.floor_ratio <= limit:
        return None
    return f"{summary.floor_ratio:.2f} times as wide as the ideal, above {limit:.2f}"
