"""The custodian's commands about budget and ledger: what a plan would leave, exports, and what witnesses hold."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from node_parts import LAB, STRANGER, plan_message, round_message, send
from small_site import CANONICAL, canonical_plan, command, make_site, write_cohort

from cohortium_node import workplace
from cohortium_node.config import read_config
from cohortium_node.service import NodeService
from cohortium_protocols.messages import Anchor
from cohortium_protocols.signed_plan import signed_plan_text
from cohortium_protocols.signing import Envelope, SigningKey

PLAN = canonical_plan()
Said = Callable[..., tuple[int, str, str]]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    def run(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = command(*words)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A node that has approved a study and answered its first round."""
    config = make_site(tmp_path)
    write_cohort(tmp_path)
    worked(config, plan_message(PLAN))
    command("-c", config, "approve", "befriending")
    worked(config, round_message(PLAN, "profile"))
    return config


def worked(config: Path, message: bytes) -> list[bytes]:
    with workplace.opened(read_config(config)) as node:
        service, now = NodeService(node), datetime.now(UTC)
        service.recollect(send("anchor", "", {"node": "north", "head": "", "nonce": node.anchors.nonce}))
        service.decisions(now)
        return service.handle(message, now)


def written(tmp_path: Path, study: str = "next", epsilon: float = 1.0) -> Path:
    path = tmp_path / "plan.yaml"
    path.write_text(CANONICAL.format(study=study).replace("epsilon: 1.0", f"epsilon: {epsilon}"))
    return path


def test_what_would_be_left_after_a_plan_as_written(site: Path, tmp_path: Path, said: Said) -> None:
    before = said("-c", site, "budget", "--json")[1]
    code, out, _ = said("-c", site, "budget", "--if", written(tmp_path), "--json")
    view = json.loads(out)
    assert (code, view["study"], view["operator"], view["refusals"]) == (0, "next", "lab", [])
    total = view["caps"][0]
    assert total["left"]["mu2"] - total["left_after"]["mu2"] == pytest.approx(view["price"]["mu2"])
    assert said("-c", site, "budget", "--json")[1] == before
    code, out, _ = said("-c", site, "budget", "--if", written(tmp_path))
    assert code == 0
    assert "If 'next' of the operator 'lab' were approved: nothing was changed." in out


def test_a_plan_that_would_be_refused_ends_with_the_code_of_a_refusal(site: Path, tmp_path: Path, said: Said) -> None:
    code, out, _ = said("-c", site, "budget", "--if", written(tmp_path, epsilon=2.0))
    assert code == 6
    assert "It would be refused: it asks for epsilon 2; this node allows 1" in out


def signed(tmp_path: Path, key: SigningKey) -> Path:
    path = tmp_path / "plan.signed.json"
    copies = [Envelope.from_bytes(plan_message(canonical_plan("signed"))).body for _ in PLAN.nodes.roster]
    bodies = zip(PLAN.nodes.roster, map(json.loads, copies), strict=True)
    path.write_text(signed_plan_text([send("plan", "signed", body, key, to=node) for node, body in bodies]))
    return path


def test_a_signed_plan_is_priced_for_who_signed_it(site: Path, tmp_path: Path, said: Said) -> None:
    view = json.loads(said("-c", site, "budget", "--if", signed(tmp_path, LAB), "--json")[1])
    assert (view["study"], view["operator"]) == ("signed", "lab")
    code, _, err = said("-c", site, "budget", "--if", signed(tmp_path, STRANGER))
    assert (code, "does not fit" in err) == (5, True)


@pytest.mark.parametrize(("name", "text", "exit_code"), [("absent.yaml", None, 3), ("plan.yaml", "study: x", 4)])
def test_a_file_that_is_no_plan(
    site: Path, tmp_path: Path, said: Said, name: str, text: str | None, exit_code: int
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    code, out, err = said("-c", site, "budget", "--if", tmp_path / name)
    assert (code, out, "Traceback" in err) == (exit_code, "", False)


def test_the_ledger_is_exported_as_a_table_or_as_everything(site: Path, said: Said) -> None:
    _, text, _ = said("-c", site, "ledger", "export")
    rows = list(csv.DictReader(io.StringIO(text)))
    everything = json.loads(said("-c", site, "ledger", "export", "--format", "json")[1])
    assert [row["kind"] for row in rows] == ["opened", "reserved", "answered"]
    assert [row["hash"] for row in rows] == [entry["hash"] for entry in everything]
    assert (rows[0]["operator"], rows[0]["dataset"], rows[1]["round"]) == ("lab", "records", "profile")
    assert float(rows[1]["treated mu2"]) == everything[1]["price"]["cost"]["treated"] > 0
    declared = everything[0]["prices"]["profile"]["declaration"]
    assert rows[1]["declaration"] == everything[1]["price"]["declaration"] == declared
    assert everything == json.loads(said("-c", site, "ledger", "show", "--json")[1])


def test_a_copy_is_exported_without_the_nodes_files(site: Path, tmp_path: Path, said: Said) -> None:
    copy = tmp_path / "copy.sqlite"
    shutil.copy(site.parent / "state/ledger.sqlite", copy)
    code, out, _ = said("-c", tmp_path / "absent.toml", "ledger", "export", "--from", copy)
    assert (code, len(out.splitlines())) == (0, 4)


def anchored(site: Path) -> dict[str, Any]:
    """The lab hands back what the node stated; returns the answer."""
    (answer,) = worked(site, round_message(PLAN, "profile"))
    body = Envelope.from_bytes(answer).content()
    worked(site, send("anchor", "befriending", Anchor(node="north", head=body["head"]).body()))
    return dict(body)


def test_verify_says_who_holds_the_head(site: Path, tmp_path: Path, said: Said) -> None:
    assert "It is held against no anchor." in said("-c", site, "ledger", "verify")[1]
    anchored(site)
    code, out, _ = said("-c", site, "ledger", "verify")
    assert (code, out.splitlines()[-1]) == (0, "It is at or after what these witnesses hold: lab.")
    assert json.loads(said("-c", site, "ledger", "verify", "--json")[1])["witnesses"] == ["lab"]


def test_verify_says_offline_that_a_copy_is_behind(site: Path, tmp_path: Path, said: Said) -> None:
    old = tmp_path / "old.sqlite"
    shutil.copy(site.parent / "state/ledger.sqlite", old)
    worked(site, round_message(PLAN, "model_1"))
    (answer,) = worked(site, round_message(PLAN, "model_1"))
    head = Envelope.from_bytes(answer).content()["head"]
    worked(site, send("anchor", "befriending", Anchor(node="north", head=head).body()))
    anchors = shutil.copy(site.parent / "state/anchors.json", tmp_path)
    offline = ("-c", tmp_path / "absent.toml", "ledger", "verify", old)
    assert said(*offline)[0] == 0
    code, _, err = said(*offline, "--anchors", anchors)
    assert (code, err.splitlines()[0]) == (8, "The ledger is not the one that 'lab' holds an anchor of.")
    assert "it ends before entry 4" in err
