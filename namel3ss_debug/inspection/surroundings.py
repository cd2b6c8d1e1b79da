"""Finds the surroundings of one event of a recording: the spans around it, its neighbours, and what is inside it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from namel3ss_debug.inspection.selection import Events, Numbered
from namel3ss_debug.traces.events import Event, ends_span

LOOK = 50_000
"""How many events `context` reads on either side at most."""

_HEAD = 1000
_AROUND = 3
"""How many neighbours are returned on each side."""

_INSIDE = 20
"""How many of the events inside are returned; all are counted."""


@dataclass(frozen=True)
class Context:
    """The surroundings of one event.

    Attributes:
        number: its place in the trace.
        event: the event.
        other_half: the end of a start or the start of an end, with its number; None where there is none.
        above: the starts of the spans it is inside, outermost first.
        before: the events before it in the same span, latest last.
        after: the events after it in the same span.
        inside: the first events directly inside its own span.
        inside_total: how many events are directly inside its own span.
        complete: whether everything was read; a very large trace is only read near the event.
    """

    number: int
    event: Event
    other_half: Numbered | None = None
    above: tuple[Numbered, ...] = ()
    before: tuple[Numbered, ...] = ()
    after: tuple[Numbered, ...] = ()
    inside: tuple[Numbered, ...] = ()
    inside_total: int = 0
    complete: bool = True


class Indexed(Events, Protocol):
    """A trace in which an event can be found by its number."""

    def event(self, number: int) -> Event:
        """The event with this number."""


def context(trace: Indexed, number: int, *, look: int = LOOK) -> Context:
    """The surroundings of the event with this number.

    Args:
        trace: the trace.
        number: the place of the event, from 1.
        look: how many events are read on either side at most, besides the first thousand of the trace.

    Raises:
        UnreadableTraceError: there is no such event.
    """
    event = trace.event(number)
    kind = event["event_type"]
    is_end = ends_span(kind)
    parent = event.get("parent_event_id")
    sought = _Search(trace, number, look)
    start = sought.find(parent) if is_end else None
    holder = start[1].get("parent_event_id") if start is not None else None if is_end else parent
    above = sought.chain(holder)
    own = parent if is_end else event.get("event_id") if kind.endswith("_start") else None
    end, within, total, reached = _inside(trace, start or (number, event), own, look)
    return Context(
        number,
        event,
        start if is_end else end,
        above,
        sought.siblings(holder) if holder is not None else (),
        _after(trace, (end or (number, event))[0], holder) if holder is not None else (),
        within,
        total,
        reached and sought.complete,
    )


class _Search:
    """Finds starts by id before an event: in the events just before it, and at the head of the trace."""

    def __init__(self, trace: Events, number: int, look: int) -> None:
        first = max(1, number - look)
        self.number = number
        self.starts: dict[str, Numbered] = {}
        self.lowest = first
        self.trace = trace
        self.complete = True
        self._read = number

    def find(self, wanted: str | None) -> Numbered | None:
        """The start with this id; reads further back only as far as needed."""
        if wanted is None:
            return None
        size = 256
        while wanted not in self.starts and self._read > self.lowest:
            begin = max(self.lowest, self._read - size)
            self._gather(begin, self._read)
            self._read, size = begin, size * 4
        if wanted not in self.starts and self.lowest > 1:
            self._gather(1, min(_HEAD + 1, self.lowest))
            self.complete = self.complete and wanted in self.starts
        return self.starts.get(wanted)

    def _gather(self, begin: int, end: int) -> None:
        found = {
            event["event_id"]: (number, event)
            for number, event in enumerate(islice(self.trace.events(begin), end - begin), begin)
            if event["event_type"].endswith("_start") and "event_id" in event
        }
        self.starts = found | self.starts  # where ids repeat, the latest before the event counts

    def chain(self, wanted: str | None) -> tuple[Numbered, ...]:
        """The starts from the outermost to the one with this id; a circle of parents is cut."""
        found: list[Numbered] = []
        seen: set[str] = set()
        while wanted is not None and wanted not in seen:
            seen.add(wanted)
            start = self.find(wanted)
            if start is None:
                break
            if start[1]["event_type"] != "trace_start":
                found.append(start)
            wanted = start[1].get("parent_event_id")
        return tuple(reversed(found))

    def siblings(self, holder: str) -> tuple[Numbered, ...]:
        """The last events before this one that are directly inside the same span."""
        begin = max(1, self.number - _HEAD)
        before = enumerate(islice(self.trace.events(begin), self.number - begin), begin)
        found = [item for item in before if _directly_inside(item[1], holder)]
        return tuple(found[-_AROUND:])


def _directly_inside(event: Event, holder: str) -> bool:
    return event.get("parent_event_id") == holder and event["event_type"][-4:] != "_end"


def _inside(
    trace: Events, start: Numbered, own: str | None, look: int
) -> tuple[Numbered | None, tuple[Numbered, ...], int, bool]:
    """The end of a span, what is directly inside it, how many there are, and whether its end was reached."""
    within: list[Numbered] = []
    total = 0
    if own is None:
        return None, (), 0, True
    prefix = start[1]["event_type"].removesuffix("_start").removesuffix("_end")
    for read, (number, event) in enumerate(enumerate(trace.events(start[0] + 1), start[0] + 1)):
        if read >= look:
            return None, tuple(within), total, False
        if event.get("parent_event_id") != own:
            continue
        if event["event_type"] == f"{prefix}_end":
            return (number, event), tuple(within), total, True
        if event["event_type"][-4:] != "_end":
            total += 1
            if len(within) < _INSIDE:
                within.append((number, event))
    return None, tuple(within), total, True


def _after(trace: Events, number: int, holder: str) -> tuple[Numbered, ...]:
    """The next events after this one that are directly inside the same span."""
    later = enumerate(islice(trace.events(number + 1), _HEAD), number + 1)
    return tuple(islice((item for item in later if _directly_inside(item[1], holder)), _AROUND))
