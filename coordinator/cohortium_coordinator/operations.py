"""What the operator's command line may ask of the running service, over the relay: verbs and bodies."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cohortium_protocols.canonical import canonical_bytes
from cohortium_protocols.errors import InputError, UsageFault

if TYPE_CHECKING:
    from cohortium_coordinator.service import StudyService

REPORT_KINDS = ("html", "json", "csv")


class Operations:
    """Answers the operator's calls.

    Args:
        service: the studies.
        changed: told after a call that may have given the service something to do.
    """

    def __init__(self, service: StudyService, changed: Callable[[], None]) -> None:
        self._service = service
        self._changed = changed
        self._verbs: dict[str, Callable[[str, bytes], bytes]] = {
            "submit": self._submit,
            "list": self._list,
            "status": self._status,
            "close": self._close,
            "report": self._report,
            "merge": self._merge,
        }

    def operate(self, verb: str, study: str, body: bytes) -> bytes:
        """Returns the reply to one call.

        Raises:
            CohortiumError: the call was not understood, or was refused.
        """
        if verb not in self._verbs:
            raise UsageFault(
                f"The service does not know the call '{verb}'.",
                do="compare the versions of Cohortium on both sides",
            )
        return self._verbs[verb](study, body)

    def _submit(self, _study: str, body: bytes) -> bytes:
        study = self._service.submit(_text(body))
        self._changed()
        return self._status(study, b"")

    def _list(self, _study: str, _body: bytes) -> bytes:
        return canonical_bytes([self._shown(study) for study in self._service.studies()])

    def _status(self, study: str, _body: bytes) -> bytes:
        return canonical_bytes(self._shown(study))

    def _close(self, study: str, body: bytes) -> bytes:
        self._service.close(study, _text(body))
        self._changed()
        return self._status(study, b"")

    def _report(self, study: str, body: bytes) -> bytes:
        kind = _text(body)
        if kind not in REPORT_KINDS:
            raise UsageFault(
                f"There is no report of the kind '{kind}'.", do=f"use one of {', '.join(REPORT_KINDS)}"
            )
        return self._service.report(study, kind)

    def _merge(self, study: str, body: bytes) -> bytes:
        """Answers with the result merged with those of the late studies, whose names are in the body, one a line."""
        return self._service.merged(study, _text(body).splitlines()).model_dump_json().encode()

    def _shown(self, study: str) -> dict[str, Any]:
        return self._service.status(study).to_json() | {"trouble": self._service.trouble(study)}


def _text(body: bytes) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError("The text that was sent is not UTF-8.", do="save the file as UTF-8") from error
