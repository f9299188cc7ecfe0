"""A lab and a group of real nodes with real files, which add up a round under encryption, message by message."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from node_parts import (
    NOW,
    PLAN,
    POLICY,
    People,
    key_of,
    open_node,
    parameters,
    people,
    plan_content,
    send,
)

from cohortium_node.data.table import AnalysisTable
from cohortium_node.features import study_arrays
from cohortium_node.ledger import Ledger
from cohortium_node.local.reduce import reduce_round
from cohortium_node.policy import Policy
from cohortium_node.service import Node, NodeService
from cohortium_protocols.messages import RoundRequest, SecureStep
from cohortium_protocols.plan import Plan, plan_digest
from cohortium_protocols.plan_check import load_plan
from cohortium_protocols.privacy.distributed import node_sigma
from cohortium_protocols.schedules import schedule
from cohortium_protocols.secure_rounds import joined, rules_of, session_of
from cohortium_protocols.secure_sum import Aggregator
from cohortium_protocols.secure_sum.aggregator import Requests
from cohortium_protocols.secure_sum.messages import Said, Stage
from cohortium_protocols.signing import Envelope
from cohortium_protocols.statistics import RoundSpec

ROSTER = ("north", "south", "east", "west", "mid")
KEYS = {name: key_of(number) for number, name in enumerate(ROSTER, start=101)}
TABLES: Mapping[str, AnalysisTable] = {name: people(seed) for seed, name in enumerate(ROSTER)}


def secure_plan(nodes: int = 4, lost: int = 1, colluding: int = 1, epsilon: float = 1.0) -> Plan:
    """The plan of ``node_parts``, to be added up securely by the first nodes of the roster."""
    text = PLAN.format(study="weights", epsilon=epsilon)
    rules = f"aggregation: secure, tolerate_lost_nodes: {lost}, assume_colluding_nodes: {colluding}"
    return load_plan(
        text.replace("aggregation: local", rules).replace("[north, south]", f"[{', '.join(ROSTER[:nodes])}]")
    )


def policy_of(name: str, plan: Plan, unpinned: tuple[str, ...] = (), policy: Policy = POLICY) -> Policy:
    """A policy that pins every other node of the roster, but for those named."""
    peers = {each: KEYS[each].public for each in plan.nodes.roster if each not in (name, *unpinned)}
    return replace(policy, peers=peers)


@contextmanager
def open_member(
    folder: Path, name: str, policy: Policy, tables: Mapping[str, AnalysisTable] = TABLES, **changes: Any
) -> Iterator[Node]:
    """One node of the group, with its files in a folder of its own."""
    (folder / name).mkdir(exist_ok=True)
    facts = {"name": name, "key": KEYS[name], **changes}
    with open_node(folder / name, People(tables[name]), policy, **facts) as node:
        yield node


def request_for(plan: Plan, node: str, round_name: str = "profile", attempt: int = 1, value: float = 0.5) -> bytes:
    """The lab's request for an attempt at a round."""
    asked = RoundRequest(
        plan_digest=plan_digest(plan), round=round_name, attempt=attempt, parameters=parameters(plan, round_name, value)
    )
    return send("round", plan.study, asked.body(), to=node)


def step_for(plan: Plan, node: str, stage: Stage, content: Any, round_name: str = "profile", attempt: int = 1) -> bytes:
    """The lab's request for a step; ``content`` is what the aggregator gave, or what a test puts there."""
    plain = content.body() if isinstance(content, Said) else content
    step = SecureStep(plan_digest=plan_digest(plan), round=round_name, attempt=attempt, stage=stage, content=plain)
    return send("secure_step", plan.study, step.body(), to=node)


def exact_total(plan: Plan, nodes: tuple[str, ...], round_name: str = "profile", value: float = 0.5) -> np.ndarray:
    """What the nodes' vectors add up to before noise, when all parameters have one value."""
    return exact_sum(plan, nodes, round_name, parameters(plan, round_name, value))


def exact_sum(plan: Plan, nodes: Collection[str], round_name: str, given: Mapping[str, Any]) -> np.ndarray:
    """What the nodes' vectors add up to before noise, modulo 2**64."""
    spec = schedule(plan).round(round_name)
    arrays = (study_arrays(plan, TABLES[node]) for node in nodes)
    return sum(joined(spec, reduce_round(spec, given, each)) for each in arrays)


