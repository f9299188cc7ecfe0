"""The plan of a late group, written from the first study's, so that nobody copies the question by hand."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import date
from typing import Literal

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from cohortium_coordinator.study.late import check_completes
from cohortium_protocols.errors import PlanError
from cohortium_protocols.plan import Plan, plan_digest
from cohortium_protocols.plan_check import check_plan, load_plan
from cohortium_protocols.secure_rules import SMALLEST

Aggregation = Literal["local", "secure"]

_NEVER_WRAPPED = 10_000


def late_plan_text(
    text: str,
    study: str,
    nodes: Sequence[str],
    aggregation: Aggregation | None = None,
    deadline: date | None = None,
    source: str = "plan.yaml",
) -> str:
    """Returns a late plan: the text of the first one, comments kept, with a name and a roster of its own.

    None of its nodes may be lost: they were late once.

    Args:
        text: the first study's plan, as an operator writes it.
        study: the late study's name.
        nodes: the data holders that were late.
        aggregation: how they add up; when not given, as in the first study where they are enough, else ``local``.
        deadline: last day on which they answer; the first plan's when not given.
        source: name of the first plan, for messages.

    Raises:
        PlanError: one of the two plans has a fault.
    """
    first = load_plan(text, source)
    usual = first.privacy.aggregation if len(nodes) >= SMALLEST else "local"
    editor = _editor()
    written = editor.load(text)
    written["study"] = study
    written["completes"] = {"study": first.study, "plan": plan_digest(first)}
    _change(written["privacy"], aggregation=aggregation or usual, tolerate_lost_nodes=0)
    written["nodes"]["roster"][:] = nodes
    if deadline is not None:
        written["nodes"]["deadline"] = deadline
    stream = io.StringIO()
    editor.dump(written, stream)
    made = stream.getvalue()
    check_completes(first, _checked(made))
    return made


def _checked(made: str) -> Plan:
    """Returns the late plan; its places are not named, for nobody has seen it yet."""
    faults = [f"  {fault.sentences}" for fault in check_plan(made)]
    if faults:
        do = "change --study, --nodes, --aggregation or --deadline"
        raise PlanError("\n".join(["The late plan cannot be made:", *faults]), do=do)
    return load_plan(made)


def _editor() -> YAML:
    editor = YAML()
    editor.preserve_quotes, editor.width = True, _NEVER_WRAPPED
    editor.indent(mapping=2, sequence=4, offset=2)
    return editor


def _change(fields: CommentedMap, **values: object) -> None:
    """Puts in values; the comment on one that changes goes, for it is about the old one."""
    for name, value in values.items():
        if fields.get(name) != value:
            fields[name] = value
            fields.ca.items.pop(name, None)
