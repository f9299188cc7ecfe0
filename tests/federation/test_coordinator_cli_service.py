"""The operator's commands with a running service behind real gRPC: signed plans, what is refused and why."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cohortium_coordinator.cli import run
from cohortium_coordinator.config import load_config
from cohortium_coordinator.serve import Server
from cohortium_protocols.signing import SigningKey
from cohortium_protocols.tls import make_request

ROSTER = ("east", "north", "west")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """An operator with three nodes enrolled; returns the configuration."""
    config = tmp_path / "lab" / "cohortium.toml"
    assert run(["init", str(config.parent), "--listen", f"127.0.0.1:{free_port()}"]) == 0
    for name in ROSTER:
        csr = tmp_path / f"{name}.csr"
        csr.write_bytes(make_request(tmp_path / f"{name}.key", name))
        key = SigningKey.generate().public.text
        assert run(["enrol", name, "--request", str(csr), "--key", key, "--config", str(config)]) == 0
    return config


@pytest.fixture
def service(lab: Path) -> Iterator[Server]:
    server = Server(load_config(lab))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def plan(tmp_path: Path, plan_text: str) -> str:
    (tmp_path / "plan.yaml").write_text(plan_text)
    return str(tmp_path / "plan.yaml")


@pytest.fixture
def call(lab: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs a command with the lab's configuration; returns its exit code and what it said."""

    def made(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run([*arguments, "--config", str(lab)])
        return code, *capsys.readouterr()

    return made


def test_a_plan_is_submitted_listed_shown_and_closed(
    service: Server, call: Callable[..., Any], plan: str
) -> None:
    assert call("study", "list")[1] == ""
    code, out, _ = call("study", "submit", plan)
    assert code == 0
    assert "weights: waiting for approval" in out
    assert [study["study"] for study in json.loads(call("study", "list", "--json")[1])] == ["weights"]
    shown = json.loads(call("study", "status", "weights", "--json")[1])
    assert [node["state"] for node in shown["nodes"]] == ["waiting"] * 3
    assert "closed" in call("study", "close", "weights", "--reason", "The provider withdrew.")[1]
    code, _, err = call("study", "follow", "weights")
    assert (code, "closed: The provider withdrew." in err) == (6, True)


def test_submitting_says_what_to_expect_of_as_many_people_as_the_plan_says_were_submitted(
    service: Server, call: Callable[..., Any], plan: str
) -> None:
    Path(plan).write_text(f"{Path(plan).read_text()}\nsubmitted: 70\n")
    code, out, err = call("study", "submit", plan, "--json")
    assert (code, json.loads(out)["study"]) == (0, "weights")
    assert "With 70 people helped" in err


def test_a_signed_plan_is_submitted_as_it_was_signed(
    service: Server, call: Callable[..., Any], plan: str, tmp_path: Path
) -> None:
    signed = str(tmp_path / "signed.json")
    assert call("plan", "sign", plan, "--output", signed)[0] == 0
    assert call("study", "submit", signed)[0] == 0
    assert call("study", "submit", plan)[0] == 0  # the same plan: the same study
    assert len(json.loads(call("study", "list", "--json")[1])) == 1


def _without_signatures(document: dict[str, Any]) -> None:
    for envelope in document["envelopes"]:
        envelope["signature"] = ""


def _altered(document: dict[str, Any]) -> None:
    body = document["envelopes"][0]["body"]
    document["envelopes"][0]["body"] = body[:400] + ("A" if body[400] != "A" else "B") + body[401:]


def _for_fewer(document: dict[str, Any]) -> None:
    del document["envelopes"][0]


def _emptied(document: dict[str, Any]) -> None:
    document["envelopes"] = []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [(_without_signatures, "does not fit"), (_altered, "does not fit"),
     (_for_fewer, "This signed plan cannot be used."),
     (_emptied, "it holds no signed envelopes")],
)  # fmt: skip
def test_an_unsigned_or_altered_plan_is_refused(
    service: Server,
    call: Callable[..., Any],
    plan: str,
    tmp_path: Path,
    change: Callable[..., None],
    sentence: str,
) -> None:
    signed = tmp_path / "signed.json"
    call("plan", "sign", plan, "--output", str(signed))
    document = json.loads(signed.read_text())
    change(document)
    signed.write_text(json.dumps(document))
    code, out, err = call("study", "submit", str(signed))
    assert (code, out) == (5, "")
    assert sentence in err
    assert json.loads(call("study", "list", "--json")[1]) == []


