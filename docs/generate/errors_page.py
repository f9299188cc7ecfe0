"""The error tree with its exit codes."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from markup import code, fenced, page, table

from cohortium_protocols import errors
from cohortium_protocols.errors import CohortiumError

_HEAD = """\
# Errors

Every error says what happened, why, and what to do:

```
The cohort file for 'befriending-2024' is not there yet.
  why: the study can only start when the provider's file is in place
  what to do: put it at north/cohorts/befriending-2024.csv; the daemon looks again by itself
```

A command that fails ends with the exit code of its error. Between a node and the operator only the short code travels:
never the message, because it could tell something about the records."""


def text() -> str:
    """Returns the page."""
    return page(
        _HEAD,
        "An interrupted command ends with 130. Exit code 1 is a fault in Cohortium itself: please report it.",
        "## The tree",
        fenced(_tree()),
        "## Codes",
        table(("error", "code", "exit code", "meaning"), _rows(CohortiumError)),
    )


def _tree() -> str:
    lines = (inspect.getdoc(errors) or "").splitlines()
    first = lines.index("    CohortiumError")
    end = next(place for place in range(first, len(lines)) if not lines[place])
    return "\n".join(line.removeprefix("    ") for line in lines[first:end])


def _rows(error: type[CohortiumError]) -> Iterator[tuple[str, ...]]:
    for child in error.__subclasses__():
        meaning = " ".join((inspect.getdoc(child) or "").split())
        yield child.__name__, code(child.code), str(child.exit_code), meaning
        yield from _rows(child)
