"""Look at the fields that an expression reads: whether an event has any, and why the expression was never true."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from namel3ss_debug.expressions.language import NAMES, Expression, compile_expression, nearest

_MOST_NAMES = 200
_MOST_SHOWN = 4


class UnmetExpression:
    """An expression that was tried at some events, and what speaks against each part of it.

    Args:
        expression: the expression; it is tried again, on its own.
    """

    def __init__(self, expression: Expression) -> None:
        self.expression = compile_expression(expression.text, notes_mismatches=True)
        self._paths = [_Path(*parts) for parts in _find_paths(expression.text) if parts[1]]

    def note(self, scope: dict[str, Any]) -> None:
        """Try it at an event, whose names `scope` has."""
        self.expression.evaluate(scope)
        for path in self._paths:
            path.note(scope)

    def describe_missing(self) -> str:
        """Return the fields that no event had, in one line; empty if there are none."""
        return "; ".join(dict.fromkeys(filter(None, (path.describe() for path in self._paths))))


class FieldsRead:
    """The fields of an event that an expression reads, such as `outputs.text`.

    Args:
        expression: the expression.
    """

    def __init__(self, expression: Expression) -> None:
        self._paths = [path for path in _find_paths(expression.text) if path[0] in NAMES]

    def are_in(self, scope: Mapping[str, Any]) -> bool:
        """Return whether the event whose names `scope` has has any of them, be it null; or whether there are none."""
        return not self._paths or any(_has_path(scope, *path) for path in self._paths)


def _has_path(scope: Mapping[str, Any], root: str, keys: tuple[str, ...]) -> bool:
    value = scope.get(root)
    if value is None:
        return False
    for key in keys:
        fields = _fields(value) if type(value) is dict else {}
        if key not in fields:
            return False
        value = fields[key]
    return True


class _Path:
    """Fields inside one another, such as `inputs.arguments.city`, and which of them were there."""

    def __init__(self, root: str, keys: tuple[str, ...]) -> None:
        self.names = (root, *keys)
        self.others: list[set[str]] = [set() for _ in keys]  # the names beside each key
        self.found = [False] * len(keys)

    def note(self, scope: dict[str, Any]) -> None:
        value = scope.get(self.names[0])
        for index, key in enumerate(self.names[1:]):
            if type(value) is not dict:
                return
            fields = _fields(value)
            value = fields.get(key)
            if len(self.others[index]) < _MOST_NAMES:
                self.others[index].update(map(str, fields))
            self.found[index] = self.found[index] or key in fields

    def describe(self) -> str:
        for index, found in enumerate(self.found):
            if found:
                continue
            others = self.others[index]
            if not others:  # what it would be in was not there either, or was no object
                return ""
            path, key = ".".join(self.names[: index + 2]), self.names[index + 1]
            near = nearest(key, others).removeprefix("; did you mean ").strip("'?")
            listed = ", ".join(sorted(others)[:_MOST_SHOWN]) + (", ..." if len(others) > _MOST_SHOWN else "")
            return (
                f"`{path}` does not exist ({near}?)"
                if near
                else f"`{path}` does not exist; there are {listed}"
            )
        return ""


def _fields(value: dict[str, Any]) -> dict[str, Any]:
    """Return the members of an object, or the fields of an object of one of the program's classes."""
    fields = value.get("fields") if "$type" in value else None
    return {**value, **fields} if type(fields) is dict else value


def _find_paths(text: str) -> list[tuple[str, tuple[str, ...]]]:
    """Return the names that an expression reads, each with the fields it reads inside of it, the outermost first."""
    found = []
    waiting: list[ast.AST] = [ast.parse(" ".join(text.split()), mode="eval").body]
    while waiting:
        node = waiting.pop(0)
        keys: list[str] = []
        inner = node
        while isinstance(inner, (ast.Attribute, ast.Subscript)):
            if isinstance(inner, ast.Attribute):
                keys.append(inner.attr)
            elif isinstance(inner.slice, ast.Constant) and isinstance(inner.slice.value, str):
                keys.append(inner.slice.value)
            else:
                keys.clear()  # of a list, whose items may differ: only what is before it counts
            inner = inner.value
        if isinstance(inner, ast.Name):
            found.append((inner.id, tuple(reversed(keys))))
        else:
            waiting[:0] = ast.iter_child_nodes(node)
    return found
