"""The studies of one operator: what is stored, what is done next, and the mailbox in between.

Every step is stored before anything of it is posted, and its end only after what was not answered was withdrawn
(``study.outbox``). Doing either twice does no harm, and what to do next is worked out from the records alone
(``study.state``). The process can therefore be killed at any moment and started again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from cohortium_coordinator.combine.analysis import Analysis
from cohortium_coordinator.combine.sums import Answers
from cohortium_coordinator.config import StudySettings
from cohortium_coordinator.merged import MergedResult
from cohortium_coordinator.report import write_report
from cohortium_coordinator.result import StudyResult
from cohortium_coordinator.store import Message, SqliteStore
from cohortium_coordinator.study.late import Finished, check_asked, merge
from cohortium_coordinator.study.outbox import Outbox
from cohortium_coordinator.study.records import (
    FIRST_ATTEMPT,
    Ending,
    Fault,
    Received,
    Records,
    Reported,
    Step,
    Summed,
)
from cohortium_coordinator.study.rounds import (
    OpenStudy,
    Writer,
    accepted,
    check_current,
    gathered,
    plan_message,
    plan_text,
    sent_message,
    signed_schedule,
)
from cohortium_coordinator.study.secure import SecureSums
from cohortium_coordinator.study.state import (
    Action,
    AskRound,
    Clock,
    CloseStep,
    Combine,
    Fail,
    Finish,
    TellClosed,
    charged,
    counted,
    next_action,
)
from cohortium_coordinator.study.status import StudyStatus, node_statuses, study_status
from cohortium_coordinator.study.witness import Witness
from cohortium_protocols.canonical import pack_integers
from cohortium_protocols.channel import Post
from cohortium_protocols.errors import InputError, SecureSumFailed, TrustError, UsageFault
from cohortium_protocols.messages import Close, PlanMessage, RoundRequest, read
from cohortium_protocols.plan_check import load_plan
from cohortium_protocols.secure_sum import Total
from cohortium_protocols.secure_sum.messages import FROM_NODES
from cohortium_protocols.signed_plan import is_signed_plan, read_signed_plan
from cohortium_protocols.signing import Envelope, SigningKey

_log = logging.getLogger(__name__)


class StudyService:
    """Runs the operator's studies.

    Args:
        settings: the operator's name, the pinned nodes, time-outs, and where reports go.
        store: the records.
        mailbox: where envelopes are posted to nodes and fetched from them.
        key: signs plans and requests.
    """

    def __init__(self, settings: StudySettings, store: SqliteStore, mailbox: Post, key: SigningKey) -> None:
        self._settings = settings
        self._store = store
        self._mailbox = mailbox
        self._key = key
        self._witness = Witness(settings.name, settings.nodes, store, key)
        self._turn = threading.RLock()
        self._since: datetime | None = None
        self._sums = SecureSums(store, settings.nodes)
        self._outbox = Outbox(store, mailbox)
        self._quiet: set[str] = set()  # studies with nothing left to do or to wait for
        self._open: dict[str, OpenStudy] = {}
        self._troubles: dict[str, str] = {}

    def submit(self, text: str, now: datetime | None = None) -> str:
        """Stores a plan and its messages to the nodes, and returns the name of the study.

        Args:
            text: a plan as an operator writes it, or a file made by ``cohortium plan sign``. The same
                plan again changes nothing.
            now: the time; the clock's when not given.

        Raises:
            PlanError: the plan is not valid.
            TrustError: a signed plan is not signed by this operator, was altered, or has expired.
            InputError: a node is not enrolled, the name is another study's, or a late plan completes none that ended.
            RefusedError: what late nodes would answer could not be merged.
        """
        at = now or datetime.now(UTC)
        with self._turn:
            opened, messages = self._signed(text, at)
            study = opened.plan.study
            known = self._store.records(study)
            if known is None:
                self._check_new(opened, at)
                self._store.add_study(study, opened.digest, at, messages)
                _log.info("study %s: submitted", study)
            elif known.plan_digest != opened.digest:
                raise InputError(
                    f"There is another study called '{study}' here already.",
                    why="its plan is not this one, and a plan cannot change once it was sent to nodes",
                    do="choose another name for `study` in the plan",
                )
            return study

    def advance(self, now: datetime) -> None:
        """Takes in what arrived and does everything that follows from it; can be repeated at any time.

        One study's trouble does not hold up the others: it is raised when all have had their turn.

        Raises:
            StorageError: the records, the mailbox or the reports cannot be used. Nothing is lost: try again.
        """
        with self._turn:
            self._since = self._since or now
            self._take_in(now)
            clock = Clock(now, self._since)
            troubles = [
                self._advanced(study, clock) for study in self._store.studies() if study not in self._quiet
            ]
            for trouble in filter(None, troubles):
                raise trouble

    def close(self, study: str, reason: str, now: datetime | None = None) -> None:
        """Ends a study before its result: nodes are told to close it. One that has ended stays as it is."""
        with self._turn:
            records = self._records(study)
            if records.ending is None:
                self._outbox.withdraw(records)
                self._end(study, Ending("closed", (), "", reason, now or datetime.now(UTC)))

    def studies(self) -> list[str]:
        """Returns the names of all studies, oldest first."""
        return self._store.studies()

    def status(self, study: str, now: datetime | None = None) -> StudyStatus:
        """Returns where a study stands.

        Raises:
            UsageFault: there is no such study.
        """
        with self._turn:
            at = now or datetime.now(UTC)
            records = self._records(study)
            return study_status(self._opened(study).terms, records, Clock(at, self._since or at))

    def trouble(self, study: str) -> str:
        """Returns what kept a study from being moved on the last time; empty when nothing did."""
        return self._troubles.get(study, "")

    def result(self, study: str, *, bounds_from_data: bool = False, truth: Mapping[str, float] | None = None
               ) -> StudyResult:  # fmt: skip
        """Returns the result of a study whose rounds are finished; from the stored answers, always the same.

        Args:
            study: the study.
            bounds_from_data: whether bounds were read from the data: nothing is private (simulations only).
            truth: the true effects (simulations only).

        Raises:
            UsageFault: there is no such study.
            InputError: its rounds are not finished.
        """
        with self._turn:
            records, opened = self._records(study), self._opened(study)
            if records.ending is None or records.ending.outcome != "finished":
                stands = self.status(study)
                do = f"see where it stands with `cohortium study status {study}`"
                raise InputError(f"The study '{study}' has no result.", why=stands.reason or stands.phase_text, do=do)
            nodes = node_statuses(opened.terms, records)
            created = records.ending.at.isoformat()
            return Analysis(opened.plan).result(
                self._answers(study, records.ending.nodes), created=created, nodes=nodes,
                bounds_from_data=bounds_from_data, truth=truth,
            )  # fmt: skip

    def merged(self, study: str, late: Sequence[str]) -> MergedResult:
        """Returns a study's result merged with those of late studies that complete it; always the same.

        Raises:
            UsageFault: a study is not there.
            InputError: one is named twice, or has no result.
            PlanError: a late study does not complete the first one, or asks something else.
            RefusedError: a result was not published, or a node is in two of them.
        """
        with self._turn:
            return merge(self._finished(study), [self._finished(each) for each in late])

    def report(self, study: str, suffix: str) -> bytes:
        """Returns the report as a file of the kind html, json or csv.

        Raises:
            UsageFault: there is no such study.
            InputError: there is no report of it.
        """
        path = self._settings.reports / study / f"report.{suffix}"
        if self._records(study).reported is None or not path.is_file():
            raise InputError(
                f"There is no report of the study '{study}'.",
                why=f"it stands at: {self.status(study).phase_text}",
                do=f"wait for it with `cohortium study follow {study}`",
            )
        return path.read_bytes()

    # Submitting

    def _signed(self, text: str, now: datetime) -> tuple[OpenStudy, list[Message]]:
        if is_signed_plan(text):
            message, envelopes = read_signed_plan(text, {self._settings.name: self._key.public})
            load_plan(plan_text(message.plan))
            signed_schedule(message)
            return OpenStudy(message, self._settings), [sent_message(envelope, now) for envelope in envelopes]
        message = plan_message(load_plan(text), now)
        messages = self._writer(message.plan.study).plan(message, now)
        return OpenStudy(message, self._settings), messages

    def _check_new(self, opened: OpenStudy, now: datetime) -> None:
        check_current(opened.plan, now)
        strangers = [node for node in opened.terms.roster if node not in self._settings.nodes]
        if strangers:
            raise InputError(
                f"Not enrolled here: {', '.join(strangers)}.",
                why="answers are checked against the nodes' pinned keys",
                do="enrol them with `cohortium enrol`, start `cohortium serve` again, or correct the roster",
            )
        if opened.plan.completes is not None:
            check_asked(self._finished(opened.plan.completes.study), opened.plan)

    # Taking in

    def _take_in(self, now: datetime) -> None:
        while arrived := self._mailbox.fetch(self._settings.name, self._store.consumed):
            for sequence, data in arrived:
                self._receive(sequence, data, now)

    def _receive(self, sequence: int, data: bytes, now: datetime) -> None:
        study, node = "", ""
        try:
            envelope = Envelope.from_bytes(data).verified(self._settings.nodes)
            node = envelope.sender
            if envelope.kind == "recall" and envelope.recipient == self._settings.name:
                self._mailbox.post(node, self._witness.recalled(envelope))
                return self._store.passed(sequence)
            records = self._store.records(envelope.study)
            if records is None or envelope.recipient != self._settings.name:
                raise TrustError(f"'{node}' sent a message about a study that is not one of this operator's.")
            study = envelope.study
            received = self._accepted(envelope, self._opened(study), records, now)
            if received is None:
                return self._store.passed(sequence)
            head = self._stated(envelope, received, records)
        except TrustError as error:
            self._refuse(sequence, study, Fault(node, error.what, now))
        except (ValueError, RecursionError):
            self._refuse(sequence, study, Fault(node, f"'{node}' sent a message that cannot be read.", now))
        else:
            self._store.receive(sequence, study, received, data, head)
            if head is not None:
                roster = self._opened(study).terms.roster
                for recipient, anchor in self._witness.anchors(node, study, head[1], roster):
                    self._mailbox.post(recipient, anchor)
        return None

    def _accepted(self, envelope: Envelope, opened: OpenStudy, records: Records, now: datetime) -> Received | None:
        """Returns the record of a node's message; None when it is part of a secure sum and comes too late."""
        if envelope.kind in FROM_NODES:
            return self._sums.taken(envelope, opened, records, now)
        return accepted(envelope, opened, records, now)

    def _stated(self, envelope: Envelope, received: Received, records: Records) -> tuple[int, str] | None:
        """Returns what a node states about its ledger in a message with numbers; None in any other."""
        if (received.kind, received.standing) != ("answer", "approved") or received.stage not in ("", "mask"):
            return None
        return self._witness.stated(envelope, records.request_of(received))

    def _refuse(self, sequence: int, study: str, fault: Fault) -> None:
        _log.warning("study %s: a message was not accepted: %s", study or "unknown", fault.what)
        self._store.add_fault(sequence, study, fault)

    # Doing

    def _advanced(self, study: str, clock: Clock) -> Exception | None:
        self._troubles.pop(study, None)
        try:
            self._advance(study, clock)
        except Exception as error:  # of whatever kind: other studies come first; advance() raises it after their turn
            self._troubles[study] = str(error) or type(error).__name__
            return error
        return None

    def _advance(self, study: str, clock: Clock) -> None:
        opened = self._opened(study)
        while action := next_action(opened.terms, records := self._records(study), clock):
            self._outbox.withdraw(records)
            self._do(action, study, opened, clock.now)
        if not self._outbox.post(records):
            self._quiet.add(study)

    def _do(self, action: Action, study: str, opened: OpenStudy, now: datetime) -> None:
        match action:
            case AskRound():
                self._ask(action, study, opened, now)
            case CloseStep():
                self._close_step(action.step, study, opened, now)
            case Finish():
                self._end(study, Ending("finished", action.nodes, "", "", now))
            case Fail():
                self._end(study, Ending("failed", (), action.code, action.reason, now))
            case Combine():
                self._combine(action, study)
            case TellClosed():
                body = Close(plan_digest=opened.digest, reason=action.reason)
                self._store.add_messages(study, self._writer(study).closing(body, action.nodes, now))

    def _ask(self, action: AskRound, study: str, opened: OpenStudy, now: datetime) -> None:
        answers = self._answers(study, action.nodes)
        parameters = Analysis(opened.plan).parameters(action.round, answers)
        body = RoundRequest(
            plan_digest=opened.digest, round=action.round, attempt=FIRST_ATTEMPT, parameters=parameters
        )
        stage = opened.terms.first_stage
        self._store.add_messages(study, self._writer(study).request(body, action.nodes, now, stage))
        _log.info("study %s: round %s asked of %d nodes", study, action.round, len(action.nodes))

    def _close_step(self, step: Step, study: str, opened: OpenStudy, now: datetime) -> None:
        records = self._records(study)
        try:
            closed = self._sums.closed(opened, records, step)
        except SecureSumFailed as error:
            reason = ". ".join(filter(None, (error.what.rstrip("."), error.why[:1].upper() + error.why[1:])))
            self._end(study, Ending("failed", (), error.code, f"{reason}.{charged(opened.terms, records)}", now))
            return
        if isinstance(closed, Total):
            summed = Summed(step.round, step.attempt, closed.survivors, now)
            self._store.add_total(study, summed, pack_integers(closed.values))
        else:
            self._store.add_messages(study, self._writer(study).steps(closed, now))
        _log.info("study %s: round %s, step %s closed", study, step.round, step.stage)

    def _combine(self, action: Combine, study: str) -> None:
        result = self.result(study)
        write_report(result, self._settings.reports / study)
        self._store.add_report(
            study, Reported(result.published, result.not_published_because or "", action.at)
        )
        _log.info("study %s: report written", study)

    def _end(self, study: str, ending: Ending) -> None:
        self._store.end(study, ending)
        _log.info("study %s: rounds %s. %s", study, ending.outcome, ending.reason)

    # Looking up

    def _answers(self, study: str, nodes: tuple[str, ...]) -> Answers:
        opened, records = self._opened(study), self._records(study)
        if opened.terms.rules is not None:
            return self._sums.answers(opened, records)
        return gathered(self._store.answers(study), opened, counted(opened.terms, records, nodes))

    def _finished(self, study: str) -> Finished:
        result = self.result(study)
        return Finished(self._opened(study).plan, result)

    def _writer(self, study: str) -> Writer:
        return Writer(self._settings.name, study, self._key)

    def _records(self, study: str) -> Records:
        records = self._store.records(study)
        if records is None:
            raise UsageFault(f"There is no study called '{study}' here.", do="see `cohortium study list`")
        return records

    def _opened(self, study: str) -> OpenStudy:
        if study not in self._open:
            message = read(Envelope.from_bytes(self._store.first(study, "plan")), PlanMessage)
            self._open[study] = OpenStudy(message, self._settings)
        return self._open[study]
