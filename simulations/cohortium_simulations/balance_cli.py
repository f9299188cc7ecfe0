"""``cohortium-sim balance-rule``: the balance rule's operating characteristics as a command."""

from __future__ import annotations

import json
from pathlib import Path

import click
import numpy as np

from cohortium_simulations.balance_rule import Setting, as_json, characteristics, page, table_lines
from cohortium_simulations.out_folder import written


@click.command(
    "balance-rule",
    epilog="""
\b
Examples:
  cohortium-sim balance-rule
  cohortium-sim balance-rule --studies 200 --json - | jq .characteristics
  cohortium-sim balance-rule --out docs/validation
""",
)
@click.option("--studies", default=2_000, show_default=True, type=click.IntRange(1, 1_000_000),
              help="Studies of each kind.")
@click.option("--covariates", default=14, show_default=True, type=click.IntRange(1, 500),
              help="Covariates judged together.")
@click.option("--mandatory", default=4, show_default=True, type=click.IntRange(1, 500),
              help="How many of them must be alike.")
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0), help="Decides the noise.")
@click.option("--json", "json_to", metavar="FILE|-", help="Write the figures as JSON; - for standard output.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), metavar="FOLDER",
              help="Write balance-rule.md there.")
def balance_rule(
    studies: int, covariates: int, mandatory: int, seed: int, json_to: str | None, out: Path | None
) -> None:  # fmt: skip
    """Try the rule that judges balance where the truth is known: how often is it green, red or silent?

    Nothing is estimated: differences between groups are drawn with noise, and the coordinator's own rule judges them.
    """
    setting = Setting(covariates, min(mandatory, covariates), studies)
    found = list(characteristics(setting, np.random.default_rng(seed)))
    lines = table_lines(found)
    if out is not None:
        lines += [f"Written: {path}" for path in written({"balance-rule.md": page(setting, seed, found)}, out)]
    for line in lines:
        click.echo(line, err=json_to == "-")
    if json_to is not None:
        with click.open_file(json_to, "w", encoding="utf-8") as stream:
            json.dump(as_json(setting, found), stream, indent=1)
