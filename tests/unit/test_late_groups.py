"""Late groups: how their plan is written, what may be merged with what, and what the merged estimate is."""

from __future__ import annotations

import io
import json
import sys
from datetime import date
from typing import Any

import pytest
from late_groups import FIRST, IN_TIME, LATE, LATER, ROOT, TEXT, first, late
from pydantic import ValidationError
from scipy.stats import norm

from cohortium_coordinator.cli import run
from cohortium_coordinator.combine.meta import Study, combined, merged_with_late
from cohortium_coordinator.merged import MergedResult
from cohortium_coordinator.study.late import check_asked, check_completes, merge
from cohortium_coordinator.study.late_plan import late_plan_text
from cohortium_coordinator.study.rounds import plan_text
from cohortium_protocols.errors import InputError, PlanError, RefusedError
from cohortium_protocols.late import OF_ITS_OWN, differences
from cohortium_protocols.plan import Plan, plan_digest
from cohortium_protocols.plan_check import check_plan, load_plan

EXAMPLE = str(ROOT / "examples" / "befriending-2024.yaml")

# The plan


def test_a_late_plan_asks_the_same_of_others_under_a_name_of_its_own() -> None:
    plan, made = load_plan(TEXT), load_plan(late_plan_text(TEXT, LATE, ["west"]))
    assert (made.study, made.nodes.roster, made.nodes.deadline) == (LATE, ("west",), plan.nodes.deadline)
    assert made.completes is not None
    assert (made.completes.study, made.completes.plan) == (FIRST, plan_digest(plan))
    assert differences(plan, made) == ()


@pytest.mark.parametrize(
    ("nodes", "wanted", "found"),
    [(["west"], None, "local"), (["west", "london"], None, "local"), (["west", "london", "kent"], None, "secure"),
     (["west", "london", "kent"], "local", "local")],
)  # fmt: skip
def test_late_nodes_add_up_securely_where_they_are_enough(nodes: list[str], wanted: Any, found: str) -> None:
    privacy = load_plan(late_plan_text(TEXT, LATE, nodes, wanted)).privacy
    assert (privacy.aggregation, privacy.tolerate_lost_nodes, privacy.epsilon) == (found, 0, 2.0)


def test_comments_are_kept_but_those_on_what_changes() -> None:
    made = late_plan_text(TEXT, LATE, ["west"], deadline=date(2031, 2, 1))
    added = [line for line in made.splitlines() if line not in TEXT.splitlines()]
    assert added == [
        "study: befriending-2024-late                # short name: small letters, digits, hyphens",
        "  aggregation: local", "  tolerate_lost_nodes: 0", "  roster: [west]", "  deadline: 2031-02-01",
        "completes:", f"  study: {FIRST}", f"  plan: {plan_digest(load_plan(TEXT))}",
    ]  # fmt: skip


def test_a_plan_in_json_can_be_the_first_one() -> None:
    plan = load_plan(TEXT)
    assert differences(plan, load_plan(late_plan_text(plan_text(plan), LATE, ["west"]))) == ()


@pytest.mark.parametrize(
    ("study", "nodes", "sentence"),
    [(FIRST, ["west"], "`completes` names this study itself"), (LATE, ["west", "west"], "`west` is listed twice"),
     (LATE, ["West"], "must be small letters"), (LATE, ["a", "b"], "needs at least 3")],
)  # fmt: skip
def test_a_late_plan_with_a_fault_is_not_written(study: str, nodes: list[str], sentence: str) -> None:
    with pytest.raises(PlanError, match=sentence) as refused:
        late_plan_text(TEXT, study, nodes, "secure" if len(nodes) == 2 and nodes[0] == "a" else None)
    assert refused.value.what.startswith("The late plan cannot be made:")
    assert "--nodes" in refused.value.do


def test_a_late_plan_cannot_be_completed_itself() -> None:
    with pytest.raises(PlanError, match=f"a late group itself: it completes '{FIRST}'"):
        late_plan_text(late_plan_text(TEXT, LATE, ["west"]), LATER, ["london"])


def test_what_it_completes_is_said_by_a_digest() -> None:
    made = late_plan_text(TEXT, LATE, ["west"])
    (fault,) = check_plan(made.replace(plan_digest(load_plan(TEXT)), "befriending"))
    assert fault.what == "`completes.plan` is not the digest of a plan."


def test_the_command_prints_a_plan_that_can_be_checked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["plan", "late", EXAMPLE, "--study", LATE, "--nodes", "west, london", "--deadline", "2031-02-01"]
    assert run(command) == 0
    made = capsys.readouterr().out
    assert load_plan(made).nodes.roster == ("west", "london")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(made.encode())))
    assert run(["plan", "check", "-"]) == 0


