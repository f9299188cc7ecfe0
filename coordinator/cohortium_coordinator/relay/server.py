"""The gRPC server in front of the mailbox: mutual TLS, and who may call what.

The relay needs no trust for content: it reads of an envelope only its sender and recipient. It admits callers
by their client certificate, lets a node fetch its own envelopes and submit envelopes in its own name, and
lets an operator operate. Nodes only call out, so an answer waits here until its reader comes.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from threading import Event
from typing import NoReturn

import grpc
from cryptography import x509

from cohortium_coordinator.relay.mailbox import Mailbox
from cohortium_protocols.errors import ChannelError, CohortiumError, StorageError
from cohortium_protocols.proto import relay_pb2 as wire
from cohortium_protocols.proto.relay_pb2_grpc import RelayServicer, add_RelayServicer_to_server
from cohortium_protocols.relay.wire import MESSAGE_LIMIT, WAIT_LIMIT, Refusal, addressee
from cohortium_protocols.tls import Credentials, Party, Role, party_of

Operate = Callable[[str, str, bytes], bytes]
"""What the operator's command line may ask for: verb, study and body in, a body out, or a CohortiumError."""

WORKERS = 256
"""Threads, one for each call under way: so many nodes can wait for an envelope at the same time."""

_OPTIONS = (
    ("grpc.so_reuseport", 0),     # a second relay on the same port must fail, not share it
    ("grpc.max_receive_message_length", MESSAGE_LIMIT),
    ("grpc.max_send_message_length", MESSAGE_LIMIT),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),     # more often than by default
)
_STATUS = {
    Refusal.CERTIFICATE: grpc.StatusCode.UNAUTHENTICATED,
    Refusal.ROLE: grpc.StatusCode.PERMISSION_DENIED,
    Refusal.SENDER: grpc.StatusCode.PERMISSION_DENIED,
    Refusal.ENVELOPE: grpc.StatusCode.INVALID_ARGUMENT,
    Refusal.SIZE: grpc.StatusCode.INVALID_ARGUMENT,
    Refusal.STORAGE: grpc.StatusCode.INTERNAL,
}
_LARGEST_SEQUENCE = 2**63 - 1
_FAULT = "The coordinator met a fault of its own."
_LOOK = "look at the coordinator's log, and report the fault with it"

_log = logging.getLogger(__name__)


class RelayServer:
    """A relay: serves one mailbox at one address until it is stopped."""

    def __init__(
        self,
        address: str,
        tls: Credentials,
        mailbox: Mailbox,
        operate: Operate,
        on_submit: Callable[[bytes], None] | None = None,
    ) -> None:
        """Prepares a relay; nothing listens before :meth:`start`.

        Args:
            address: host and port to listen at, such as ``0.0.0.0:7443``; port 0 takes a free one.
            tls: the server's credentials; client certificates must come from the same authority.
            mailbox: where envelopes are kept; the caller closes it after the relay has stopped.
            operate: answers the operator's command line.
            on_submit: told of each envelope once it is stored; must be quick, and must bear repeats.
        """
        self._address = address
        self._ending = Event()
        self._mailbox = mailbox
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="relay")
        self._server = grpc.server(self._pool, options=_OPTIONS)
        self._credentials = grpc.ssl_server_credentials(
            [(tls.key, tls.certificate)], root_certificates=tls.authority, require_client_auth=True
        )
        add_RelayServicer_to_server(_Relay(mailbox, operate, on_submit, self._ending), self._server)

    def start(self) -> int:
        """Starts to listen, and returns the port.

        Raises:
            ChannelError: the address is not this machine's, or its port is in use.
        """
        try:
            port = self._server.add_secure_port(self._address, self._credentials)
        except RuntimeError as error:
            raise _cannot_listen(self._address) from error
        self._server.start()
        _log.info("relay listens at %s, port %s", self._address, port)
        return port

    def stop(self, grace: float = 5.0) -> None:
        """Stops listening, answers who is waiting, and gives calls under way ``grace`` seconds to end."""
        self._ending.set()
        stopped = self._server.stop(grace)
        self._mailbox.wake()
        stopped.wait()
        self._pool.shutdown(wait=True)


