"""A data holder that was lost on the way is asked by a late plan, and its estimate is merged with that of the others.

Real daemons, ledgers and coordinator in one process; everything is released with noise.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from away_group import TIME_TO_ANSWER, AwayGroup, away_group
from node_group import ROSTER
from node_parts import PLAN, POLICY, caps

from cohortium_coordinator.cli import run
from cohortium_coordinator.combine.meta import Study, merged_with_late
from cohortium_coordinator.config import load_config
from cohortium_coordinator.merged import MergedResult
from cohortium_coordinator.operations import Operations
from cohortium_coordinator.relay.mailbox import Mailbox
from cohortium_coordinator.relay.server import RelayServer
from cohortium_coordinator.report import strips
from cohortium_coordinator.report.merged import TWO_GROUPS
from cohortium_coordinator.study.late_plan import late_plan_text
from cohortium_coordinator.study.rounds import plan_text
from cohortium_node.accounts import prices, whole
from cohortium_node.data.table import AnalysisTable
from cohortium_protocols.errors import InputError, RefusedError, UsageFault
from cohortium_protocols.plan import Plan
from cohortium_protocols.plan_check import load_plan
from cohortium_protocols.schedules import schedule
from cohortium_protocols.tls import load_credentials

LOST, FIRST, LATE, EFFECT = "south", "weights", "weights-late", -4.0
RULES = {
    "local": "aggregation: local, tolerate_lost_nodes: 1",
    "secure": "aggregation: secure, tolerate_lost_nodes: 1, assume_colluding_nodes: 1",
}
GENEROUS = replace(POLICY, caps=caps(10.0, 40.0))


def first_plan(aggregation: str) -> Plan:
    """Of four nodes, one of which may be lost."""
    text = PLAN.format(study=FIRST, epsilon=8.0).replace("aggregation: local", RULES[aggregation])
    return load_plan(text.replace("[north, south]", f"[{', '.join(ROSTER[:4])}]"))


def people(seed: int, count: int = 2000) -> AnalysisTable:
    """A fifth of them were helped, and weigh less for it."""
    draw = np.random.default_rng(seed)
    age, treated = draw.uniform(20, 80, count), draw.random(count) < 0.2
    sex = draw.choice(["f", "m"], count).astype(object)
    weight = 70 + 0.2 * age + EFFECT * treated + draw.normal(0, 8, count)
    return AnalysisTable(treated, {"age": age, "sex": sex}, weight[:, None], np.zeros(treated.sum(), dtype=np.int64))


TABLES = {name: people(seed) for seed, name in enumerate(ROSTER, start=40)}


@pytest.fixture(params=["local", "secure"])
def group(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[AwayGroup]:
    """The first study has ended without the node, which is back and has closed it."""
    with away_group(tmp_path, first_plan(request.param), TABLES, GENEROUS) as made:
        step = "mask" if request.param == "secure" else ""
        made.until(lambda status: (status.round_name, status.step) == ("model_1", step))
        made.lose(LOST)
        made.turn()
        made.service.advance(made.now)
        made.now += TIME_TO_ANSWER
        made.closed_by([name for name in made.plan.nodes.roster if name != LOST])
        made.start(LOST)
        assert made.closed_by(made.plan.nodes.roster).phase == "published"
        yield made


def late_plan(group: AwayGroup, *nodes: str) -> Plan:
    return load_plan(late_plan_text(plan_text(group.plan), LATE, nodes))


def test_the_late_nodes_estimate_is_merged_and_no_round_is_charged_twice(group: AwayGroup) -> None:
    rounds = [spec.name for spec in schedule(group.plan).rounds]
    answered = group.reserved(LOST)
    assert answered == ["profile"]
    before = group.account(LOST)

    plan = group.plan
    group.submit(late_plan(group, LOST))
    assert group.closed_by([LOST]).phase == "published"
    merged = group.service.merged(FIRST, [LATE])

    assert [each.nodes for each in merged.groups] == [tuple(name for name in ROSTER[:4] if name != LOST), (LOST,)]
    results = [group.service.result(name).outcomes[0] for name in (FIRST, LATE)]
    one, other = (Study(name, each.estimate, each.se**2) for name, each in zip((FIRST, LATE), results, strict=True))
    mean, (outcome,) = merged_with_late(one, [other]).fixed, merged.outcomes
    assert (outcome.estimate, outcome.low, outcome.high) == (mean.estimate, mean.low, mean.high)
    assert abs(outcome.estimate - EFFECT) < 4 * outcome.se  # the noise is new in every run
    assert all(each.noise_share > 0 for each in outcome.groups)
    assert outcome.se < min(each.se for each in results)

    price, spent = prices(schedule(group.plan)), group.account(LOST)
    assert spent is not None
    assert (group.reserved(LOST), spent.charged) == (rounds, whole(price))
    group.plan = plan
    assert (group.reserved(LOST), group.account(LOST)) == (answered, before)
    for name in plan.nodes.roster:
        if name != LOST:
            assert group.reserved(name) == rounds


def test_what_the_late_node_said_before_is_named_where_it_is_in_a_sum(group: AwayGroup) -> None:
    secure = group.plan.privacy.aggregation == "secure"
    group.submit(late_plan(group, LOST))
    group.closed_by([LOST])
    assert group.service.merged(FIRST, [LATE]).also_in_earlier_rounds == ((LOST,) if secure else ())


def test_the_operator_gets_the_merged_result_again_and_again_the_same(group: AwayGroup) -> None:
    operations = Operations(group.service, lambda: None)
    group.submit(late_plan(group, LOST))
    group.closed_by([LOST])
    found = operations.operate("merge", FIRST, LATE.encode())
    group.start_lab()
    again = Operations(group.service, lambda: None).operate("merge", FIRST, LATE.encode())
    assert found == again
    assert MergedResult.model_validate_json(found) == group.service.merged(FIRST, [LATE])


@pytest.fixture
def call(group: AwayGroup, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Any]]:
    """Runs a command of the operator against the lab behind a real relay; returns its exit code and what it said."""
    config = tmp_path / "operator" / "cohortium.toml"
    assert run(["init", str(config.parent), "--listen", "127.0.0.1:7999"]) == 0
    with closing(Mailbox(tmp_path / "mailbox.sqlite")) as mailbox:
        operate = Operations(group.service, lambda: None).operate
        relay = RelayServer("127.0.0.1:0", load_credentials(load_config(config).server), mailbox, operate)
        config.write_text(config.read_text().replace("7999", str(relay.start())))

        def made(*words: object) -> tuple[int, str, str]:
            capsys.readouterr()
            code = run([*map(str, words), "--config", str(config)])
            return code, *capsys.readouterr()

        yield made
        relay.stop(grace=1.0)


def test_the_command_prints_the_merged_figures_and_writes_the_page(
    group: AwayGroup, call: Callable[..., Any], tmp_path: Path
) -> None:
    group.submit(late_plan(group, LOST))
    code, out, err = call("study", "merge", FIRST, LATE)
    assert (code, out) == (3, "")
    assert f"The study '{LATE}' has no result." in err
    group.closed_by([LOST])

    code, out, err = call("study", "merge", FIRST, LATE, "--to", tmp_path / "merged")
    assert (code, TWO_GROUPS in out, "merged.html" in err) == (0, True, True)
    (outcome,) = group.service.merged(FIRST, [LATE]).outcomes
    shown = strips.interval(outcome, strips.whole(outcome))
    assert shown in out
    assert shown in (tmp_path / "merged" / "merged.html").read_text()
    printed = json.loads(call("study", "merge", FIRST, LATE, "--json")[1])
    assert printed == json.loads((tmp_path / "merged" / "merged.json").read_text())


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [((FIRST, "nothing"), 2, "There is no study called 'nothing' here."), ((FIRST,), 2, "Missing argument 'LATE...'"),
     ((FIRST, FIRST), 3, "Late studies are merged one by one.")],
)  # fmt: skip
def test_the_command_explains_what_cannot_be_merged(
    call: Callable[..., Any], words: tuple[str, ...], code: int, sentence: str
) -> None:
    found, out, err = call("study", "merge", *words)
    assert (found, out) == (code, "")
    assert sentence in err


def test_nobody_who_answered_in_time_is_asked_again_and_charged(group: AwayGroup) -> None:
    with pytest.raises(RefusedError, match=f"data holders of the result of '{FIRST}': north"):
        group.submit(late_plan(group, LOST, "north"))
    assert group.service.studies() == [FIRST]


def test_nothing_is_merged_before_the_late_group_has_a_result(group: AwayGroup) -> None:
    group.submit(late_plan(group, LOST))
    with pytest.raises(InputError, match=f"The study '{LATE}' has no result") as refused:
        group.service.merged(FIRST, [LATE])
    assert refused.value.why == "waiting for approval"
    with pytest.raises(UsageFault, match="no study called 'nothing'"):
        group.service.merged(FIRST, ["nothing"])
    with pytest.raises(UsageFault, match="no study called 'nothing'"):
        group.service.merged("nothing", [LATE])


def test_a_late_plan_waits_for_the_end_of_the_study_that_it_completes(tmp_path: Path) -> None:
    plan = first_plan("local")
    with away_group(tmp_path, plan, TABLES, GENEROUS) as made, pytest.raises(InputError, match="has no result"):
        made.submit(late_plan(made, LOST))
