"""The state of a recording at any of its events, for little more than the cost of reading a few hundred.

While events are read for the first time, the state is kept every so many events; from the nearest of these
snapshots any other state is a short fold away, so that a step back costs no more than a step forward. When the
snapshots hold too much, every second one is let go.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from namel3ss_debug.replay.results import Frame
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.totals import RunningTotals, Totals

EVERY = 512
MOST_KEPT = 500_000
"""How many open spans and names all snapshots together may hold before they are thinned."""

_MOST_NAMES = 1000


class Recording(Protocol):
    """What a walk needs of a trace."""

    def events(self, start: int = 1) -> Iterator[Event]:
        """All events from the number `start` on."""

    def event(self, number: int) -> Event:
        """The event with this number."""

    def count(self) -> int:
        """How many events there are."""


class OpenSpan(NamedTuple):
    """A span that has begun and not ended: what it is, and the id of the start it happened inside."""

    frame: Frame
    parent: str | None


class State(NamedTuple):
    """The state after one event.

    Attributes:
        number: the number of the event; 0 before the first.
        totals: time, tokens, cost and failures up to it.
        open: id -> open span, oldest first; the process starts (`trace_start`) are among them.
        changed: name -> number of the `state_change` event that last told its value.
    """

    number: int
    totals: Totals
    open: dict[str, OpenSpan]
    changed: dict[str, int]

    def frames(self) -> tuple[Frame, ...]:
        """The open spans, oldest first, without the process starts."""
        return tuple(span.frame for span in self.open.values() if span.frame.event_type != "trace_start")

    def stack(self, inside: str | None) -> tuple[Frame, ...]:
        """The open spans from the outermost to the one with this id; a circle of parents is cut."""
        found: list[Frame] = []
        seen: set[str] = set()
        while inside is not None and inside in self.open and inside not in seen:
            seen.add(inside)
            span = self.open[inside]
            if span.frame.event_type != "trace_start":
                found.append(span.frame)
            inside = span.parent
        return tuple(reversed(found))


BEGINNING = State(0, Totals(), {}, {})


class Fold:
    """A state on its way: `add` takes the next event, `state` gives what it has come to."""

    __slots__ = ("_running", "changed", "number", "open")

    def __init__(self, state: State) -> None:
        self.number, self._running = state.number, RunningTotals(state.totals)
        self.open = state.open.copy()
        self.changed = state.changed.copy()

    def add(self, event: Event) -> None:
        """Take the next event."""
        self.number += 1
        self._running.add(event)
        event_type = event["event_type"]
        if event_type[-6:] == "_start":
            self._begin(event_type, event)
        elif event_type[-4:] == "_end":
            self.open.pop(event.get("parent_event_id", ""), None)
        elif event_type == "state_change":
            values = event.get("outputs")
            for name in values if type(values) is dict else ():
                if name in self.changed or len(self.changed) < _MOST_NAMES:
                    self.changed[name] = self.number

    @property
    def totals(self) -> Totals:
        """The totals up to the latest event."""
        return self._running.totals()

    def _begin(self, event_type: str, event: Event) -> None:
        event_id = event.get("event_id")
        if event_id is None:
            return
        frame = Frame(self.number, event_type, str(event.get("component", "")), event.get("component_name"))
        self.open.pop(event_id, None)  # where ids repeat, the latest start is the one that ends
        self.open[event_id] = OpenSpan(frame, event.get("parent_event_id"))

    def state(self) -> State:
        """The state after the events taken so far."""
        return State(self.number, self.totals, self.open.copy(), self.changed.copy())


class History:
    """The states of one recording."""

    def __init__(self, recording: Recording, every: int = EVERY) -> None:
        self.every = every
        self._recording = recording
        self._snapshots = [BEGINNING]
        self._numbers = [0]
        self._kept = 0
        self._last = BEGINNING

    def at(self, number: int) -> State:
        """The state after the event with this number; after the last one, where there are not so many."""
        if self._last.number != number:
            last = None
            for _, _, fold in self.forward(number - 1) if number > 0 else ():
                last = fold.state()
                break
            self._last = last or self._nearest(number)
        return self._last

    def forward(self, number: int) -> Iterator[tuple[int, Event, Fold]]:
        """The events after this number, each with its number and the fold that has just taken it."""
        nearest = self._nearest(number)
        fold = Fold(nearest)
        for place, event in enumerate(self._recording.events(nearest.number + 1), nearest.number + 1):
            fold.add(event)
            if place == self._numbers[-1] + self.every:
                self._keep(fold.state())
            if place > number:
                yield place, event, fold

    def blocks(self, number: int) -> Iterator[tuple[int, int]]:
        """The numbers before this one in blocks (first, one past the last), the latest block first."""
        end = number
        while end > 1:
            begin = max(
                1, (end - 2) // self.every * self.every + 1
            )  # so that a block begins after a snapshot
            yield begin, end
            end = begin

    def _nearest(self, number: int) -> State:
        if 0 <= self._last.number <= number and self._last.number >= number - self.every:
            return self._last
        return self._snapshots[bisect_right(self._numbers, max(number, 0)) - 1]

    def _keep(self, state: State) -> None:
        self._snapshots.append(state)
        self._numbers.append(state.number)
        self._kept += len(state.open) + len(state.changed)
        if self._kept > MOST_KEPT and len(self._snapshots) > 2:
            self.every *= 2
            self._snapshots = [kept for kept in self._snapshots if kept.number % self.every == 0]
            self._numbers = [kept.number for kept in self._snapshots]
            self._kept = sum(len(kept.open) + len(kept.changed) for kept in self._snapshots)
