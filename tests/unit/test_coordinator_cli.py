"""The operator's commands without a running service: setting up, enrolling, plans; mistakes in sentences."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cohortium_coordinator.cli import run
from cohortium_coordinator.config import load_config
from cohortium_protocols.signed_plan import read_signed_plan
from cohortium_protocols.signing import SigningKey
from cohortium_protocols.tls import TlsFiles, load_credentials, make_request

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "befriending-2024.yaml"
KEY = SigningKey.generate().public.text


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A new operator's folder."""
    assert run(["init", str(tmp_path / "lab"), "--listen", "0.0.0.0:7999", "--host", "lab.example"]) == 0
    return tmp_path / "lab"


@pytest.fixture
def plan(tmp_path: Path) -> Callable[..., str]:
    """Writes the example plan with one text replaced by another, and returns its path."""

    def write(old: str = "", new: str = "") -> str:
        text = EXAMPLE.read_text()
        assert old in text
        (tmp_path / "plan.yaml").write_text(text.replace(old, new, 1) if old else text)
        return str(tmp_path / "plan.yaml")

    return write


def request(tmp_path: Path, name: str = "north") -> str:
    path = tmp_path / f"{name}.csr"
    path.write_bytes(make_request(tmp_path / f"{name}-{len(list(tmp_path.iterdir()))}.key", name))
    return str(path)


def enrol(lab: Path, csr: str, *more: str, name: str = "north", key: str = KEY) -> int:
    return run(
        ["enrol", name, "--request", csr, "--key", key, "--config", str(lab / "cohortium.toml"), *more]
    )


def test_help_documents_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    assert (
        "Exit codes: 0 ok, 2 usage, 3 input, 4 plan, 5 trust, 6 refused, 7 network, 8 storage"
        in capsys.readouterr().out
    )


def test_a_new_operator_has_keys_certificates_and_a_commented_configuration(lab: Path) -> None:
    config = load_config(lab / "cohortium.toml")
    load_credentials(config.server)
    party = load_credentials(config.operator).party
    assert party is not None
    assert (party.name, party.role) == ("lab", "operator")
    assert (config.listen, config.address) == ("0.0.0.0:7999", "localhost:7999")
    assert (lab / "keys" / "signing.pem").stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in (lab / "tls").glob("*.key"))


def test_key_show_prints_what_nodes_pin(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    public = SigningKey.load(lab / "keys" / "signing.pem").public
    capsys.readouterr()
    assert run(["key", "show", "--config", str(lab / "cohortium.toml"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "operator": "lab", "key": public.text, "fingerprint": public.fingerprint}  # fmt: skip


def test_enrolling_issues_a_certificate_and_pins_the_key(lab: Path, tmp_path: Path) -> None:
    assert enrol(lab, request(tmp_path)) == 0
    certificate, key = lab / "enrolled" / "north.pem", next(tmp_path.glob("north-*.key"))
    party = load_credentials(TlsFiles(lab / "tls" / "authority.pem", certificate, key)).party
    assert party is not None
    assert (party.name, party.role) == ("north", "node")
    assert load_config(lab / "cohortium.toml").studies.nodes["north"].text == KEY


def test_enrolling_again_with_the_same_key_renews_the_certificate(lab: Path, tmp_path: Path) -> None:
    csr = request(tmp_path)
    assert [enrol(lab, csr), enrol(lab, csr), enrol(lab, csr, "--output", str(tmp_path / "new.pem"))] == [
        0,
        8,
        0,
    ]
    assert (lab / "cohortium.toml").read_text().count("[nodes.north]") == 1


def test_enrolling_with_another_key_is_refused(
    lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    enrol(lab, request(tmp_path))
    assert enrol(lab, request(tmp_path), key=SigningKey.generate().public.text) == 5
    assert "Another key of 'north' is pinned already." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "code", "sentence"),
    [
        ({"key": "ed25519:short"}, 5, "This is not a public key of Cohortium."),
        ({"name": "North West"}, 3, "'North West' cannot be the name of a party."),
        ({"name": "south"}, 3, "The certificate request is not for 'south'."),
        ({"csr": "missing.csr"}, 3, "The certificate request missing.csr cannot be read."),
        ({"csr": str(EXAMPLE)}, 3, "This is not a certificate request in PEM form."),
    ],
)
def test_a_node_is_not_enrolled_when(
    lab: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: dict[str, str],
    code: int,
    sentence: str,
) -> None:
    before = (lab / "cohortium.toml").read_text()
    assert enrol(lab, **({"csr": request(tmp_path)} | change)) == code
    assert sentence in capsys.readouterr().err
    assert (lab / "cohortium.toml").read_text() == before


def test_a_folder_with_something_in_it_is_never_written_to(
    lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["init", str(lab)]) == 3
    assert "is not empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('name = "lab"', "", "`name` is missing"),
        ('name = "lab"', "name = 3", "`name` is not text in quotes"),
        ('name = "lab"', 'nme = "lab"', "`nme` is not a setting"),
        ('round = "2 days"', 'round = "soon"', "`time_outs.round` is 'soon', not a length of time"),
        ('round = "2 days"', 'answer = "2 days"', "`time_outs.answer` is not a setting"),
        (
            'listen = "0.0.0.0:7999"',
            'listen = "everywhere"',
            "`listen` is 'everywhere', not an address and a port",
        ),
        ("[tls]", "[tls", "is not valid TOML"),
        (
            "[tls]",
            '[nodes.north]\nkey = "secret"\n[tls]',
            "`nodes.north.key` is not a public key of Cohortium",
        ),
        ("[tls]", "[nodes]\nnorth = 1\n[tls]", "`nodes.north` has no key"),
    ],
)
def test_a_configuration_that_is_not_as_it_must_be_is_named(
    lab: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, sentence: str
) -> None:
    path = lab / "cohortium.toml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    capsys.readouterr()
    assert run(["key", "show", "--config", str(path)]) == 3
    said = capsys.readouterr().err
    assert sentence in said
    assert str(path) in said


