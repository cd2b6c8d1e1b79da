"""Track the model and tool calls that frameworks announce, so that each call is recorded once.

A framework announces a call before the request is sent or the function runs. The seam that records the call marks it
(`mark_recorded`). A call that no seam has recorded by its end is recorded from what the framework reports.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from contextvars import ContextVar
from typing import Any, Final

LLM: Final = "llm"
TOOL: Final = "tool"

_SEPARATORS = ("_", "-", ".", "/", ":")
"""Characters that frameworks put between the name of a server and the name of its tool."""

CURRENT: ContextVar[AnnouncedCall | None] = ContextVar("namel3ss_debug_announced", default=None)
"""The innermost announced call that has not ended."""

SERVED: set[str] = set()
"""Names of tools that MCP servers have listed: their calls are recorded where the request is sent."""

NAMED: set[str] = set()
"""Names of tools that a framework runs by a function of the user with another name: their calls are recorded there."""

HOOKED: set[str] = set()
"""Names that the program gives to tools by hooks: their calls are recorded in the decorated function."""

UNEXPECTED: Counter[tuple[str, str | None]] = Counter()
"""How many calls were recorded that nobody had announced, for instance in a thread without its context."""


class AnnouncedCall:
    """A call that a framework has announced.

    Attributes:
        kind: `llm` or `tool`.
        name: of a tool, its name; a model may have another name on the wire than the framework knows.
        call_id: of a tool, the id of the model's request for it, if the framework reports one.
        arguments: of a tool, its arguments by name, as the framework reports them.
        is_recorded: whether a seam has recorded it.
        outer: the call that it is part of.
        has_ended: whether it has ended, possibly in another context, or before a call inside it.
    """

    __slots__ = ("arguments", "call_id", "has_ended", "is_recorded", "kind", "name", "outer", "unexpected")

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
        self.is_recorded = False
        self.has_ended = False
        self.outer = _innermost()
        self.unexpected = UNEXPECTED[kind, name]
        CURRENT.set(self)

    def end(self) -> bool:
        """End the call, and return whether a seam has recorded it, or may have."""
        self.has_ended = True
        if CURRENT.get() is self:
            CURRENT.set(_innermost())
        return self.is_recorded or UNEXPECTED[self.kind, self.name] != self.unexpected


def mark_recorded(kind: str, name: str | None = None) -> None:
    """Mark the announced call that a seam records now: of a model, or of the tool of this name.

    Two layers may have announced the same call, such as a framework and an SDK below it; then both are marked.
    """
    expected, is_found = CURRENT.get(), False
    while expected is not None:
        if expected.kind == kind and expected.name == name:
            if not expected.has_ended:
                expected.is_recorded = is_found = True
        elif is_found:
            return
        expected = expected.outer
    if not is_found:
        UNEXPECTED[kind, name] += 1


def is_prefixed(name: str, own: str) -> bool:
    """Return whether `name` is `own` with a prefix, as `weather_forecast` is `forecast`."""
    return name.endswith(own) and name[: -len(own)][-1:] in _SEPARATORS


def is_served(name: str) -> bool:
    """Return whether a server has listed a tool of this name; frameworks may put the name of the server before it."""
    return name in SERVED or any(is_prefixed(name, own) for own in SERVED)


def announced_name(name: str) -> str:
    """Return the name under which a framework has announced this call of a server's tool; `name` by default."""
    expected = CURRENT.get()
    while expected is not None:
        shown = expected.name or ""
        is_open = not (expected.is_recorded or expected.has_ended)
        if expected.kind == TOOL and is_open and (shown == name or is_prefixed(shown, name)):
            return shown
        expected = expected.outer
    return name


def call_id_of(name: str) -> str | None:
    """Return the id of the model's request for the tool of this name that is about to run; `None` if unknown."""
    expected = find_announced({name})
    return None if expected is None else expected.call_id


def find_announced(names: Collection[str]) -> AnnouncedCall | None:
    """Return the innermost announced call of a tool with one of these names that no seam has recorded yet."""
    expected = CURRENT.get()
    while expected is not None:
        if (
            expected.kind == TOOL
            and expected.name in names
            and not (expected.is_recorded or expected.has_ended)
        ):
            return expected
        expected = expected.outer
    return None


def _innermost() -> AnnouncedCall | None:
    """Return the innermost call that has not ended."""
    expected = CURRENT.get()
    while expected is not None and expected.has_ended:
        expected = expected.outer
    return expected
