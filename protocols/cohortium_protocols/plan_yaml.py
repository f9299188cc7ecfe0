"""YAML 1.2 text to plain data that remembers the line and column of every key and value.

Only the events of `ruamel.yaml` are used; scalars are read here by the YAML 1.2 core schema, so that `1e-6`
is a number, `no` is a string, and a date stays the text that was written. Refused, each with its place:
duplicate keys, anchors and aliases, tags, keys that are not plain text, several documents, very long or very
deep files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from cohortium_protocols.plan_fault import Fault, Path, path_text

LONGEST_TEXT = 262_144
"""Characters; a plan is a few hundred lines."""
DEEPEST = 12
"""Levels of nesting; a plan has five."""

Place: TypeAlias = tuple[int, int]

_CONSTANTS: Mapping[str, bool | float | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_WHOLE = re.compile(r"[-+]?[0-9]{1,100}")
_BASED = re.compile(r"0o[0-7]{1,100}|0x[0-9a-fA-F]{1,100}")
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


@dataclass
class Document:
    """Plain data of one YAML document and where each part of it stands.

    Attributes:
        data: dict, list, str, int, float, bool or None.
        values: path -> line and column (from 1) where the value starts.
        keys: path -> line and column of the key that names the value.
        faults: everything refused while reading.
    """

    source: str
    data: Any = None
    values: dict[Path, Place] = field(default_factory=dict)
    keys: dict[Path, Place] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def place(self, path: Path) -> Place:
        """Returns where the value at `path` starts, or the nearest thing above it that was written."""
        if path in self.values:
            return self.values[path]
        above = path[:-1]
        while above and above not in self.values:
            above = above[:-1]
        return self.keys.get(above) or self.values.get(above, (1, 1))

    def refuse(self, place: Place, path: Path, what: str, why: str, do: str) -> None:
        """Keep one fault of the text."""
        self.faults.append(Fault(*place, path_text(path), what, why, do, source=self.source))


def read_yaml(text: str, source: str) -> Document:
    """Read one YAML 1.2 document.

    Args:
        text: the whole file.
        source: its name, for messages.

    Returns:
        The document. Its `faults` are empty when the text is acceptable; `data` is what could be read.
    """
    document = Document(source)
    if len(text) > LONGEST_TEXT:
        what = f"The file has {len(text):,} characters; a plan has at most {LONGEST_TEXT:,}."
        document.refuse((1, 1), (), what, "A plan is short.", "Check that this is the plan file.")
        return document
    try:
        _Reader(text, document).read()
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        _refuse_syntax(document, place, str(error.problem or "unreadable"))
    except YAMLError as error:
        before = text[: getattr(error, "position", 0)]
        place = (before.count("\n") + 1, len(before) - before.rfind("\n"))
        _refuse_syntax(document, place, "a character that YAML does not allow")
    return document


def _refuse_syntax(document: Document, place: Place, problem: str) -> None:
    document.data = None
    why = "The rest of the file was not checked."
    do = "Look at the indentation, brackets and quotes here and just above."
    document.refuse(place, (), f"This is not valid YAML: {problem}.", why, do)


def plain_value(text: str) -> str | int | float | bool | None:
    """Returns what an unquoted scalar means by the core schema of YAML 1.2 (section 10.3.2).

    >>> plain_value("1e-6"), plain_value("no"), plain_value("2022-01-01"), plain_value("010")
    (1e-06, 'no', '2022-01-01', 10)
    """
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _WHOLE.fullmatch(text):
        return int(text)
    if _BASED.fullmatch(text):
        return int(text, base=0)
    return float(text) if _NUMBER.fullmatch(text) else text


class _Reader:
    """Builds the data of one document from the events of the parser."""

    def __init__(self, text: str, document: Document) -> None:
        self._document = document
        self._events: Iterator[Any] = iter(YAML(typ="safe", pure=True).parse(text))

    def read(self) -> None:
        next(self._events)
        first = next(self._events)
        if not isinstance(first, DocumentStartEvent):
            return self._refuse(first, (), "The file is empty.", "", "Start from the example in `examples/`.")
        self._document.data = self._value(next(self._events), ())
        next(self._events)
        after = next(self._events)
        if not isinstance(after, StreamEndEvent):
            self._refuse(after, (), "A second document starts here.", "A file holds one plan.", "Remove it.")

    def _value(self, event: Any, path: Path) -> Any:
        self._document.values[path] = _place(event)
        self._refuse_extras(event, path)
        if isinstance(event, MappingStartEvent | SequenceStartEvent) and len(path) >= DEEPEST:
            self._refuse(
                event, path, "This is nested too deeply.", f"A plan has at most {DEEPEST} levels.", ""
            )
            return self._skip()
        if isinstance(event, MappingStartEvent):
            return self._mapping(path)
        if isinstance(event, SequenceStartEvent):
            return self._sequence(path)
        return self._scalar(event)

    def _scalar(self, event: Any) -> Any:
        if not isinstance(event, ScalarEvent):
            return None
        return plain_value(event.value) if event.style is None else event.value

    def _sequence(self, path: Path) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self._events), SequenceEndEvent):
            items.append(self._value(event, (*path, len(items))))
        return items

    def _mapping(self, path: Path) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        while not isinstance(event := next(self._events), MappingEndEvent):
            key = self._key(event, path)
            if key in fields:
                self._refuse_twice(event, (*path, key))
                self._ignore()
            elif key is None:
                self._ignore()
            else:
                self._document.keys[*path, key] = _place(event)
                fields[key] = self._value(next(self._events), (*path, key))
        return fields

    def _key(self, event: Any, path: Path) -> str | None:
        self._refuse_extras(event, path)
        if isinstance(event, ScalarEvent):
            return str(event.value)
        self._refuse(
            event, path, "This name is not plain text.", "Fields have plain names.", "Name the field."
        )
        if not isinstance(event, AliasEvent):
            self._skip()
        return None

    def _refuse_twice(self, event: Any, path: Path) -> None:
        line = self._document.keys[path][0]
        what = f"`{path[-1]}` is written twice (first in line {line})."
        self._refuse(event, path, what, "Only one of the two could count.", "Remove one of them.")

    def _refuse_extras(self, event: Any, path: Path) -> None:
        why = "A plan is read by people who approve it: everything stands where it is used."
        if isinstance(event, AliasEvent) or event.anchor is not None:
            self._refuse(
                event, path, "Anchors and aliases (`&`, `*`) are not accepted.", why, "Write it out."
            )
        elif event.tag is not None:
            self._refuse(event, path, f"The tag `{event.tag}` is not accepted.", why, "Remove the tag.")

    def _refuse(self, event: Any, path: Path, what: str, why: str, do: str) -> None:
        self._document.refuse(_place(event), path, what, why, do)

    def _ignore(self) -> None:
        """Step over the next value."""
        if isinstance(next(self._events), MappingStartEvent | SequenceStartEvent):
            self._skip()

    def _skip(self) -> None:
        """Step to the end of the mapping or sequence that has just started."""
        depth = 1
        while depth:
            event = next(self._events)
            depth += isinstance(event, MappingStartEvent | SequenceStartEvent)
            depth -= isinstance(event, MappingEndEvent | SequenceEndEvent)


def _place(event: Any) -> Place:
    return event.start_mark.line + 1, event.start_mark.column + 1
