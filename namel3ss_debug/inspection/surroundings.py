"""Find the surroundings of one event of a trace: the spans around it, its neighbours, and the events inside it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from namel3ss_debug.inspection.selection import EventSource, Numbered
from namel3ss_debug.traces.events import Event, ends_span

MAX_EVENTS_READ = 50_000
"""How many events `find_surroundings` reads on either side at most."""

_HEAD = 1000
"""How many events are read at the head of the trace, where outer spans start, and how many on each side for neighbours."""


_NEIGHBOURS = 3
"""How many neighbours are returned on each side."""

_INSIDE = 20
"""How many of the events inside are returned; all are counted."""


@dataclass(frozen=True)
class Surroundings:
    """The surroundings of one event.

    Attributes:
        number: its number in the trace.
        event: the event.
        other_half: the end of a start or the start of an end, with its number; None if there is none.
        above: the starts of the spans around it, outermost first.
        before: the events before it in the same span, latest last.
        after: the events after it in the same span.
        inside: the first events directly inside its own span.
        inside_total: how many events are directly inside its own span.
        complete: whether everything was read; a very large trace is read only near the event.
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


class IndexedEvents(EventSource, Protocol):
    """A trace in which an event can be found by its number."""

    def event(self, number: int) -> Event:
        """Return the event with this number."""


def find_surroundings(trace: IndexedEvents, number: int, *, look: int = MAX_EVENTS_READ) -> Surroundings:
    """Return the surroundings of the event with this number.

    Args:
        trace: the trace.
        number: the number of the event, from 1.
        look: how many events are read on either side at most, besides the first thousand of the trace.

    Raises:
        UnreadableTraceError: there is no such event.
    """
    event = trace.event(number)
    kind = event["event_type"]
    is_end = ends_span(kind)
    parent = event.get("parent_event_id")
    search = _StartSearch(trace, number, look)
    start = search.find(parent) if is_end else None
    parent_id = start[1].get("parent_event_id") if start is not None else None if is_end else parent
    above = search.find_chain(parent_id)
    span_id = parent if is_end else event.get("event_id") if kind.endswith("_start") else None
    end, inside, total, reached = _read_inside(trace, start or (number, event), span_id, look)
    return Surroundings(
        number,
        event,
        start if is_end else end,
        above,
        search.find_siblings(parent_id) if parent_id is not None else (),
        _find_after(trace, (end or (number, event))[0], parent_id) if parent_id is not None else (),
        inside,
        total,
        reached and search.complete,
    )


class _StartSearch:
    """A search for starts by id before an event: in the events just before it, and at the head of the trace."""

    def __init__(self, trace: EventSource, number: int, look: int) -> None:
        first = max(1, number - look)
        self.number = number
        self.starts: dict[str, Numbered] = {}
        self.lowest = first
        self.trace = trace
        self.complete = True
        self._read = number

    def find(self, wanted: str | None) -> Numbered | None:
        """Return the start with this id; read further back only as far as needed."""
        if wanted is None:
            return None
        # The search goes backwards in growing steps, so that a near start needs little reading.
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
        starts = {
            event["event_id"]: (number, event)
            for number, event in enumerate(islice(self.trace.events(begin), end - begin), begin)
            if event["event_type"].endswith("_start") and "event_id" in event
        }
        self.starts = starts | self.starts  # if ids repeat, the latest start before the event counts

    def find_chain(self, wanted: str | None) -> tuple[Numbered, ...]:
        """Return the starts from the outermost to the one with this id; a cycle of parents is cut."""
        starts: list[Numbered] = []
        seen: set[str] = set()
        while wanted is not None and wanted not in seen:
            seen.add(wanted)
            start = self.find(wanted)
            if start is None:
                break
            if start[1]["event_type"] != "trace_start":
                starts.append(start)
            wanted = start[1].get("parent_event_id")
        return tuple(reversed(starts))

    def find_siblings(self, parent_id: str) -> tuple[Numbered, ...]:
        """Return the last events before this one that are directly inside the same span."""
        begin = max(1, self.number - _HEAD)
        before = enumerate(islice(self.trace.events(begin), self.number - begin), begin)
        siblings = [item for item in before if _is_directly_inside(item[1], parent_id)]
        return tuple(siblings[-_NEIGHBOURS:])


def _is_directly_inside(event: Event, parent_id: str) -> bool:
    return event.get("parent_event_id") == parent_id and event["event_type"][-4:] != "_end"


def _read_inside(
    trace: EventSource, start: Numbered, span_id: str | None, look: int
) -> tuple[Numbered | None, tuple[Numbered, ...], int, bool]:
    """Return the end of a span, the first events directly inside it, their number, and whether the end was reached."""
    inside: list[Numbered] = []
    total = 0
    if span_id is None:
        return None, (), 0, True
    prefix = start[1]["event_type"].removesuffix("_start").removesuffix("_end")
    for read, (number, event) in enumerate(enumerate(trace.events(start[0] + 1), start[0] + 1)):
        if read >= look:
            return None, tuple(inside), total, False
        if event.get("parent_event_id") != span_id:
            continue
        if event["event_type"] == f"{prefix}_end":
            return (number, event), tuple(inside), total, True
        if event["event_type"][-4:] != "_end":
            total += 1
            if len(inside) < _INSIDE:
                inside.append((number, event))
    return None, tuple(inside), total, True


def _find_after(trace: EventSource, number: int, parent_id: str) -> tuple[Numbered, ...]:
    """Return the next events after this one that are directly inside the same span."""
    later = enumerate(islice(trace.events(number + 1), _HEAD), number + 1)
    return tuple(islice((item for item in later if _is_directly_inside(item[1], parent_id)), _NEIGHBOURS))
