"""Attacks on the ledger's memory: an old copy put back, or a second machine, so that budget is spent twice.

The attacker has the custodian's machine; the operator is an honest witness here.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from cohortium_node.service import NodeService
from cohortium_protocols.errors import LedgerError
from cohortium_protocols.schedules import schedule
from cohortium_simulations.attacks.finding import Finding
from cohortium_simulations.attacks.target import (
    NOW,
    OPERATOR,
    Tables,
    anchor_message,
    approved,
    caps,
    content,
    node,
    plan,
    reply,
    round_message,
)
from cohortium_simulations.neighbours import WORST, parameters, people

_SOURCE = Tables({"any": people(WORST, helped=True)})
_STUDY = plan()
_LEDGER = ("ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm")


def ledger_rollback(trials: int) -> Finding:
    """Asks for one round, sets the node back to before it, and asks for the round with other numbers."""
    with TemporaryDirectory() as name:
        old, new, head = _two_copies(Path(name))
        whole, second = (shutil.copytree(old, Path(name) / copy) for copy in ("whole", "second"))
        got = {
            "the whole folder": _fresh_answers(whole, trials, OPERATOR, head),
            "the ledger alone": _fresh_answers(_ledger_alone(Path(name), old, new), trials, OPERATOR, head),
            "a second machine kept from its witness": _fresh_answers(second, trials, OPERATOR, None),
        }
        unwitnessed = _fresh_answers(old, trials, "", None)
    how = (
        f"a copy from before a round was put back ({', '.join(got)}) and the round asked for with {trials} other "
        f"parameters: {sum(got.values())} answers; without any witness it would have been {unwitnessed}"
    )
    return Finding("ledger rollback", float(any(got.values())), 0.0, how)


def _two_copies(folder: Path) -> tuple[Path, Path, str]:
    """Returns a node's files from before and after it answered, and what the operator holds of its ledger."""
    old, new = folder / "old", folder / "new"
    new.mkdir()
    with node(_SOURCE, caps(), new, witness=OPERATOR) as service:
        _recall(service, "")
        approved(service, _STUDY)
    shutil.copytree(new, old)
    with node(_SOURCE, caps(), new, witness=OPERATOR) as service:
        _recall(service, "")
        head = reply(service, round_message(_STUDY, "model_1"))["head"]
    return old, new, head


def _recall(service: NodeService, head: str) -> None:
    nonces = [content([question])["nonce"] for question in service.recalls()]
    for nonce in nonces:
        service.recollect(anchor_message(head, nonce))


def _ledger_alone(folder: Path, old: Path, new: Path) -> Path:
    """Returns the newest files but for an old ledger."""
    mixed = shutil.copytree(new, folder / "mixed")
    for name in _LEDGER:
        (mixed / name).unlink(missing_ok=True)
        if (old / name).exists():
            shutil.copy(old / name, mixed / name)
    return mixed


def _fresh_answers(folder: Path, trials: int, witness: str, head: str | None) -> int:
    """Returns how often a node that was set back gives numbers; it hears what its witness holds unless that is None."""
    asked = parameters(schedule(_STUDY).round("model_1"))
    others = [asked | {"log_scale": 50.0 - number / trials} for number in range(trials)]
    with node(_SOURCE, caps(), folder, witness=witness) as service:
        try:
            if head is not None:
                _recall(service, head)
        except LedgerError:
            pass  # the daemon stops here; the attacker goes on asking
        return sum(_answers(service, round_message(_STUDY, "model_1", parameters=each)) for each in others)


def _answers(service: NodeService, message: bytes) -> bool:
    try:
        return bool(content(service.handle(message, NOW)).get("vectors"))
    except LedgerError:
        return False
