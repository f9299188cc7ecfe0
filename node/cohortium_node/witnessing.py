"""Witnesses: what others say about this node's ledger, and what this node says about theirs."""

from __future__ import annotations

from collections.abc import Mapping

from cohortium_node.anchors import Anchors, check_statement
from cohortium_node.intake import read_body
from cohortium_node.ledger import Ledger
from cohortium_node.policy import Policy
from cohortium_protocols.errors import TrustError
from cohortium_protocols.heads import read_head
from cohortium_protocols.messages import Anchor, Message, Recall
from cohortium_protocols.signing import Envelope, SigningKey, VerifyKey

WITNESS_KINDS = ("anchor", "recall")
"""What pinned peers may send to each other, beside the operator."""


class Witnessing:
    """One node's part."""

    def __init__(self, name: str, key: SigningKey, policy: Policy, ledger: Ledger, anchors: Anchors) -> None:
        self._name = name
        self._key = key
        self._policy = policy
        self._ledger = ledger
        self._anchors = anchors

    def recalls(self) -> list[bytes]:
        """Returns the questions of a node that starts; an answer is needed from its witness only."""
        if not self._anchors.witness:
            return []
        body = Recall(nonce=self._anchors.nonce)
        return [self._signed("recall", "", to, body) for to in (self._anchors.witness, *self._policy.peers)]

    def anchor(self, envelope: Envelope) -> list[bytes]:
        """Takes in an anchor: of this node, from a witness; or of a peer, to be witnessed here.

        Returns:
            This node's own word to the peer.

        Raises:
            TrustError: the statement is not by the node it is about, or contradicts the one that is kept.
            LedgerError: this node's ledger is behind what it stated, or another one.
            StorageError: the anchors cannot be written.
        """
        body = read_body(envelope, Anchor)
        if body.node != self._name:
            return self._countersigned(envelope, body)
        if body.head:
            self._check_maker(body, {self._name: self._key.public})
        self._anchors.take(envelope.sender, body.head, body.nonce)
        if body.head:
            check_statement(envelope.sender, body.head, self._ledger)
        return []

    def recall(self, envelope: Envelope) -> list[bytes]:
        """Returns to a peer that starts the newest statement that this node holds of it.

        Raises:
            TrustError: the sender is no peer.
        """
        peer, body = envelope.sender, read_body(envelope, Recall)
        if peer not in self._policy.peers:
            raise TrustError(f"'{peer}' asked for an anchor and is no pinned peer.")
        anchor = Anchor(node=peer, head=self._anchors.of(peer), nonce=body.nonce)
        return [self._signed("anchor", "", peer, anchor)]

    def _countersigned(self, envelope: Envelope, body: Anchor) -> list[bytes]:
        if envelope.sender not in self._policy.operators or body.node not in self._policy.peers:
            raise TrustError(f"An anchor of '{body.node}' came from '{envelope.sender}'; it is not witnessed here.")
        self._check_maker(body, self._policy.peers)
        if not self._anchors.witnessed(body.node, body.head):
            raise TrustError(
                f"'{body.node}' made two statements about one entry of its ledger.",
                why="its ledger was set back, or two machines work with copies of it",
                do="ask its custodian; this node countersigned the first one only",
            )
        return [self._signed("anchor", envelope.study, body.node, Anchor(node=body.node, head=body.head))]

    def _check_maker(self, body: Anchor, keys: Mapping[str, VerifyKey]) -> None:
        maker, _ = read_head(body.head, keys)
        if maker != body.node:
            raise TrustError(f"An anchor of '{body.node}' holds a statement of '{maker}'.")

    def _signed(self, kind: str, study: str, recipient: str, body: Message) -> bytes:
        return Envelope.sign(kind, study, self._name, recipient, body.body(), self._key).to_bytes()