@pytest.mark.parametrize(
    ("old", "new", "code", "sentence"),
    [
        ("deadline: 2030-12-31", "deadline: 2024-12-31", 5, "has expired"),
        ("west]", "west, south]", 3, "Not enrolled here: south."),
        ("low: 20", "low: twenty", 4, "plan.yaml:7:36: `covariates[0].low`"),
        ("method: doubly_robust", "method: matching", 4, "is 'matching', but must be 'doubly_robust'"),
        ("aggregation: local", "aggregation: secure", 4, "3 nodes cannot tolerate 1 lost and 1 colluding"),
    ],
)
def test_a_plan_that_cannot_run_is_refused(
    service: Server, call: Callable[..., Any], plan: str, old: str, new: str, code: int, sentence: str
) -> None:
    Path(plan).write_text(Path(plan).read_text().replace(old, new))
    found, out, err = call("study", "submit", plan)
    assert (found, out, sentence in err) == (code, "", True), err


def test_another_plan_under_the_same_name_is_refused(
    service: Server, call: Callable[..., Any], plan: str
) -> None:
    call("study", "submit", plan)
    Path(plan).write_text(Path(plan).read_text().replace("epsilon: 1.0", "epsilon: 2.0"))
    code, _, err = call("study", "submit", plan)
    assert (code, "another study called 'weights'" in err) == (3, True)


@pytest.mark.parametrize("command", [["status"], ["report"], ["close", "--reason", "None."], ["follow"]])
def test_a_study_that_is_not_there_is_named(
    service: Server, call: Callable[..., Any], command: list[str]
) -> None:
    code, _, err = call("study", command[0], "nothing", *command[1:])
    assert (code, "There is no study called 'nothing' here." in err) == (2, True)


def test_a_report_that_is_not_there_yet_is_explained(
    service: Server, call: Callable[..., Any], plan: str
) -> None:
    call("study", "submit", plan)
    code, out, err = call("study", "report", "weights")
    assert (code, out) == (3, "")
    assert "it stands at: waiting for approval" in err


def test_a_port_in_use_is_explained(call: Callable[..., Any], lab: Path) -> None:
    with socket.create_server(("127.0.0.1", int(load_config(lab).listen.rpartition(":")[2]))):
        code, _, err = call("serve")
    assert (code, "cannot listen at" in err, "what to do:" in err) == (7, True, True)


def test_a_second_service_on_the_same_folder_is_refused(service: Server, call: Callable[..., Any]) -> None:
    code, _, err = call("serve")
    assert (code, "stop the other `cohortium serve`" in err) == (8, True)


def test_a_certificate_of_another_lab_is_refused(
    service: Server, lab: Path, tmp_path: Path, call: Callable[..., Any]
) -> None:
    run(["init", str(tmp_path / "other"), "--listen", load_config(lab).listen])
    for kind in ("operator.pem", "operator.key"):
        (lab.parent / "tls" / kind).write_bytes((tmp_path / "other" / "tls" / kind).read_bytes())
    code, _, err = call("study", "list")
    assert (code, "was not issued by the authority" in err) == (5, True)
    (lab.parent / "tls" / "authority.pem").write_bytes(
        (tmp_path / "other" / "tls" / "authority.pem").read_bytes()
    )
    code, _, err = call("study", "list")
    assert (code, "what to do:" in err) == (7, True)


@pytest.mark.process
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_service_that_is_told_to_stop_says_goodbye_and_forgets_nothing(
    lab: Path, plan: str, call: Callable[..., Any], number: int, code: int
) -> None:
    command = [
        sys.executable,
        "-c",
        "from cohortium_coordinator.cli import main; main()",
        "serve",
        "--config",
        str(lab),
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        while "stop with Ctrl-C" not in (line := running.stderr.readline()):
            assert line, "it ended early"
        assert call("study", "submit", plan)[0] == 0
        running.send_signal(number)
        said = running.stderr.read()
    assert running.returncode == code, said
    assert "Traceback" not in said
    server = Server(load_config(lab))
    server.start()
    try:
        assert call("study", "status", "weights")[0] == 0
    finally:
        server.stop()
