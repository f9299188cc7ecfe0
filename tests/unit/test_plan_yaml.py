"""YAML 1.2 text becomes plain data that knows the line and column of everything."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohortium_protocols.plan_yaml import LONGEST_TEXT, plain_value, read_yaml


def faults(text: str) -> list[str]:
    return [f"{fault.line}:{fault.column} {fault.what}" for fault in read_yaml(text, "plan.yaml").faults]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-6", 1e-6), ("1.0e-6", 1e-6), ("1E5", 1e5), (".5", 0.5), ("2.", 2.0), ("-3", -3), ("+3", 3),
        ("010", 10), ("0x1F", 31), ("0o17", 15), ("true", True), ("FALSE", False), ("~", None), ("", None),
        ("null", None), (".inf", math.inf), ("-.INF", -math.inf),
    ],
)  # fmt: skip
def test_numbers_and_constants_follow_the_core_schema_of_yaml_1_2(text: str, value: object) -> None:
    assert plain_value(text) == value
    assert type(plain_value(text)) is type(value)


@pytest.mark.parametrize(
    "text", ["no", "yes", "off", "on", "2022-01-01", "1_000", "12:30", "0b1", "e5", "tRUE"]
)
def test_everything_else_stays_text(text: str) -> None:
    assert plain_value(text) == text


def test_not_a_number_is_a_number() -> None:
    value = plain_value(".nan")
    assert isinstance(value, float)
    assert math.isnan(value)


def test_quotes_keep_text_as_text() -> None:
    assert read_yaml("a: '1'\nb: \"true\"\nc: |\n  1\n", "f").data == {"a": "1", "b": "true", "c": "1\n"}


def test_every_key_and_value_has_its_place() -> None:
    document = read_yaml("a:\n  - x\n  - {b: 1, c: [2, 3]}\nd: 4\n", "f")
    assert document.data == {"a": ["x", {"b": 1, "c": [2, 3]}], "d": 4}
    assert document.keys == {("a",): (1, 1), ("a", 1, "b"): (3, 6), ("a", 1, "c"): (3, 12), ("d",): (4, 1)}
    assert document.values[("a", 0)] == (2, 5)
    assert document.values[("a", 1, "b")] == (3, 9)
    assert document.values[("a", 1, "c", 1)] == (3, 19)


def test_what_is_absent_is_placed_at_the_key_above_it() -> None:
    document = read_yaml("a:\n  b: 1\n", "f")
    assert document.place(("a", "missing")) == (1, 1)
    assert document.place(("missing",)) == (1, 1)
    assert document.place(("a", "b")) == (2, 6)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: 2\na: 3\n", "3:1 `a` is written twice (first in line 1)."),
        ("a: 1\n'a': {b: [2]}\n", "2:1 `a` is written twice (first in line 1)."),
        ("x: {a: 1, a: 2}", "1:11 `a` is written twice (first in line 1)."),
        ("a: &one 1\n", "1:4 Anchors and aliases"),
        ("a: !!str 1\n", "1:4 The tag `tag:yaml.org,2002:str` is not accepted."),
        (
            "a: !!python/object/apply:os.system [ls]\n",
            "1:4 The tag `tag:yaml.org,2002:python/object/apply:os.system`",
        ),
        ("? [a]\n: 1\n", "1:3 This name is not plain text."),
        ("a: 1\n---\nb: 2\n", "2:1 A second document starts here."),
        ("", "1:1 The file is empty."),
        ("# only a comment\n", "2:1 The file is empty."),
        ("a: [1, 2\n", "2:1 This is not valid YAML"),
        ("a: b: c\n", "1:5 This is not valid YAML"),
        ("a: 1\n\tb: 2\n", "2:1 This is not valid YAML"),
        ("a: 1\nb: \x07\n", "2:4 This is not valid YAML: a character that YAML does not allow."),
        ("[" * 20 + "]" * 20, "1:13 This is nested too deeply."),
        ("a" * (LONGEST_TEXT + 1), "1:1 The file has 262,145 characters; a plan has at most 262,144."),
    ],
)
def test_what_is_refused_is_refused_with_its_place(text: str, expected: str) -> None:
    found = faults(text)
    assert len(found) == 1
    assert found[0].startswith(expected)


def test_reading_goes_on_after_a_refused_key() -> None:
    document = read_yaml("a: 1\na: {b: [1, {c: 2}]}\n? {x: y}\n: [z]\nd: &e 5\nf: *e\ng: 6\n", "f")
    assert document.data == {"a": 1, "d": 5, "f": None, "g": 6}
    assert [fault.line for fault in document.faults] == [2, 3, 5, 6]


@given(st.text(alphabet="ab: -[]{},'\"\n\t#&*!|>?%@1.\x07~", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    document = read_yaml(text, "plan.yaml")
    assert document.faults or document.values
