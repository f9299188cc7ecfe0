"""The custodian's commands: what they print, and that their errors read like sentences."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from node_parts import LAB, plan_message, round_message, send
from small_site import canonical_plan, command, make_site, write_cohort

from cohortium_node import workplace
from cohortium_node.config import read_config
from cohortium_node.service import NodeService
from cohortium_protocols.plan import Completes, Plan, plan_digest
from cohortium_protocols.schedules import schedule
from cohortium_protocols.signing import SigningKey

PLAN = canonical_plan()
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def site(tmp_path: Path, capsys: Capture) -> Path:
    config = make_site(tmp_path)
    capsys.readouterr()
    return config


def handled(site: Path, *messages: bytes) -> list[bytes]:
    """What the node answers, opened as its daemon opens it."""
    with workplace.opened(read_config(site)) as node:
        service, now = NodeService(node), datetime.now(UTC)
        service.recollect(send("anchor", "", {"node": "north", "head": "", "nonce": node.anchors.nonce}))
        return [answer for message in messages for answer in service.handle(message, now)]


def decided(site: Path) -> list[str]:
    with workplace.opened(read_config(site)) as node:
        return [study.state for study, _ in NodeService(node).decisions(datetime.now(UTC))]


def said(capsys: Capture, *words: object) -> tuple[int, str, str]:
    code = command(*words)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def printed_json(capsys: Capture, *words: object) -> Any:
    code, out, _ = said(capsys, *words, "--json")
    assert code == 0
    return json.loads(out)


# Making a node.


def test_init_makes_keys_that_only_the_owner_reads_and_says_what_is_left_to_do(tmp_path: Path, capsys: Capture) -> None:
    code, out, err = said(capsys, "init", tmp_path / "east", "--operator", "lab", "--relay", "relay.example.org:8443")
    assert (code, err) == (0, "")
    for words in (
        "tls/east.csr",
        "its fingerprint out by telephone",
        "pin the operator's key",
        "Every custodian needs the same",
    ):
        assert words in out
    secret = ["tls/east.key", "state/keys/signing.pem", "state/keys/freeze.key", "study.key"]
    assert [(tmp_path / "east" / name).stat().st_mode & 0o077 for name in secret] == [0, 0, 0, 0]
    config = read_config(tmp_path / "east" / "node.toml")
    assert (config.name, config.operator, config.data.folder.is_dir()) == ("east", "lab", True)


def test_init_changes_nothing_that_is_there(site: Path, capsys: Capture) -> None:
    before = {path: path.read_bytes() for path in site.parent.rglob("*") if path.is_file()}
    code, _, err = said(capsys, "init", site.parent, "--operator", "lab", "--relay", "r:1")
    assert (code, err) == (8, f"{site} is there already.\n  what to do: choose another folder; nothing was changed\n")
    assert {path: path.read_bytes() for path in site.parent.rglob("*") if path.is_file()} == before


def test_custodians_can_share_one_study_key(site: Path, tmp_path: Path, capsys: Capture) -> None:
    shared = site.parent / "study.key"
    words = ("--operator", "lab", "--relay", "r:1", "--study-key", shared)
    assert said(capsys, "init", tmp_path / "west", *words)[0] == 0
    assert read_config(tmp_path / "west" / "node.toml").study_key.samefile(shared)


def test_key_show_prints_what_the_operator_pins(site: Path, capsys: Capture) -> None:
    public = SigningKey.load(site.parent / "state/keys/signing.pem").public
    assert said(capsys, "-c", site, "key", "show") == (0, f"{public.text}\nfingerprint: {public.fingerprint}\n", "")
    assert printed_json(capsys, "-c", site, "key", "show") == {
        "name": "north", "key": public.text, "fingerprint": public.fingerprint,
    }  # fmt: skip


# From plan to answer.


def test_a_plan_from_arrival_to_answer(site: Path, tmp_path: Path, capsys: Capture) -> None:
    handled(site, plan_message(PLAN))
    assert "befriending: waiting, epsilon 1" in said(capsys, "-c", site, "plans")[1]

    code, _, err = said(capsys, "-c", site, "approve", "befriending")
    assert (code, err.splitlines()[0]) == (3, "Approved 'befriending', but it cannot start yet.")
    assert "The cohort file for 'befriending' is not there yet." in err
    assert decided(site) == []

    write_cohort(tmp_path)
    assert decided(site) == ["approved"]
    (answer,) = handled(site, round_message(PLAN, "profile"))
    assert b'"kind":"answer"' in answer

    view = printed_json(capsys, "-c", site, "budget")
    assert [(study["study"], study["rounds"]) for study in view["studies"]] == [("befriending", ["profile"])]
    assert 0 < view["spent"]["mu2"] < view["spent_or_set_aside"]["mu2"] < view["total"]["mu2"]
    kinds = [entry["kind"] for entry in printed_json(capsys, "-c", site, "ledger", "show")]
    assert kinds == ["opened", "reserved", "answered"]
    assert printed_json(capsys, "-c", site, "ledger", "verify")["entries"] == 3
    code, _, err = said(capsys, "-c", site, "refuse", "befriending")
    assert (code, err.splitlines()[0]) == (2, "The plan 'befriending' is approved already.")


def test_refusing_a_plan(site: Path, capsys: Capture) -> None:
    handled(site, plan_message(PLAN))
    assert said(capsys, "-c", site, "refuse", "befriending")[0] == 0
    assert decided(site) == ["refused"]
    assert printed_json(capsys, "-c", site, "plans")[0]["state"] == "refused"


def test_too_few_submitted_rows_leave_the_plan_waiting(site: Path, tmp_path: Path, capsys: Capture) -> None:
    handled(site, plan_message(PLAN))
    write_cohort(tmp_path, rows=59)
    _, _, err = said(capsys, "-c", site, "approve", "befriending")
    assert "The cohort file befriending.csv has 59 rows.\n  why: this node takes part from 60 submitted rows" in err
    assert decided(site) == []


def test_show_names_every_vector_that_would_leave_with_its_noise_and_price(site: Path, capsys: Capture) -> None:
    handled(site, plan_message(PLAN))
    view = printed_json(capsys, "-c", site, "show", "befriending")
    declared = list(schedule(PLAN).vectors())
    shown = [(each["round"], vector["name"]) for each in view["rounds"] for vector in each["vectors"]]
    assert shown == [(spec.name, vector.name) for spec, vector in declared]
    assert view["numbers"] == sum(vector.dimension for _, vector in declared)
    assert view["price"]["epsilon"] == pytest.approx(1.0, rel=1e-6)
    assert (view["not_pinned"], view["operator_fingerprint"]) == (["south"], LAB.public.fingerprint)
    _, out, _ = said(capsys, "-c", site, "show", "befriending")
    assert "price      epsilon 1 at delta 1e-06" in out
    assert f"What would leave this node: {view['numbers']} sums over people in {len(view['rounds'])} rounds" in out
    assert all(vector.name in out for _, vector in declared)


@pytest.mark.parametrize(
    ("earlier", "sentence", "facts"),
    [
        (None, "that study's plan never came here", (None, None, None)),
        (PLAN, "it asks the same as that plan, which is here too (waiting)", ("waiting", True, [])),
        (PLAN.model_copy(update={"title": "Another"}), "not the plan that came here under that name (waiting)",
         ("waiting", False, None)),
    ],
)  # fmt: skip
def test_show_says_which_study_a_late_plan_completes(
    site: Path, capsys: Capture, earlier: Plan | None, sentence: str, facts: tuple[Any, ...]
) -> None:
    completes = Completes(study=PLAN.study, plan=plan_digest(PLAN))
    late = PLAN.model_copy(update={"study": "befriending-late", "completes": completes})
    handled(site, *(plan_message(each) for each in (earlier, late) if each))
    out = said(capsys, "-c", site, "show", late.study)[1]
    assert f"completes  befriending (plan {plan_digest(PLAN)})" in out
    assert sentence in out
    found = printed_json(capsys, "-c", site, "show", late.study)["completes"]
    assert (found["here"], found["is_the_plan_here"], found["asks_otherwise"]) == facts
    if earlier:
        assert printed_json(capsys, "-c", site, "show", PLAN.study)["completes"] is None


def test_show_names_what_a_late_plan_asks_otherwise(site: Path, capsys: Capture) -> None:
    completes = Completes(study=PLAN.study, plan=plan_digest(PLAN))
    late = PLAN.model_copy(update={"study": "befriending-late", "completes": completes, "washout": 30})
    handled(site, plan_message(PLAN), plan_message(late))
    assert "differs from that plan in washout: ask the operator" in said(capsys, "-c", site, "show", late.study)[1]


def test_show_names_squares_ranges_and_products_beside_the_covariates(site: Path, capsys: Capture) -> None:
    written = PLAN.model_dump(mode="json", by_alias=True)
    written["covariates"] = [{"name": "age", "square": True, "bins": [65]}, "sex", *written["covariates"][2:]]
    handled(site, plan_message(Plan.model_validate(written | {"interactions": [["age", "sex"]]})))
    asked = ["age squared", "age 65 or more", "age x sex=male"]
    assert printed_json(capsys, "-c", site, "show", "befriending")["derived"] == asked
    assert f", {', '.join(asked)}\n" in said(capsys, "-c", site, "show", "befriending")[1]


def test_verify_names_the_broken_link_of_a_copy(site: Path, tmp_path: Path, capsys: Capture) -> None:
    handled(site, plan_message(PLAN))
    said(capsys, "-c", site, "approve", "befriending")
    write_cohort(tmp_path)
    decided(site)
    copy = tmp_path / "copy.sqlite"
    copy.write_bytes((site.parent / "state/ledger.sqlite").read_bytes())
    assert said(capsys, "-c", site, "ledger", "verify", copy)[0] == 0
    with closing(sqlite3.connect(copy)) as database:
        database.executescript("DROP TRIGGER entry_update; UPDATE entry SET hash = 'forged'")
    code, _, err = said(capsys, "-c", site, "ledger", "verify", copy)
    assert (code, err.splitlines()[0]) == (8, "The ledger's chain is broken at entry 1.")


# What can be wrong.


def test_check_tries_everything_and_says_what_to_do(site: Path, capsys: Capture) -> None:
    code, out, err = said(capsys, "-c", site, "check")
    lines = out.splitlines()
    assert (code, err) == (8, "")  # the certificate is not there yet
    assert [line.split(":")[0] for line in lines if line.startswith(("ok", "FAULT"))] == [
        "ok   configuration", "ok   policy", "ok   signing key", "ok   study key", "ok   records", "ok   ledger",
        "FAULT relay",
    ]  # fmt: skip
    assert "ok   records: person 300 rows" in out
    assert "pinned nodes: none (a secure sum needs all of its nodes pinned)" in out


@pytest.mark.parametrize(
    ("words", "exit_code", "first_line"),
    [
        (("-c", "absent.toml", "plans"), 3, "The file absent.toml cannot be read."),
        (("-c", "{site}", "show", "weights"), 2, "There is no plan 'weights' here."),
        (("-c", "{site}", "approve", "weights"), 2, "There is no plan 'weights' here."),
        (("init", "x", "--operator", "lab", "--operator-key", "abc", "--relay", "r:1"), 5,
         "This is not a public key of Cohortium."),
        (("init", "{folder}/east", "--operator", "lab", "--relay", "r"), 3, "'r' is not the address of a relay."),
        (
            ("init", "{folder}/North", "--operator", "lab", "--relay", "r:1"), 3,
            "'North' cannot be the name of a party.",
        ),
        (("-c", "{site}", "ledger", "verify", "absent"), 8,
         "There is no ledger or other database at absent."),
    ],
)  # fmt: skip
def test_errors_read_like_sentences(
    site: Path, tmp_path: Path, capsys: Capture, words: tuple[str, ...], exit_code: int, first_line: str
) -> None:
    handled(site, plan_message(PLAN))
    code, out, err = said(capsys, *(word.format(site=site, folder=tmp_path) for word in words))
    assert (code, out, err.splitlines()[0]) == (exit_code, "", first_line)
    assert "Traceback" not in err


def test_a_word_that_is_no_command_is_wrong_use(capsys: Capture) -> None:
    code, _, err = said(capsys, "aprove")
    assert code == 2
    assert "No such command 'aprove'" in err


@pytest.mark.parametrize(
    ("file", "text", "exit_code", "first_line"),
    [
        ("policy.toml", "[caps]\nper_study_epsilon = 1\ntotal_epsilon = 1\n[operators]\n", 3, "pins no operator."),
        ("study.key", "short", 3, "cannot be used."),
        ("state/keys/freeze.key", "short", 8, "is damaged."),
        ("state/keys/signing.pem", "short", 8, "cannot be read."),
    ],
)
def test_the_daemon_does_not_start_without_its_files(
    site: Path, capsys: Capture, file: str, text: str, exit_code: int, first_line: str
) -> None:
    (site.parent / file).write_text(text)
    code, _, err = said(capsys, "-c", site, "run")
    assert code == exit_code
    assert err.splitlines()[0].endswith(first_line)


def test_the_help_tells_the_exit_codes(capsys: Capture) -> None:
    code, out, _ = said(capsys, "--help")
    assert code == 0
    assert "8 this node's own records cannot be used" in out
    assert "cohortium-node -c north/node.toml approve befriending-2024" in out
