"""Decide which functions are the tools that models are offered, where a name alone does not show it.

A program may have functions of its own with the name of a tool, such as `History.add` beside `add`, or `Cache.get`. A
call is a tool call if a model has requested it with these arguments. Without such a request, it is one only if the
function is the only candidate and its parameters fit the schema.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from inspect import CO_VARARGS
from types import CodeType
from typing import Any, NamedTuple

from namel3ss_debug.capture.core import announced
from namel3ss_debug.capture.seams.functions import rewrite
from namel3ss_debug.capture.seams.functions.requested_calls import attributes_of


class _Shape(NamedTuple):
    """The parameters that a schema declares."""

    parameters: frozenset[str]
    has_required: bool


class ToolIdentity:
    """The tools that models were offered in this process, and the user's functions of these names.

    Attributes:
        names: the names of the tools.
    """

    def __init__(self) -> None:
        self.names: set[str] = set()
        self._shapes: dict[str, set[_Shape | None]] = {}
        self._registered: dict[str, set[CodeType]] = {}
        self._rivals: set[str] = set()
        self._answering: dict[str, set[CodeType]] = {}

    def offer(self, tools: Mapping[str, Any]) -> set[str]:
        """Add tools, each with its JSON schema or None, and return the names that are new."""
        for name, schema in tools.items():
            if schema is not None:
                self._shapes.setdefault(name, set()).add(_shape_of(schema))
        fresh = tools.keys() - self.names
        self.names |= fresh
        return fresh

    def needs_search(self, name: str) -> bool:
        """Return whether the name does not show which function is the tool: it has none, several, or a method."""
        definitions = rewrite.DEFINITIONS.get(name, {})
        return name not in rewrite.EDITED or len(definitions) > 1 or any(definitions.values())

    def add_registered(self, name: str, code: CodeType) -> None:
        """Note that the program has registered this function of the tool's name, and so none of its namesakes."""
        self._registered.setdefault(name, set()).add(code)

    def add_rival(self, name: str) -> None:
        """Note that a function of another name may be the tool."""
        self._rivals.add(name)

    def add_answering(self, name: str, code: CodeType) -> None:
        """Note that a function got the arguments of a requested call, so it may be called with them again."""
        self._answering.setdefault(name, set()).add(code)

    def has_answered(self, name: str, code: CodeType) -> bool:
        """Return whether a function has answered a requested call of this tool."""
        return code in self._answering.get(name, ())

    def is_excluded(self, name: str, code: CodeType) -> bool:
        """Return whether another function of the tool's name is registered as the tool."""
        registered = self._registered.get(name)
        return registered is not None and code not in registered

    def is_only_candidate(self, name: str, code: CodeType) -> bool:
        """Return whether no other function may be the tool."""
        if name in self._registered:
            return code in self._registered[name]
        alone = len(rewrite.DEFINITIONS.get(name, ())) <= 1
        return alone and name not in self._rivals and not announced.is_served(name)

    def fits_schema(self, name: str, code: CodeType, passed: Mapping[str, Any]) -> bool:
        """Return whether a function with these arguments may answer the tool: it shares a parameter with the schema.

        It need not have all parameters, because a program may add some to the schema that it takes out again, such as
        a reason for the call. The parameters may be in a dict or an object.
        """
        shapes = self._shapes.get(name)
        if not shapes or code.co_flags & CO_VARARGS:
            return True
        names = {*passed, *_names_inside(passed.values())}
        return any(
            shape is None
            or not shape.parameters
            or (not names.isdisjoint(shape.parameters) if passed else not shape.has_required)
            for shape in shapes
        )


def _shape_of(schema: Any) -> _Shape | None:
    """Return the parameters that a schema declares; None if it declares them elsewhere, or has another form."""
    properties = schema.get("properties") if isinstance(schema, dict) else None
    return (
        _Shape(frozenset(properties), bool(schema.get("required"))) if isinstance(properties, dict) else None
    )


def _names_inside(values: Iterable[Any]) -> Iterable[str]:
    """Yield the keys of dicts and the names of the attributes of objects."""
    for value in values:
        yield from list(value) if type(value) is dict else attributes_of(value)