class NodeGroup:
    """The nodes of a plan at work, each approved; and a lab that asks them."""

    def __init__(self, folder: Path, plan: Plan, policies: Mapping[str, Policy] | None = None) -> None:
        self.folder = folder
        self.plan = plan
        self.policies = {name: policy_of(name, plan) for name in plan.nodes.roster} | dict(policies or {})
        self.nodes: dict[str, Node] = {}
        self._services: dict[str, NodeService] = {}
        self._open: dict[str, ExitStack] = {}
        for name in plan.nodes.roster:
            self.start(name)
            self.ask(name, send("plan", plan.study, plan_content(plan), to=name))

    def start(self, name: str) -> None:
        self._open[name] = ExitStack()
        self.nodes[name] = self._open[name].enter_context(open_member(self.folder, name, self.policies[name]))
        self._services[name] = NodeService(self.nodes[name])

    def stop(self, name: str) -> None:
        self._open.pop(name, ExitStack()).close()

    def restart(self, name: str) -> None:
        self.stop(name)
        self.start(name)

    def close(self) -> None:
        for name in list(self._open):
            self.stop(name)

    def ledger(self, name: str) -> Ledger:
        return self.nodes[name].ledger

    def ask(self, name: str, message: bytes) -> bytes:
        """Hands a message to a node; returns its one answer."""
        (answer,) = self._services[name].handle(message, NOW)
        return answer

    def wait(self, name: str, until: datetime) -> None:
        """A node's daemon takes a turn, with nothing in its mailbox, at a later time."""
        self._services[name].decisions(until)

    def code(self, name: str, message: bytes) -> tuple[str, str]:
        """Hands a message to a node that refuses it; returns the code and the step."""
        envelope = Envelope.from_bytes(self.ask(name, message))
        assert envelope.kind == "answer", envelope.kind
        content = envelope.content()
        assert not content["vectors"]
        return content["code"], content["stage"]


class Sum:
    """The lab's side of one attempt at a round, led through a group step by step."""

    def __init__(self, group: NodeGroup, round_name: str = "profile", attempt: int = 1, value: float = 0.5) -> None:
        plan = group.plan
        self.group = group
        self.place = (round_name, attempt)
        self.messages = {each: request_for(plan, each, round_name, attempt, value) for each in plan.nodes.roster}
        first = Envelope.from_bytes(self.messages[plan.nodes.roster[0]])
        session = session_of(plan, schedule(plan).round(round_name), first)
        self.aggregator = Aggregator(session, {name: KEYS[name].public for name in plan.nodes.roster})

    def take(self, node: str) -> bytes:
        """One node takes the step under way."""
        said = self.group.ask(node, self.messages[node])
        assert self.aggregator.take(said)
        return said

    def close(self) -> Requests:
        """Closes the step under way, and prepares the messages of the next."""
        requests, stage = self.aggregator.close(), self.aggregator.stage
        if stage is not None:
            self.messages = {
                node: step_for(self.group.plan, node, stage, said, *self.place) for node, said in requests.items()
            }
        return requests

    def until(self, stage: Stage | None, without: tuple[str, ...] = ()) -> Requests:
        """Leads the sum up to a step that is left open; None for all. Some nodes take no step from here on."""
        requests: Requests = {}
        while self.aggregator.stage != stage:
            for node in [each for each in self.aggregator.waiting_for if each not in without]:
                self.take(node)
            requests = self.close()
        return requests

    def total(self) -> np.ndarray:
        """Leads the sum to its end."""
        self.until(None)
        assert self.aggregator.total is not None
        return self.aggregator.total.values


@contextmanager
def node_group(folder: Path, plan: Plan, policies: Mapping[str, Policy] | None = None) -> Iterator[NodeGroup]:
    """A group that is closed in the end."""
    group = NodeGroup(folder, plan, policies)
    try:
        yield group
    finally:
        group.close()


def kinds(group: NodeGroup, node: str = "north") -> list[str]:
    """The entries of a node's ledger."""
    return [entry.body["kind"] for entry in group.ledger(node).entries()]


def charged(group: NodeGroup, node: str = "north") -> float:
    """What a node has charged, in mu squared."""
    return float(group.ledger(node).accounts.charged)


def deviations(plan: Plan, spec: RoundSpec, shares: int) -> np.ndarray:
    """The noise's standard deviation in every number of a sum with so many shares."""
    sigmas, rules = [], rules_of(plan)
    for vector in spec.vectors:
        rows, columns = np.triu_indices(vector.width)
        off = (rows != columns) if vector.rule == "gram" else np.zeros(vector.dimension, dtype=bool)
        sigmas.append(np.where(off, vector.sigma_off_diagonal, vector.sigma))
    own = [node_sigma(float(sigma), rules) for sigma in np.concatenate(sigmas)]
    return np.array(own) * np.sqrt(shares)


def content(message: bytes) -> dict[str, str]:
    """The body of a message."""
    return dict(Envelope.from_bytes(message).content())
