"""Find whether code only parses the data files that it opens: comments and layout of these do not count then."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Final

from namel3ss_debug.traces.definitions import dotted_name

_LIBRARIES: Final = frozenset({"json", "orjson", "ujson", "tomllib", "tomli", "toml", "yaml"})
_LOADS: Final = frozenset({"load", "loads"})
_PARSES: Final = frozenset({"safe_load", "full_load", "executescript", "read_string", "read_file"})
_READS: Final = frozenset({"open", "read", "read_text", "read_bytes"})


def only_parses(nodes: Iterable[ast.AST]) -> bool:
    """Return whether all that some code opens or reads goes straight into a parser, maybe through a variable."""
    inside = [each for node in nodes for each in ast.walk(node)]
    calls = [each for each in inside if isinstance(each, ast.Call)]
    parsers = [each for each in calls if _is_parser(each)]
    parsed = {id(argument) for call in parsers for argument in call.args}
    reads = {id(each) for each in calls if _last_name(each) in _READS and not _is_parser(each)}
    kept: set[str] = set()  # the variables that hold a file or its text
    for node in inside:
        if isinstance(node, ast.withitem):
            value, target = node.context_expr, node.optional_vars
        elif isinstance(node, ast.Assign) and len(node.targets) == 1:
            value, target = node.value, node.targets[0]
        else:
            continue
        if id(value) in reads and isinstance(target, ast.Name):
            parsed.add(id(value))
            kept.add(target.id)
    methods = {
        id(each.value)
        for each in inside
        if isinstance(each, ast.Attribute) and each.attr in ("read", "close")
    }
    uses = {
        id(each)
        for each in inside
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load) and each.id in kept
    }
    return bool(parsers) and reads <= parsed and uses <= parsed | methods


def _last_name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else dotted_name(call.func)


def _is_parser(call: ast.Call) -> bool:
    name = _last_name(call)
    if name == "read":  # of `configparser`, with the name of a file; that of a file takes a size
        return any(not isinstance(each, ast.Constant) or isinstance(each.value, str) for each in call.args)
    return name in _PARSES or (name in _LOADS and dotted_name(call.func).partition(".")[0] in _LIBRARIES)
