"""Reads a plan file and explains every fault in it: its place, what is wrong, why, and what to do.

    plan.yaml:7:12: `follow_up` is 2000, but must be at most 1,826. Length of time over which outcomes are
    measured, 1 to 1,826 days. Write a value at most 1,826.

Faults come from two layers, reported together: the text (`plan_yaml`), and the models and their rules (`plan`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from cohortium_protocols.errors import PlanError
from cohortium_protocols.plan import Plan
from cohortium_protocols.plan_fault import RULE, Fault, Path, path_text, suggestion
from cohortium_protocols.plan_types import SLUG
from cohortium_protocols.plan_yaml import Document, read_yaml

__all__ = ["Fault", "check_plan", "load_plan"]


def load_plan(text: str, source: str = "plan.yaml") -> Plan:
    """Returns the plan that a YAML text describes.

    Args:
        text: the whole file.
        source: its name, for messages.

    Raises:
        PlanError: the plan is at fault; the message lists every fault with its place.
    """
    plan, faults = _examined(text, source)
    if plan is None or faults:
        raise _refusal(faults, source)
    return plan


def check_plan(text: str, source: str = "plan.yaml") -> list[Fault]:
    """Returns every fault of a plan file, in the order of the file; none when it can be used."""
    return _examined(text, source)[1]


def _examined(text: str, source: str) -> tuple[Plan | None, list[Fault]]:
    document = read_yaml(text, source)
    faults = list(document.faults)
    if not isinstance(document.data, dict):
        return None, faults or [_not_a_plan(document)]
    plan: Plan | None = None
    try:
        plan = Plan.model_validate(document.data)
    except ValidationError as error:
        faults += [_explained(each, document) for each in error.errors(include_url=False)]
    return plan, sorted(faults, key=lambda fault: (fault.line, fault.column))


def _not_a_plan(document: Document) -> Fault:
    what, why = "The file is not a list of fields.", "A plan is written as `name: value` lines."
    return Fault(
        *document.place(()), "", what, why, "Start from the example in `examples/`.", document.source
    )


def _refusal(faults: list[Fault], source: str) -> PlanError:
    lines = [f"  {fault}" for fault in faults]
    how_many = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    do = f"correct the plan, then run `cohortium plan check {source}`"
    return PlanError("\n".join([f"The plan {source} has {how_many}:", *lines]), do=do)


def _explained(error: ErrorDetails, document: Document) -> Fault:
    path = error["loc"]
    place = document.place(path)
    if error["type"] == "extra_forbidden":
        place = document.keys.get(path, place)
    if error["type"] == RULE:
        context = error["ctx"]
        what, why, do = (context[key] for key in ("what", "why", "do"))
    else:
        what, do = _EXPLANATIONS.get(error["type"], _other)(error, path)
        why = _description(path)
    return Fault(*place, path_text(path), what, why, do, source=document.source)


def _missing(error: ErrorDetails, path: Path) -> tuple[str, str]:
    name = path[-1] if isinstance(path[-1], str) else path_text(path)
    return f"`{name}` is missing.", f"Add it{_example(path)}."


def _unknown(error: ErrorDetails, path: Path) -> tuple[str, str]:
    where = f"in `{path_text(path[:-1])}`" if path[:-1] else "in a plan"
    return f"There is no field `{path[-1]}` {where}.", suggestion(str(path[-1]), _field_names(path[:-1]))


def _not_listed(error: ErrorDetails, path: Path) -> tuple[str, str]:
    expected = error["ctx"]["expected"]
    near = get_close_matches(str(error["input"]), re.findall(r"\w+", expected), n=1)
    what = f"{_shown(error, path)}, but must be {expected}."
    return what, f"Did you mean `{near[0]}`?" if near else f"Write {expected}."


def _wrong_type(wanted: str, do: str) -> Callable[[ErrorDetails, Path], tuple[str, str]]:
    def explain(error: ErrorDetails, path: Path) -> tuple[str, str]:
        return f"{_shown(error, path)}, but must be {wanted}.", f"{do}{_example(path)}."

    return explain


def _out_of_range(words: str, key: str) -> Callable[[ErrorDetails, Path], tuple[str, str]]:
    def explain(error: ErrorDetails, path: Path) -> tuple[str, str]:
        bound = _limit(error["ctx"][key])
        return f"{_shown(error, path)}, but must be {words} {bound}.", f"Write a value {words} {bound}."

    return explain


def _limit(value: object) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _pattern(error: ErrorDetails, path: Path) -> tuple[str, str]:
    return (_SLUG if error["ctx"]["pattern"] == SLUG else _LINE)(error, path)


def _other(error: ErrorDetails, path: Path) -> tuple[str, str]:
    return f"{_shown(error, path)}: {error['msg']}.", f"Correct it{_example(path)}."


_LIST = _wrong_type("a list", "Write it in brackets")
_FIELDS = _wrong_type("made of fields", "Write `{name: value, ...}`")
_TEXT = _wrong_type("text", "Put it in quotes")
_SLUG = _wrong_type("small letters, digits and hyphens", "Change it")
_LINE = _wrong_type("one line of printable text", "Remove line breaks and control characters")
_NUMBER = _wrong_type("a number", "Write a number without quotes")

_EXPLANATIONS: dict[str, Callable[[ErrorDetails, Path], tuple[str, str]]] = {
    "missing": _missing,
    "extra_forbidden": _unknown,
    "literal_error": _not_listed,
    "tuple_type": _LIST,
    "model_type": _FIELDS,
    "string_type": _TEXT,
    "string_pattern_mismatch": _pattern,
    "float_type": _NUMBER,
    "finite_number": _NUMBER,
    "int_type": _wrong_type("a whole number", "Write a whole number without quotes"),
    "bool_type": _wrong_type("true or false", "Write true or false"),
    "date_from_datetime_parsing": _wrong_type("a date of the calendar", "Correct it"),
    "greater_than": _out_of_range("greater than", "gt"),
    "greater_than_equal": _out_of_range("at least", "ge"),
    "less_than": _out_of_range("less than", "lt"),
    "less_than_equal": _out_of_range("at most", "le"),
    "too_short": _out_of_range("of length at least", "min_length"),
    "too_long": _out_of_range("of length at most", "max_length"),
    "string_too_short": _out_of_range("of length at least", "min_length"),
    "string_too_long": _out_of_range("of length at most", "max_length"),
}
"""Error type of pydantic -> what is wrong and what to do. The rest of the types is worded by `_other`."""


def _shown(error: ErrorDetails, path: Path) -> str:
    value = error["input"]
    text = "empty" if value is None else repr(value).lower() if isinstance(value, bool) else repr(value)
    return f"`{path_text(path)}` is {text if len(text) <= 60 else text[:57] + '...'}"


def _example(path: Path) -> str:
    info = _field(path)
    if info is None or not info.examples or isinstance(path[-1], int):
        return ""
    return f", for example `{path[-1]}: {_inline(info.examples[0])}`"


def _inline(value: object) -> str:
    """Returns a value as YAML on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_inline(part)}" for name, part in value.items()) + "}"
    return f"[{', '.join(map(_inline, value))}]" if isinstance(value, list) else str(value)


