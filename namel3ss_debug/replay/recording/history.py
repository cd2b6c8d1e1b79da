"""A recording that is walked through: its shape and the state at any of its events, each for a few look-ups.

One pass makes an outline and a ledger of the recording; of a large one they are kept on the disk beside its index.
What was added to the recording since is taken up when it is asked for. A step back and a move to any event cost
what a step forward costs, and a search for a place decodes only the events that may belong to it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import islice
from typing import Protocol, runtime_checkable

from namel3ss_debug.prices import PICODOLLARS
from namel3ss_debug.replay.recording import kept
from namel3ss_debug.replay.recording.breakpoints import Breakpoint, Known, Place, know_kinds
from namel3ss_debug.replay.recording.ledger import Ledger
from namel3ss_debug.replay.recording.nth import Nth, entered
from namel3ss_debug.replay.recording.outline import Outline
from namel3ss_debug.replay.results import CallRow, Frame
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.index import Index
from namel3ss_debug.traces.totals import Totals


class Recording(Protocol):
    """What a walk needs of a trace."""

    def events(self, start: int = 1) -> Iterator[Event]:
        """All events from the number `start` on."""

    def event(self, number: int) -> Event:
        """The event with this number."""

    def count(self) -> int:
        """How many events there are."""


@runtime_checkable
class IndexedRecording(Recording, Protocol):
    """A recording in files, as `Trace` is."""

    def index(self) -> Index:
        """Where its events stand; another object when the files have changed."""

    def has_index(self) -> bool:
        """Whether there is an index already, so that `index` costs no pass."""

    def indexed_events(self) -> Iterator[Event]:
        """All events; the pass makes the index."""

    def chosen(self, numbers: Iterable[int]) -> Iterator[tuple[int, Event]]:
        """The events with these numbers, each with its number."""


LEAST_NEW = 512
"""What is kept is not written again for fewer new events."""


class State:
    """The state after one event; worked out where it is asked for.

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
        """Name -> number of the event that last told its value, as a `state_change` does."""
        return self._history.changed_at(self.number)

    def frames(self) -> tuple[Frame, ...]:
        """The open spans, oldest first."""
        return self._history.open_at(self.number)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, State) and self._told() == other._told()

    def __hash__(self) -> int:
        return hash(self.number)

    def __repr__(self) -> str:
        return f"State{self._told()}"

    def _told(self) -> tuple[object, ...]:
        return self.number, self.totals, self.changed, self.frames()


