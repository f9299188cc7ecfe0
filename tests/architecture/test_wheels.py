"""What is in the wheels: a custodian's two hold one package each and no coordinator code."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

import pytest

PARTS = ["protocols", "node", "."]
DATA = {".proto", ".html", ".css", ".typed", ".json", ".svg", ".toml", ".jinja"}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory, root: Path) -> dict[str, list[str]]:
    """Project folder -> the names of the files in its wheel, built as pip builds them, without a network."""
    return {part: _wheel(root / part, tmp_path_factory.mktemp("wheel")) for part in PARTS}


def _wheel(project: Path, place: Path) -> list[str]:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(place)]
    subprocess.run(build, cwd=project, check=True, capture_output=True)
    with zipfile.ZipFile(next(place.glob("*.whl"))) as wheel:
        return [name for name in wheel.namelist() if ".dist-info/" not in name]


@pytest.mark.parametrize(
    ("part", "held"),
    [
        ("protocols", {"cohortium_protocols"}),
        ("node", {"cohortium_node"}),
        (".", {"cohortium_protocols", "cohortium_node", "cohortium_coordinator", "cohortium_simulations"}),
    ],
)
def test_a_wheel_holds_its_packages_and_nothing_else(
    wheels: dict[str, list[str]], part: str, held: set[str]
) -> None:
    assert {PurePosixPath(name).parts[0] for name in wheels[part]} == held


@pytest.mark.parametrize("part", PARTS)
def test_a_wheel_holds_every_data_file_of_its_packages(
    wheels: dict[str, list[str]], packages: dict[str, Path], part: str
) -> None:
    held = {PurePosixPath(name).parts[0] for name in wheels[part]}
    files = [
        path.relative_to(packages[name]).as_posix()
        for name in held
        for path in (packages[name] / name).rglob("*")
        if path.suffix in DATA
    ]
    assert set(files) <= set(wheels[part])
    assert {f"{name}/py.typed" for name in held} <= set(wheels[part])
