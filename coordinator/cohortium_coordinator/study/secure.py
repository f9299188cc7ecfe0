"""Rounds that are secure sums: whether a node's message counts, what nodes get next, and the totals at the end.

The arithmetic is ``secure_sum.Aggregator``'s, which is a function of what it is told, in order. What it was told is in
the store: every message that counted, and every closing, as the messages to those who took the step. It can therefore
be built again at any time; it is kept only from one message of a step to the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from cohortium_coordinator.combine.sums import Answers, Together
from cohortium_coordinator.store import SqliteStore
from cohortium_coordinator.study.records import Received, Records, Step
from cohortium_coordinator.study.rounds import LARGEST, OpenStudy
from cohortium_coordinator.study.state import current_round
from cohortium_protocols.canonical import unpack_integers
from cohortium_protocols.errors import SumNotRecovered, TrustError
from cohortium_protocols.messages import SecureStep, read
from cohortium_protocols.secure_rounds import parted, rules_of, session_of
from cohortium_protocols.secure_sum import Aggregator, Session, Total
from cohortium_protocols.secure_sum.aggregator import Requests
from cohortium_protocols.secure_sum.messages import FROM_NODES, STAGES
from cohortium_protocols.signing import Envelope, VerifyKey


@dataclass(frozen=True)
class _Kept:
    """An aggregator, and up to where it was told what is stored: a step, and how many have taken it."""

    step: Step
    took: int
    aggregator: Aggregator


class SecureSums:
    """The secure sums of one operator's studies.

    Args:
        store: the records.
        keys: the nodes' pinned keys.
    """

    def __init__(self, store: SqliteStore, keys: Mapping[str, VerifyKey]) -> None:
        self._store = store
        self._keys = keys
        self._under_way: dict[str, _Kept] = {}

    def taken(self, envelope: Envelope, study: OpenStudy, records: Records, at: datetime) -> Received | None:
        """Returns the record of a node's verified message, which must then be stored; None when it comes too late.

        Raises:
            TrustError: it is not what this study asked of that node, or says what cannot be.
        """
        if study.terms.rules is None:
            raise TrustError(f"'{envelope.sender}' sent a message of a secure sum, and this study has none.")
        step = _under_way(study, records)
        if step is None or records.refusal(envelope.sender):
            return None
        aggregator = self._aggregator(study, records, step)
        if self._is_of_an_earlier_round(envelope, study, records, aggregator.session):
            return None
        if not aggregator.take(envelope.to_bytes()):
            return None
        self._under_way[records.study] = _Kept(step, _took(records, step) + 1, aggregator)
        return Received("answer", step.round, envelope.sender, "approved", "", at, step.stage, step.attempt)

    def closed(self, study: OpenStudy, records: Records, step: Step) -> dict[str, SecureStep] | Total:
        """Ends a step with those who took it; returns what each of them gets next, after the last one the total.

        Raises:
            SecureSumFailed: too few took it, or the masks could not be taken off.
        """
        aggregator = self._aggregator(study, records, step)
        del self._under_way[records.study]  # until its end is stored, it has none
        requests = aggregator.close()
        if aggregator.total is None:
            return _next_steps(requests, aggregator)
        if np.any(np.abs(aggregator.total.values.astype(np.float64)) >= LARGEST):
            raise SumNotRecovered(
                f"The total of round '{step.round}' holds integers that no sum can reach.", stage=step.stage,
                charged=aggregator.charged, why="a node added something else than the declared vectors",
            )  # fmt: skip
        return aggregator.total

    def answers(self, study: OpenStudy, records: Records) -> Answers:
        """Returns the totals of all rounds that have ended."""
        values, rules = self._store.totals(records.study), rules_of(study.plan)
        return {
            name: Together(nodes, parted(study.schedule.round(name), unpack_integers(values[name])), rules)
            for name, nodes in ((summed.round, summed.nodes) for summed in records.sums)
        }

    def _aggregator(self, study: OpenStudy, records: Records, step: Step) -> Aggregator:
        kept = self._under_way.get(records.study)
        took = _took(records, step)
        if kept is None or (kept.step, kept.took) != (step, took):
            kept = self._under_way[records.study] = _Kept(step, took, self._rebuilt(study, records, step))
        return kept.aggregator

    def _rebuilt(self, study: OpenStudy, records: Records, step: Step) -> Aggregator:
        aggregator = Aggregator(self._session(study, records, step.round), self._keys)
        said = self._store.steps(records.study, step.round)
        for stage in STAGES:
            for message in said.get(stage, ()):
                aggregator.take(message)
            if stage == step.stage:
                break
            aggregator.close()
        return aggregator

    def _session(self, study: OpenStudy, records: Records, round_name: str) -> Session:
        request = next(sent for sent in records.sent if sent.kind == "round" and sent.round == round_name)
        envelope = Envelope.from_bytes(self._store.envelope(records.study, request))
        return session_of(study.plan, study.schedule.round(round_name), envelope)

    def _is_of_an_earlier_round(
        self, envelope: Envelope, study: OpenStudy, records: Records, session: Session
    ) -> bool:
        found = read(envelope, FROM_NODES[envelope.kind]).session
        earlier = (self._session(study, records, summed.round) for summed in records.sums)
        return found != session.digest and any(found == each.digest for each in earlier)


def _under_way(study: OpenStudy, records: Records) -> Step | None:
    current = current_round(study.terms, records)
    if records.ending is not None or current is None or records.summed(current):
        return None
    return records.step(current)


def _took(records: Records, step: Step) -> int:
    said = records.said("answer", step.round, step.stage).values()
    return sum(received.standing == "approved" for received in said)


def _next_steps(requests: Requests, aggregator: Aggregator) -> dict[str, SecureStep]:
    session = aggregator.session
    facts = {"plan_digest": session.plan_digest, "round": session.round, "attempt": session.attempt}
    return {
        node: SecureStep.model_validate(facts | {"stage": aggregator.stage, "content": content.body()})
        for node, content in requests.items()
    }