def test_the_example_plan_has_no_faults(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "check", str(EXAMPLE)]) == 0
    assert "has no faults" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new", "code", "sentence"),
    [
        ("follow_up: 365", "follow_up: 9999", 4, "plan.yaml:13:12: `follow_up`"),
        ("covariates:", "covariats:", 4, "There is no field `covariats` in a plan."),
        ("method: doubly_robust", "method: matching", 4, "is 'matching', but must be 'doubly_robust'"),
        ("tolerate_lost_nodes: 1", "tolerate_lost_nodes: 2", 4, "5 nodes cannot tolerate 2 lost and 1 colluding"),
        (
            "deadline: 2030-12-31",
            "deadline: 2024-01-31",
            5,
            "The plan of the study 'befriending-2024' has expired.",
        ),
    ],
)
def test_plan_check_names_a_fault_with_its_place(
    plan: Callable[..., str], capsys: pytest.CaptureFixture[str], old: str, new: str, code: int, sentence: str
) -> None:
    assert run(["plan", "check", plan(old, new)]) == code
    assert sentence in capsys.readouterr().err


def test_plan_check_answers_programs_in_json(
    plan: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["plan", "check", plan("follow_up: 365", "follow_up: 9999"), "--json"]) == 4
    found = json.loads(capsys.readouterr().out)
    assert (found["valid"], found["faults"][0]["path"], found["faults"][0]["line"]) == (
        False,
        "follow_up",
        13,
    )


def test_plan_check_reads_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(EXAMPLE.read_bytes())))
    assert run(["plan", "check", "-"]) == 0
    assert "standard input has no faults" in capsys.readouterr().out


def test_plan_show_says_what_would_leave_and_what_it_costs(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "show", str(EXAMPLE)]) == 0
    shown = capsys.readouterr().out
    for part in (
        "treated_outcome.bed_days",
        "epsilon 2.00",
        "presence",
        "membership",
        "known member",
        "mu squared",
    ):
        assert part in shown


def test_plan_show_gives_programs_every_declared_vector(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "show", str(EXAMPLE), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["privacy"]["presence"] == pytest.approx(2, abs=0.001)
    assert shown["privacy"]["presence"] < shown["privacy"]["membership"] < shown["privacy"]["known_member"]
    assert {"dimension", "d2", "sigma", "mu2"} <= shown["rounds"][0]["vectors"][0].keys()


def test_plan_schema_is_json_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "schema"]) == 0
    assert "study" in json.loads(capsys.readouterr().out)["properties"]


def test_a_signed_plan_has_one_envelope_for_each_node(lab: Path, tmp_path: Path) -> None:
    signed = tmp_path / "signed.json"
    assert (
        run(["plan", "sign", str(EXAMPLE), "--output", str(signed), "--config", str(lab / "cohortium.toml")])
        == 0
    )
    public = SigningKey.load(lab / "keys" / "signing.pem").public
    message, envelopes = read_signed_plan(signed.read_text(), {"lab": public})
    assert [envelope.recipient for envelope in envelopes] == list(message.plan.nodes.roster)


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["dance"], 2, "No such command 'dance'"),
        (["plan", "check"], 2, "Missing argument 'FILE'"),
        (["plan", "check", "missing.yaml"], 3, "The file missing.yaml cannot be read."),
        (["serve", "--config", "missing.toml"], 3, "The configuration missing.toml cannot be read."),
        (["init", "new", "--name", "Data Lab"], 3, "'Data Lab' cannot be the name of a party."),
        (["init", "new", "--listen", "nowhere"], 3, "'nowhere', not an address and a port"),
        (["study", "report", "s", "--format", "pdf"], 2, "'pdf' is not one of 'html', 'json', 'csv'"),
    ],
)
def test_a_mistake_is_answered_with_a_sentence_and_its_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    arguments: list[str], code: int, sentence: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == code
    said = capsys.readouterr()
    assert sentence in said.err
    assert said.out == ""
    assert list(tmp_path.iterdir()) == []


def test_without_a_running_service_study_commands_say_so(
    lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["study", "list", "--config", str(lab / "cohortium.toml")]) == 7
    assert "what to do:" in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["keys/signing.pem", "tls/server.key", "tls/authority.pem"])
def test_a_service_with_a_missing_file_does_not_start(
    lab: Path, capsys: pytest.CaptureFixture[str], missing: str
) -> None:
    (lab / missing).unlink()
    assert run(["serve", "--config", str(lab / "cohortium.toml")]) == 8
    assert missing in capsys.readouterr().err


def test_an_output_that_cannot_be_written_is_named(
    lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments: list[Any] = ["plan", "sign", str(EXAMPLE), "--config", str(lab / "cohortium.toml")]
    assert run([*arguments, "--output", str(tmp_path / "no" / "folder")]) == 8
    assert "cannot be written" in capsys.readouterr().err
