"""Gives ids and parents to the events of files by other writers, which have our format but no ids.

They are found by nesting: an end closes the innermost open start of its own kind (and of its component and name,
where both have them), and any other event happened inside the innermost open start. Each `execution_id` is nested by
itself.
"""

from __future__ import annotations

from typing import Any

from namel3ss_debug.traces.events import Event

_NAMES = {
    "agent": "agent_name",
    "chain": "chain_name",
    "llm": "model",
    "memory": "memory_name",
    "prompt": "prompt_name",
    "tool": "tool_name",
}
_LIFTED = {
    "tokens_used": ("tokens_used", int),
    "cost_estimate": ("cost", float | int),
    "error": ("error_message", str),
    "error_type": ("error_type", str),
    "stack_trace": ("stack_trace", str),
}
_MOST_OPEN = 10_000
_MOST_LOOKED_AT = 1_000


class _Open:
    """A start whose end has not come yet."""

    __slots__ = ("closed", "component", "event_id", "name")

    def __init__(self, event: Event) -> None:
        self.event_id: str = event["event_id"]
        self.component: str = event["component"]
        self.name: str | None = event.get("component_name")
        self.closed = False

    def fits(self, end: Event) -> bool:
        """Whether `end` may be the end of this start; a field that one of them lacks does not speak against it."""
        name = end.get("component_name")
        return self.component == end["component"] and (name is None or self.name in {None, name})


class Nesting:
    """The open starts of each execution in one file; adds to each event in turn the ids and names that it lacks."""

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix
        self._seen = 0
        self._stacks: dict[Any, list[_Open]] = {}
        self._kinds: dict[tuple[Any, str], list[_Open]] = {}

    def adopt(self, event: Event) -> None:
        """Give a normalised event an `event_id`, a `parent_event_id` and a name, in place, where it has none."""
        self._seen += 1
        event.setdefault("event_id", f"#{self._prefix}{self._seen}")
        _lift(event)
        event_type: str = event["event_type"]
        execution = event.get("execution_id")
        parent = None
        if event_type.endswith("_end"):
            parent = self._close(execution, event_type[:-4], event)
        if parent is None:
            parent = self._innermost(execution)
        if event_type.endswith("_start"):
            self._push(execution, event_type[:-6], event)
        if parent is not None:
            event.setdefault("parent_event_id", parent)

    def _push(self, execution: Any, kind: str, event: Event) -> None:
        opened = _Open(event)
        for stack in (
            self._stacks.setdefault(execution, []),
            self._kinds.setdefault((execution, kind), []),
        ):
            stack.append(opened)
            if len(stack) > _MOST_OPEN:  # ends never come here: forget the older half
                del stack[: _MOST_OPEN // 2]

    def _close(self, execution: Any, kind: str, event: Event) -> str | None:
        stack = self._kinds.get((execution, kind), [])
        for place in range(len(stack) - 1, max(len(stack) - _MOST_LOOKED_AT, 0) - 1, -1):
            if stack[place].fits(event):
                opened = stack.pop(place)
                opened.closed = True
                return opened.event_id
        return None

    def _innermost(self, execution: Any) -> str | None:
        stack = self._stacks.get(execution, [])
        while stack and stack[-1].closed:
            stack.pop()
        return stack[-1].event_id if stack else None


def _lift(event: Event) -> None:
    """Copy values that other writers keep in `metadata` to their own fields: names, tokens, cost, error."""
    metadata = event.get("metadata")
    if not metadata:
        return
    name = metadata.get(_NAMES.get(event["component"], ""))
    if isinstance(name, str):
        event.setdefault("component_name", name)
    for field, (key, kind) in _LIFTED.items():
        value = metadata.get(key)
        if isinstance(value, kind) and not isinstance(value, bool) and (isinstance(value, str) or value >= 0):
            event.setdefault(field, value)
