"""What the ledger's entries add up to: pure arithmetic, no files.

The currency is mu squared, which adds up exactly (``privacy.accounting``); sums are of fractions, so that a
cap is a cap to the last bit. Treated people and comparators are different people, so a study costs the larger
of its two blocks; studies add up. An open study counts with the whole price it was approved for, so that a
study which was approved can always be finished; a closed one counts with what it spent.

A round that is added up under encryption can be tried again, and every attempt is a release of its own: the price
covers each round once, and a further attempt needs budget that is left under the caps.

A study counts under several caps at once: of the whole ledger, of its operator, of the calendar year it was approved
in, of the dataset, and of the people whom several datasets are about (the person universe).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, fields
from fractions import Fraction
from typing import Any, Literal

from cohortium_protocols.canonical import canonical_bytes, digest
from cohortium_protocols.errors import BudgetRefusal, LedgerError, PolicyRefusal, ReplayError
from cohortium_protocols.statistics import RoundSpec, Schedule

BLOCKS = ("treated", "comparator")

Cost = Mapping[str, float]
"""Block -> mu squared."""


@dataclass(frozen=True)
class Price:
    """What a round was approved for: so much, for exactly this.

    Attributes:
        cost: what it is charged in each block.
        declaration: digest of all that it declares: names, blocks, bounds, grids, noise.
    """

    cost: Cost
    declaration: str


Prices = Mapping[str, Price]
"""Round -> its price."""


Kind = Literal["total", "operator", "year", "dataset", "universe"]
"""What studies have in common that add up under one cap."""


@dataclass(frozen=True)
class Place:
    """Where a study counts.

    Attributes:
        operator: who asked for it.
        year: the calendar year, UTC, in which it was approved.
        dataset: the records it is about.
        universe: the people those records are about; datasets can share them.
    """

    operator: str
    year: int
    dataset: str
    universe: str


@dataclass(frozen=True)
class Limit:
    """A cap in mu squared, and the studies that add up under it; without a cap they are only added up."""

    kind: Kind
    name: str
    cap: float | None

    def holds(self, place: Place) -> bool:
        """Returns whether a study of that place counts here."""
        return self.kind == "total" or str(getattr(place, self.kind)) == self.name

    def covers(self, mu2: Fraction) -> bool:
        """Returns whether so much stays within the cap, to the last bit."""
        return self.cap is None or mu2 <= self.cap


@dataclass(frozen=True)
class Caps:
    """The most mu squared that may be spent.

    Attributes:
        study: by one study.
        total: by all studies together.
        year: by the studies approved in one calendar year; None without such a cap.
        operators: by the studies of an operator, for those who have a cap of their own.
        dataset: name of the records that this node has now.
        dataset_cap: by the studies on that dataset.
        universe: name of the people they are about.
        universe_cap: by the studies about those people, on whatever dataset.
    """

    study: float
    total: float
    year: float | None = None
    operators: Mapping[str, float] = field(default_factory=dict)
    dataset: str = "records"
    dataset_cap: float | None = None
    universe: str = "people"
    universe_cap: float | None = None

    def place(self, operator: str, year: int) -> Place:
        """Returns where a study counts that is approved now."""
        return Place(operator, year, self.dataset, self.universe)

    def limits(self, place: Place) -> Iterator[Limit]:
        """Yields every cap that a study of that place counts under."""
        yield Limit("total", "", self.total)
        yield Limit("operator", place.operator, self.operators.get(place.operator))
        yield Limit("year", str(place.year), self.year)
        yield Limit("dataset", place.dataset, self.dataset_cap if place.dataset == self.dataset else None)
        yield Limit("universe", place.universe, self.universe_cap if place.universe == self.universe else None)


def price(spec: RoundSpec) -> Price:
    """Returns a round's price."""
    (declaration,) = Schedule((spec,)).declaration()
    cost = {"treated": spec.cost("treated"), "comparator": spec.cost("comparator")}
    return Price(cost, digest(canonical_bytes(declaration)))


def prices(schedule: Schedule) -> dict[str, Price]:
    """Returns the price of each round of a schedule."""
    return {spec.name: price(spec) for spec in schedule.rounds}


