"""What is attacked by a coordinator of secure sums: five real nodes, one of which works together with it.

The nodes tolerate one that is lost and assume one that colludes: the attacker may sign what it likes as ``COLLUDER``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from cohortium_node.service import NodeService
from cohortium_protocols.messages import SecureStep
from cohortium_protocols.plan import Plan, plan_digest
from cohortium_protocols.schedules import schedule
from cohortium_protocols.secure_rounds import session_of
from cohortium_protocols.secure_sum import Aggregator, Identity, Total
from cohortium_protocols.secure_sum.aggregator import Requests
from cohortium_protocols.secure_sum.messages import Said, Stage
from cohortium_protocols.signing import Envelope, SigningKey
from cohortium_simulations.attacks.target import (
    NOW,
    OPERATOR,
    OPERATOR_KEY,
    Tables,
    caps,
    node,
    plan,
    plan_message,
    round_message,
)
from cohortium_simulations.neighbours import WORST, people

ROSTER = ("north", "south", "east", "west", "mid")
HONEST, COLLUDER = ROSTER[:4], ROSTER[4]
KEYS: Mapping[str, SigningKey] = {name: SigningKey.generate() for name in ROSTER}
PINNED = {name: key.public for name, key in KEYS.items()}
ROUND = "profile"
SOURCE = Tables({"any": people(WORST, helped=True)})


def group_plan(roster: tuple[str, ...] = ROSTER) -> Plan:
    """Returns a plan whose rounds are added up under encryption; so cheap that no budget ends an attack."""
    wanted = plan("group", epsilon=0.5, aggregation="secure", tolerate_lost_nodes=1, assume_colluding_nodes=1)
    return wanted.model_copy(update={"nodes": wanted.nodes.model_copy(update={"roster": roster})})


class Group:
    """Nodes that heard of one plan, and an attacker who asks them.

    Args:
        plan: the plan.
        services: the nodes by name.
    """

    def __init__(self, plan: Plan, services: Mapping[str, NodeService]) -> None:
        self.plan = plan
        self.services = services
        for name in services:
            self.ask(name, plan_message(plan, recipient=name))

    def ask(self, name: str, message: bytes) -> bytes:
        """Returns a node's one answer to a message; nothing when it does not answer."""
        return next(iter(self.services[name].handle(message, NOW)), b"")

    def step(self, name: str, stage: Stage, said: Said, attempt: int = 1) -> bytes:
        """Returns what a node says when it is asked for a step with content of the attacker's choice."""
        digest = plan_digest(self.plan)
        asked = SecureStep(plan_digest=digest, round=ROUND, attempt=attempt, stage=stage, content=said.body())
        signed = Envelope.sign("secure_step", self.plan.study, OPERATOR, name, asked.body(), OPERATOR_KEY)
        return self.ask(name, signed.to_bytes())


@contextmanager
def group(plan: Plan | None = None) -> Iterator[Group]:
    """Five real nodes that pinned each other and nobody else; those that are on the plan's roster heard of it."""
    wanted = plan or group_plan()
    with ExitStack() as open_nodes:
        services = {
            name: open_nodes.enter_context(node(SOURCE, caps(), identity=_identity(name)))
            for name in ROSTER
            if name in wanted.nodes.roster
        }
        yield Group(wanted, services)


def _identity(name: str) -> Identity:
    return Identity(name, KEYS[name], {peer: key for peer, key in PINNED.items() if peer != name})


def took(answer: bytes) -> bool:
    """Whether a node took a step of a secure sum; a refusal is an answer of another kind, or none."""
    return bool(answer) and Envelope.from_bytes(answer).kind.startswith("secure_")


class Sum:
    """One attempt at a round, led honestly up to where the attacker begins.

    Args:
        group: the nodes.
        attempt: its number, from 1.
        changes: to the body of the request.
    """

    def __init__(self, group: Group, attempt: int = 1, **changes: Any) -> None:
        self.group = group
        self.attempt = attempt
        facts = {"attempt": attempt, **changes}
        self.asked = {name: round_message(group.plan, ROUND, recipient=name, **facts) for name in group.services}
        first = Envelope.from_bytes(next(iter(self.asked.values())))
        self.session = session_of(group.plan, schedule(group.plan).round(ROUND), first)
        self.aggregator = Aggregator(self.session, PINNED)
        self.requests: Requests = {}

    def until(self, stage: Stage | None, without: str = "") -> Requests:
        """Leads the attempt up to a step; returns what each node is to get there.

        Args:
            stage: the step to leave open; None to go on to the end.
            without: a node that takes no further step.
        """
        while (now := self.aggregator.stage) is not None and now != stage:
            for name in self.aggregator.waiting_for:
                if name != without and name in self.group.services:
                    self.aggregator.take(self.said(name, now))
            self.requests = self.aggregator.close()
        return self.requests

    def said(self, name: str, stage: Stage) -> bytes:
        """Returns what a node says at the step under way to what it is to get there."""
        if stage == "announce":
            return self.group.ask(name, self.asked[name])
        return self.group.step(name, stage, self.requests[name], self.attempt)

    def total(self, without: str = "") -> Total:
        """Returns the sum of an attempt in which one node, if any is named, is lost just before it masks."""
        self.until("mask")
        self.until(None, without)
        if self.aggregator.total is None:
            raise AssertionError("an honest attempt ends with a sum")
        return self.aggregator.total
