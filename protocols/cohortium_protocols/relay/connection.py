"""One party's gRPC connection to a relay, shared by the node's channel and the operator's command line."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Self, TypeVar

import grpc

from cohortium_protocols.errors import ChannelError, UsageFault
from cohortium_protocols.proto.relay_pb2_grpc import RelayStub
from cohortium_protocols.relay.diagnosis import Route, diagnose
from cohortium_protocols.relay.wire import MESSAGE_LIMIT, Refusal, refused
from cohortium_protocols.tls import Credentials, TlsFiles, load_credentials

R = TypeVar("R")

_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.max_receive_message_length", MESSAGE_LIMIT),
    ("grpc.max_send_message_length", MESSAGE_LIMIT),
    ("grpc.keepalive_time_ms", 30_000),          # notice within 40 s that the other side has vanished
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),    # a long poll carries no data; ping all the same
    ("grpc.initial_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    ("grpc.use_local_subchannel_pool", 1),       # connections of two parties in one process are never shared
)


class RelayConnection:
    """Calls a relay over mutual TLS; connects at the first call, and again by itself after a break."""

    def __init__(self, address: str, files: TlsFiles, *, proxy: str | None = None) -> None:
        """Prepares a connection.

        Args:
            address: the relay's ``host:port``, as its certificate names the host.
            files: the lab's authority, and this party's certificate and key.
            proxy: ``host:port`` of an HTTP proxy that allows CONNECT, when the network needs one; gRPC
                passes it by for hosts that the environment variable ``no_proxy`` names.

        Raises:
            UsageFault: an address is not ``host:port``.
            StorageError: a file is missing or not what it must be.
            TrustError: a certificate has expired, or is from another authority.
        """
        self._route = Route(*_split(address), proxy=_split(proxy) if proxy else None)
        self._files = files
        self.credentials: Credentials = load_credentials(files)
        secrets = grpc.ssl_channel_credentials(
            self.credentials.authority, self.credentials.key, self.credentials.certificate
        )
        self._channel = grpc.secure_channel(address, secrets, options=(*_OPTIONS, _through(proxy)))
        self.stub = RelayStub(self._channel)

    def call(self, method: Callable[..., R], request: object, timeout: float) -> R:
        """Returns a method's reply.

        Args:
            method: one of :attr:`stub`.
            request: its message.
            timeout: seconds to wait for the reply.

        Raises:
            ChannelError: the relay could not be reached, or refused; says why and what to do.
        """
        if datetime.now(UTC) > self.credentials.expires:
            raise _expired(self._files, self.credentials.expires)
        try:
            return method(request, timeout=timeout)
        except grpc.RpcError as error:
            raise self._explained(error, timeout) from error
        except ValueError as error:  # gRPC's word for a channel that was closed
            raise _ended(self._route) from error

    def close(self) -> None:
        """Ends the connection; a call under way ends with a ChannelError."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _explained(self, error: grpc.RpcError, timeout: float) -> ChannelError:
        code, details = error.code(), error.details()
        if details in set(Refusal):
            return refused(Refusal(details))
        if code is grpc.StatusCode.UNAVAILABLE:
            return diagnose(self._route, self._files)
        if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
            return refused(Refusal.SIZE)
        return _unexplained(self._route, code, timeout)


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise UsageFault(f"'{address}' is not an address.", do="write host:port, such as lab.example:7443")
    return host.strip("[]"), int(port)


def _through(proxy: str | None) -> tuple[str, Any]:
    """Returns the option for the configured proxy; one named only in the environment is not used."""
    return ("grpc.http_proxy", f"http://{proxy}") if proxy else ("grpc.enable_http_proxy", 0)


def _expired(files: TlsFiles, expires: datetime) -> ChannelError:
    return ChannelError(
        f"The certificate {files.certificate} has expired.",
        why=f"it was valid until {expires:%Y-%m-%d %H:%M} UTC",
        do="ask the operator for a new certificate, put it in place and start again",
    )


def _ended(route: Route) -> ChannelError:
    return ChannelError(f"The connection to the relay at {route.relay} was closed on this side.")


def _unexplained(route: Route, code: grpc.StatusCode, timeout: float) -> ChannelError:
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return ChannelError(
            f"The relay at {route.relay} did not answer within {timeout:g} seconds.",
            do="try again; if it stays so, ask the operator whether the coordinator is well",
        )
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return ChannelError(
            f"The relay at {route.relay} does not know this call.",
            do="compare the versions of Cohortium on both sides",
        )
    if code is grpc.StatusCode.CANCELLED:
        return _ended(route)
    return ChannelError(
        f"The relay at {route.relay} could not handle the call.",
        why=f"gRPC status {code.name}",
        do="try again; if it stays so, ask the operator to look at the coordinator's log",
    )
