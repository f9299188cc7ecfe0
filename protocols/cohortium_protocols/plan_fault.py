"""One fault of a plan: where it is, what is wrong, why it matters and what to do about it.

The models of a plan raise `broken(...)`; pydantic carries it, with its place in the plan, to `plan_check`,
which turns it into a `Fault` with a line and a column.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TypeAlias

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

Path: TypeAlias = tuple[str | int, ...]

RULE = "cohortium_rule"
"""The pydantic error type of every fault raised by `broken`."""


@dataclass(frozen=True)
class Fault:
    """One thing wrong in a plan.

    Attributes:
        line: line in the file, from 1; 0 where the plan did not come from a file.
        column: column in the file, from 1; 0 where the plan did not come from a file.
        path: the field, for example `outcomes[0].clip`; empty for the plan as a whole.
        what: what is wrong, one sentence.
        why: why this is a fault, one or two sentences.
        do: what the operator can do about it.
        source: name of the file.
    """

    line: int
    column: int
    path: str
    what: str
    why: str
    do: str
    source: str = "plan.yaml"

    def __str__(self) -> str:
        return _printable(f"{self.source}:{self.line}:{self.column}: {self.sentences}")

    @property
    def sentences(self) -> str:
        """What, why and what to do, without the place."""
        return _printable(" ".join(filter(None, (self.what, self.why, self.do))))


def _printable(text: str) -> str:
    return "".join(sign if sign.isprintable() else "?" for sign in text)


def broken(what: str, why: str, do: str) -> PydanticCustomError:
    """Returns the error by which a model refuses a value, with its three sentences."""
    return PydanticCustomError(RULE, "{what}", {"what": what, "why": why, "do": do})


def broken_at(found: Iterable[tuple[Path, PydanticCustomError]]) -> ValidationError:
    """Returns one error that carries several faults, each at its place below the value being validated."""
    lines = [InitErrorDetails(type=error, loc=path, input=None) for path, error in found]
    return ValidationError.from_exception_data("plan", lines)


def path_text(path: Path) -> str:
    """Returns a path as people write it.

    >>> path_text(("outcomes", 0, "clip"))
    'outcomes[0].clip'
    """
    parts = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in path]
    return "".join(parts).lstrip(".")


def suggestion(name: str, known: Iterable[str]) -> str:
    """Returns a sentence that names the nearest known name, or all of them when none is near."""
    names = list(known)
    near = get_close_matches(name, names, n=1)
    return f"Did you mean `{near[0]}`?" if near else f"Known names: {', '.join(names)}."


def altered(written: Mapping[str, object], fixed: Mapping[str, object]) -> list[str]:
    """Returns the names of fixed fields that were written with another value."""
    return [name for name, value in fixed.items() if name in written and _plain(written[name]) != value]


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
