"""Bad input to a federation of real processes: a clear word to whoever can act on it, and nothing lost or charged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_federation import Federation
from small_site import command

from cohortium_coordinator.cli import run
from cohortium_coordinator.relay.mailbox import Mailbox
from cohortium_protocols.signing import Envelope, SigningKey

pytestmark = pytest.mark.process


@pytest.fixture
def lab(federation: Federation, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs a command of the operator; returns its exit code and what it said."""

    def made(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run([*words, "--config", str(federation.here.operator)])
        return code, *capsys.readouterr()

    return made


@pytest.fixture
def node(federation: Federation, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs a command of a custodian; returns its exit code and what it said."""

    def made(name: str, *words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = command("-c", federation.here.node(name) / "node.toml", *words)
        return code, *capsys.readouterr()

    return made


def audited(federation: Federation, name: str, what: str) -> list[dict[str, Any]]:
    """The lines of a node's audit log about one kind of event."""
    log = federation.here.node(name) / "state" / "audit.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return [line for line in lines if what in line.values()]


def test_a_plan_that_asks_for_more_than_the_nodes_cap_is_refused_and_costs_nothing(
    federation: Federation, lab: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "greedy.yaml").write_text(federation.plan("greedy", epsilon=1.5))
    assert lab("study", "submit", str(tmp_path / "greedy.yaml"))[0] == 0
    code, _, err = lab("study", "follow", "greedy", "--every", "0.1")
    assert (code, ": refused (refused_by_policy)" in err) == (6, True), err  # whichever node was first
    (refused,) = federation.until(lambda: audited(federation, "north", "plan refused"))
    assert "it asks for epsilon 1.5; this node allows 1 (delta 1e-06)" in refused["why"]
    assert [federation.entries(name, "greedy") for name in federation.here.nodes] == [[], [], []]


def _broken_number(cohort: str) -> str:
    first = cohort.splitlines()[1].split(",")[0]
    other = f"{first[:-1]}{(int(first[-1]) + 1) % 10}"
    return cohort.replace(first, other, 1)


def _renamed_column(cohort: str) -> str:
    return cohort.replace("start_date", "begun", 1)


@pytest.mark.parametrize(
    ("study", "spoil", "words"),
    [("broken-number", _broken_number, ("row 2", "nhs_number")), ("wrong-column", _renamed_column, ("start_date",))],
)
def test_a_faulty_cohort_file_holds_the_study_up_until_it_is_corrected(
    federation: Federation, node: Callable[..., Any], study: str, spoil: Callable[[str], str], words: tuple[str, ...]
) -> None:
    good = federation.cohort
    federation.cohort = spoil(good.decode()).encode()
    federation.submit(study)
    federation.until(lambda: study in node("north", "plans")[1])
    said = federation.until(lambda: "cohort" in (shown := node("north", "show", study)[1]) and shown)
    assert [word for word in (f"{study}.csv", *words) if word not in said] == []
    assert federation.cohort.decode().splitlines()[1].split(",")[0] not in said
    code, _, err = node("north", "approve", study)
    assert (code, f"{study}.csv" in err) == (3, True)
    assert [federation.entries(name, study) for name in federation.here.nodes] == [[], [], []]
    federation.cohort = good
    federation.submit(study)
    assert [each["state"] for each in federation.ended(study)["nodes"]] == ["answered"] * 3


def test_a_plan_that_somebody_else_signed_is_dropped_by_the_node(federation: Federation, tmp_path: Path) -> None:
    """Whoever runs the relay can put anything into a mailbox: only the operator's signature counts."""
    lab = federation.here.operator.parent
    federation.submit("genuine")
    federation.ended("genuine")
    (genuine,) = (each for each in federation.mailed("genuine") if each.kind == "plan" and each.recipient == "north")
    forged = Envelope.sign("plan", "forged", "lab", "north", genuine.content(), SigningKey.generate())
    altered = Envelope("plan", "altered", "lab", "north", genuine.body, genuine.signature)
    mailbox = Mailbox(lab / "data" / "mailbox.sqlite")
    for envelope in (forged, altered):
        mailbox.post("north", envelope.to_bytes())
    mailbox.close()
    misfit = "The signature on a plan message from 'lab' does not fit."
    federation.until(lambda: [line["why"] for line in audited(federation, "north", "dropped")].count(misfit) == 2)
    assert federation.entries("north", "forged") == federation.entries("north", "altered") == []
    assert federation.mailed("forged")[1:] == federation.mailed("altered")[1:] == []


def _enrolled_elsewhere(folder: Path, request: Path) -> None:
    """Makes another lab, and the certificate that it would issue to the node."""
    assert run(["init", str(folder / "other")]) == 0
    assert run(["enrol", "east", "--request", str(request), "--key", SigningKey.generate().public.text, "--output",
                str(folder / "east.pem"), "--config", str(folder / "other" / "cohortium.toml")]) == 0  # fmt: skip


def test_a_node_with_the_certificate_of_another_lab_is_told_whom_to_ask(
    federation: Federation, node: Callable[..., Any], tmp_path: Path
) -> None:
    tls = federation.here.node("east") / "tls"
    right = (tls / "east.pem").read_bytes()
    _enrolled_elsewhere(tmp_path, tls / "east.csr")
    (tls / "east.pem").write_bytes((tmp_path / "east.pem").read_bytes())
    code, out, _ = node("east", "check")
    assert (code, "FAULT relay" in out, "what to do:" in out) == (5, True, True), out
    (tls / "east.pem").write_bytes(right)
    assert node("east", "check")[0] == 0


def test_a_node_that_meets_the_relay_of_another_lab_does_not_talk_to_it(
    federation: Federation, node: Callable[..., Any], tmp_path: Path
) -> None:
    tls = federation.here.node("east") / "tls"
    kept = {path: path.read_bytes() for path in (tls / "ca.pem", tls / "east.pem")}
    _enrolled_elsewhere(tmp_path, tls / "east.csr")
    (tls / "ca.pem").write_bytes((tmp_path / "other" / "tls" / "authority.pem").read_bytes())
    (tls / "east.pem").write_bytes((tmp_path / "east.pem").read_bytes())
    code, out, _ = node("east", "check")
    assert (code, "is not the one expected" in out, "what to do:" in out) == (7, True, True), out
    for path, content in kept.items():
        path.write_bytes(content)
    assert node("east", "check")[0] == 0
