"""The two commands by which the privacy engine is tried: ``audit`` and ``attack``."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import click

from cohortium_simulations.attacks import attack as attacked
from cohortium_simulations.attacks.finding import Finding
from cohortium_simulations.audit import Check, report
from cohortium_simulations.audit import audit as audited
from cohortium_simulations.seeded_bugs import BUGS, Bug

FAULT = 1
"""Exit code when a check failed or an attack got through: a fault in Cohortium itself."""


@click.command(epilog="""
\b
Examples:
  cohortium-sim audit
  cohortium-sim audit --trials 4000 --json - | jq '.checks[] | select(.passed | not)'
  cohortium-sim audit --bug thin-noise

\b
Exit codes: 0 every check passed, 1 one did not.
""")
@click.option("--trials", default=1000, show_default=True, type=click.IntRange(20, 1_000_000),
              help="Studies of each of the two data sets.")
@click.option("--bug", type=click.Choice(list(BUGS)), help="Put a fault in, to see the audit catch it.")
@click.option("--json", "json_to", metavar="FILE|-", help="Write every check as JSON; - for standard output.")
def audit(trials: int, bug: str | None, json_to: str | None) -> None:
    """Audit the noise that a node's real gate releases.

    Two data sets in which one person differs are studied again and again. The noise must have the declared variance and
    never repeat (chi-square bounds), and nobody may tell the two apart better than declared (Clopper-Pearson bounds).
    A sound gate fails one check in a million.
    """
    fault = BUGS[bug] if bug else Bug()
    began = time.monotonic()
    checks = audited(trials, reduce=fault.reduce, door=fault.door)
    said = report(trials, time.monotonic() - began, checks)
    _give(_audit_lines(checks, said), said, json_to)
    _end(said["passed"])


@click.command(epilog="""
\b
Examples:
  cohortium-sim attack
  cohortium-sim attack --json - | jq '.attacks[] | {name, outcome, score}'

\b
Exit codes: 0 every attack failed, 1 one got through.
""")
@click.option("--trials", default=200, show_default=True, type=click.IntRange(20, 100_000),
              help="How hard each attack tries.")
@click.option("--json", "json_to", metavar="FILE|-", help="Write every finding as JSON; - for standard output.")
def attack(trials: int, json_to: str | None) -> None:
    """Attack a real node in every way the bench knows, with the operator's own key.

    Each attack prints what it got (score, from 0 to 1), the most that the promise leaves to an attacker (bound), and
    how it was stopped. Guesses score a little more or less by chance: an attack got through when it is above the bound
    even without what can be chance (at_least).
    """
    findings = list(attacked(trials))
    _give(_attack_lines(findings), {"attacks": [finding.plain() for finding in findings]}, json_to)
    _end(not any(finding.broken for finding in findings))


def _audit_lines(checks: Sequence[Check], said: dict[str, Any]) -> list[str]:
    width = max(len(check.what) for check in checks)
    rows = [
        f"{'' if check.passed else 'FAILED  '}{check.name:<26}{check.what:<{width}}  {check.figure:8.4f}  "
        f"within {check.low:.4f} to {check.high:.4f}"
        for check in checks
    ]
    failed = sum(not check.passed for check in checks)
    verdict = f"{failed} of {len(checks)} checks failed" if failed else f"all {len(checks)} checks passed"
    return [*rows, f"{verdict}; {said['trials']} studies of each data set in {said['seconds']} s"]


def _attack_lines(findings: Sequence[Finding]) -> list[str]:
    return [
        line
        for each in (finding.plain() for finding in findings)
        for line in (f"{each['outcome']:<9}{each['name']}: {each['score']:g}, at most {each['bound']:g} allowed",
                     f"         {each['how']}")
    ]  # fmt: skip


def _give(lines: list[str], said: dict[str, Any], json_to: str | None) -> None:
    for line in lines:
        click.echo(line, err=json_to == "-")
    if json_to is not None:
        with click.open_file(json_to, "w", encoding="utf-8") as out:
            json.dump(said, out, indent=1)


def _end(good: bool) -> None:
    if not good:
        click.get_current_context().exit(FAULT)