class _Relay(RelayServicer):
    def __init__(
        self, mailbox: Mailbox, operate: Operate, on_submit: Callable[[bytes], None] | None, ending: Event
    ) -> None:
        self._mailbox = mailbox
        self._operate = operate
        self._on_submit = on_submit
        self._ending = ending

    def Fetch(self, request: wire.FetchRequest, context: grpc.ServicerContext) -> wire.FetchReply:  # noqa: N802
        node = _caller(context, "node")
        context.add_callback(self._mailbox.wake)
        after, wait = min(request.after, _LARGEST_SEQUENCE), min(max(request.wait_seconds, 0.0), WAIT_LIMIT)
        try:
            found = self._mailbox.fetch(node.name, after, wait, ended=lambda: self._has_ended(context))
        except StorageError as error:
            _refuse_storage(context, error)
        return wire.FetchReply(deliveries=[wire.Delivery(sequence=n, envelope=data) for n, data in found])

    def Submit(self, request: wire.SubmitRequest, context: grpc.ServicerContext) -> wire.SubmitReply:  # noqa: N802
        node = _caller(context, "node")
        recipient = addressee(request.envelope, node.name)
        if isinstance(recipient, Refusal):
            _log.warning("refused an envelope submitted by %s: %s", node.name, recipient)
            _refuse(context, recipient)
        try:
            sequence = self._mailbox.post(recipient, request.envelope)
        except StorageError as error:
            _refuse_storage(context, error)
        self._tell(request.envelope)
        return wire.SubmitReply(sequence=sequence)

    def Operate(self, request: wire.OperatorRequest, context: grpc.ServicerContext) -> wire.OperatorReply:  # noqa: N802
        _caller(context, "operator")
        try:
            return wire.OperatorReply(body=self._operate(request.verb, request.study, request.body))
        except CohortiumError as error:
            return wire.OperatorReply(code=error.code, what=error.what, why=error.why, remedy=error.do)
        except Exception:  # a fault of ours: its details belong in this log and not on the wire
            _log.exception("the verb %s failed", request.verb)
            return wire.OperatorReply(code=CohortiumError.code, what=_FAULT, remedy=_LOOK)

    def _tell(self, envelope: bytes) -> None:
        if self._on_submit is None:
            return
        try:
            self._on_submit(envelope)
        except Exception:  # the envelope is stored: its sender has done their part, whatever failed here
            _log.exception("an envelope is stored, and could not be handled yet")

    def _has_ended(self, context: grpc.ServicerContext) -> bool:
        return self._ending.is_set() or not context.is_active()


def _caller(context: grpc.ServicerContext, role: Role) -> Party:
    pem = context.auth_context().get("x509_pem_cert", [b""])[0]
    party = _party(pem)
    if party is None:
        _refuse(context, Refusal.CERTIFICATE)
    if party.role != role:
        _log.warning("refused a call by %s, whose role is %s", party.name, party.role)
        _refuse(context, Refusal.ROLE)
    return party


@lru_cache(maxsize=1024)
def _party(pem: bytes) -> Party | None:
    try:
        return party_of(x509.load_pem_x509_certificate(pem))
    except ValueError:
        return None


def _refuse(context: grpc.ServicerContext, reason: Refusal) -> NoReturn:
    context.abort(_STATUS[reason], reason.value)


def _refuse_storage(context: grpc.ServicerContext, error: StorageError) -> NoReturn:
    _log.error("%s", error)
    _refuse(context, Refusal.STORAGE)


def _cannot_listen(address: str) -> ChannelError:
    return ChannelError(
        f"The relay cannot listen at {address}.",
        why=_bind_fault(address),
        do="stop the program that uses the port (perhaps another coordinator), or configure another address",
    )


def _bind_fault(address: str) -> str:
    """Returns the operating system's reason: gRPC gives none."""
    host, _, port = address.rpartition(":")
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            host.strip("[]") or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as trial:
            trial.bind(place)
    except OSError as error:
        return error.strerror or str(error)
    return "the address was not accepted"
