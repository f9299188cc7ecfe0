"""Every error Cohortium raises on purpose, in one tree.

    CohortiumError
    ├── UsageFault            2  the command line was not understood
    ├── InputError            3  a file of data is not as it must be
    ├── PlanError             4  a plan is not valid
    ├── TrustError            5  something is not from whom it must be
    │   ├── SignatureError       a signature or certificate does not fit
    │   ├── ExpiredError         a plan is past its deadline
    │   └── ReplayError          a message was seen before with other content
    ├── RefusedError          6  understood, and refused
    │   ├── PolicyRefusal        the custodian's policy says no
    │   ├── BudgetRefusal        the privacy budget does not cover it
    │   ├── NotSupported         this version cannot do it
    │   ├── DataChanged          the study's data are not those approved
    │   └── SecureSumRefused     a step of a secure sum breaks the rules that keep it private
    ├── ChannelError          7  the other side could not be reached
    │   └── SecureSumFailed      a secure sum ended without its result
    │       ├── TooFewNodes         fewer nodes took a step than its rules need
    │       └── SumNotRecovered     a mask could not be taken off
    └── StorageError          8  this side's own state cannot be used
        └── LedgerError          the privacy ledger is broken or behind

Each says what happened, why, and what to do. The wire carries only ``code``. An interrupted command exits with 130,
a bug (any other exception) with 1.
"""

from __future__ import annotations

from typing import ClassVar


class CohortiumError(Exception):
    """The root: what happened, why, and what to do about it."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, why: str = "", do: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.do = do

    def __str__(self) -> str:
        return "\n".join(
            part
            for part in (self.what, self.why and f"  why: {self.why}", self.do and f"  what to do: {self.do}")
            if part
        )


class UsageFault(CohortiumError):
    """The command line was not understood."""

    code = "usage"
    exit_code = 2


class InputError(CohortiumError):
    """A file of data is not as it must be; the message names file, row and column."""

    code = "bad_input"
    exit_code = 3


class PlanError(CohortiumError):
    """A plan is not valid; the message names every fault and its place."""

    code = "bad_plan"
    exit_code = 4


class TrustError(CohortiumError):
    """Something is not from whom, or not from when, it must be."""

    code = "not_trusted"
    exit_code = 5


class SignatureError(TrustError):
    """A signature or certificate does not fit the pinned keys."""

    code = "bad_signature"


class ExpiredError(TrustError):
    """A plan is past its deadline."""

    code = "expired"


class ReplayError(TrustError):
    """A message was seen before with other content."""

    code = "replayed"


class RefusedError(CohortiumError):
    """The request was understood and is refused."""

    code = "refused"
    exit_code = 6


class PolicyRefusal(RefusedError):
    """The custodian's policy does not allow it."""

    code = "refused_by_policy"


class BudgetRefusal(RefusedError):
    """The privacy budget that is left does not cover it."""

    code = "over_budget"


class NotSupported(RefusedError):
    """This version cannot do it."""

    code = "not_supported"


class DataChanged(RefusedError):
    """The study's data at this node are no longer those it was approved with."""

    code = "data_changed"


class SecureSumRefused(RefusedError):
    """A step of a secure sum breaks the rules that keep it private; nothing was revealed."""

    code = "secure_sum_refused"


class ChannelError(CohortiumError):
    """The other side could not be reached, or did not speak the protocol."""

    code = "channel"
    exit_code = 7


class SecureSumFailed(ChannelError):
    """A secure sum ended without its result.

    Attributes:
        stage: the step that could not be finished.
        charged: nodes that may have charged the attempt to their privacy budget.
    """

    code = "secure_sum_failed"

    def __init__(self, what: str, *, stage: str, charged: tuple[str, ...] = (), why: str = "", do: str = "") -> None:
        super().__init__(what, why=why, do=do)
        self.stage = stage
        self.charged = charged


class TooFewNodes(SecureSumFailed):
    """Fewer nodes took a step of a secure sum than its rules need."""

    code = "too_few_nodes"


class SumNotRecovered(SecureSumFailed):
    """A mask could not be taken off a secure sum: what nodes revealed does not fit what they announced."""

    code = "sum_not_recovered"


class StorageError(CohortiumError):
    """This side's own files or databases cannot be used."""

    code = "storage"
    exit_code = 8


class LedgerError(StorageError):
    """The privacy ledger is broken, behind its anchor, or not durable."""

    code = "ledger"


def _tree(error: type[CohortiumError]) -> list[type[CohortiumError]]:
    return [error, *(below for child in error.__subclasses__() for below in _tree(child))]


BY_CODE: dict[str, type[CohortiumError]] = {error.code: error for error in _tree(CohortiumError)}
"""The closed vocabulary of the wire: every code, with its error."""
