"""What the ledger's entries add up to: pure arithmetic, no files.

The currency is mu squared, which adds up exactly (``privacy.accounting``); sums are of fractions, so that a
cap is a cap to the last bit. Treated people and comparators are different people, so a study costs the larger
of its two blocks; studies add up. An open study counts with the whole price it was approved for, so that a
study which was approved can always be finished; a closed one counts with what it spent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from cohortium_protocols.errors import BudgetRefusal, LedgerError, PolicyRefusal, ReplayError
from cohortium_protocols.statistics import RoundSpec, Schedule

BLOCKS = ("treated", "comparator")

Cost = Mapping[str, float]
"""Block -> mu squared."""

Prices = Mapping[str, Cost]
"""Round -> what it is charged."""


@dataclass(frozen=True)
class Caps:
    """The most mu squared that one study, and all studies together, may spend."""

    study: float
    total: float


def cost(spec: RoundSpec) -> dict[str, float]:
    """Returns what a round is charged in each block."""
    return {"treated": spec.cost("treated"), "comparator": spec.cost("comparator")}


def prices(schedule: Schedule) -> dict[str, dict[str, float]]:
    """Returns what each round of a schedule is charged."""
    return {spec.name: cost(spec) for spec in schedule.rounds}


def whole(prices: Prices) -> Fraction:
    """Returns what all the rounds cost together: the larger block."""
    return max(sum((Fraction(each[block]) for each in prices.values()), Fraction(0)) for block in BLOCKS)


@dataclass(frozen=True)
class Charge:
    """One round of one plan, to be charged for one request."""

    request: str
    study: str
    plan_digest: str
    round: str
    cost: Cost


@dataclass
class StudyAccount:
    """One study's entries, added up.

    Attributes:
        plan_digest: of the plan that was approved.
        prices: round -> what was approved for it.
        frozen: keyed digest of the study's data.
        spent: block -> mu squared charged so far.
        rounds: round -> digest of the one request it was charged for.
        closed: hash of the closing entry; empty while the study is open.
    """

    plan_digest: str
    prices: Prices
    frozen: str
    spent: dict[str, Fraction] = field(default_factory=lambda: dict.fromkeys(BLOCKS, Fraction(0)))
    rounds: dict[str, str] = field(default_factory=dict)
    closed: str = ""

    @property
    def charged(self) -> Fraction:
        """What the study has spent: the larger block."""
        return max(self.spent.values())

    def allows(self, charge: Charge) -> bool:
        """Returns whether the charge is for a round of the open plan, at its approved price."""
        approved = self.prices.get(charge.round) == charge.cost
        return not self.closed and self.plan_digest == charge.plan_digest and approved

    @property
    def committed(self) -> Fraction:
        """What the study counts for: its price while it is open, what it spent once it is closed."""
        return self.charged if self.closed else whole(self.prices)


class Accounts:
    """The ledger's entries, applied one by one."""

    def __init__(self) -> None:
        self.studies: dict[str, StudyAccount] = {}
        self.answers: dict[str, str] = {}  # digest of the request -> digest of the stored answer

    @property
    def charged(self) -> Fraction:
        """What all studies have spent."""
        return sum((study.charged for study in self.studies.values()), Fraction(0))

    @property
    def committed(self) -> Fraction:
        """What all studies count for."""
        return sum((study.committed for study in self.studies.values()), Fraction(0))

    def apply(self, body: Mapping[str, Any], chained: str) -> None:
        """Adds one entry of the ledger.

        Args:
            body: the entry.
            chained: its hash in the chain.

        Raises:
            LedgerError: the entry is of a kind this version does not know, or cannot follow those before it.
        """
        try:
            getattr(self, f"_{body['kind']}", _unknown)(body, chained)
        except (KeyError, TypeError) as error:
            raise LedgerError(
                f"Entry {body.get('sequence')} of the ledger cannot follow the entries before it.",
                do="do not release anything from this node; compare the ledger with its last copy",
            ) from error

    def check_opening(self, study: str, prices: Prices, caps: Caps) -> None:
        """Refuses a study that the budget does not cover.

        Raises:
            BudgetRefusal: its price, on top of everything else, is over a cap.
            ReplayError: a study had this name before.
        """
        if study in self.studies:
            raise ReplayError(
                f"A study named '{study}' was opened here before.", do="choose another name for the study"
            )
        if whole(prices) > caps.study or self.committed + whole(prices) > caps.total:
            raise _over_budget(study)

    def check_charge(self, charge: Charge, caps: Caps) -> None:
        """Refuses a charge that was not approved or that the budget does not cover.

        Raises:
            PolicyRefusal: this plan is not open here, or the round was approved at another price.
            ReplayError: the round was charged before, for another request.
            BudgetRefusal: the charge goes over a cap.
        """
        account = self.studies.get(charge.study)
        if account is None or not account.allows(charge):
            raise PolicyRefusal(
                f"The study '{charge.study}' has no open round '{charge.round}' at this price.",
                do="nothing was released or charged",
            )
        if account.rounds.get(charge.round, charge.request) != charge.request:
            raise ReplayError(
                f"Round '{charge.round}' of '{charge.study}' was asked for before, with other numbers.",
                why="each round of an approved plan is released once",
                do="send the same request again: it gets the same answer",
            )
        after = max(account.spent[block] + Fraction(charge.cost[block]) for block in BLOCKS)
        if after > caps.study or self.charged - account.charged + after > caps.total:
            raise _over_budget(charge.study)

    def _opened(self, body: Mapping[str, Any], chained: str) -> None:
        self.studies[body["study"]] = StudyAccount(body["plan_digest"], body["prices"], body["frozen"])

    def _reserved(self, body: Mapping[str, Any], chained: str) -> None:
        account = self.studies[body["study"]]
        account.rounds[body["round"]] = body["request"]
        for block in BLOCKS:
            account.spent[block] += Fraction(body["cost"][block])

    def _answered(self, body: Mapping[str, Any], chained: str) -> None:
        self.answers[body["request"]] = body["answer"]

    def _closed(self, body: Mapping[str, Any], chained: str) -> None:
        self.studies[body["study"]].closed = chained


def _unknown(body: Mapping[str, Any], chained: str) -> None:
    raise KeyError(body["kind"])


def _over_budget(study: str) -> BudgetRefusal:
    return BudgetRefusal(
        f"The privacy budget does not cover the study '{study}'.",
        why="with it, this node would go over a cap of its policy",
        do="see `cohortium-node budget`; a study with a smaller epsilon may fit",
    )
