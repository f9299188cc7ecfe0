"""Why a relay cannot be used: one connection by plain TLS, which tells a person more than gRPC does.

gRPC reports one status, "unavailable", for a relay that is down, a name that does not exist, a certificate of
another lab and a certificate that was refused. Each needs something else done about it.
"""

from __future__ import annotations

import http.client
import ssl
from dataclasses import dataclass
from pathlib import Path

from cohortium_protocols.errors import ChannelError
from cohortium_protocols.tls import TlsFiles

_SECONDS = 5.0      # for each step of the trial connection
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])     # of HTTP/2
_VERIFY_EXPIRED = {9, 10}           # OpenSSL: not yet valid, expired
_VERIFY_OTHER_HOST = {62, 64}       # OpenSSL: another host name, another IP address


@dataclass(frozen=True)
class Route:
    """How to reach a relay: its host and port, and those of an HTTP proxy when the network needs one."""

    host: str
    port: int
    proxy: tuple[str, int] | None = None

    @property
    def relay(self) -> str:
        """The relay's address as people write it."""
        return f"{self.host}:{self.port}"


def diagnose(route: Route, files: TlsFiles) -> ChannelError:
    """Returns why the relay cannot be used, found by connecting to it once."""
    connection = _connection(route, _context(files))
    try:
        connection.connect()
        greeted = _greeted(connection)
    except ssl.SSLCertVerificationError as error:
        return _server_not_trusted(route, files.authority, error)
    except ssl.SSLError as error:
        alert = "ALERT" in (error.reason or "")
        return _certificate_refused(files) if alert else _not_a_relay(route, error)
    except (OSError, http.client.HTTPException) as error:
        return _not_reachable(route, error)
    finally:
        connection.close()
    return _interrupted(route) if greeted else _certificate_refused(files)


def _context(files: TlsFiles) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=files.authority)
    context.load_cert_chain(files.certificate, files.key)
    context.set_alpn_protocols(["h2"])
    return context


def _connection(route: Route, context: ssl.SSLContext) -> http.client.HTTPSConnection:
    host, port = route.proxy or (route.host, route.port)
    connection = http.client.HTTPSConnection(host, port, context=context, timeout=_SECONDS)
    if route.proxy:
        connection.set_tunnel(route.host, route.port)
    return connection


def _greeted(connection: http.client.HTTPSConnection) -> bool:
    """Returns whether the relay speaks; it hangs up at once, without a word, on a certificate it refuses."""
    try:
        connection.sock.sendall(_GREETING)
        return bool(connection.sock.recv(1))
    except (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError):
        return False


def _server_not_trusted(route: Route, authority: Path, error: ssl.SSLCertVerificationError) -> ChannelError:
    if error.verify_code in _VERIFY_EXPIRED:
        return ChannelError(
            f"The certificate of the relay at {route.relay} has expired.",
            why=error.verify_message,
            do="ask the operator to renew the server's certificate; check this machine's clock too",
        )
    if error.verify_code in _VERIFY_OTHER_HOST:
        return ChannelError(
            f"The certificate of the relay at {route.relay} is for another host.",
            why=error.verify_message,
            do="use an address that it names, or ask the operator for one that names this address",
        )
    return ChannelError(
        f"The relay at {route.relay} is not the one expected.",
        why=f"its certificate was not issued by the authority in {authority} ({error.verify_message})",
        do="compare that file with the operator's; if they are the same, a device on the way opens TLS "
        "connections: ask your network team to exempt this address",
    )


def _certificate_refused(files: TlsFiles) -> ChannelError:
    return ChannelError(
        "The relay refused this party's certificate.",
        why=f"{files.certificate} was not issued to a party by the relay's authority, or has expired",
        do="ask the operator for a certificate from your certificate request",
    )


def _not_a_relay(route: Route, error: ssl.SSLError) -> ChannelError:
    return ChannelError(
        f"What answers at {route.relay} does not speak TLS as a relay does.",
        why=error.reason or str(error),
        do="check the address and port in the configuration",
    )


def _not_reachable(route: Route, error: OSError | http.client.HTTPException) -> ChannelError:
    through = f" through the proxy {route.proxy[0]}:{route.proxy[1]}" if route.proxy else ""
    return ChannelError(
        f"The relay at {route.relay} cannot be reached{through}.",
        why=getattr(error, "strerror", None) or str(error),
        do="check the address, that the coordinator runs, and that this machine may call out to it",
    )


def _interrupted(route: Route) -> ChannelError:
    return ChannelError(
        f"The connection to the relay at {route.relay} broke.",
        why="the relay answers again now, so it was probably started again",
        do="try again; nothing is lost",
    )
