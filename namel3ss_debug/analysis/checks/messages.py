"""Say why an expression was not true: the paths that it read with their values, for the message of a finding."""

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


def describe_broken(expression: Expression, scope: Mapping[str, Any]) -> str:
    """Return the expression that was not true, with the values that it read."""
    values = [
        f"{path} is {format_value(path, value)}"
        for path, value in iter_values(expression, scope)
        if not isinstance(value, dict)
    ]
    joined = isinstance(_tree(expression).body, ast.BoolOp | ast.IfExp | ast.UnaryOp)
    text = f"({expression.text})" if joined else expression.text  # `not a and b` would negate only `a`
    return f"not {text}" + (f": {', '.join(values[:MOST_VALUES])}" if values else "")


def iter_values(expression: Expression, scope: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield each name or path such as `errors.total_errors` in an expression once, with its value, in text order."""
    tree = _tree(expression)
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    outer = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute | ast.Name) and id(node) not in inner
    ]
    seen = set()
    for node in sorted(outer, key=lambda node: (node.col_offset, node.end_col_offset or 0)):
        keys = _keys_of(node)
        if keys and keys[0] in expression.names and keys not in seen:
            seen.add(keys)
            value: Any = scope
            for key in keys:
                value = value.get(key) if isinstance(value, Mapping) else None
            yield ".".join(keys), value


def _tree(expression: Expression) -> ast.Expression:
    # The language accepts any white space; Python ends an expression at a line break.
    return ast.parse(" ".join(expression.text.split()), mode="eval")


def _keys_of(node: ast.expr) -> tuple[str, ...]:
    """Return the keys of a path that is made of names only; empty for any other expression."""
    keys: list[str] = []
    while isinstance(node, ast.Attribute):
        keys.insert(0, node.attr)
        node = node.value
    return (node.id, *keys) if isinstance(node, ast.Name) else ()


def format_value(path: str, value: object) -> str:
    """Return a value as a message shows it."""
    if value is None:
        return "not known"
    if lenient.is_number(value):
        return format_number(path, value)
    return short(json.dumps(value, ensure_ascii=False, default=str), LONGEST_VALUE)


def format_number(path: str, value: float) -> str:
    """Return a number with as many digits as its unit needs."""
    form = next((form for unit, form in _UNITS.items() if path.endswith(unit)), None)
    if form is None:
        return f"{int(value) if isinstance(value, float) and value.is_integer() else value:,}"
    written = form.format(value)
    return written.rstrip("0").rstrip(".") if "." in written else written
