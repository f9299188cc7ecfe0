"""How often the balance rule says what it says, when the truth is known: its operating characteristics.

A study sees each standardised mean difference (SMD) with normal noise. Its states and the decision to block are those
of the coordinator's own rule (``combine.diagnostics``); only the noise is made up here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from numpy.random import Generator

from cohortium_coordinator.combine.diagnostics import alike, balance_row, together
from cohortium_coordinator.combine.rules import ALIKE

TRUE = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3)
"""True SMDs of the covariate that is out of balance."""
NOISE = (0.02, 0.05, 0.1, 0.15)
"""Standard deviations of the noise in an SMD."""


@dataclass(frozen=True)
class Setting:
    """A study's covariates.

    Attributes:
        covariates: features that are judged together.
        mandatory: how many of them must be alike; one of these has the true SMD, all others are balanced.
        studies: how many are made up.
    """

    covariates: int = 14
    mandatory: int = 4
    studies: int = 2000


@dataclass(frozen=True)
class Characteristic:
    """What the rule says at one true SMD and one noise, as shares of the studies.

    Attributes:
        true: SMD of one mandatory covariate.
        noise: standard deviation of the noise.
        green, red, cannot_tell: state of that covariate.
        blocked: no headline, because some mandatory covariate is red.
    """

    true: float
    noise: float
    green: float
    red: float
    cannot_tell: float
    blocked: float


def characteristics(setting: Setting, rng: Generator) -> Iterator[Characteristic]:
    """Yields every true SMD at every noise."""
    for noise in NOISE:
        for true in TRUE:
            yield _characteristic(setting, true, noise, rng)


def _characteristic(setting: Setting, true: float, noise: float, rng: Generator) -> Characteristic:
    seen = rng.normal(0.0, noise, (setting.studies, setting.covariates))
    seen[:, 0] += true
    half = together(setting.covariates) * noise
    states, blocked = Counter[str](), 0
    for study in seen:
        rows = tuple(
            balance_row(str(place), str(place), before=0.0, after=float(smd), half=half,
                        mandatory=place < setting.mandatory)
            for place, smd in enumerate(study)
        )  # fmt: skip
        states[rows[0].state] += 1
        blocked += alike(rows).state == "failed"
    green, red, cannot_tell = (states[state] / setting.studies for state in ("green", "red", "cannot tell"))
    return Characteristic(true, noise, green, red, cannot_tell, blocked / setting.studies)


def as_json(setting: Setting, found: Sequence[Characteristic]) -> dict[str, Any]:
    """Returns setting and figures as a plain JSON value."""
    return {"setting": asdict(setting), "characteristics": [asdict(each) for each in found]}


def page(setting: Setting, seed: int, found: Sequence[Characteristic]) -> str:
    """Returns the page that keeps the figures."""
    again = (
        f"cohortium-sim balance-rule --studies {setting.studies} --covariates {setting.covariates} "
        f"--mandatory {setting.mandatory} --seed {seed} --out docs/validation"
    )
    half = together(setting.covariates)
    parts = (
        "# The balance rule: how often it is right",
        f"A covariate is *red* when the whole interval of its standardised mean difference (SMD) is beyond {ALIKE:.2f},"
        f" *green* when it is within {ALIKE:.2f}, else *cannot tell*. Intervals hold for all covariates together "
        "(95 %). Red in a covariate that must be alike blocks the headline.",
        f"Made-up studies with {setting.covariates} covariates, {setting.mandatory} of which must be alike. One of "
        f"these has the true SMD, all others are balanced. {setting.studies:,} studies a line, so that the standard "
        f"error of a share is at most {50 / setting.studies**0.5:.1f} points. States and decisions are those of the "
        "coordinator's own rule.",
        f"Run it again: `{again}`",
        "\n".join(table_lines(found)),
        f"An interval reaches {half:.2f} standard deviations of the noise to either side. So a covariate can be green "
        f"only where the noise is below {ALIKE / half:.3f}, and one is as often red as not where its SMD is "
        f"{ALIKE:.2f} and {half:.2f} deviations of the noise. At 500 people helped and epsilon 1 the noise is .05 to "
        ".15: the rule then hardly ever blocks a balanced study, never says that groups are alike, and finds only "
        "large imbalances.",
    )
    return "\n\n".join(parts) + "\n"


def table_lines(found: Sequence[Characteristic]) -> list[str]:
    """Returns the figures as a table, in Markdown, which is readable on a terminal too."""
    head = ("noise in an SMD", "true SMD", "green", "cannot tell", "red", "study blocked")
    rows = (
        (f"{each.noise:.2f}", f"{each.true:.2f}",
         *(f"{100 * share:.1f} %" for share in (each.green, each.cannot_tell, each.red, each.blocked)))
        for each in found
    )  # fmt: skip
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]