def whole(prices: Prices, again: Mapping[str, Fraction] | None = None) -> Fraction:
    """Returns what all the rounds cost together, and further attempts at them, by block: the larger block."""
    further = again or dict.fromkeys(BLOCKS, Fraction(0))
    return max(sum((Fraction(each.cost[block]) for each in prices.values()), further[block]) for block in BLOCKS)


@dataclass(frozen=True)
class Charge:
    """One attempt at one round of one plan, to be charged for one request."""

    request: str
    study: str
    plan_digest: str
    round: str
    price: Price
    attempt: int = 1


@dataclass
class StudyAccount:
    """One study's entries, added up.

    Attributes:
        plan_digest: of the plan that was approved.
        place: where it counts.
        prices: round -> what was approved for it.
        frozen: keyed digest of the study's data.
        spent: block -> mu squared charged so far.
        rounds: round -> attempt -> digest of the one request it was charged for.
        again: block -> mu squared charged for further attempts, which the prices do not cover.
        closed: hash of the closing entry; empty while the study is open.
    """

    plan_digest: str
    place: Place
    prices: Prices
    frozen: str
    spent: dict[str, Fraction] = field(default_factory=lambda: dict.fromkeys(BLOCKS, Fraction(0)))
    rounds: dict[str, dict[int, str]] = field(default_factory=dict)
    again: dict[str, Fraction] = field(default_factory=lambda: dict.fromkeys(BLOCKS, Fraction(0)))
    closed: str = ""

    @property
    def charged(self) -> Fraction:
        """What the study has spent: the larger block."""
        return max(self.spent.values())

    def allows(self, charge: Charge) -> bool:
        """Returns whether the charge is for a round of the open plan, as it was approved and at its price."""
        approved = self.prices.get(charge.round) == charge.price
        return not self.closed and self.plan_digest == charge.plan_digest and approved

    @property
    def committed(self) -> Fraction:
        """What the study counts for: its price and further attempts while it is open, what it spent when it is not."""
        return self.charged if self.closed else whole(self.prices, self.again)

    def request(self, round_name: str, attempt: int) -> str | None:
        """Returns the digest of the request that an attempt was charged for; None when it was not."""
        return self.rounds.get(round_name, {}).get(attempt)

    def after(self, charge: Charge) -> StudyAccount:
        """Returns the account as it is once the charge is made."""
        account = deepcopy(self)
        account.add(charge)
        return account

    def add(self, charge: Charge) -> None:
        """Makes a charge."""
        attempts = self.rounds.setdefault(charge.round, {})
        for block in BLOCKS:
            self.spent[block] += Fraction(charge.price.cost[block])
            self.again[block] += Fraction(charge.price.cost[block]) if attempts else 0
        attempts[charge.attempt] = charge.request


