"""The operator as a witness: it keeps what nodes state about their ledgers, and hands it back and to their peers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cohortium_coordinator.store import SqliteStore
from cohortium_protocols.errors import TrustError
from cohortium_protocols.heads import read_head, released
from cohortium_protocols.messages import Anchor, Recall, read
from cohortium_protocols.signing import Envelope, SigningKey, VerifyKey

PEERS = 2
"""How many peers witness each statement: the nodes that follow on the roster. All of them would be a message for every
pair of nodes in every round."""


class Witness:
    """One operator's part.

    Args:
        name: of the operator.
        nodes: the pinned keys.
        store: keeps the statements.
        key: signs anchors.
    """

    def __init__(self, name: str, nodes: Mapping[str, VerifyKey], store: SqliteStore, key: SigningKey) -> None:
        self._name = name
        self._nodes = nodes
        self._store = store
        self._key = key

    def stated(self, answer: Envelope, request: str) -> tuple[int, str]:
        """Returns the number of the entry that an answer's statement is about, and the statement.

        Args:
            answer: the verified envelope of an answer that carries numbers.
            request: digest of the body of the message that it answers.

        Raises:
            TrustError: there is none, it is about another answer, or it contradicts an earlier one.
        """
        content = answer.content()
        text = str(content.get("head", ""))
        maker, head = read_head(text, {answer.sender: self._nodes[answer.sender]})
        if (head.released, head.request) != (released(content), request):
            raise TrustError(f"'{maker}' sent an answer with a statement about another one.")
        before = self._store.head(maker, head.sequence)
        if before and before != text:
            raise TrustError(
                f"'{maker}' made two statements about entry {head.sequence} of its ledger.",
                why="its ledger was set back, or two machines work with copies of it",
                do="ask its custodian to stop all copies; the first statement stands",
            )
        return head.sequence, text

    def anchors(self, node: str, study: str, statement: str, roster: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
        """Yields the anchor of a statement for the node itself and for the peers that witness it."""
        place = roster.index(node)
        following = (*roster[place + 1 :], *roster[:place])
        for recipient in (node, *following[:PEERS]):
            yield recipient, self._signed(study, recipient, Anchor(node=node, head=statement))

    def recalled(self, envelope: Envelope) -> bytes:
        """Returns the answer to a node that starts: the newest statement under its present key."""
        body = read(envelope, Recall)
        anchor = Anchor(node=envelope.sender, head=self._newest(envelope.sender), nonce=body.nonce)
        return self._signed("", envelope.sender, anchor)

    def _newest(self, node: str) -> str:
        """A node that began again under a new key has no statements yet."""
        text = self._store.newest_head(node)
        try:
            read_head(text, {node: self._nodes[node]})
        except TrustError:
            return ""
        return text

    def _signed(self, study: str, recipient: str, body: Anchor) -> bytes:
        return Envelope.sign("anchor", study, self._name, recipient, body.body(), self._key).to_bytes()
