"""Caps: for a study, an operator, a calendar year, a dataset, the people of several datasets, and for everything."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, replace
from datetime import UTC, date, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from node_parts import LAB, OTHER_LAB, POLICY, make_plan

from cohortium_node import views
from cohortium_node.accounts import Accounts, Caps, Charge, Limit, Place, Price, prices, whole
from cohortium_node.ledger import Ledger
from cohortium_node.policy import Policy, read_policy
from cohortium_protocols.errors import BudgetRefusal, InputError
from cohortium_protocols.privacy.accounting import mu_from_epsilon
from cohortium_protocols.schedules import schedule

WIDE = Caps(study=1.0, total=100.0)
HERE = Place("lab", 2026, "records", "people")


def price(mu2: float) -> dict[str, Price]:
    return {"profile": Price({"treated": mu2, "comparator": 0.0}, "declared")}


def entered(accounts: Accounts, study: str, mu2: float, place: Place = HERE) -> None:
    """An opening entry, as the ledger applies it."""
    prices = {name: asdict(each) for name, each in price(mu2).items()}
    accounts.apply(
        {"kind": "opened", "at": f"{place.year}-06-01T00:00:00+00:00", "study": study, "plan_digest": "plan",
         "prices": prices, "frozen": "frozen", "operator": place.operator, "dataset": place.dataset,
         "universe": place.universe, "approval": "x"}, "hash",
    )  # fmt: skip


CAPPED: dict[str, Callable[[float], Caps]] = {
    "total": lambda cap: replace(WIDE, total=cap),
    "operator": lambda cap: replace(WIDE, operators={"lab": cap}),
    "year": lambda cap: replace(WIDE, year=cap),
    "dataset": lambda cap: replace(WIDE, dataset_cap=cap),
    "universe": lambda cap: replace(WIDE, universe_cap=cap),
}
ELSEWHERE = {"operator": "other", "year": 2025, "dataset": "older", "universe": "others"}


@pytest.mark.parametrize("kind", CAPPED)
def test_studies_under_one_cap_add_up_to_the_last_bit(kind: str) -> None:
    accounts, caps = Accounts(), CAPPED[kind](0.5)
    entered(accounts, "one", 0.25)
    accounts.check_opening("two", price(0.25), HERE, caps)
    with pytest.raises(BudgetRefusal):
        accounts.check_opening("two", price(0.25 + 2**-54), HERE, caps)


@pytest.mark.parametrize("kind", ELSEWHERE)
def test_a_study_that_does_not_have_it_in_common_is_not_under_the_cap(kind: str) -> None:
    accounts, caps = Accounts(), CAPPED[kind](0.5)
    entered(accounts, "one", 0.5, replace(HERE, **{kind: ELSEWHERE[kind]}))
    accounts.check_opening("two", price(0.5), HERE, caps)
    entered(accounts, "two", 0.5)
    with pytest.raises(BudgetRefusal):
        accounts.check_opening("three", price(1e-9), HERE, caps)


@pytest.mark.parametrize("kind", CAPPED)
def test_a_cap_that_was_lowered_stops_the_next_charge(kind: str) -> None:
    accounts = Accounts()
    entered(accounts, "one", 0.25)
    charge = Charge("r1", "one", "plan", "profile", price(0.25)["profile"])
    accounts.check_charge(charge, CAPPED[kind](0.25))
    with pytest.raises(BudgetRefusal):
        accounts.check_charge(charge, CAPPED[kind](0.24))


def test_a_new_extract_has_its_own_dataset_cap_and_shares_the_peoples(tmp_path: Path) -> None:
    first = replace(WIDE, dataset="extract-2025", dataset_cap=0.25, universe_cap=0.375)
    with closing(Ledger.open(tmp_path / "ledger.sqlite", first)) as ledger:
        ledger.open_study("one", "plan", price(0.25), "frozen", "x", "lab")
        with pytest.raises(BudgetRefusal) as caught:
            ledger.open_study("two", "plan", price(0.0625), "frozen", "x", "lab")
        assert "the cap of its policy on studies on the dataset 'extract-2025'" in caught.value.why
    second = replace(first, dataset="extract-2026")
    with closing(Ledger.open(tmp_path / "ledger.sqlite", second)) as ledger:
        ledger.open_study("two", "plan", price(0.125), "frozen", "x", "lab")
        with pytest.raises(BudgetRefusal) as caught:
            ledger.open_study("three", "plan", price(0.0625), "frozen", "x", "lab")
        assert "studies about the people 'people'" in caught.value.why
        kept = [(entry.body["operator"], entry.body["dataset"], entry.body["universe"]) for entry in ledger.entries()]
    assert kept == [("lab", "extract-2025", "people"), ("lab", "extract-2026", "people")]


@given(st.lists(st.floats(1e-9, 0.3), min_size=1, max_size=12), st.floats(0.1, 1.0))
def test_whatever_is_asked_for_no_cap_is_ever_passed(asked: list[float], cap: float) -> None:
    accounts, caps = Accounts(), replace(WIDE, total=2 * cap, year=cap, operators={"lab": cap / 2})
    for number, mu2 in enumerate(asked):
        place = replace(HERE, operator="lab" if number % 2 else "other")
        try:
            accounts.check_opening(f"study-{number}", price(mu2), place, caps)
        except BudgetRefusal:
            continue
        entered(accounts, f"study-{number}", mu2, place)
    for limit in (*caps.limits(HERE), *caps.limits(replace(HERE, operator="other"))):
        assert limit.cap is None or accounts.under(limit) <= Fraction(limit.cap)


# The file.

FILE = f"""
[caps]
per_study_epsilon = 1.0
total_epsilon = 6.0
per_year_epsilon = 3.0
[caps.operators]
lab = 2.0
[dataset]
name = "extract-2026"
epsilon = 4.0
[universe]
name = "england"
epsilon = 5.0
[operators]
lab = "{LAB.public.text}"
other = "{OTHER_LAB.public.text}"
"""


def read(tmp_path: Path, text: str) -> Policy:
    (tmp_path / "policy.toml").write_text(text)
    return read_policy(tmp_path / "policy.toml")


def mu2(epsilon: float) -> float:
    return mu_from_epsilon(epsilon, 1e-6) ** 2


def test_every_cap_is_read_from_the_policy(tmp_path: Path) -> None:
    assert read(tmp_path, FILE).caps == Caps(
        mu2(1), mu2(6), mu2(3), {"lab": mu2(2)}, "extract-2026", mu2(4), "england", mu2(5)
    )


def test_without_their_tables_only_a_study_and_everything_are_capped(tmp_path: Path) -> None:
    plain = FILE[: FILE.index("per_year")] + FILE[FILE.index("[operators]") :]
    caps = read(tmp_path, plain).caps
    assert [limit.cap for limit in caps.limits(caps.place("lab", 2026))] == [mu2(6), None, None, None, None]


def test_a_cap_for_an_operator_who_is_not_pinned_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has a cap for lap, whom it does not pin"):
        read(tmp_path, FILE.replace("lab = 2.0", "lap = 2.0"))


# What is shown.


def test_the_budget_shows_every_cap_with_what_is_left(tmp_path: Path) -> None:
    policy, accounts = read(tmp_path, FILE), Accounts()
    entered(accounts, "weights", mu2(1), Place("lab", 2026, "extract-2026", "england"))
    view = views.budget(accounts, policy, 2026)
    shown = {(each["kind"], each["name"]): each for each in view["caps"]}
    assert list(shown) == [
        ("total", ""), ("operator", "lab"), ("operator", "other"), ("year", "2026"), ("dataset", "extract-2026"),
        ("universe", "england"),
    ]  # fmt: skip
    assert shown["operator", "lab"]["left"]["mu2"] == pytest.approx(mu2(2) - mu2(1))
    assert shown["operator", "other"]["cap"] is None
    assert shown["year", "2026"]["spent"]["mu2"] == 0
    text = "\n".join(views.budget_text(view))
    assert "studies about the people 'england'" in text


def what_if(policy: Policy, accounts: Accounts, **plan: Any) -> dict[str, Any]:
    return views.what_if(accounts, policy, make_plan(**plan), "lab", "north", date(2026, 5, 1))


def test_a_plan_that_fits_shows_what_would_be_left_and_changes_nothing(tmp_path: Path) -> None:
    policy, accounts = read(tmp_path, FILE), Accounts()
    view = what_if(policy, accounts)
    cost = float(whole(prices(schedule(make_plan()))))
    assert (view["price"]["mu2"], view["refusals"], accounts.studies) == (cost, [], {})
    assert [each["left_after"]["mu2"] for each in view["caps"]] == pytest.approx(
        [mu2(cap) - cost for cap in (6, 2, 3, 4, 5)]
    )
    assert "The budget covers it." in "\n".join(views.what_if_text(view))


def test_a_plan_that_does_not_fit_names_every_cap_it_goes_over(tmp_path: Path) -> None:
    policy, accounts = read(tmp_path, FILE), Accounts()
    entered(accounts, "one", mu2(2.5), Place("lab", 2026, "extract-2026", "england"))
    view = what_if(policy, accounts, epsilon=2.0)
    assert view["refusals"] == [
        "it asks for epsilon 2; this node allows 1 (delta 1e-06)",
        "it goes over the cap on studies of the operator 'lab'",
        "it goes over the cap on studies approved in 2026",
    ]
    assert view["caps"][1]["left_after"]["mu2"] == 0


def test_a_secure_sum_with_nodes_that_are_not_pinned_would_be_refused(tmp_path: Path) -> None:
    secure = make_plan().privacy.model_copy(update={"aggregation": "secure"})
    assert what_if(read(tmp_path, FILE), Accounts(), privacy=secure)["refusals"] == [
        "it is a secure sum with nodes that are not pinned: south"
    ]


def test_a_study_that_is_open_is_not_counted_twice(tmp_path: Path) -> None:
    policy, accounts = read(tmp_path, FILE), Accounts()
    entered(accounts, "weights", mu2(1), Place("lab", 2025, "extract-2026", "england"))
    view = what_if(policy, accounts)
    assert view["opened_before"]
    assert [(each["kind"], each["name"]) for each in view["caps"]][2] == ("year", "2025")
    assert view["caps"][1]["left_after"]["mu2"] == pytest.approx(mu2(2) - mu2(1), rel=1e-6)


def test_a_limit_without_a_cap_covers_everything() -> None:
    assert Limit("year", "2026", None).covers(Fraction(10**9))
    assert POLICY.caps.place("lab", datetime.now(UTC).year).dataset == "records"
