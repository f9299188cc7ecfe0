"""The running service: relay, studies, and the thread that moves them on."""

from __future__ import annotations

import logging
import threading
import traceback
from datetime import UTC, datetime

from cohortium_coordinator.config import Config
from cohortium_coordinator.operations import Operations
from cohortium_coordinator.relay.mailbox import Mailbox
from cohortium_coordinator.relay.server import RelayServer
from cohortium_coordinator.service import StudyService
from cohortium_coordinator.store import SqliteStore
from cohortium_protocols.errors import ChannelError, StorageError
from cohortium_protocols.signing import SigningKey
from cohortium_protocols.tls import load_credentials

LOOK_EVERY = 1.0
"""Seconds after which the studies are looked at though nothing arrived: time-outs end."""

_log = logging.getLogger(__name__)


class Server:
    """Serves one operator's studies until it is stopped.

    Raises:
        StorageError: keys, records or mailbox cannot be used.
        TrustError: a certificate has expired or does not fit.
    """

    def __init__(self, config: Config) -> None:
        credentials = load_credentials(config.server)
        key = SigningKey.load(config.signing_key)
        _make_folder(config)
        self._store = SqliteStore(config.studies.data_dir / "studies.sqlite")
        self._mailbox = Mailbox(config.studies.data_dir / "mailbox.sqlite")
        self._service = StudyService(config.studies, self._store, self._mailbox, key)
        self._wake, self._ending = threading.Event(), threading.Event()
        operations = Operations(self._service, self._wake.set)
        self._relay = RelayServer(
            config.listen, credentials, self._mailbox, operations.operate, self._arrived
        )
        self._engine = threading.Thread(target=self._run, name="studies", daemon=True)

    def start(self) -> int:
        """Starts to listen and to run studies, and returns the port.

        Raises:
            ChannelError: the port is in use, or the address is not this machine's.
        """
        try:
            port = self._relay.start()
        except ChannelError:
            self._close()
            raise
        self._engine.start()
        return port

    def stop(self) -> None:
        """Ends after the present step; everything goes on from there at the next start."""
        self._ending.set()
        self._wake.set()
        self._relay.stop(grace=1.0)
        self._engine.join()
        self._close()

    def _close(self) -> None:
        self._mailbox.close()
        self._store.close()

    def _arrived(self, _envelope: bytes) -> None:
        self._wake.set()

    def _run(self) -> None:
        last = ""
        while not self._ending.is_set():
            trouble = self._turn()
            if trouble and trouble != last:
                _log.error("the studies could not be moved on; trying again every second: %s", trouble)
            last = trouble
            self._wake.wait(LOOK_EVERY)
            self._wake.clear()

    def _turn(self) -> str:
        """Moves the studies on, and returns what went wrong; empty when nothing did."""
        try:
            self._service.advance(datetime.now(UTC))
        except StorageError as error:
            return str(error)
        except Exception:  # one study's fault must not end the service for the others; the next turn tries again
            return traceback.format_exc()
        return ""


def _make_folder(config: Config) -> None:
    try:
        config.studies.data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"The data folder {config.studies.data_dir} cannot be made.",
            why=error.strerror or "",
            do=f"correct `data_dir` in {config.path}, or the folder's permissions",
        ) from error