class Accounts:
    """The ledger's entries, applied one by one."""

    def __init__(self) -> None:
        self.studies: dict[str, StudyAccount] = {}
        self.answers: dict[str, str] = {}  # digest of what asked for it -> digest of the stored answer
        self.answered: set[str] = set()  # digests of the requests that were charged and have their answer

    @property
    def charged(self) -> Fraction:
        """What all studies have spent."""
        return sum((study.charged for study in self.studies.values()), Fraction(0))

    @property
    def committed(self) -> Fraction:
        """What all studies count for."""
        return sum((study.committed for study in self.studies.values()), Fraction(0))

    def reserved(self, request: str) -> bool:
        """Returns whether a request was charged."""
        return any(request in each.values() for study in self.studies.values() for each in study.rounds.values())

    def under(self, limit: Limit, *, without: str = "") -> Fraction:
        """Returns what the studies under a cap count for, one of them left out if it is named."""
        held = (study for name, study in self.studies.items() if name != without and limit.holds(study.place))
        return sum((study.committed for study in held), Fraction(0))

    def charged_under(self, limit: Limit) -> Fraction:
        """Returns what the studies under a cap have spent."""
        held = (study for study in self.studies.values() if limit.holds(study.place))
        return sum((study.charged for study in held), Fraction(0))

    def exceeded(self, study: str, price: Fraction, place: Place, caps: Caps) -> Limit | None:
        """Returns the first cap that does not cover a study on top of all others; None when all do."""
        limits = caps.limits(place)
        return next((each for each in limits if not each.covers(self.under(each, without=study) + price)), None)

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

    def check_opening(self, study: str, prices: Prices, place: Place, caps: Caps) -> None:
        """Refuses a study that the budget does not cover.

        Raises:
            BudgetRefusal: its price, on top of everything else, is over a cap.
            ReplayError: a study had this name before.
        """
        if study in self.studies:
            raise ReplayError(
                f"A study named '{study}' was opened here before.", do="choose another name for the study"
            )
        if whole(prices) > caps.study:
            raise _over_budget(study, "one study")
        if limit := self.exceeded(study, whole(prices), place, caps):
            raise _over_budget(study, limit_words(limit))

    def check_charge(self, charge: Charge, caps: Caps) -> None:
        """Refuses a charge that was not approved or that the budget does not cover.

        Raises:
            PolicyRefusal: this plan is not open here, or the round was approved at another price or with another
                declaration.
            ReplayError: the round was charged before, for another request.
            BudgetRefusal: the charge goes over a cap.
        """
        account = self.studies.get(charge.study)
        if account is None or not account.allows(charge):
            raise PolicyRefusal(
                f"The study '{charge.study}' has no open round '{charge.round}' at this price.",
                why="a round is released exactly as it was declared and priced when its plan was approved",
                do="nothing was released or charged",
            )
        if (account.request(charge.round, charge.attempt) or charge.request) != charge.request:
            raise ReplayError(
                f"Round '{charge.round}' of '{charge.study}' was asked for before, with other numbers.",
                why="each round of an approved plan is released once",
                do="send the same request again: it gets the same answer",
            )
        after = account.after(charge)
        further = after.again != account.again  # not in the price: what is set aside for all open studies comes first
        if (after.committed if further else after.charged) > caps.study:
            raise _over_budget(charge.study, "one study")
        for limit in caps.limits(account.place):
            used = self.charged_under(limit) - account.charged + after.charged
            if not limit.covers(self.under(limit, without=charge.study) + after.committed if further else used):
                raise _over_budget(charge.study, limit_words(limit))

    def _opened(self, body: Mapping[str, Any], chained: str) -> None:
        place = Place(body["operator"], int(body["at"][:4]), body["dataset"], body["universe"])
        prices = {name: Price(**each) for name, each in body["prices"].items()}
        self.studies[body["study"]] = StudyAccount(body["plan_digest"], place, prices, body["frozen"])

    def _reserved(self, body: Mapping[str, Any], chained: str) -> None:
        facts = {name: body[name] for name in _CHARGE}
        charge = Charge(**facts | {"price": Price(**body["price"])})
        self.studies[charge.study].add(charge)

    def _answered(self, body: Mapping[str, Any], chained: str) -> None:
        self.answers[body["request"]] = body["answer"]
        self.answered.add(body["reserved"])

    def _acknowledged(self, body: Mapping[str, Any], chained: str) -> None:
        """Whose sum a node helped to open changes no account; it stands in the chain."""

    def _closed(self, body: Mapping[str, Any], chained: str) -> None:
        self.studies[body["study"]].closed = chained


_CHARGE = tuple(each.name for each in fields(Charge))


def _unknown(body: Mapping[str, Any], chained: str) -> None:
    raise KeyError(body["kind"])


def limit_words(limit: Limit) -> str:
    """Returns what a cap is for, in words."""
    words = {
        "total": "all studies together",
        "operator": f"studies of the operator '{limit.name}'",
        "year": f"studies approved in {limit.name}",
        "dataset": f"studies on the dataset '{limit.name}'",
        "universe": f"studies about the people '{limit.name}'",
    }
    return words[limit.kind]


def _over_budget(study: str, what: str) -> BudgetRefusal:
    return BudgetRefusal(
        f"The privacy budget does not cover the study '{study}'.",
        why=f"with it, this node would go over the cap of its policy on {what}",
        do="see `cohortium-node budget`; a study with a smaller epsilon may fit",
    )
