"""Studies whose rounds are secure sums: the same figures as in the open, whoever is lost and whatever is killed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from study_lab import START, Lab

from cohortium_node.data.table import AnalysisTable
from cohortium_protocols.errors import StorageError
from cohortium_protocols.messages import RoundAnswer, SecureStep, read
from cohortium_protocols.plan_check import load_plan
from cohortium_protocols.secure_sum.messages import FROM_NODES, STAGES, Reveal
from cohortium_protocols.signing import Envelope
from cohortium_simulations.federation import run_study

ROSTER = ("east", "london", "north", "south", "west")
ROUNDS = 6
FIGURES = ("estimate", "low", "high", "n_treated", "n_compared", "comparison_mean", "se")


@pytest.fixture
def secure_plan(plan_text: str) -> str:
    """Five nodes, of which one may be lost and one may work against the others; no noise."""
    return plan_text.replace("aggregation: local", "aggregation: secure").replace(
        "east, north, west", ", ".join(ROSTER)
    )


@pytest.fixture
def lab(tmp_path: Path, custodian: Callable[..., Any], secure_plan: str) -> Iterator[Callable[..., Lab]]:
    """Makes a lab of five nodes to which the plan was submitted."""
    made: list[Lab] = []

    def make(plan: str = secure_plan, **nodes: Any) -> Lab:
        made.append(Lab(tmp_path / f"data-{len(made)}", ROSTER, custodian, **nodes))
        made[-1].service.submit(plan, START)
        return made[-1]

    yield make
    for each in made:
        each.store.close()


def without(plan: str, *names: str) -> str:
    """The plan in the open, of the other nodes."""
    left = ", ".join(name for name in ROSTER if name not in names)
    return plan.replace("aggregation: secure", "aggregation: local").replace(", ".join(ROSTER), left)


def figures(here: Lab) -> list[float]:
    report = here.report()
    return [outcome[name] for outcome in report["outcomes"] for name in FIGURES] + [
        row[name] for row in report["balance"] for name in ("smd_before", "smd_after")
    ]


def asked(here: Lab, node: str) -> Counter[tuple[str, str]]:
    """How often a node was asked to take each step of each round."""
    envelopes = [Envelope.from_bytes(data) for data in here.nodes[node].handled]
    rounds = [(each.content()["round"], "announce") for each in envelopes if each.kind == "round"]
    steps = [read(each, SecureStep) for each in envelopes if each.kind == "secure_step"]
    return Counter([*rounds, *((step.round, step.stage) for step in steps)])


def test_added_up_securely_a_study_has_the_result_of_the_open_sums(lab: Callable[..., Lab], secure_plan: str) -> None:
    secure, local = lab(), lab(without(secure_plan))
    status = secure.run()
    assert (status.phase, status.faults) == ("published", ())
    found = [(node.state, node.rounds_answered, node.closed) for node in status.nodes]
    assert found == [("answered", ROUNDS, True)] * 5
    assert local.run().phase == "published"
    assert figures(secure) == pytest.approx(figures(local), abs=1e-9)
    assert secure.report()["attrition"] == local.report()["attrition"]
    assert secure.report()["privacy"]["aggregation"] == "secure"


def test_real_nodes_give_the_same_result_either_way(secure_plan: str, people: Callable[[str], AnalysisTable]) -> None:
    tables = {name: people(name) for name in ROSTER}
    secure, local = (run_study(load_plan(text), tables) for text in (secure_plan, without(secure_plan)))
    assert (secure.privacy.aggregation, local.privacy.aggregation) == ("secure", "local")
    for one, other in zip(secure.outcomes, local.outcomes, strict=True):
        assert [getattr(one, name) for name in FIGURES] == pytest.approx([getattr(other, name) for name in FIGURES])


def test_shared_noise_costs_less_and_the_report_says_what_is_left_if_all_others_collude(
    secure_plan: str, people: Callable[[str], AnalysisTable]
) -> None:
    noisy, tables = secure_plan.replace("noise: false", "noise: true"), {name: people(name) for name in ROSTER}
    secure, local = (run_study(load_plan(text), tables).privacy for text in (noisy, without(noisy)))
    assert secure.epsilon == local.epsilon == pytest.approx(1.0)
    assert secure.epsilon_if_all_others_collude == pytest.approx(1.81, abs=0.01)
    assert local.epsilon_if_all_others_collude is None


def test_the_coordinator_never_holds_a_vector_of_one_node(lab: Callable[..., Lab]) -> None:
    here = lab()
    here.run()
    kinds = Counter(Envelope.from_bytes(data).kind for _, data in here.relay.fetch("lab", 0))
    assert kinds == Counter({kind: 5 * ROUNDS for kind in FROM_NODES}) + Counter(decision=5, receipt=5)
    assert here.store.answers("weights") == []


@pytest.mark.parametrize("round_name", ["profile", "model_1", "outcome"])
@pytest.mark.parametrize("stage", STAGES)
def test_one_node_lost_at_any_step_leaves_the_others_result(
    lab: Callable[..., Lab], secure_plan: str, round_name: str, stage: str
) -> None:
    here = lab(south={"lost_at": f"{round_name} {stage}"})
    status = until_ended(here)
    assert (status.phase, status.faults) == ("published", ())
    counts = STAGES.index(stage) > STAGES.index("mask")  # its vector was in before it was lost
    states = {node["name"]: node["status"] for node in here.report()["nodes"]}
    in_the_end = round_name == "outcome" and counts
    assert states == dict.fromkeys(ROSTER, "answered") | ({} if in_the_end else {"south": "offline"})
    if round_name == "profile" and not counts:
        others = lab(without(secure_plan, "south"))
        assert others.run().phase == "published"
        assert figures(here) == pytest.approx(figures(others), abs=1e-9)


def until_ended(here: Lab, turns: int = 900) -> Any:
    """Runs until the study has ended; a lost node never confirms that it closed it."""
    for _ in range(turns):
        if (status := here.turn(minutes=5)).ended:
            break
    return status


def test_a_node_lost_after_the_first_round_is_named_where_it_still_counts(lab: Callable[..., Lab]) -> None:
    here = lab(south={"lost_at": "model_2 mask"})
    until_ended(here)
    check = next(check for check in here.report()["checks"] if check["name"] == "same_nodes")
    assert (check["value"], "south" in check["meaning"]) == (1.0, True)
    everybody = lab()
    everybody.run()
    assert "same_nodes" not in [check["name"] for check in everybody.report()["checks"]]


@pytest.mark.parametrize("stage", STAGES)
def test_one_node_more_than_tolerated_ends_the_study_and_says_what_was_charged(
    lab: Callable[..., Lab], stage: str
) -> None:
    here = lab(south={"lost_at": f"model_1 {stage}"}, west={"lost_at": f"model_1 {stage}"})
    status = until_ended(here)
    assert (status.phase, status.code) == ("failed", "too_few_nodes")
    assert f"3 nodes took the step '{stage}' of a secure sum in time; it needs 4" in status.reason
    assert "Nothing came from: south, west." in status.reason
    charged = "Nobody has charged" if stage in STAGES[:2] else "These nodes may have charged"
    assert charged in status.reason
    assert status.reason.endswith(" Rounds that stay charged: profile.")
    assert [node.state for node in status.nodes if node.name in ("south", "west")] == ["offline"] * 2
    here.turn()
    assert all(node.closed == (node.name not in ("south", "west")) for node in here.turn().nodes)


@pytest.mark.parametrize("place", ["profile announce", "model_1 mask", "model_1 reveal"])
def test_a_node_that_refuses_a_step_is_left_out_at_once(lab: Callable[..., Lab], place: str) -> None:
    here = lab(south={"refusals": {place: "over_budget"}})
    status = here.run()
    assert (status.phase, status.nodes[3].state, status.nodes[3].code) == ("published", "refused", "over_budget")
    assert status.faults == ()


def test_too_many_refusals_end_the_study_at_once(lab: Callable[..., Lab]) -> None:
    here = lab(south={"refusals": {"profile mask": "over_budget"}}, west={"refusals": {"profile mask": "over_budget"}})
    status = here.run()
    assert (status.phase, status.code) == ("failed", "refused")
    assert status.reason == (
        "3 of 5 nodes can still take part; the plan needs 4. Refused: south (over_budget), west (over_budget). "
        "These nodes may have charged round 'profile' to their privacy budget: east, london, north, south, west."
    )


def test_started_again_at_every_turn_it_asks_each_node_once_for_each_step(
    lab: Callable[..., Lab], secure_plan: str
) -> None:
    here, local = lab(), lab(without(secure_plan))
    for _ in range(300):
        here.restart()
        if (status := here.turn()).ended:
            break
    assert (status.phase, status.faults) == ("published", ())
    assert local.run().phase == "published"
    assert figures(here) == pytest.approx(figures(local), abs=1e-9)
    for name in ROSTER:
        steps = asked(here, name)
        assert (set(steps.values()), len(steps)) == ({1}, 5 * ROUNDS)


class Killed(StorageError):
    """The process ends here."""


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("moment", ["before it is stored", "before it is sent"])
def test_killed_while_it_closes_a_step_it_goes_on_from_what_is_stored(
    lab: Callable[..., Lab], monkeypatch: pytest.MonkeyPatch, stage: str, moment: str
) -> None:
    """Stored closings are sent as they are; one that was not stored is made again, and nobody heard of the first."""
    here = lab()
    while here.turn().step != stage:
        pass
    with monkeypatch.context() as patch:
        if moment == "before it is sent":
            patch.setattr(here.relay, "post", _end)
        else:
            patch.setattr(here.store, "add_total" if stage == "reveal" else "add_messages", _end)
        with pytest.raises(Killed):
            here.service.advance(here.now)
    before = here.store.records("weights")
    here.restart()
    assert (here.run().phase, here.store.records("weights").faults) == ("published", ())
    assert here.store.records("weights").sent[: len(before.sent)] == before.sent
    assert all(set(asked(here, name).values()) == {1} for name in ROSTER)


def _end(*_: object) -> None:
    raise Killed("killed")


def test_what_comes_late_changes_nothing(lab: Callable[..., Lab]) -> None:
    here = lab(south={"lost_at": "profile mask"})
    until_ended(here)
    here.turn()
    before, report = here.store.records("weights"), here.report()
    south = here.nodes["south"]
    south.silent, south.lost_at = (), ""
    for data in list(south.handled):
        if Envelope.from_bytes(data).kind == "secure_step":
            here.relay.post("lab", south.handle(data))
    here.service.advance(here.now + timedelta(hours=1))
    after = here.store.records("weights")
    assert (after.received, after.faults, here.report()) == (before.received, before.faults, report)


def _two_answers(here: Lab) -> bytes:
    west = here.nodes["west"]
    again = type(west)("west", key=west.key, plan=west.plan, pinned=west.pinned)
    request = next(data for data in west.handled if Envelope.from_bytes(data).kind == "round")
    return again.handle(request)


def _in_the_open(here: Lab) -> bytes:
    west = here.nodes["west"]
    request = Envelope.from_bytes(next(data for data in west.handled if Envelope.from_bytes(data).kind == "round"))
    sent = next(sent for sent in here.store.records("weights").sent if sent.kind == "round" and sent.node == "west")
    return west.say("answer", RoundAnswer(plan_digest=request.content()["plan_digest"], round="profile",
                                          request_digest=sent.digest, vectors={}))  # fmt: skip


def _of_no_session(here: Lab) -> bytes:
    own = dict(survivors="1" * 64, own="0" * 32, shares_of_own={}, shares_of_key={})
    return here.nodes["west"].say(Reveal.kind, Reveal(session="0" * 64, **own))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [(_two_answers, "took the step 'announce' of a secure sum twice, differently"),
     (_in_the_open, "answered round 'profile' in the open, and it is a secure sum"),
     (_of_no_session, "belongs to another secure sum")],
)  # fmt: skip
def test_what_is_not_as_asked_is_a_fault_and_does_not_count(
    lab: Callable[..., Lab], make: Callable[[Lab], bytes], sentence: str
) -> None:
    here = lab(east={"silent": ("profile announce",)})
    while here.turn().round_name != "profile":
        pass
    here.turn()
    here.relay.post("lab", make(here))
    status = here.turn()
    assert [sentence in fault for fault in status.faults] == [True], status.faults
    assert until_ended(here).phase == "published"


def test_a_message_of_a_secure_sum_is_a_fault_in_a_study_without(lab: Callable[..., Lab], secure_plan: str) -> None:
    here = lab(without(secure_plan))
    here.turn()
    here.relay.post("lab", _of_no_session(here))
    assert "this study has none" in here.turn().faults[0]


def test_a_vector_that_no_sum_can_reach_ends_the_study(lab: Callable[..., Lab]) -> None:
    here = lab()
    while here.turn().step != "share":
        pass
    here.nodes["west"].sums["profile"][1][:] = 2**62
    status = here.run()
    assert (status.phase, status.code) == ("failed", "sum_not_recovered")
    assert "These nodes may have charged round 'profile'" in status.reason