def test_the_command_names_a_fault(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "late", EXAMPLE, "--study", LATE, "--nodes", "West"]) == 4
    assert "`nodes.roster[0]` is 'West'" in capsys.readouterr().err


# The same question


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [("clip: 10,", "clip: 9,", "outcomes"), ("follow_up: 365 days", "follow_up: 364 days", "follow_up"),
     ("  - charlson ", "  # charlson ", "covariates"), ("to: 2022-12-31", "to: 2022-11-30", "intake"),
     ("age: [18, 110]", "age: [17, 110]", "population"), ("washout: 0", "washout: 1", "washout"),
     ("minimum_treated: 60", "minimum_treated: 10", "publish"), ("in the following", "in the next", "question"),
     ("  comparison: national", "  sensitivity: [{method: strata, share: 0.2}]", "analysis"),
     ("ratios:\n  - mean_length_of_stay", "ratios: []", "ratios")],
)  # fmt: skip
def test_another_question_is_refused(old: str, new: str, field: str) -> None:
    with pytest.raises(PlanError, match=f"same question as that of '{FIRST}'") as refused:
        merge(first(), [late(old=old, new=new)])
    assert f"`{field}`" in refused.value.why


@pytest.mark.parametrize(
    ("old", "new"),
    [("epsilon: 2.0", "epsilon: 0.5"), ("submitted: 1200", "submitted: 90"),
     ("title: Telephone", "title: Late telephone"),
     ("assume_colluding_nodes: 1", "max_nodes_per_person: 2")],
)  # fmt: skip
def test_price_people_submitted_and_title_are_its_own(old: str, new: str) -> None:
    plan = load_plan(late_plan_text(TEXT, LATE, ["west"]).replace(old, new))
    check_completes(load_plan(TEXT), plan)


def test_whatever_a_plan_asks_belongs_to_the_question() -> None:
    asked = {"cohortium", "question", "data", "intake", "follow_up", "washout", "population", "covariates", "outcomes",
             "ratios", "analysis", "publish"}  # fmt: skip
    assert asked <= Plan.model_fields.keys() - OF_ITS_OWN
    assert Plan.model_fields.keys() >= OF_ITS_OWN


# Who may be merged with whom


def test_a_study_that_completes_another_one_is_refused() -> None:
    stranger = first()
    with pytest.raises(PlanError, match=f"does not complete this plan of '{FIRST}'"):
        check_completes(stranger.plan.model_copy(update={"title": "Another"}), late().plan)
    with pytest.raises(PlanError, match="does not complete"):
        check_completes(stranger.plan, stranger.plan)
    with pytest.raises(PlanError, match="a late group itself"):
        merge(late(), [late(LATER, ["london"])])


def test_nobody_is_counted_twice() -> None:
    with pytest.raises(RefusedError, match=f"data holders of the result of '{FIRST}': north") as refused:
        merge(first(), [late(nodes=["west", "north"])])
    assert (refused.value.exit_code, refused.value.why) == (6, "people would be counted twice")
    with pytest.raises(RefusedError, match=f"data holders of the result of '{LATE}': west"):
        merge(first(), [late(), late(LATER)])


def test_nobody_is_asked_for_what_could_not_be_merged() -> None:
    check_asked(first(), late().plan)
    with pytest.raises(RefusedError, match="data holders of the result"):
        check_asked(first(), late(nodes=["east"]).plan)
    with pytest.raises(RefusedError, match="was not published"):
        check_asked(first(published=False, not_published_because="The groups are not alike enough."), late().plan)


@pytest.mark.parametrize("whose", ["first", "late"])
def test_a_result_that_was_not_published_is_not_merged(whose: str) -> None:
    held = {"published": False, "not_published_because": "More people would be needed."}
    groups = (first(**held), late()) if whose == "first" else (first(), late(**held))
    with pytest.raises(RefusedError, match="was not published, so it cannot be merged") as refused:
        merge(groups[0], groups[1:])
    assert refused.value.why == "More people would be needed."


def test_there_is_something_to_merge_and_once() -> None:
    for given in ([], [late(), late()], [first()]):
        with pytest.raises(InputError, match="merged one by one"):
            merge(first(), given)


# The merged estimate


def studies(*groups: Any) -> list[list[Study]]:
    """The estimates of every finding, group by group."""
    found = zip(*(group.result.ordered_outcomes for group in groups), strict=True)
    return [[Study(group.plan.study, each.estimate, each.se**2) for group, each in zip(groups, row, strict=True)]
            for row in found]  # fmt: skip