def _description(path: Path) -> str:
    info = _field(path)
    return (info.description or "") if info else ""


def _field_names(path: Path) -> list[str]:
    """Returns the names that can be written below a path."""
    model = _model(path)
    return [_alias(name, info) for name, info in model.model_fields.items()] if model else []


def _alias(name: str, info: FieldInfo) -> str:
    return info.serialization_alias or name


def _field(path: Path) -> FieldInfo | None:
    """Returns the definition of the field at a path; of an entry of a list, that of the list."""
    names = [step for step in path if isinstance(step, str)]
    model = _model(tuple(names[:-1])) if names else None
    if model is None:
        return None
    return next((info for name, info in model.model_fields.items() if _alias(name, info) == names[-1]), None)


def _model(path: Path) -> type[BaseModel] | None:
    """Returns the model at a path of the plan."""
    model: type[BaseModel] | None = Plan
    for step in path:
        if isinstance(step, str) and model is not None:
            info = next((i for name, i in model.model_fields.items() if _alias(name, i) == step), None)
            model = _model_in(info.annotation) if info else None
    return model


def _model_in(annotation: object) -> type[BaseModel] | None:
    """Returns the model inside an annotation such as `tuple[Outcome, ...]` or `Intake | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (tuple, Annotated, Union, UnionType):
        return next(filter(None, map(_model_in, get_args(annotation))), None)
    return None
