"""The model and tool calls that frameworks have announced, so that each call is recorded once.

A framework announces a call before the request is sent or the function runs. The seam that records the call says so
here (`recorded`). A call that no seam has recorded by its end is recorded from what the framework reports.
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
"""The innermost call that a framework has announced and that is not over."""

SERVED: set[str] = set()
"""Names of tools that MCP servers have listed: their calls are recorded where they are asked of the server."""

NAMED: set[str] = set()
"""Names of tools that a framework runs by a function of the user's with another name: they are recorded where that runs."""

HOOKED: set[str] = set()
"""Names that the program gives to tools by hooks: they are recorded where the decorated function runs."""

UNEXPECTED: Counter[tuple[str, str | None]] = Counter()
"""How many calls were recorded without having been announced, for instance in a thread without its context."""


class Expected:
    """A call that a framework has announced.

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
        """End the call; return whether a seam has recorded it, or may have."""
        self.is_over = True
        if NOW.get() is self:
            NOW.set(_innermost())
        return self.met or UNEXPECTED[self.kind, self.name] != self.unexpected


def recorded(kind: str, name: str | None = None) -> None:
    """A seam records a call of a model, or of the tool of this name: mark the announced call that it is.

    Two layers may have announced the same call, such as a framework and an SDK below it; then both are marked.
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
    """Whether `name` is `own` with a prefix, as `weather_forecast` is `forecast`."""
    return name.endswith(own) and name[: -len(own)][-1:] in _BETWEEN


def is_served(name: str) -> bool:
    """Whether a server has listed a tool of this name; frameworks may put the name of the server before it."""
    return name in SERVED or any(is_prefixed(name, own) for own in SERVED)


def name_told(name: str) -> str:
    """The name under which a framework has announced this call of a server's tool; `name` where none has."""
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
    """The innermost announced call of a tool with one of these names that has not been recorded yet."""
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
