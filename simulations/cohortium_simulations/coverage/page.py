"""The coverage study shown: a table for people, JSON for programs, and a page with a plot for the documentation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cohortium_coordinator.forecast.verdict import PUBLISHED
from cohortium_simulations.coverage.acceptance import COVERAGE, ENOUGH, LARGEST_BIAS, Verdict
from cohortium_simulations.coverage.plot import plot

_HEAD = ("scenario", "studies", "coverage (99 % interval)", "bias / se", "RMSE", "floor ratio (limit)",
         "coverage of all", "published", "verdict")  # fmt: skip


@dataclass(frozen=True)
class Study:
    """A whole coverage study: its seed, and a verdict for each scenario."""

    seed: int
    verdicts: tuple[Verdict, ...]

    @property
    def failed(self) -> bool:
        """Whether a scenario failed with enough replicates to say so."""
        return any(verdict.counts and not verdict.passed for verdict in self.verdicts)


def table_lines(verdicts: Sequence[Verdict]) -> list[str]:
    """Returns the figures as a table in Markdown, which is readable on a terminal too."""
    rows = (_HEAD, ["---"] * len(_HEAD), *map(_row, verdicts))
    return [f"| {' | '.join(cells)} |" for cells in rows]


def as_json(study: Study) -> dict[str, Any]:
    """Returns the study as a plain JSON value."""
    return {"seed": study.seed, "passed": not study.failed, "scenarios": [_plain(each) for each in study.verdicts]}


def pages(study: Study) -> dict[str, str]:
    """Returns the texts of ``coverage.md``, ``coverage.json`` and ``coverage.svg`` by their names."""
    return {
        "coverage.md": _markdown(study),
        "coverage.json": json.dumps(as_json(study), indent=1) + "\n",
        "coverage.svg": plot(study.verdicts),
    }


def _row(verdict: Verdict) -> tuple[str, ...]:
    summary = verdict.summary
    limit = "" if verdict.floor_limit is None else f" ({verdict.floor_limit:.2f})"
    between = " ({:.1%} to {:.1%})".format(*summary.coverage_interval)
    return (
        verdict.scenario.label, f"{summary.replicates:,}", _figure(summary.coverage, ".1%", between),
        _figure(summary.bias_over_se, "+.2f"), _figure(summary.rmse, ".4f"),
        _figure(summary.floor_ratio, ".2f", limit), f"{summary.coverage_all:.1%}",
        f"{summary.published_share:.1%}", _verdict_text(verdict),
    )  # fmt: skip


def _figure(value: float | None, form: str, more: str = "") -> str:
    return "none published" if value is None else f"{value:{form}}{more}"


def _verdict_text(verdict: Verdict) -> str:
    said = "passed" if verdict.passed else f"FAILED: {'; '.join(verdict.faults)}"
    said += " (conservative)" if verdict.conservative else ""
    return said if verdict.counts else f"too few to judge; so far {said}"


def _plain(verdict: Verdict) -> dict[str, Any]:
    scenario, summary = verdict.scenario, verdict.summary
    return {
        "name": scenario.name, "meaning": scenario.meaning, "noise": scenario.noise,
        "replicates": summary.replicates, "coverage": summary.coverage,
        "coverage_interval": list(summary.coverage_interval),
        "bias_over_se": summary.bias_over_se, "rmse": summary.rmse, "mean_se": summary.mean_se,
        "floor_ratio": summary.floor_ratio, "floor_limit": verdict.floor_limit,
        "coverage_all": summary.coverage_all, "published_share": summary.published_share,
        "enough_replicates": verdict.counts, "passed": verdict.passed, "faults": list(verdict.faults),
        "conservative": verdict.conservative,
    }  # fmt: skip


def _markdown(study: Study) -> str:
    """Returns the page; its command line is complete, so that anybody can make it again."""
    verdicts = study.verdicts
    most = max(verdict.summary.replicates for verdict in verdicts)
    asked = ",".join(dict.fromkeys(verdict.scenario.name for verdict in verdicts))
    ways = {verdict.scenario.noise for verdict in verdicts}
    noise = "both" if len(ways) == 2 else "on" if True in ways else "off"
    low, high = COVERAGE
    return "\n".join([
        "# Coverage: does the interval hold the truth?",
        "",
        f"Made-up studies with known truth, up to {most:,} of each scenario, through the node's real reduction and the "
        "coordinator's real analysis, with the noise of the plan. Every study has one outcome. Made by the command, "
        "which also says how:",
        "",
        "```sh",
        f"cohortium-sim coverage --scenario {asked} --replicates {most} --seed {study.seed} --noise {noise} "
        "--out docs/validation",
        "```",
        "",
        "![Coverage, bias and width of every scenario](coverage.svg)",
        "",
        *table_lines(verdicts),
        "",
        f"Accepted: the 99 % interval (Clopper-Pearson) of the coverage meets {low:.0%} to {high:.1%}; the bias is at "
        f"most {LARGEST_BIAS} of the standard error; the floor ratio is within its limit where it has one; and at "
        f"least {PUBLISHED:.0%} are published unless the planner had called the scenario infeasible. Below {ENOUGH:,} "
        "studies that is a hint.",
        "",
        "- *Coverage*, *bias*, *RMSE* and *floor ratio* are of the published studies, *coverage of all* of all.",
        "- *Truth*: the mean over the people helped of the expected clipped outcome with help less that without, "
        "given their covariates and node; of pairs, over those who were matched. *RMSE* in the outcome's unit per "
        "person.",
        "- *Floor ratio*: median width of the interval over that of the ideal: the efficiency bound without noise "
        "and one release of the people helped's sums with the whole budget.",
        "",
        "| scenario | what it tries |",
        "| --- | --- |",
        *(f"| {verdict.scenario.label} | {verdict.scenario.meaning} |" for verdict in verdicts),
        "",
    ])  # fmt: skip
