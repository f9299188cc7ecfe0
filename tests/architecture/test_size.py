"""Files of one idea and small functions: the figures of the house."""

from __future__ import annotations

import ast
import statistics

LONGEST_FILE, LONGEST_FUNCTION = 400, 60     # lines
MEDIAN_BODY, LONG_BODY = 6, 25               # lines; the second at the 90th percentile


def test_no_file_is_longer_than_one_idea(shipped: list) -> None:
    assert [module.name for module in shipped if module.text.count("\n") > LONGEST_FILE] == []


def test_no_function_is_longer_than_a_screen(shipped: list) -> None:
    assert [place for place, lines in _functions(shipped) if lines > LONGEST_FUNCTION] == []


def test_function_bodies_are_small(shipped: list) -> None:
    bodies = [lines for _, lines in _functions(shipped)]
    assert statistics.median(bodies) <= MEDIAN_BODY
    assert statistics.quantiles(bodies, n=10)[-1] <= LONG_BODY


def _functions(shipped: list) -> list[tuple[str, int]]:
    return [
        (f"{module.at(node)} {node.name}", _body_lines(node))
        for module in shipped
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def _body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from the first statement after the docstring to the end."""
    statements = function.body[1:] if ast.get_docstring(function) else function.body
    return (statements[-1].end_lineno or 0) - statements[0].lineno + 1 if statements else 0
