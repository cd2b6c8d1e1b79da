"""The shape of a trace and the state at any of its events, each by a few look-ups.

Reading the trace once builds its outline and running totals. Events that were added since are read when they are needed. A
step back and a move to any event cost what a step
forward costs, and a search for a location decodes only the events that may belong to it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import merge
from itertools import islice, takewhile
from typing import Protocol, runtime_checkable

from namel3ss_debug.prices import PICODOLLARS
from namel3ss_debug.replay.debugger.breakpoints import Breakpoint
from namel3ss_debug.replay.debugger.locations import Location, Occurrence, TraceContents, count_kinds
from namel3ss_debug.replay.debugger.outline import Outline
from namel3ss_debug.replay.debugger.results import CallRow, Frame
from namel3ss_debug.replay.debugger.running_totals import CumulativeTotals, count_calls
from namel3ss_debug.traces.events import Event, NumberedEvents
from namel3ss_debug.traces.index import Index
from namel3ss_debug.traces.totals import Totals

_NO_FRAMES: Mapping[int, Sequence[str]] = {}


@runtime_checkable
class IndexedTrace(NumberedEvents, Protocol):
    """A trace in files, as `Trace` is."""

    def index(self) -> Index:
        """Return where its events are in the files; another object when the files have changed."""

    def has_index(self) -> bool:
        """Return whether there is an index already, so that `index` need not read the trace."""

    def indexed_events(self) -> Iterator[Event]:
        """Yield all events, and build the index on the way."""

    def chosen(self, numbers: Iterable[int]) -> Iterator[tuple[int, Event]]:
        """Yield the events with these numbers, each with its number."""


class StateAt:
    """The state after one event, computed when it is read.

    Attributes:
        number: the number of the event; 0 before the first.
    """

    __slots__ = ("_history", "number")

    def __init__(self, number: int, history: History) -> None:
        self.number = number
        self._history = history

    @property
    def totals(self) -> Totals:
        """Time, tokens, cost and failures up to the event."""
        return self._history.totals_at(self.number)

    @property
    def changed(self) -> dict[str, int]:
        """Name -> number of the event that last reported its value."""
        return self._history.changed_at(self.number)

    def frames(self) -> tuple[Frame, ...]:
        """Return the open spans, oldest first."""
        return self._history.open_at(self.number)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StateAt) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self.number)

    def __repr__(self) -> str:
        return f"StateAt{self._values()}"

    def _values(self) -> tuple[object, ...]:
        return self.number, self.totals, self.changed, self.frames()


class History:
    """The shape of one trace, and the state at each of its events."""

    def __init__(self, trace: NumberedEvents, frames: Mapping[int, Sequence[str]] = _NO_FRAMES) -> None:
        self._trace = trace
        self._frames = frames  # of a running program: no kind of event holds them
        self._indexed = trace if isinstance(trace, IndexedTrace) else None
        self._index: Index | None = None
        self._outline, self._totals = Outline(), CumulativeTotals()
        self._complete = True  # False while events are added, and after an interruption
        self._contents: tuple[int, TraceContents] | None = None

    @property
    def outline(self) -> Outline:
        """The shape of all events that the trace has by now."""
        self.refresh()
        return self._outline

    @property
    def contents(self) -> TraceContents:
        """What the trace holds by now, for checking locations."""
        outline = self.outline
        if self._contents is None or self._contents[0] != outline.count:
            self._contents = (outline.count, count_kinds(outline.kinds))
        return self._contents[1]

    def refresh(self) -> None:
        """Read the events that were added since the last time; the first time, all of them.

        Raises:
            UnreadableTraceError: the trace cannot be read.
        """
        if not self._complete:
            self._reset()
        if self._indexed is not None:
            self._refresh_indexed(self._indexed)
        elif self._trace.count() > self._outline.count:
            self._add(self._trace.events(self._outline.count + 1))

    def at(self, number: int) -> StateAt:
        """Return the state after an event, or after the last one if there are not so many."""
        if number > self._outline.count:
            self.refresh()
        return StateAt(max(min(number, self._outline.count), 0), self)

    def totals_at(self, number: int) -> Totals:
        """Return time, tokens, cost and failures up to an event."""
        return self._totals.totals(number, bisect_right(self._outline.failures, number))

    def cost_of(self, number: int) -> float | None:
        """Return what the call that ends with an event cost, in US dollars; None if it is nothing or unknown."""
        self.at(number)
        cost = self._totals.cost_of(number)
        return cost / PICODOLLARS if cost else None

    def changed_at(self, number: int) -> dict[str, int]:
        """Return name -> number of the last event up to this one that reported its value."""
        return self._totals.changed(number)

    def open_at(self, number: int) -> tuple[Frame, ...]:
        """Return the spans that are open after an event, oldest first."""
        return tuple(map(self.frame, self._outline.open_at(number)))

    def calls_at(self, number: int, component: str) -> tuple[CallRow, ...]:
        """Return the calls of each tool (`tool`) or model (`llm`) up to an event, in the order of their first calls."""
        self.at(number)
        return tuple(count_calls(self._outline.settled_spans(), component, number))

    def frame(self, start: int) -> Frame:
        """Return the frame of the span that a start begins."""
        kind = self._outline.kind(start)
        event = self._trace.event(start) if kind is None else kind.to_event()
        name = event.get("component_name")
        return Frame(start, event["event_type"], str(event.get("component", "")), name)

    def find_occurrence(self, location: Location) -> Occurrence | None:
        """Return the entry that a location means; None if there are not so many, or it has no occurrence."""
        if location.occurrence is None:
            return None
        number = next(islice(self._entries(location), location.occurrence - 1, None), 0)
        return Occurrence(number, self._outline.end(number)) if number else None

    def count_entries(self, location: Location, number: int) -> int:
        """Return how many events up to this one enter a location, without its occurrence."""
        return sum(1 for _ in takewhile(lambda entry: entry <= number, self._entries(location)))

    def _entries(self, location: Location) -> Iterator[int]:
        """Yield the numbers of the events that enter a location."""
        outline = self.outline
        wanted = outline.kinds.select(location.enters, named=location.reads != "kind")
        for number in outline.forward(wanted, 1, outline.count + 1):
            # Of a kind without name and call site, each event must be read.
            if outline.kind(number) is not None or location.enters(self._trace.event(number)):
                yield number

    def passing(
        self, first: int, end: int, breakpoints: Iterable[Breakpoint] | None = None, *, back: bool = False
    ) -> Iterator[tuple[int, Event, StateAt]]:
        """Yield the events from one number to before another at which stepping may have to stop, in order.

        Args:
            first: the number of the first event that counts.
            end: one more than the number of the last; numbers past the end of the trace are left out.
            breakpoints: leave out the events that none of these can stop at; without them all events are returned.
            back: the latest first, at the same cost.
        """
        self.at(end - 1)
        first, end = max(first, 1), min(end, self._outline.count + 1)
        numbers: Iterable[int] | None = None
        if breakpoints is not None:
            numbers = self._find_candidates(list(breakpoints), first, end, back=back)
        if numbers is None:
            numbers = range(end - 1, first - 1, -1) if back else range(first, end)
        chosen: Iterable[tuple[int, Event]]
        if self._indexed is not None:
            chosen = self._indexed.chosen(numbers)
        else:
            chosen = ((number, self._trace.event(number)) for number in numbers)
        for number, event in chosen:
            yield number, event, StateAt(number, self)

    def _find_candidates(
        self, breakpoints: list[Breakpoint], first: int, end: int, *, back: bool
    ) -> Iterable[int] | None:
        """Return the events that any of the breakpoints may stop at; None where it may be any event."""
        outline = self._outline
        single: set[int] = set()
        wanted: bytearray | None = None
        for location in (each.parsed for each in breakpoints):
            also: bytearray | None = None
            if location.number is not None:
                single.add(location.number)
            elif location.occurrence is not None:
                single |= {*(self.find_occurrence(location) or ())}
            elif location.reads == "text" or (location.reads == "site" and self._frames):
                return None
            else:
                test = location.enters if location.condition is None else location.covers
                also = outline.kinds.select(test, named=location.reads != "kind")
            if also is not None:
                wanted = also if wanted is None else bytearray(map(int.__or__, wanted, also))
        some = sorted((number for number in single if first <= number < end), reverse=back)
        if wanted is None:
            return some
        many = outline.backward(wanted, first, end) if back else outline.forward(wanted, first, end)
        return many if not some else _skip_repeated(merge(many, some, reverse=back))

    def _refresh_indexed(self, trace: IndexedTrace) -> None:
        """Add the events that are new; all of them where the trace is another one."""
        if self._index is None and not trace.has_index():
            self._add(trace.indexed_events())
        index = trace.index()
        if index is self._index:
            return
        if self._index is not None and not _has_grown(self._index, index):
            self._reset()
        count = self._outline.count
        if count < index.count:
            self._add(islice(trace.events(count + 1), index.count - count))
        self._index = index

    def _add(self, events: Iterable[Event]) -> None:
        outline, totals = self._outline, self._totals
        self._complete = False  # Ctrl-C between the two calls below would leave them out of step
        for event in events:
            totals.add(event, outline.add(event))
        self._complete = True

    def _reset(self) -> None:
        self._outline, self._totals = Outline(), CumulativeTotals()
        self._index, self._complete = None, True


def _has_grown(before: Index, now: Index) -> bool:
    """Return whether a trace has only grown at its end, and its events keep their numbers."""
    settled = before.resume is not None and before.resume[1] == before.count
    if not before.files or not settled or len(now.files) < len(before.files):
        return False
    old, new = before.files[-1], now.files[len(before.files) - 1]
    grew = new == old or new.size > old.size
    same = new._replace(size=old.size, modified_ns=old.modified_ns) == old
    return grew and same and before.files[:-1] == now.files[: len(before.files) - 1]


def _skip_repeated(numbers: Iterable[int]) -> Iterator[int]:
    before = 0
    for number in numbers:
        if number != before:
            yield number
        before = number
