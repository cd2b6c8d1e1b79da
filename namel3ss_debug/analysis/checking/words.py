"""Why an expression was not true: the paths that it read with their values, for the message of a finding."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from namel3ss_debug.errors import short
from namel3ss_debug.wire import lenient

if TYPE_CHECKING:
    from namel3ss_debug.expressions import Expression

MOST_VALUES = 4
LONGEST_VALUE = 80

_UNITS = {"_ms": "{:,.1f}", "cost": "${:.6f}", "_share": "{:.3f}", "_mb": "{:,.1f}"}


def broken(expression: Expression, scope: Mapping[str, Any]) -> str:
    """Return the expression that was not true, and the values that it read."""
    read = [
        f"{path} is {shown(path, value)}"
        for path, value in paths(expression, scope)
        if not isinstance(value, dict)
    ]
    joined = isinstance(_tree(expression).body, ast.BoolOp | ast.IfExp | ast.UnaryOp)
    text = f"({expression.text})" if joined else expression.text  # `not a and b` would speak of `a` alone
    return f"not {text}" + (f": {', '.join(read[:MOST_VALUES])}" if read else "")


def paths(expression: Expression, scope: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the names and paths such as `errors.total_errors` in an expression, each once, in their order in the text."""
    tree = _tree(expression)
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    outer = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute | ast.Name) and id(node) not in inner
    ]
    seen = set()
    for node in sorted(outer, key=lambda node: (node.col_offset, node.end_col_offset or 0)):
        keys = _keys(node)
        if keys and keys[0] in expression.names and keys not in seen:
            seen.add(keys)
            value: Any = scope
            for key in keys:
                value = value.get(key) if isinstance(value, Mapping) else None
            yield ".".join(keys), value


def _tree(expression: Expression) -> ast.Expression:
    # the language reads any white space as a space
    return ast.parse(" ".join(expression.text.split()), mode="eval")


def _keys(node: ast.expr) -> tuple[str, ...]:
    """Return the keys of a path that is made of names only; empty for any other expression."""
    keys: list[str] = []
    while isinstance(node, ast.Attribute):
        keys.insert(0, node.attr)
        node = node.value
    return (node.id, *keys) if isinstance(node, ast.Name) else ()


def shown(path: str, value: object) -> str:
    """Return a value as a message shows it."""
    if value is None:
        return "not known"
    if lenient.is_number(value):
        return number(path, value)
    return short(json.dumps(value, ensure_ascii=False, default=str), LONGEST_VALUE)


def number(path: str, value: float) -> str:
    """Return a number with as many digits as its unit needs."""
    form = next((form for unit, form in _UNITS.items() if path.endswith(unit)), None)
    if form is None:
        return f"{int(value) if isinstance(value, float) and value.is_integer() else value:,}"
    written = form.format(value)
    return written.rstrip("0").rstrip(".") if "." in written else written
