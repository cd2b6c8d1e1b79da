"""Import files of other writers in our format whose events have no ids: give each an id and a parent.

Parents are found by nesting: an end closes the innermost open start of its own kind (and of its component and name,
where both have them), and any other event happened inside the innermost open start. Each `execution_id` is nested by
itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from namel3ss_debug.traces.decoding import decode, decode_text, looks_like_event
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.lines import Problems
from namel3ss_debug.traces.names import parse_name
from namel3ss_debug.traces.process import ProcessReader

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
_SNIFFED_LINES = 20


def sniff(head: bytes) -> bool:
    """Return whether there are events, and none near the beginning has an id and a number.

    A single event without them may just be damaged, so one with them is enough to make the file one of ours.
    """
    values = [value for line in head.split(b"\n")[:_SNIFFED_LINES] for value in decode(line)[0]]
    if not any(map(looks_like_event, values)):  # one JSON document over many lines
        values = decode_text(head.decode(errors="replace"), lenient=True)[0]
    events = [value for value in values if looks_like_event(value)]
    return bool(events) and not any("event_id" in event and "seq" in event for event in events)


def read(
    files: tuple[Path, ...], problems: Problems, consumed: Callable[[int], None] | None = None
) -> Iterator[Event]:
    """Yield the events of one process with the ids, parents and names that they lack."""
    parts = parse_name(files[0].name)
    number = parts.process if parts is not None else 0
    nesting = Nesting(f"p{number}." if number else "")
    reader = ProcessReader(
        number, files, 0, problems, _ignore_gaps, consumed=consumed, complete_event=nesting.complete
    )
    return reader.events()


def _ignore_gaps(events: int, *, rotated: bool) -> None:
    """Take no notice of missing numbers: these events have none."""


class _Open:
    """An open start."""

    __slots__ = ("closed", "component", "event_id", "name")

    def __init__(self, event: Event) -> None:
        self.event_id: str = event["event_id"]
        self.component: str = event["component"]
        self.name: str | None = event.get("component_name")
        self.closed = False

    def fits(self, end: Event) -> bool:
        """Return whether `end` may be the end of this start: the fields that both have are equal."""
        name = end.get("component_name")
        return self.component == end["component"] and (name is None or self.name in {None, name})


class Nesting:
    """The open starts of each execution in one file; adds to each event in turn the ids and names that it lacks."""

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix
        self._seen = 0
        self._stacks: dict[Any, list[_Open]] = {}
        self._kinds: dict[tuple[Any, str], list[_Open]] = {}

    def complete(self, event: Event) -> None:
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
            if len(stack) > _MOST_OPEN:  # this writer writes no ends: forget the older half
                del stack[: _MOST_OPEN // 2]

    def _close(self, execution: Any, kind: str, event: Event) -> str | None:
        stack = self._kinds.get((execution, kind), [])
        for index in range(len(stack) - 1, max(len(stack) - _MOST_LOOKED_AT, 0) - 1, -1):
            if stack[index].fits(event):
                opened = stack.pop(index)
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