class History:
    """The shape of one recording, and the state at each of its events."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._indexed = recording if isinstance(recording, IndexedRecording) else None
        self._index: Index | None = None
        self._outline, self._ledger = Outline(), Ledger()
        self._saved = 0
        self._whole = True
        self._known: tuple[int, Known] | None = None

    @property
    def outline(self) -> Outline:
        """The shape of the recording, of all events that it has by now."""
        self.refresh()
        return self._outline

    @property
    def known(self) -> Known:
        """What the recording holds, as `breakpoints.know` counts it."""
        outline = self.outline
        if self._known is None or self._known[0] != outline.count:
            self._known = (outline.count, know_kinds(outline.kinds))
        return self._known[1]

    def refresh(self) -> None:
        """Take up the events that came since the last time; the first time, all of them.

        Raises:
            UnreadableTraceError: the recording cannot be read.
        """
        if not self._whole:  # the last time was broken off
            self._forget()
        if self._indexed is not None:
            self._refresh_indexed(self._indexed)
        elif self._recording.count() > self._outline.count:
            self._take(self._recording.events(self._outline.count + 1))

    def at(self, number: int) -> State:
        """The state after an event; after the last one, where there are not so many."""
        if number > self._outline.count:
            self.refresh()
        return State(max(min(number, self._outline.count), 0), self)

    def totals_at(self, number: int) -> Totals:
        """Time, tokens, cost and failures up to an event."""
        return self._ledger.totals(number, bisect_right(self._outline.failures, number))

    def cost_of(self, number: int) -> float | None:
        """What the call that ends with an event cost, in US dollars; None where that is nothing, or not known."""
        self.at(number)
        cost = self._ledger.cost_of(number)
        return cost / PICODOLLARS if cost else None

    def changed_at(self, number: int) -> dict[str, int]:
        """Name -> number of the event up to this one that last told its value."""
        return self._ledger.changed(number)

    def open_at(self, number: int) -> tuple[Frame, ...]:
        """The spans that are open after an event, oldest first."""
        return tuple(map(self.frame, self._outline.open_at(number)))

    def calls_at(self, number: int, component: str) -> tuple[CallRow, ...]:
        """The calls of each tool (`tool`) or model (`llm`) up to an event, by name in the order they came up."""
        self.at(number)
        return tuple(self._ledger.rows(component, number))

    def frame(self, start: int) -> Frame:
        """What a start says of its span."""
        kind = self._outline.kind(start)
        event = self._recording.event(start) if kind is None else kind.event()
        name = event.get("component_name")
        return Frame(start, event["event_type"], str(event.get("component", "")), name)

    def nth(self, place: Place) -> Nth | None:
        """The entry that a place with an occurrence means; None where there are not so many, as `find_nth` finds it."""
        if place.occurrence is None:
            return None
        outline = self.outline
        wanted = outline.kinds.wanted(place.enters, named=place.reads != "kind")
        numbers = outline.forward(wanted, 1, outline.count + 1)
        sure = (number for number in numbers if self._belongs(place, number))
        number = next(islice(sure, place.occurrence - 1, None), 0)
        return entered(number, self._recording.event(number), outline.end(number)) if number else None

    def passing(
        self, first: int, end: int, breakpoints: Iterable[Breakpoint] | None = None, *, back: bool = False
    ) -> Iterator[tuple[int, Event, State]]:
        """The events from one number to before another at which a walk may have to stop, in order.

        Args:
            first: the number of the first event that counts.
            end: one more than the number of the last; what the recording does not have is left out.
            breakpoints: leave out the events that none of these can stop at; without them all events come.
            back: the latest first, for no more than it costs the other way round.
        """
        self.at(end - 1)
        first, end = max(first, 1), min(end, self._outline.count + 1)
        numbers: Iterable[int] | None = None
        if breakpoints is not None:
            numbers = self._candidates(list(breakpoints), first, end, back=back)
        if numbers is None:
            numbers = range(end - 1, first - 1, -1) if back else range(first, end)
        for number, event in self._chosen(numbers):
            yield number, event, State(number, self)

    def _candidates(
        self, breakpoints: list[Breakpoint], first: int, end: int, *, back: bool
    ) -> Iterable[int] | None:
        """The events that any of the breakpoints may stop at; None where these may be all."""
        outline = self._outline
        single: set[int] = set()
        wanted: bytearray | None = None
        for place in (found.parsed for found in breakpoints):
            if place.number is not None:
                single.add(place.number)
            elif place.occurrence is not None:
                nth = self.nth(place)
                single |= {nth.number, nth.end} if nth is not None else set()
                if nth is not None and nth.event_id and not nth.end and place.condition is not None:
                    # by its id, which another span may have as well
                    ends = outline.kinds.wanted(lambda event: event["event_type"][-4:] == "_end", named=False)
                    wanted = ends if wanted is None else bytearray(map(int.__or__, wanted, ends))
            elif place.reads == "text":
                return None
            else:
                test = place.enters if place.condition is None else place.covers
                also = outline.kinds.wanted(test, named=place.reads != "kind")
                wanted = also if wanted is None else bytearray(map(int.__or__, wanted, also))
        some = sorted((number for number in single if first <= number < end), reverse=back)
        if wanted is None:
            return some
        many = outline.backward(wanted, first, end) if back else outline.forward(wanted, first, end)
        return many if not some else _without_twins(merge(many, some, reverse=back))

    def _belongs(self, place: Place, number: int) -> bool:
        """Whether an event belongs to the entries of a place; the event is read where its kind does not tell."""
        return self._outline.kind(number) is not None or place.enters(self._recording.event(number))

    def _chosen(self, numbers: Iterable[int]) -> Iterator[tuple[int, Event]]:
        if self._indexed is not None:
            return self._indexed.chosen(numbers)
        return ((number, self._recording.event(number)) for number in numbers)

    def _refresh_indexed(self, recording: IndexedRecording) -> None:
        """Take up new events: from the cache where that fits the recording, else from the recording."""
        if self._index is None and not recording.has_index():
            self._take(recording.indexed_events())
        index = recording.index()
        if index is self._index:
            return
        if self._index is not None:
            if not (self._outline.can_grow and kept.Seen.of(self._index).grew_to(index)):
                self._forget()
        elif not self._outline.count:
            self._outline, self._ledger = kept.load(index) or (self._outline, self._ledger)
            self._saved = self._outline.count
        held = self._outline.count
        if held < index.count:
            self._take(islice(recording.events(held + 1), index.count - held))
        if self._outline.count > self._saved + max(self._saved // 10, LEAST_NEW):
            kept.save(index, self._outline, self._ledger)
            self._saved = self._outline.count
        self._index = index

    def _take(self, events: Iterable[Event]) -> None:
        outline, ledger = self._outline, self._ledger
        self._whole = False
        for event in events:
            begun = outline.add(event)
            ledger.add(event, begun, outline.kind(begun))
        self._whole = True

    def _forget(self) -> None:
        self._outline, self._ledger = Outline(), Ledger()
        self._index, self._saved, self._whole = None, 0, True


def _without_twins(numbers: Iterable[int]) -> Iterator[int]:
    before = 0
    for number in numbers:
        if number != before:
            yield number
        before = number
