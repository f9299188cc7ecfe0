"""The custodian's policy: what it refuses, what a standing approval covers, and how its file is read."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from node_parts import LAB, NORTH, POLICY, STANDING, caps, make_plan

from cohortium_node.policy import Policy, Verdict, evaluate, read_policy
from cohortium_protocols.errors import InputError
from cohortium_protocols.plan_analysis import Analysis, Sensitivity
from cohortium_protocols.schedules import schedule

TODAY = date(2026, 5, 1)


def verdict(policy: Policy = POLICY, operator: str = "lab", today: date = TODAY, **plan: Any) -> Verdict:
    asked = make_plan(**plan)
    return evaluate(asked, schedule(asked), operator, policy, today)


def under(**changes: Any) -> Policy:
    return replace(POLICY, standing=(STANDING.model_copy(update=changes),))


def test_a_plan_under_a_standing_approval() -> None:
    assert verdict() == Verdict((), 1, ())


def test_the_first_standing_approval_that_covers_a_plan_is_named() -> None:
    ended = STANDING.model_copy(update={"until": date(2020, 1, 1)})
    assert verdict(replace(POLICY, standing=(ended, STANDING, STANDING))).standing == 2


def test_without_a_standing_approval_a_person_decides() -> None:
    assert verdict(replace(POLICY, standing=())) == Verdict((), 0, ())


@pytest.mark.parametrize(
    ("changes", "question"),
    [
        ({"operator": "other"}, "it is for another operator"),
        ({"study": "heights-*"}, "it is for other studies"),
        ({"epsilon": 0.5}, "epsilon 1 is more than its 0.5"),
        ({"methods": ("strata",)}, "the method doubly_robust is not in it"),
        ({"outcomes": ("bed_days",)}, "it does not name weight"),
        ({"until": date(2026, 4, 30)}, "it ended on 2026-04-30"),
    ],
)
def test_what_a_standing_approval_does_not_cover(changes: dict[str, Any], question: str) -> None:
    assert verdict(under(**changes)).questions == (f"standing approval 1 does not cover it: {question}",)


def test_a_standing_approval_is_asked_about_every_analysis_of_a_plan() -> None:
    analysis = Analysis(sensitivity=(Sensitivity(method="matched_pairs", share=0.1),))
    (question,) = verdict(analysis=analysis).questions
    assert question.endswith("the method matched_pairs is not in it")
    both = under(methods=("doubly_robust", "matched_pairs"))
    assert verdict(both, analysis=analysis).standing == 1


@pytest.mark.parametrize("changes", [{"study": "weights"}, {"study": "w*"}, {"epsilon": 1.0}, {"until": TODAY}])
def test_what_a_standing_approval_just_covers(changes: dict[str, Any]) -> None:
    assert verdict(under(**changes)).standing == 1


def test_the_cap_of_one_study_stands_above_every_standing_approval() -> None:
    found = verdict(epsilon=2.5)
    assert (found.standing, found.refusals) == (0, ("it asks for epsilon 2.5; this node allows 2 (delta 1e-06)",))


def test_a_study_that_asks_for_just_the_cap_is_allowed() -> None:
    assert verdict(epsilon=2.0).refusals == ()


def test_a_larger_delta_is_priced_for_what_it_asks() -> None:
    asked = make_plan(privacy=make_plan().privacy.model_copy(update={"epsilon": 1.6, "delta": 1e-4}))
    found = evaluate(asked, schedule(asked), "lab", POLICY, TODAY)
    assert found.refusals == ("it asks for epsilon 2.13; this node allows 2 (delta 1e-06)",)


def test_the_minimum_is_judged_on_submitted_rows() -> None:
    assert verdict(submitted=59).refusals == ("59 rows were submitted; this node takes part from 60 rows",)
    assert verdict(submitted=60).refusals == ()


# The file.

FILE = f"""
minimum_rows = 30
[caps]
per_study_epsilon = 2.0
total_epsilon = 4.0
[operators]
lab = "{LAB.public.text}"
[peers]
south = "{NORTH.public.text}"
[[standing_approvals]]
operator = "lab"
study = "befriending-*"
epsilon = 1.0
outcomes = ["ae_attendances"]
until = 2026-12-31
"""


def read(tmp_path: Path, text: str) -> Policy:
    (tmp_path / "policy.toml").write_text(text)
    return read_policy(tmp_path / "policy.toml")


def test_a_policy_file(tmp_path: Path) -> None:
    policy = read(tmp_path, FILE)
    assert (policy.operators, policy.peers) == ({"lab": LAB.public}, {"south": NORTH.public})
    assert (policy.caps, policy.delta, policy.minimum_rows) == (caps(), 1e-6, 30)
    assert (policy.standing[0].study, policy.standing[0].until) == ("befriending-*", date(2026, 12, 31))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("minimum_rows", "minimum_row", "there is no key `minimum_row`. Did you mean `minimum_rows`?"),
        ("total_epsilon", "total_epsilom", "there is no key `caps.total_epsilom`. Did you mean `total_epsilon`?"),
        ("until =", "untill =", "there is no key `standing_approvals.0.untill`. Did you mean `until`?"),
        ("per_study_epsilon = 2.0", "", "`caps.per_study_epsilon` is missing."),
        ("= 4.0", "= -4.0", "`caps.total_epsilon`: input should be greater than 0."),
        ('= "ed25519:', '= "ed25519:x', "`operators.lab` is not a public key."),
        ("[caps]", "[caps", "is not valid TOML"),
        (f'lab = "{LAB.public.text}"', "", "pins no operator"),
    ],
)
def test_a_faulty_policy_file_is_refused_with_its_place(tmp_path: Path, old: str, new: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, FILE.replace(old, new, 1))
    assert words in str(caught.value)
