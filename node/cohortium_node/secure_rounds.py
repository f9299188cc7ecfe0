"""A node's part in secure sums: one attempt at one round after another, in durable steps.

An attempt begins with the operator's request, which the node answers by announcing its keys. Each further step is asked
for by a message of its own. Whatever a step changed is durable before its message leaves, also when it was refused;
the same message again gets the same bytes. When a new attempt begins, or the study is closed or expires, the secrets of
those before it are destroyed.

Numbers leave at the step ``mask`` only, and only through the gate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TypeVar

from pydantic import ValidationError

from cohortium_node.attempts import Attempt
from cohortium_node.ledger import Ledger
from cohortium_node.release.gate import Gate, Turn, Vectors, no_fault
from cohortium_protocols.errors import PolicyRefusal, ReplayError, TrustError
from cohortium_protocols.messages import RoundRequest, SecureStep, read
from cohortium_protocols.plan import Plan
from cohortium_protocols.privacy.distributed import node_sigma
from cohortium_protocols.secure_rounds import session_of
from cohortium_protocols.secure_sum import Identity, Participant, Secrets
from cohortium_protocols.secure_sum.messages import Acknowledgements, Announcements, Deliveries, Said, SurvivorList
from cohortium_protocols.signing import Envelope
from cohortium_protocols.statistics import RoundSpec

KEEP_POINTS = ("before_keep", "after_keep")
"""Where a test may stop the process at a step that releases no numbers; ``release.gate`` has the others."""

S = TypeVar("S", bound=Said)


class SecureRounds:
    """One node's part.

    Args:
        ledger: keeps the attempts beside the entries.
        gate: the one door.
        identity: the node and the peers that its custodian pinned.
        faults: called at every fault point; does nothing outside tests.
    """

    def __init__(
        self, ledger: Ledger, gate: Gate, identity: Identity, faults: Callable[[str], None] = no_fault
    ) -> None:
        self._ledger = ledger
        self._gate = gate
        self._identity = identity
        self._faults = faults

    def announce(self, plan: Plan, spec: RoundSpec, request: Envelope) -> bytes:
        """Begins an attempt; returns this node's signed announcement.

        Args:
            plan: the approved plan.
            spec: the round, from its schedule.
            request: the verified request for this attempt.

        Raises:
            RefusedError: the attempt could not be charged, or two peers have one key.
            ReplayError: it was begun with another request, or is over.
            StorageError: it cannot be kept.
        """
        attempt = self._kept(plan, spec, read(request, RoundRequest).attempt)
        if attempt is not None:
            return self._participant(plan, spec, _asked_again(attempt, request)).announce()
        self._gate.check(request, spec)
        participant = Participant(session_of(plan, spec, request), self._identity)
        message = participant.announce()
        number, secrets = participant.session.attempt, participant.secrets.to_bytes()
        self._faults("before_keep")
        self._ledger.begin(Attempt(plan.study, spec.name, number, request.to_bytes(), secrets))
        self._faults("after_keep")
        return message

    def ongoing(self, plan: Plan, spec: RoundSpec, number: int) -> Attempt:
        """Returns an attempt that was begun and is not over.

        Raises:
            PolicyRefusal: it was never begun.
            ReplayError: it is over.
        """
        attempt = self._kept(plan, spec, number)
        if attempt is None:
            raise PolicyRefusal(f"There is no attempt {number} at round '{spec.name}' of '{plan.study}' here.")
        return _not_over(attempt)

    def step(self, plan: Plan, spec: RoundSpec, envelope: Envelope, exact: Callable[[RoundRequest], Vectors]) -> bytes:
        """Takes a step; returns this node's signed message.

        Args:
            plan: the approved plan.
            spec: the round, from its schedule.
            envelope: the verified message that asks for the step.
            exact: makes the round's vectors, before noise, for its request; called at the step ``mask`` only.

        Raises:
            RefusedError: the step breaks the rules, or cannot be charged.
            TrustError: it is not what it must be, or was taken otherwise before.
            StorageError: it cannot be kept.
        """
        asked = read(envelope, SecureStep)
        attempt = self.ongoing(plan, spec, asked.attempt)
        participant = self._participant(plan, spec, attempt)
        if asked.stage == "mask":
            share = partial(node_sigma, rules=participant.session.rules)
            turn = Turn(envelope, attempt, participant, _content(asked, Deliveries), share)
            request = read(Envelope.from_bytes(attempt.request), RoundRequest)
            return self._gate.mask(turn, spec, exact(request))
        self._gate.check_anchors()
        try:
            return _STEPS[asked.stage](participant, asked)
        finally:  # a refusal can change the state too: it must not be forgotten
            self._keep(attempt, participant.secrets)

    def _keep(self, attempt: Attempt, secrets: Secrets) -> None:
        before = Secrets.from_bytes(attempt.secrets)
        if secrets == before:
            return
        acknowledged = secrets.survivors.digest if secrets.survivors and not before.survivors else ""
        self._faults("before_keep")
        self._ledger.keep(replace(attempt, secrets=secrets.to_bytes()), acknowledged)
        self._faults("after_keep")

    def _kept(self, plan: Plan, spec: RoundSpec, number: int) -> Attempt | None:
        if number < 1:
            raise PolicyRefusal(f"Attempts are counted from 1; this one is {number}.")
        return self._ledger.attempt(plan.study, spec.name, number)

    def _participant(self, plan: Plan, spec: RoundSpec, attempt: Attempt) -> Participant:
        session = session_of(plan, spec, Envelope.from_bytes(attempt.request))
        return Participant(session, self._identity, Secrets.from_bytes(attempt.secrets))


def _asked_again(attempt: Attempt, request: Envelope) -> Attempt:
    if Envelope.from_bytes(attempt.request).body != request.body:
        raise ReplayError(
            f"Attempt {attempt.number} at round '{attempt.round}' of '{attempt.study}' was begun with other numbers.",
            do="send the same request again, or begin another attempt",
        )
    return _not_over(attempt)


def _not_over(attempt: Attempt) -> Attempt:
    if not attempt.secrets:
        raise ReplayError(
            f"Attempt {attempt.number} at round '{attempt.round}' of '{attempt.study}' is over.",
            why="another was begun after it, and its secrets are destroyed",
        )
    return attempt


def _content(step: SecureStep, kind: type[S]) -> S:
    try:
        return kind.model_validate(step.content)
    except ValidationError as error:
        raise TrustError(
            f"What came for the step '{step.stage}' of a secure sum is not what belongs there.",
            why=f"{error.error_count()} faults",
            do="compare the versions of Cohortium on both sides",
        ) from error


_STEPS: Mapping[str, Callable[[Participant, SecureStep], bytes]] = {
    "share": lambda participant, step: participant.share(_content(step, Announcements)),
    "acknowledge": lambda participant, step: participant.acknowledge(_content(step, SurvivorList)),
    "reveal": lambda participant, step: participant.reveal(_content(step, Acknowledgements)),
}
