"""A position in a recording, the state there, and the moves from it, forwards and backwards."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from namel3ss_debug.expressions import Expression, event_scope
from namel3ss_debug.replay.breakpoints import Breakpoint, Known, Nth, find_nth, know
from namel3ss_debug.replay.history import Fold, History, Recording, State
from namel3ss_debug.replay.results import BreakpointRow, Frame, Stopped
from namel3ss_debug.traces.events import Event

_NOTHING: dict[str, Any] = {}


class Walk:
    """Stands at an event of a recording and moves.

    Attributes:
        position: the number of the current event; 0 before the first.
        breakpoints: number -> breakpoint, in the order in which they were set.
        hits: number -> how often it has stopped the walk.
    """

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.history = History(recording)
        self.position = 0
        self.breakpoints: dict[int, Breakpoint] = {}
        self.hits: dict[int, int] = {}
        self._set = 0
        self._known: Known | None = None
        self._nth: dict[int, Nth | None] = {}
        self._values: dict[str, tuple[int, Any]] = {}

    @property
    def total(self) -> int:
        """How many events the recording has."""
        return self.recording.count()

    @property
    def event(self) -> Event | None:
        """The current event; None before the first."""
        return self.recording.event(self.position) if self.position else None

    @property
    def state(self) -> State:
        """The state after the current event."""
        return self.history.at(self.position)

    @property
    def known(self) -> Known:
        """What the recording holds; read once, when first asked for."""
        if self._known is None:
            self._known = know(self.recording.events())
        return self._known

    def stack(self) -> tuple[Frame, ...]:
        """The spans that the current event is inside, outermost first; starts and ends are inside their own span."""
        event = self.event
        if event is None:
            return ()
        if event["event_type"][-4:] == "_end":  # as at a return in pdb, the frame is still there
            return self.history.at(self.position - 1).stack(event.get("parent_event_id"))
        own = event["event_type"][-6:] == "_start"
        return self.state.stack(event.get("event_id") if own else event.get("parent_event_id"))

    def value(self, expression: Expression) -> Any:
        """The value of an expression at the current event; before the first, every field is null."""
        state = self.state
        values = self.variables(state.changed) if "state" in expression.names else _NOTHING
        return expression.evaluate(event_scope(self.position, self.event or {}, state.totals.scope(), values))

    def around(self, first: int, last: int) -> tuple[tuple[int, Event], ...]:
        """The events from one number to another, as far as there are any."""
        begin = max(first, 1)
        return tuple(enumerate(islice(self.recording.events(begin), max(last - begin + 1, 0)), begin))

    def go(self, number: int, reason: str = "goto") -> Stopped:
        """Move to an event; before the first and after the last there is nothing to move to."""
        total = self.total
        self.position = min(max(number, 0), total)
        edge = "start" if number < 0 or self.position == 0 else "end" if number > total else reason
        return Stopped(self.position, self.event, edge, total)

    def step(self, count: int) -> Stopped:
        """Move by so many events, backwards where it is negative."""
        return self.go(self.position + count, "step")

    def past_chunks(self, count: int) -> Stopped:
        """Move by so many events without counting the chunks of streamed answers, backwards where it is negative."""
        number, left = self.position, abs(count)
        if count < 0:
            while left and number >= 0:
                number -= 1
                left -= number < 1 or not _is_chunk(self.recording.event(number))
            return self.go(number, "step")
        for event in self.recording.events(number + 1):
            number += 1
            left -= not _is_chunk(event)
            if not left:
                return self.go(number, "step")
        return self.go(number + 1, "step")

    def run(self) -> Stopped:
        """Move forwards to the next event at which a breakpoint stops, or to the last event."""
        if self._active():
            for number, event, fold in self.history.forward(self.position):
                hit = self._hit(number, event, fold)
                if hit is not None:
                    return self._stop(number, event, hit)
        self.position = self.total
        return Stopped(self.position, self.event, "end", self.position)

    def run_back(self) -> Stopped:
        """Move backwards to the latest event before this one at which a breakpoint stops, or to the start."""
        active = self._active()
        needs_state = any(found.reads_totals for found in active.values())
        for begin, end in self.history.blocks(self.position) if active else ():
            found: tuple[int, Event, int] | None = None
            for number, event, fold in self._events(begin, end, needs_state=needs_state):
                hit = self._hit(number, event, fold)
                if hit is not None:
                    found = (number, event, hit)
            if found is not None:
                return self._stop(*found)
        self.position = 0
        return Stopped(0, None, "start", self.total)

    def add(self, wanted: Breakpoint) -> int:
        """Set a breakpoint and give it a number, which is never given again."""
        self._set += 1
        self.breakpoints[self._set] = wanted
        self.hits[self._set] = 0
        return self._set

    def remove(self, number: int) -> None:
        """Take a breakpoint away."""
        del self.breakpoints[number], self.hits[number]
        self._nth.pop(number, None)

    def rows(self) -> tuple[BreakpointRow, ...]:
        """The breakpoints with their hits."""
        return tuple(
            BreakpointRow(number, found.parsed.text, found.temporary, found.enabled, self.hits[number])
            for number, found in self.breakpoints.items()
        )

    def _active(self) -> dict[int, Breakpoint]:
        return {number: found for number, found in self.breakpoints.items() if found.enabled}

    def _events(self, begin: int, end: int, *, needs_state: bool) -> Iterator[tuple[int, Event, Fold | None]]:
        if needs_state:
            yield from islice(self.history.forward(begin - 1), end - begin)
        else:
            events = enumerate(islice(self.recording.events(begin), end - begin), begin)
            yield from ((number, event, None) for number, event in events)

    def _hit(self, number: int, event: Event, fold: Fold | None) -> int | None:
        """The first of the breakpoints that stops at this event."""
        for key, found in self.breakpoints.items():
            if found.enabled and self._stops(key, found, number, event, fold):
                return key
        return None

    def _stops(self, key: int, found: Breakpoint, number: int, event: Event, fold: Fold | None) -> bool:
        nth = None
        if found.parsed.occurrence is not None:
            if key not in self._nth:
                self._nth[key] = find_nth(found.parsed, self.recording.events())
            nth = self._nth[key]
        totals = state = _NOTHING
        if fold is not None and found.reads_totals:
            totals = fold.totals.scope()
            state = self.variables(fold.changed)
        return found.stops(number, event, totals, state, nth)

    def _stop(self, number: int, event: Event, key: int) -> Stopped:
        """Stand at an event at which a breakpoint stopped; the other ones that would have are counted as well."""
        self.position = number
        place = self.breakpoints[key].parsed.text
        fold = Fold(self.state)
        for other, found in list(self.breakpoints.items()):
            if found.enabled and self._stops(other, found, number, event, fold):
                self.hits[other] += 1
                if found.temporary:
                    self.remove(other)
        return Stopped(number, event, "breakpoint", self.total, key, place)

    def variables(self, changed: dict[str, int]) -> dict[str, Any]:
        """The values of `state.*`; each is read from its event once."""
        values = self._values
        for name, number in changed.items():
            if name not in values or values[name][0] != number:
                values[name] = (number, self.recording.event(number).get("outputs", {}).get(name))
        return {name: values[name][1] for name in changed}


def _is_chunk(event: Event) -> bool:
    return bool(event["event_type"] == "stream_chunk")
