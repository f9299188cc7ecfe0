"""The configuration: one TOML, parsed once, every fault named with its key."""

from __future__ import annotations

from pathlib import Path

import pytest

from cohortium_node.config import Config, read_config, read_study_key
from cohortium_protocols.errors import InputError

FILE = """
name = "north"
operator = "lab"
data_dir = "state"
policy = "policy.toml"
study_key = "/secrets/study.key"
[data]
folder = "data"
[cohorts]
folder = "cohorts"
[relay]
address = "relay.example.org:8443"
authority = "tls/ca.pem"
certificate = "tls/north.pem"
key = "tls/north.key"
"""


def read(tmp_path: Path, text: str) -> Config:
    (tmp_path / "node.toml").write_text(text)
    return read_config(tmp_path / "node.toml")


def test_relative_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    config = read(tmp_path, FILE)
    assert (config.name, config.relay.address, config.relay.poll) == ("north", "relay.example.org:8443", 5.0)
    assert (config.policy, config.data.folder) == (tmp_path / "policy.toml", tmp_path / "data")
    assert (config.relay.key, config.ledger) == (tmp_path / "tls/north.key", tmp_path / "state/ledger.sqlite")
    assert config.study_key == Path("/secrets/study.key")


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("operator =", "operater =", "there is no key `operater`. Did you mean `operator`?"),
        ("authority =", "authorty =", "there is no key `relay.authorty`. Did you mean `authority`?"),
        ("[cohorts]", "[cohort]", "there is no key `cohort`. Did you mean `cohorts`?"),
        ('operator = "lab"', "", "`operator` is missing."),
        ('"north"', '"North"', "`name` must be small letters, digits and hyphens."),
        (":8443", "", "`relay.address`: must be HOST:PORT, for example"),
        ('"state"', "5", "`data_dir` must be a path, in quotes."),
        ("[data]", "[data", "is not valid TOML."),
    ],
)
def test_a_fault_is_named_with_its_key(tmp_path: Path, old: str, new: str, fault: str) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, FILE.replace(old, new, 1))
    assert fault in str(caught.value)
    assert str(tmp_path / "node.toml") in caught.value.what


def test_every_fault_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, FILE.replace("[cohorts]", "[cohort]").replace('operator = "lab"', ""))
    assert caught.value.what.splitlines()[1:] == [
        "  `operator` is missing.",
        "  `cohorts` is missing.",
        "  there is no key `cohort`. Did you mean `cohorts`?",
    ]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"node\.toml cannot be read"):
        read_config(tmp_path / "node.toml")


def test_a_study_key(tmp_path: Path) -> None:
    (tmp_path / "study.key").write_text("0a" * 32 + "\n")
    assert read_study_key(tmp_path / "study.key") == b"\n" * 32


@pytest.mark.parametrize("text", ["", "0a" * 31, "0a" * 33, "xy" * 32, "é"])
def test_what_is_no_study_key(tmp_path: Path, text: str) -> None:
    (tmp_path / "study.key").write_text(text)
    with pytest.raises(InputError, match="cannot be used") as caught:
        read_study_key(tmp_path / "study.key")
    assert text not in str(caught.value) or not text
