"""What a node may say: no print, no values in log messages, and no error swallowed without a reason."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

LEVELS = {"debug", "info", "warning", "error", "critical", "exception", "log"}
EVERYTHING = {"Exception", "BaseException"}
LOGGERS = {"log", "logger", "logging", "_log", "_logger", "LOG", "LOGGER"}

# What may follow a log message: names of studies, peers and states, never anything read from a row.
SAYABLE = {"study", "state", "kind", "round", "sender", "peer", "code", "port", "seconds"}


def test_nothing_shipped_prints(shipped: list) -> None:
    calls = [(module, call) for module in shipped for call in _calls(module.tree)]
    found = [module.at(call) for module, call in calls if _name(call.func) == "print"]
    assert found == [], "use click.echo in a command line, logging elsewhere"


def test_log_messages_in_the_node_are_fixed_text_and_names_from_a_closed_list(shipped: list) -> None:
    found = [
        f"{module.at(call)}: {fault}"
        for module in _node(shipped)
        for call in _calls(module.tree)
        if _is_logging(call)
        for fault in _faults(call)
    ]
    assert found == []


def test_broad_except_clauses_carry_their_reason(shipped: list) -> None:
    clauses = [(module, clause) for module in shipped for clause in _broad(module.tree)]
    found = [module.at(clause) for module, clause in clauses if not _reason(module, clause)]
    assert found == [], "write the reason in a comment on the line, or beside it, or name the exceptions"


def test_these_rules_notice_what_they_forbid() -> None:
    bad = ast.parse('log.info(f"{row}")\nlog.warning("person %s", nhs_number)\nlog.exception("oops")')
    assert [bool(list(_faults(call))) for call in _calls(bad)] == [True, True, True]
    good = ast.parse('log.info("study %s: round %s", plan.study, round)')
    assert [list(_faults(call)) for call in _calls(good)] == [[]]


def _node(shipped: list) -> list:
    return [module for module in shipped if module.package == "cohortium_node"]


def _calls(tree: ast.AST) -> list[ast.Call]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _is_logging(call: ast.Call) -> bool:
    method = call.func
    return isinstance(method, ast.Attribute) and method.attr in LEVELS and _name(method.value) in LOGGERS


def _faults(call: ast.Call) -> Iterator[str]:
    if _name(call.func) == "exception" or any(word.arg == "exc_info" for word in call.keywords):
        yield "a traceback can quote a row"
    message, *values = call.args[_name(call.func) == "log" :]
    if not (isinstance(message, ast.Constant) and isinstance(message.value, str)):
        yield "the message is not fixed text"
    unsayable = [value for value in values if _name(value) not in SAYABLE]
    yield from (f"{ast.unparse(value)} is not in the closed list" for value in unsayable)


def _broad(tree: ast.Module) -> list[ast.ExceptHandler]:
    clauses = [node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler)]
    return [clause for clause in clauses if not clause.type or _name(clause.type) in EVERYTHING]


def _reason(module, clause: ast.ExceptHandler) -> bool:
    near = module.text.splitlines()[clause.lineno - 2 : clause.lineno + 1]
    return any(re.search(r"#(?! *(noqa|type:|pragma)\b[^#]*$)", line) for line in near)
