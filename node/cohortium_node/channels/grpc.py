"""The channel of a daemon: calls out to the coordinator's relay; nothing listens here."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from cohortium_protocols.proto import relay_pb2 as wire
from cohortium_protocols.relay.connection import RelayConnection
from cohortium_protocols.relay.wire import ENVELOPE_LIMIT, WAIT_LIMIT, Refusal, refused
from cohortium_protocols.tls import TlsFiles


class GrpcChannel:
    """A :class:`cohortium_protocols.channel.Channel` over gRPC with mutual TLS."""

    def __init__(
        self,
        address: str,
        ca: Path,
        certificate: Path,
        key: Path,
        *,
        timeout: float = 10.0,
        proxy: str | None = None,
    ) -> None:
        """Prepares the channel; it connects at the first call, and again by itself after a break.

        Args:
            address: the relay's ``host:port``.
            ca: the certificate of the lab's authority.
            certificate: this node's certificate; its subject is the node's name and the role "node".
            key: the key of that certificate.
            timeout: seconds for one call, beside the time it may wait for an envelope.
            proxy: ``host:port`` of an HTTP proxy that allows CONNECT, when the network needs one.

        Raises:
            UsageFault: an address is not ``host:port``.
            StorageError: a file is missing or not what it must be.
            TrustError: a certificate has expired, or is from another authority.
        """
        self._timeout = timeout
        self._relay = RelayConnection(address, TlsFiles(ca, certificate, key), proxy=proxy)

    def fetch(self, after: int, wait: float = 0.0) -> list[tuple[int, bytes]]:
        """Returns envelopes for this node, oldest first; when there are many, only the first 16 MiB of them.

        Raises:
            ChannelError: the relay could not be reached, or refused.
        """
        wait = min(wait, WAIT_LIMIT)
        request = wire.FetchRequest(after=after, wait_seconds=wait)
        reply = self._relay.call(self._relay.stub.Fetch, request, wait + self._timeout)
        return [(delivery.sequence, delivery.envelope) for delivery in reply.deliveries]

    def submit(self, envelope: bytes) -> None:
        """Hands an envelope to the relay; returns once it is on the relay's disk.

        Raises:
            ChannelError: the relay could not be reached, or refused.
        """
        if len(envelope) > ENVELOPE_LIMIT:
            raise refused(Refusal.SIZE)
        self._relay.call(self._relay.stub.Submit, wire.SubmitRequest(envelope=envelope), self._timeout)

    def close(self) -> None:
        """Ends the connection; a call under way ends with a ChannelError."""
        self._relay.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
