"""The fields of a plan, from its JSON Schema, and the names of the registries."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from markup import code, page, table

from cohortium_protocols.covariates import COVARIATES, CovariateDefinition
from cohortium_protocols.outcomes import FOLLOW_UP_YEARS, OUTCOMES
from cohortium_protocols.plan import plan_schema
from cohortium_protocols.ratios import RATIOS

_HEAD = """\
# The plan

A plan is a YAML file that says everything about a study. [The example](../../examples/befriending-2024.yaml) explains
each part; this page lists every field. Fields that are not listed are refused.

```
cohortium plan check plan.yaml     # every fault, with its line and column
cohortium plan show plan.yaml      # what would leave each node, in exact numbers
cohortium plan schema              # the JSON Schema behind this page, for editors
```

From 3 nodes up, `aggregation` is `secure` unless the plan says `local`. A secure sum needs more nodes than twice
`tolerate_lost_nodes` plus `assume_colluding_nodes`; `plan check` says what to change.

`data: canonical` needs an `intake` and a `follow_up`; `data: table` has neither."""
_LIMITS = {
    "minimum": "from {}", "exclusiveMinimum": "above {}", "maximum": "up to {}", "exclusiveMaximum": "below {}",
    "maxLength": "up to {} characters", "maxItems": "up to {} entries",
}  # fmt: skip
_KINDS = {"string": "text", "integer": "whole number", "boolean": "`true` or `false`", "null": ""}
_HUGE = 1e15


def text() -> str:
    """Returns the page."""
    schema = plan_schema()
    sections = [part for part in schema["properties"] if _part(schema["properties"][part])]
    entries = ["Covariate", "Outcome", "Ratio"]
    return page(
        _HEAD,
        "## Fields",
        _fields(schema),
        *(part for name in sections for part in _section(name, schema)),
        *(part for name in entries for part in _entry(name, schema)),
        *_registries(),
    )


def _section(name: str, schema: dict[str, Any]) -> Iterator[str]:
    part = schema["$defs"][_part(schema["properties"][name])]
    yield f"## {name}"
    yield part["description"]
    yield _fields(part)
    if name == "analysis":
        for entries, entry in (("sensitivity", "Sensitivity"), ("subgroups", "Subgroup")):
            yield f"Each entry of `{entries}`:"
            yield _fields(schema["$defs"][entry])


def _entry(name: str, schema: dict[str, Any]) -> Iterator[str]:
    yield f"## An entry of {name.lower()}s"
    yield f"Either a name of the registry below, such as `{_example(name)}`, or a mapping:"
    yield _fields(schema["$defs"][name])


def _example(name: str) -> str:
    return {"Covariate": "age", "Ratio": "mean_length_of_stay"}.get(name, "ae_attendances")


def _registries() -> Iterator[str]:
    yield "## Covariates by name"
    yield "With `data: canonical`. All are measured before the index date; `prior.` means in the 365 days before it."
    yield table(("name", "title", "kind", "bounds or levels", "used as"), (
        (code(each.name), each.title, each.kind, ", ".join(each.levels) or _bounds(each),
         "log(1 + value)" if each.transform == "log" else "")
        for each in COVARIATES.values()
    ))  # fmt: skip
    yield "A plan can change titles, bounds, `centre` and `scale`; what is measured cannot be changed."
    yield "## Outcomes by name"
    yield (
        "With `data: canonical`. Measured in the follow-up; `.change` is that less use in the 365 days before the "
        "start, for as long a time; `earlier.` means in the 365 days before those. A plan must adjust for the same use "
        "before the start. It can change `title`, `clip`, `primary`, `weight` and `expected`; what is measured cannot "
        "be changed."
    )
    yield table(("name", "title", "unit", "better", "usual `clip`", "needs the covariate"), (
        (code(each.name), each.title, each.unit, each.better,
         "the follow-up" if each.name == FOLLOW_UP_YEARS else f"{each.clip:g}", code(each.prior) if each.prior else "")
        for each in OUTCOMES.values()
    ))  # fmt: skip
    yield "## Ratios by name"
    yield "With `data: canonical`. A plan lists both outcomes too. Each is a ratio of sums over all people of a group."
    yield table(("name", "title", "of", "over", "better"), (
        (code(each.name), each.title, code(each.numerator), code(each.denominator), each.better)
        for each in RATIOS.values()
    ))  # fmt: skip


def _bounds(covariate: CovariateDefinition) -> str:
    special = {"age": "those of `population`", "index_quarter": "the quarters of `intake`"}
    return special.get(covariate.name, f"{covariate.low:g} to {covariate.high:g}")


def _fields(part: dict[str, Any]) -> str:
    required = part.get("required", [])
    return table(("field", "what", "values", "default"), (
        (code(name), field.get("description", ""), _values(name, field), _default(name, field, required))
        for name, field in part["properties"].items()
    ))  # fmt: skip


def _values(name: str, field: dict[str, Any]) -> str:
    if (part := _part(field)) is not None:
        return f"see [{name}](#{name})" if part not in ("Sensitivity", "Subgroup") else "see below"
    if name in ("covariates", "outcomes", "ratios"):
        return f"a list, see [an entry](#an-entry-of-{name})"
    return "; ".join(dict.fromkeys(kind for each in _alternatives(field) if (kind := _kind(each))))


def _alternatives(field: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "anyOf" not in field:
        yield field
    for each in field.get("anyOf", []):
        yield from _alternatives(each)


def _kind(field: dict[str, Any]) -> str:
    if "enum" in field or "const" in field:
        return ", ".join(code(value) for value in field.get("enum", [field.get("const")]))
    if "days" in field.get("pattern", ""):
        return "such as `365 days`"
    if "prefixItems" in field:
        return f"a list of two: {_kind(field['prefixItems'][0])}"
    if "items" in field:
        return f"a list{f' ({_limits(field)})' if _limits(field) else ''}: {_kind(field['items'])}"
    kind = field.get("format", field["type"])
    return ", ".join(filter(None, [_KINDS.get(kind, kind), _limits(field)]))


def _limits(field: dict[str, Any]) -> str:
    found = {name: field[name] for name in _LIMITS if name in field and abs(field[name]) < _HUGE}
    return " ".join(_LIMITS[name].format(_number(limit)) for name, limit in found.items())


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _default(name: str, field: dict[str, Any], required: list[str]) -> str:
    if name in required:
        return "required"
    if name == "aggregation":
        return "`secure` from 3 nodes up"
    default = field.get("default")
    if isinstance(default, dict):
        return "as below"
    return "" if default is None else code(json.dumps(default).strip('"'))


def _part(field: dict[str, Any]) -> str | None:
    """Returns the name of the table that a field is, if it is one."""
    for each in [field, *field.get("anyOf", []), field.get("items", {})]:
        if isinstance(each, dict) and each.get("$ref", "").startswith("#/$defs/"):
            return str(each["$ref"]).rpartition("/")[2]
    return None
