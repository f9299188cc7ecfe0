"""The operator's command line: calls the running coordinator through the same relay that nodes use."""

from __future__ import annotations

from typing import Self

from cohortium_protocols.errors import BY_CODE, CohortiumError
from cohortium_protocols.proto import relay_pb2 as wire
from cohortium_protocols.relay.connection import RelayConnection
from cohortium_protocols.tls import TlsFiles


class OperatorClient:
    """Asks a coordinator to do something for its operator."""

    def __init__(
        self, address: str, files: TlsFiles, *, timeout: float = 30.0, proxy: str | None = None
    ) -> None:
        """Prepares the connection; it is made at the first call.

        Args:
            address: the coordinator's ``host:port``.
            files: the lab's authority, and the operator's certificate and key (role "operator").
            timeout: seconds for one call.
            proxy: ``host:port`` of an HTTP proxy that allows CONNECT, when the network needs one.

        Raises:
            UsageFault: an address is not ``host:port``.
            StorageError: a file is missing or not what it must be.
            TrustError: a certificate has expired, or is from another authority.
        """
        self._timeout = timeout
        self._relay = RelayConnection(address, files, proxy=proxy)

    def operate(self, verb: str, study: str = "", body: bytes = b"") -> bytes:
        """Returns the coordinator's reply to a verb about a study.

        Raises:
            ChannelError: the coordinator could not be reached, or refused this certificate.
            CohortiumError: the coordinator could not do it: the same class that it raised there.
        """
        request = wire.OperatorRequest(verb=verb, study=study, body=body)
        reply = self._relay.call(self._relay.stub.Operate, request, self._timeout)
        if reply.code:
            raise BY_CODE.get(reply.code, CohortiumError)(reply.what, why=reply.why, do=reply.remedy)
        return bytes(reply.body)

    def close(self) -> None:
        """Ends the connection."""
        self._relay.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
