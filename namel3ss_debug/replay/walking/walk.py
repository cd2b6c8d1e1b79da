"""A position in a recording, the state there, and the moves from it, forwards and backwards.

Every move but a plain one to a number passes over events as a debugger passes over lines: where one of them meets a
breakpoint or a watch, the move ends there. The event that a move leads to is arrived at and not passed. Without
breakpoints a move is a look-up, however many events it passes. In a live program, a move that leads past the last
event lets the program go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Final, Protocol

from namel3ss_debug.expressions import Expression, event_scope
from namel3ss_debug.replay.given.answers import Mocks
from namel3ss_debug.replay.recording.breakpoints import Breakpoint, Known, Place
from namel3ss_debug.replay.recording.history import History, Recording, State
from namel3ss_debug.replay.recording.nth import Nth
from namel3ss_debug.replay.recording.outline import Outline
from namel3ss_debug.replay.recording.variables import TELLING, told
from namel3ss_debug.replay.results import BreakpointRow, Changed, Frame, Numbered, Stopped
from namel3ss_debug.replay.walking import levels
from namel3ss_debug.replay.walking.stops import FOLDED, Lookout, Met, Stop, Stops, Tally
from namel3ss_debug.replay.words import CALL_STARTS
from namel3ss_debug.traces.costs import call_cost, priced, seller_of
from namel3ss_debug.traces.events import Event, begins_span

MOST_FRAMES: Final = 1000
"""How many spans of a stack are shown."""

_BLOCK: Final = 32
_NOTHING: dict[str, Any] = {}

Find = Callable[[], int]
"""The number of the event that a move leads to; 0 as long as there is none."""


class Program(Protocol):
    """A running program, which stands still while its recording is walked through."""

    def go_on(self) -> bool:
        """Let the program run until its recording has at least one more event; False once it has ended."""


class Walk:
    """Stands at an event of a recording and moves.

    Attributes:
        position: the number of the current event; 0 before the first.
        stops: the breakpoints and watches.
        mocks: the answers that are shown in place of recorded ones.
        bookmarks: name -> number of an event.
        due: the commands of the breakpoint that stopped the latest move.
    """

    def __init__(self, recording: Recording, program: Program | None = None) -> None:
        self.recording = recording
        self.program = program
        self.history = History(recording)
        self.position = 0
        self.stops = Stops()
        self.mocks = Mocks(lambda: self.known, self.history.nth)
        self.bookmarks: dict[str, int] = {}
        self.due: tuple[str, ...] = ()
        self._ended = False
        self._outlined = False
        self._entries: dict[Place, Nth | None] = {}
        self._values: dict[str, tuple[int, Any]] = {}

    @property
    def total(self) -> int:
        """How many events the recording has by now."""
        return self.recording.count()

    @property
    def live(self) -> bool:
        """Whether more events may come, because the program has not ended."""
        return self.program is not None and not self._ended

    @property
    def waiting(self) -> bool:
        """Whether a live program waits before the call that starts at the current event."""
        return self.live and self._waits_at(self.event)

    @property
    def outline(self) -> Outline:
        """The shape of the recording."""
        self._outlined = True
        return self.history.outline

    @property
    def event(self) -> Event | None:
        """The current event; None before the first."""
        return self.event_at(self.position) if self.position else None

    @property
    def state(self) -> State:
        """The state after the current event."""
        self._outlined = True
        return self.history.at(self.position)

    @property
    def known(self) -> Known | None:
        """What the recording holds; None where that is not known yet, because a program still runs."""
        self._outlined = True
        return self.history.known if self.program is None else None

    @property
    def known_already(self) -> Known | None:
        """What the recording holds by now, where nothing has to be read for it."""
        return self.history.known if self._outlined else None

    def event_at(self, number: int) -> Event:
        """An event as it is shown: with a mock's answer where there is one."""
        return self._shown(number, self.recording.event(number))

    def around(self, first: int, last: int) -> tuple[Numbered, ...]:
        """The events from one number to another, as far as there are any."""
        begin = max(first, 1)
        events = enumerate(islice(self.recording.events(begin), max(last - begin + 1, 0)), begin)
        return tuple((number, self._shown(number, event)) for number, event in events)

    def stack(self) -> tuple[Frame, ...]:
        """The spans that the current event is inside, outermost first; starts and ends are inside their own span."""
        return self.stack_and_more()[0]

    def stack_and_more(self) -> tuple[tuple[Frame, ...], int]:
        """The stack and, where it is very deep, how many spans further out are left out of it."""
        spans = self.outline.stack(self.position)
        more = max(len(spans) - MOST_FRAMES, 0)
        return tuple(map(self.history.frame, spans[more:])), more

    def span(self) -> int:
        """The start of the span that the current event is inside; starts and ends are inside their own; 0 for none."""
        if not self.position:
            return 0
        return self.position if self._is_start(self.position) else self.outline.enclosing(self.position)

    def value(self, expression: Expression, number: int | None = None) -> Any:
        """The value of an expression with the state at the current event; before the first, every field is null.

        Args:
            expression: what to evaluate.
            number: the event whose fields are meant, where it is not the current one.
        """
        return self._value(expression, self.position, self.position if number is None else number)

    def variables(self, changed: dict[str, int], at_hand: Numbered | None = None) -> dict[str, Any]:
        """The values of `state.*`, by the number of the event that told each; an event at hand is not read again."""
        values = self._values
        tellings = {} if at_hand is None else {at_hand[0]: told(at_hand[1])}
        for name, number in changed.items():
            if name not in values or values[name][0] != number:
                if number not in tellings:
                    tellings[number] = told(self.recording.event(number))
                values[name] = (number, tellings[number].get(name))
        return {name: values[name][1] for name in changed}

    def add(self, wanted: Breakpoint) -> int:
        """Set a breakpoint and give it a number, which is never given again."""
        stop = Stop(breakpoint=wanted, temporary=wanted.temporary, enabled=wanted.enabled)
        return self.stops.add(stop).number

    def rows(self) -> tuple[BreakpointRow, ...]:
        """The breakpoints and watches with their hits."""
        return self.stops.rows()

    def go(self, number: int, reason: str = "goto") -> Stopped:
        """Move to an event; before the first and after the last there is nothing to move to."""
        total = self.total
        self.position = min(max(number, 0), total)
        edge = "start" if self.position == 0 else "end" if number > total else reason
        return self._stopped(edge)

    def step(self, count: int) -> Stopped:
        """Move by so many events, backwards where it is negative."""
        number = self.position + count
        if count < 0:
            return self._back_to(number, "step")
        return self._on_to(lambda: number if number <= self.total else 0, "step")

    def next(self, count: int, chosen: int = 0) -> Stopped:
        """Move by so many events at the same level, past what happens inside spans; backwards where it is negative.

        Args:
            count: how many.
            chosen: the start of a span around the current event, from which it is counted, as from a frame that was
                chosen in pdb; the current event itself where it is 0.
        """
        begun = self.position
        at, left = chosen or begun, abs(count)
        if count < 0:
            outline = self.outline
            while at and left:
                at, left = levels.back_over(outline, at), left - 1
            return self._back_to(at, "step")

        def find() -> int:
            nonlocal at, left
            outline = self.outline
            while left and (following := self._over(outline, at)):
                at, left = following, left - (following > begun)
            return 0 if left else at

        return self._on_to(find, "step")

    def until(self, number: int = 0, chosen: int = 0) -> Stopped:
        """Move forwards to an event; without a number to the next one not deeper inside than this one or a chosen span."""
        if number:
            return self._on_to(lambda: number if number <= self.total else 0, "until")
        begun = self.position
        at = chosen or begun

        def find() -> int:
            nonlocal at
            while at <= begun and (following := self._beside(at)):
                at = following
            return at if at > begun else 0

        return self._on_to(find, "until")

    def on_to(self, find: Find) -> Stopped:
        """Move forwards to the event that is found."""
        return self._on_to(find, "until")

    def finish(self, chosen: int = 0) -> Stopped:
        """Move forwards to the end of the current or a chosen span; from an end, to that of the span around."""
        span = chosen or self.span()
        if span and self.outline.end(span) == self.position:
            span = levels.level(self.outline, self.position)
        return self._on_to(lambda: self.outline.end(span) if span else 0, "return")

    def finish_back(self, chosen: int = 0) -> Stopped:
        """Move backwards to the start of the current or a chosen span; from a start, to that of the span around."""
        return self._back_to(chosen or self.outline.enclosing(self.position), "return")

    def run(self) -> Stopped:
        """Move forwards to the next event at which something stops, or to the last event."""
        return self._on_to(lambda: 0, "end")

    def run_back(self) -> Stopped:
        """Move backwards to the latest event before this one at which something stops, or to the start."""
        return self._back_to(0, "start")

    def find(self, test: Callable[[Event], bool]) -> int:
        """The next event after the current one that passes a test, among those there are; 0 for none."""
        events = self.history.passing(self.position + 1, self.total + 1)
        return next((number for number, event, _ in events if test(self._shown(number, event))), 0)

    def find_back(self, test: Callable[[Event], bool]) -> int:
        """The latest event before the current one that passes a test; 0 for none."""
        events = self.history.passing(1, self.position, back=True)
        return next((number for number, event, _ in events if test(self._shown(number, event))), 0)

    def _on_to(self, find: Find, reason: str) -> Stopped:
        """Move forwards to where `find` leads, past the events between; where that is nowhere, to the end."""
        while True:
            target, last = find(), self.total
            halted = self._pass(self.position + 1, target or last + 1)
            if halted is not None:
                return halted
            if target:
                return self.go(target, reason)
            self.position = last  # what was passed stays passed when the program is interrupted
            if not self._go_on():
                return self.go(last + 1, reason)

    def _go_on(self) -> bool:
        """Let a live program go on; False where there is none, or it has ended without another event."""
        if self.program is None or self._ended:
            return False
        self._ended = not self.program.go_on()
        return not self._ended or self.total > self.position

    def _back_to(self, target: int, reason: str) -> Stopped:
        """Move backwards to an event, past the events between; at 0 and below there is only the start to stop at."""
        return self._pass(max(target + 1, 1), self.position, back=True) or self.go(target, reason)

    def _pass(self, first: int, end: int, *, back: bool = False) -> Stopped | None:
        """Pass the events from one to before another; where one of them stops the walk, stand there."""
        lookout = Lookout(
            self.stops,
            self._entry,
            lambda watched, number: self._value(watched, number, number),
            lambda: self.history.known,
        )
        if first >= end or not lookout.stops:
            return None
        tally = Tally()
        for number, event, met in self._meetings(lookout, first, end, back=back):
            stopping = tally.stopping(met)
            if stopping:
                tally.count(self.stops)
                return self._halt(number, event, stopping)
        tally.count(self.stops)
        return None

    def _meetings(
        self, lookout: Lookout, first: int, end: int, *, back: bool
    ) -> Iterator[tuple[int, Event, list[Met]]]:
        """The events from one to before another that meet anything."""
        # An event that fails by a fault alone is of another kind than the recorded one.
        filters = None if self.mocks.faults else lookout.filters
        passing = self.history.passing(first, end, filters, back=back)
        if not (back and lookout.watches):
            yield from self._met(lookout, passing)
            return
        while block := list(islice(passing, _BLOCK)):  # values are compared in the order they came in
            yield from reversed(list(self._met(lookout, reversed(block))))

    def _met(
        self, lookout: Lookout, passing: Iterable[tuple[int, Event, State]]
    ) -> Iterator[tuple[int, Event, list[Met]]]:
        """Of passing events, those that meet anything."""
        totals, values, seen = _NOTHING, _NOTHING, -1
        for number, event, state in passing:
            if lookout.reads_totals:
                totals = state.totals.scope()
            # of two events in a row the state differs only where the second one tells of it
            if lookout.reads_state and (seen != number - 1 or event["event_type"] in TELLING):
                values = self.variables(state.changed, (number, event))
            seen = number
            shown = self._shown(number, event)
            read = self._priced(number, shown) if lookout.reads_cost else shown
            met = lookout.meet(number, read, totals, values)
            if met:
                yield number, shown, met

    def _halt(self, number: int, event: Event, stopping: list[Met]) -> Stopped:
        """Stand at an event that stopped the walk; the first of what did is told."""
        self.position = number
        for each in stopping:
            if each.stop.temporary:
                self.stops.remove(each.stop.number)
        stop, changed = stopping[0]
        reason = "breakpoint" if stop.watch is None else "watch"
        halted = self._stopped(reason, event, stop, changed)
        self.due = stop.commands
        return halted

    def _stopped(
        self,
        reason: str,
        event: Event | None = None,
        stop: Stop | None = None,
        changed: Changed | None = None,
    ) -> Stopped:
        """How the walk stands now, and why; the current event is read where it is not at hand."""
        self.due = ()
        if event is None:
            event = self.event
        return Stopped(
            number=self.position,
            event=event,
            reason=reason,
            total=self.total,
            breakpoint=None if stop is None else stop.number,
            place=None if stop is None else stop.place,
            changed=changed,
            waiting=self.live and self._waits_at(event),
        )

    def _waits_at(self, event: Event | None) -> bool:
        """Whether the current event is the start of a call, and the last one that there is."""
        return event is not None and event["event_type"] in CALL_STARTS and self.position == self.total

    def _over(self, outline: Outline, number: int) -> int:
        """Where `next` leads; in a live program nowhere, until the span that is passed over has ended."""
        if not self.live or not number:
            return levels.over(outline, number)
        return outline.end(number) or (0 if self._is_start(number) else outline.following(number))

    def _beside(self, number: int) -> int:
        """Where `until` leads; in a live program nowhere, until something happens there."""
        if not self.live or not number:
            return levels.beside(self.outline, number)
        return self.outline.following(number)

    def _is_start(self, number: int) -> bool:
        kind = self.outline.kind(number)
        event_type = self.recording.event(number)["event_type"] if kind is None else kind.event_type
        return begins_span(event_type)

    def _shown(self, number: int, event: Event) -> Event:
        """An event of the recording with a mock's answer; what a live program was answered is in its events already."""
        if not len(self.mocks) or event["event_type"][-4:] != "_end" or self.program is not None:
            return event
        begun = levels.own_start(self.outline, number)
        return self.mocks.answered(number, event, (begun, self.recording.event(begun)) if begun else None)

    def _priced(self, number: int, event: Event) -> Event:
        """An event as an expression reads it that asks for the cost."""
        if event.get("component") != "llm" or event["event_type"][-4:] != "_end":
            return event
        begun = levels.own_start(self.outline, number)
        start = self.recording.event(begun) if begun else {}
        return priced(event, call_cost(event, seller_of(start.get("metadata"))))

    def _value(self, expression: Expression, at: int, number: int) -> Any:
        state = self.history.at(at)
        values = self.variables(state.changed) if "state" in expression.names else _NOTHING
        event = self.event_at(number) if number and not expression.names <= FOLDED else {}
        if number and "cost_estimate" in expression.names:
            event = self._priced(number, event)
        return expression.evaluate(event_scope(number, event, state.totals.scope(), values))

    def _entry(self, place: Place) -> Nth | None:
        """The entry that a place with an occurrence means; a live program may come to it later."""
        if self._entries.get(place) is None and (place not in self._entries or self.program is not None):
            self._entries[place] = self.history.nth(place)
        return self._entries[place]