def test_two_groups_have_the_inverse_variance_mean_and_no_figure_that_two_cannot_carry() -> None:
    groups = first(), late(shift=0.1, wider=2.0)
    found = merge(groups[0], groups[1:])
    assert [each.name for each in found.outcomes] == [each.name for each in groups[0].result.ordered_outcomes]
    for outcome, (one, other) in zip(found.outcomes, studies(*groups), strict=True):
        expected = merged_with_late(one, [other])
        mean = expected.fixed
        assert (outcome.estimate, outcome.se) == (mean.estimate, mean.se)
        assert (outcome.low, outcome.high) == (mean.low, mean.high)
        assert (outcome.q, outcome.q_p_value, outcome.i2) == (expected.q, expected.q_p_value, expected.i2)
        assert [group.weight for group in outcome.groups] == pytest.approx([0.8, 0.2])
        assert outcome.p_value == pytest.approx(2 * norm.sf(abs(mean.estimate) / mean.se))
        assert outcome.significant == (mean.low > 0 or mean.high < 0)
        assert outcome.differing is None
        assert [group.without for group in outcome.groups] == [None, None]


def test_three_groups_have_every_figure_of_the_meta_analysis() -> None:
    groups = first(), late(shift=0.3), late(LATER, ["london"], shift=-0.2, wider=1.5)
    found = merge(groups[0], groups[1:])
    for outcome, row in zip(found.outcomes, studies(*groups), strict=True):
        expected, differing = combined(row), outcome.differing
        assert differing is not None
        assert differing.random.model_dump() == pytest.approx(vars(expected.random))
        assert differing.dersimonian_laird.model_dump() == pytest.approx(vars(expected.dersimonian_laird))
        assert (differing.tau2, differing.tau2_dersimonian_laird) == (expected.tau2, expected.tau2_dl)
        assert (differing.prediction.low, differing.prediction.high) == expected.prediction
        for place, group in enumerate(outcome.groups):
            others = combined([each for each in row if each is not row[place]]).fixed
            assert group.without is not None
            assert group.without.model_dump() == pytest.approx(vars(others))


def test_noise_is_in_every_weight_and_in_the_merged_variance() -> None:
    groups = first(), late(wider=3.0)
    (outcome, *_) = merge(groups[0], groups[1:]).outcomes
    noise = [group.weight**2 * group.noise_share * group.effect.se**2 for group in outcome.groups]
    assert sum(group.weight for group in outcome.groups) == pytest.approx(1)
    assert outcome.noise_share == pytest.approx(sum(noise) / outcome.se**2)
    assert outcome.se < min(group.effect.se for group in outcome.groups)


def test_every_group_keeps_its_own_estimate_people_and_price() -> None:
    groups = first(), late(shift=0.1)
    found = merge(groups[0], groups[1:])
    assert [(group.study, group.nodes) for group in found.groups] == [(FIRST, IN_TIME), (LATE, ("west",))]
    assert [group.plan_digest for group in found.groups] == [plan_digest(group.plan) for group in groups]
    assert {group.epsilon for group in found.groups} == {groups[0].result.privacy.epsilon}
    for outcome in found.outcomes:
        own = [next(o for o in group.result.outcomes if o.name == outcome.name) for group in groups]
        assert [g.effect.estimate for g in outcome.groups] == [o.estimate for o in own]
        assert [g.n_treated for g in outcome.groups] == [o.n_treated for o in own]


def test_several_main_outcomes_have_adjusted_p_values() -> None:
    groups = []
    for group in (first(), late()):
        outcomes = [o.model_dump() | {"primary": o.expected == "unknown"} for o in group.result.outcomes]
        result = type(group.result).model_validate(group.result.model_dump() | {"outcomes": outcomes})
        groups.append(type(group)(group.plan, result))
    for outcome in merge(groups[0], groups[1:]).outcomes:
        assert outcome.p_value_holm is not None
        assert outcome.p_value_holm >= outcome.p_value


def test_a_node_lost_on_the_way_from_a_secure_sum_is_named_when_it_comes_late() -> None:
    secure = first().result.privacy.model_dump() | {"aggregation": "secure", "epsilon_if_all_others_collude": 3.0}
    for lost_after, named in ((1, ("west",)), (0, ())):
        given = first(privacy=secure, heterogeneity=None, lost_after=lost_after)
        assert merge(given, [late()]).also_in_earlier_rounds == named
    assert merge(first(lost_after=1), [late()]).also_in_earlier_rounds == ()


def test_a_merged_result_is_the_same_after_a_trip_through_json() -> None:
    found = merge(first(), [late(), late(LATER, ["london"])])
    assert MergedResult.model_validate_json(found.model_dump_json()) == found
    with pytest.raises(ValidationError):
        MergedResult.model_validate(json.loads(found.model_dump_json()) | {"total": 1})
