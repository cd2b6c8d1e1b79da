"""What a framework says is going on, so that the call beneath it is recorded once.

A framework tells of its model call or tool before the request leaves or the function runs. Whoever records that very call
says so here; what nobody has recorded by the end, the framework's own word stands for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from contextvars import ContextVar
from typing import Any, Final

LLM: Final = "llm"
TOOL: Final = "tool"

_BETWEEN = ("_", "-", ".", "/", ":")
"""What may stand between the name of a server and that of its tool."""

NOW: ContextVar[Expected | None] = ContextVar("namel3ss_debug_beneath", default=None)
"""The innermost call that a framework has told of and that is not over."""

SERVED: set[str] = set()
"""Names of tools that MCP servers have listed: their calls are recorded where they are asked of the server."""

NAMED: set[str] = set()
"""Names of tools that a framework runs by a function of the user's with another name: they are recorded where that runs."""

HOOKED: set[str] = set()
"""Names that the program gives to tools by hooks: they are recorded where the decorated function runs."""

UNEXPECTED: Counter[tuple[str, str | None]] = Counter()
"""How many calls were recorded beneath nothing that a framework told of, for instance in a thread without its context."""


class Expected:
    """A call that a framework has told of.

    Attributes:
        kind: `llm` or `tool`.
        name: of a tool, its name; a model may have another name on the wire than the framework knows.
        call_id: of a tool, the id under which a model asked for it, where the framework says so.
        arguments: of a tool, what it is called with, by name, as the framework tells it.
        met: whether it was recorded where it was made.
        outer: the call that it is made within.
        is_over: whether it has ended, which it may in another context than it began in, or before one within it.
    """

    __slots__ = ("arguments", "call_id", "is_over", "kind", "met", "name", "outer", "unexpected")

    def __init__(
        self,
        kind: str,
        name: str | None = None,
        call_id: str | None = None,
        arguments: Mapping[str, Any] | None = None,
    ) -> None:
        self.kind = kind
        self.name = name
        self.call_id = call_id
        self.arguments = arguments
        self.met = False
        self.is_over = False
        self.outer = _innermost()
        self.unexpected = UNEXPECTED[kind, name]
        NOW.set(self)

    def over(self) -> bool:
        """The call has ended; whether it was recorded, or may have been."""
        self.is_over = True
        if NOW.get() is self:
            NOW.set(_innermost())
        return self.met or UNEXPECTED[self.kind, self.name] != self.unexpected


def recorded(kind: str, name: str | None = None) -> None:
    """A call is recorded where it is made: of a model, or of the tool of this name.

    A framework may tell of it around an SDK that does so as well, as that of Anthropic: then it is the call of both.
    """
    expected, met = NOW.get(), False
    while expected is not None:
        if expected.kind == kind and expected.name == name:
            if not expected.is_over:
                expected.met = met = True
        elif met:
            return
        expected = expected.outer
    if not met:
        UNEXPECTED[kind, name] += 1


def is_prefixed(name: str, own: str) -> bool:
    """Whether a name is this one with another before it, as `weather_forecast` is `forecast`."""
    return name.endswith(own) and name[: -len(own)][-1:] in _BETWEEN


def is_served(name: str) -> bool:
    """Whether a server has listed a tool of this name, before which a framework may put that of the server."""
    return name in SERVED or any(is_prefixed(name, own) for own in SERVED)


def name_told(name: str) -> str:
    """The name by which a framework has told of the call of a server's tool that is made now; its own where none has."""
    expected = NOW.get()
    while expected is not None:
        told = expected.name or ""
        is_open = not (expected.met or expected.is_over)
        if expected.kind == TOOL and is_open and (told == name or is_prefixed(told, name)):
            return told
        expected = expected.outer
    return name


def call_id(name: str) -> str | None:
    """The id under which a model asked for the tool of this name that is about to run, where a framework says so."""
    expected = about_to_run({name})
    return None if expected is None else expected.call_id


def about_to_run(names: Collection[str]) -> Expected | None:
    """The innermost tool with one of these names that a framework has told of, and that has not been recorded."""
    expected = NOW.get()
    while expected is not None:
        if expected.kind == TOOL and expected.name in names and not (expected.met or expected.is_over):
            return expected
        expected = expected.outer
    return None


def _innermost() -> Expected | None:
    """The innermost call that is not over."""
    expected = NOW.get()
    while expected is not None and expected.is_over:
        expected = expected.outer
    return expected
