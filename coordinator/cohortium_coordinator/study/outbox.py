"""What nodes should find in their mailboxes: the messages of the present step that they have not answered, no others.

A request that nobody waits for any more would still cost the node that finds it: it would charge the round to its
privacy budget for an answer that cannot count. So the unanswered messages of a step are withdrawn before its end is
stored. A process killed in between finds the step still open when it is started again, and posts them once more.
"""

from __future__ import annotations

from cohortium_coordinator.store import SqliteStore
from cohortium_coordinator.study.records import Records, Sent
from cohortium_coordinator.study.state import outstanding
from cohortium_protocols.channel import Post


class Outbox:
    """The coordinator's side of the nodes' mailboxes.

    Args:
        store: keeps the envelopes of all messages, withdrawn or not.
        mailbox: where they are posted.
    """

    def __init__(self, store: SqliteStore, mailbox: Post) -> None:
        self._store = store
        self._mailbox = mailbox
        self._posted: set[tuple[str, Sent]] = set()

    def post(self, records: Records) -> bool:
        """Posts what a study's nodes should still answer; returns whether there is anything."""
        left = outstanding(records)
        for sent in left:
            if (records.study, sent) not in self._posted:
                self._mailbox.post(sent.node, self._store.envelope(records.study, sent))
                self._posted.add((records.study, sent))
        return bool(left)

    def withdraw(self, records: Records) -> None:
        """Withdraws what a study's nodes have not answered; to be called before the step's end is stored."""
        for sent in outstanding(records):
            self._mailbox.withdraw(self._store.envelope(records.study, sent))
            self._posted.discard((records.study, sent))
