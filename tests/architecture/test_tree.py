"""What no file of the repository may contain."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest

LOCKS = ["requirements.lock", "requirements-dev.lock", "node/requirements.lock"]


def test_no_file_names_a_path_of_one_machine(tree: dict[str, str]) -> None:
    path = re.compile(r"(?<![\w.<])/(?:w[o]rk|r[o]ot|h[o]me|t[m]p|o[p]t)/\w")
    assert _lines(tree, path) == []


def test_nothing_is_left_half_done(tree: dict[str, str]) -> None:
    left = re.compile(r"\b(?:T[O]DO|F[I]XME|X[X]X|NotImplemented[E]rror)\b")
    assert _lines({name: text for name, text in tree.items() if "_pb2" not in name}, left) == []


def test_no_test_is_marked_as_skipped_or_expected_to_fail(tree: dict[str, str]) -> None:
    tests = {name: text for name, text in tree.items() if name.startswith("tests/")}
    assert _lines(tests, re.compile(r"@pytest\.mark\.(?:skip|x[f]ail)")) == []


def test_tests_are_not_packages_and_have_names_of_their_own(tree: dict[str, str]) -> None:
    files = [Path(name).name for name in tree if name.startswith("tests/") and name.endswith(".py")]
    assert "__init__.py" not in files
    assert [name for name, times in Counter(files).items() if times > 1 and name != "conftest.py"] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_hold_hashes_and_no_address(tree: dict[str, str], lock: str) -> None:
    pins = re.findall(r"^[a-z0-9][\w.-]*(?:\[.*\])?==", tree[lock], re.MULTILINE)
    assert len(pins) > 10
    assert "://" not in tree[lock]
    assert "-e " not in tree[lock]
    assert all("--hash=sha256:" in pin for pin in re.split(r"\n(?=[a-z0-9])", tree[lock])[1:])


def test_the_locks_agree_on_every_version(tree: dict[str, str]) -> None:
    pin = re.compile(r"^([a-z0-9][\w.-]*?)(?:\[.*\])?==(\S+)", re.MULTILINE)
    main, everything, node = (dict(pin.findall(tree[lock])) for lock in LOCKS)
    assert main.items() <= everything.items()
    assert node.items() <= everything.items()


def test_the_three_projects_carry_one_version(root: Path) -> None:
    texts = [(root / part / "pyproject.toml").read_text() for part in (".", "protocols", "node")]
    projects = [tomllib.loads(text)["project"] for text in texts]
    assert len({project["version"] for project in projects}) == 1
    assert f"cohortium-protocols=={projects[0]['version']}" in projects[2]["dependencies"]
    assert len({project["requires-python"] for project in projects}) == 1


def _lines(tree: dict[str, str], pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{name}:{number}: {line.strip()[:100]}"
        for name, text in tree.items()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]
