"""The balance rule tried where the truth is known: the figures behave as the rule says, and are kept."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.special import ndtr

from cohortium_coordinator.combine.diagnostics import together
from cohortium_coordinator.combine.rules import ALIKE
from cohortium_simulations.balance_rule import Characteristic, Setting, characteristics
from cohortium_simulations.cli import commands

KEPT = Path(__file__).parents[2] / "docs" / "validation" / "balance-rule.md"
SETTING = Setting(covariates=14, mandatory=4, studies=400)
FOUND = list(characteristics(SETTING, np.random.default_rng(2)))


def expected_red(true: float, noise: float) -> float:
    """The chance that a normal reading lies farther from 0 than the threshold and half the interval."""
    reach = ALIKE + together(SETTING.covariates) * noise
    return float(ndtr((true - reach) / noise) + ndtr((-true - reach) / noise))


@pytest.mark.parametrize("found", FOUND, ids=lambda found: f"{found.true}/{found.noise}")
def test_red_is_as_frequent_as_the_normal_distribution_says(found: Characteristic) -> None:
    chance = expected_red(found.true, found.noise)
    assert found.red == pytest.approx(chance, abs=0.005 + 4 * (chance * (1 - chance) / SETTING.studies) ** 0.5)
    assert found.green + found.red + found.cannot_tell == pytest.approx(1)


def test_a_red_covariate_that_must_be_alike_blocks_the_study() -> None:
    assert all(found.blocked >= found.red for found in FOUND)


def test_a_balanced_study_is_hardly_ever_blocked() -> None:
    assert max(found.blocked for found in FOUND if found.true == 0) < 0.05


def test_covariates_that_need_not_be_alike_block_nothing() -> None:
    free = characteristics(Setting(covariates=2, mandatory=0, studies=50), np.random.default_rng(1))
    assert {found.blocked for found in free} == {0.0}


def test_the_command_writes_its_figures_and_the_page(tmp_path: Path) -> None:
    run = CliRunner().invoke(commands, ["balance-rule", "--studies", "20", "--json", "-", "--out", str(tmp_path)])
    assert run.exit_code == 0
    figures = json.loads(run.stdout)
    assert figures["setting"] == {"covariates": 14, "mandatory": 4, "studies": 20}
    assert len(figures["characteristics"]) == len(FOUND)
    assert (tmp_path / "balance-rule.md").read_text().count("\n| 0.") == len(FOUND)


def test_the_kept_page_agrees_with_the_rule() -> None:
    lines = [line.split(" | ") for line in KEPT.read_text().splitlines() if line.startswith("| 0.")]
    for noise, true, *_, red, _blocked in lines:
        assert float(red.removesuffix(" %")) / 100 == pytest.approx(
            expected_red(float(true), float(noise.removeprefix("| "))), abs=0.02
        )
    assert len(lines) == len(FOUND)
