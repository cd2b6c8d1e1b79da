"""Stepping through a trace: the current event, the state there, and the moves from it, forwards and backwards.

Every move except a plain one to a number passes events as a debugger passes lines: at a breakpoint or a watch on the
way, the move ends. The event that a move leads to is its target and not passed. Without breakpoints a move is a look-up,
however many events it passes. In a live program, a move past the last event lets the program go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, Protocol

from namel3ss_debug.errors import WrongUsageError
from namel3ss_debug.expressions import Expression, event_scope
from namel3ss_debug.expressions.unmet import FieldsRead
from namel3ss_debug.replay.debugger.breakpoints import (
    ACCUMULATED,
    Breakpoint,
    Hit,
    HitCounter,
    HitDetector,
    StopPoint,
    StopPoints,
)
from namel3ss_debug.replay.debugger.history import History, StateAt
from namel3ss_debug.replay.debugger.locations import Location, Occurrence, TraceContents
from namel3ss_debug.replay.debugger.outline import Outline
from namel3ss_debug.replay.debugger.results import Frame, Numbered, Stopped, ValueChange
from namel3ss_debug.replay.debugger.step_channel import CALL_STARTS
from namel3ss_debug.replay.debugger.variables import STATE_EVENTS, read_state
from namel3ss_debug.replay.overrides.active import Overrides
from namel3ss_debug.traces.costs import call_cost, priced, seller_of
from namel3ss_debug.traces.events import Event, NumberedEvents, begins_span, is_unseen
from namel3ss_debug.traces.inputs import EVENT_TYPE as INPUTS_READ
from namel3ss_debug.traces.variables import complete_variables

MOST_FRAMES: Final = 1000
"""How many spans of a stack are shown."""

_BLOCK: Final = 32
_NOTHING: dict[Any, Any] = {}

Find = Callable[[], int]
"""Return the number of the event that a move leads to; 0 as long as there is none."""


class SteppedProgram(Protocol):
    """A running program, which waits while its trace is stepped through."""

    def go_on(self) -> bool:
        """Let the program run until its trace has at least one more event, and return False once it has ended."""

    def ask(self, number: int, about: str, **question: str) -> dict[str, Any] | None:
        """Ask the process that waits at an event about the frames of its thread; None if none waits there."""

    def run_pdb(self, number: int) -> bool:
        """Lend the terminal to a pdb at the frame that waits at an event; return whether the program has gone on.

        Raises:
            WrongUsageError: no frame waits there, or there is no terminal.
        """

    def waits(self) -> bool:
        """Return whether a process waits."""


class Stepper:
    """Step through a trace: hold the current event, and move.

    Attributes:
        position: the number of the current event; 0 before the first.
        stops: the breakpoints and watches.
        overrides: the mocks and faults that are shown in place of recorded answers.
        bookmarks: name -> number of an event.
        due: the commands of the breakpoint that stopped the latest move.
    """

    def __init__(self, trace: NumberedEvents, program: SteppedProgram | None = None) -> None:
        self.trace = trace
        self.program = program
        self._frames: Mapping[int, Sequence[str]] = getattr(program, "frames", _NOTHING)
        self.history = History(trace, self._frames)
        self.position = 0
        self.stops = StopPoints()
        self.overrides = Overrides(lambda: self.contents, self.history.find_occurrence)
        self.bookmarks: dict[str, int] = {}
        self.due: tuple[str, ...] = ()
        self._ended = False
        self._outlined = False
        self._occurrences: dict[Location, Occurrence | None] = {}
        self._values: dict[str, tuple[int, Any]] = {}
        self._watched: dict[object, tuple[int, int, Any]] = {}

    @property
    def total(self) -> int:
        """How many events the trace has by now."""
        return self.trace.count()

    @property
    def live(self) -> bool:
        """Whether the program still runs, so that there may be more events."""
        return self.program is not None and not self._ended

    @property
    def waiting(self) -> bool:
        """Whether a live program waits before the call that starts at the current event."""
        return self.live and self._waits_at(self.event)

    @property
    def outline(self) -> Outline:
        """The shape of the trace."""
        self._outlined = True
        return self.history.outline

    @property
    def event(self) -> Event | None:
        """The current event; None before the first."""
        return self.event_at(self.position) if self.position else None

    @property
    def state(self) -> StateAt:
        """The state after the current event."""
        self._outlined = True
        return self.history.at(self.position)

    @property
    def contents(self) -> TraceContents | None:
        """What the trace holds; None for a program, which may still add anything."""
        self._outlined = True
        return self.history.contents if self.program is None else None

    @property
    def contents_read(self) -> TraceContents | None:
        """What the trace holds by now; None if the trace would have to be read for it."""
        return self.history.contents if self._outlined else None

    def event_at(self, number: int) -> Event:
        """Return an event as it is shown: with the answer of a mock if there is one."""
        return self._override(number, self.trace.event(number))

    def is_quiet(self, number: int) -> bool:
        """Return whether steps, lists and searches pass over an event: a record for the re-run, or a library's command."""
        # The outline needs the whole trace, so the first steps ask it for commands only.
        kind = self.outline.kind(number) if self._outlined else None
        event = self.trace.event(number) if kind is None else kind.to_event()
        is_command = event.get("component") == "command"
        return event["event_type"] == INPUTS_READ or (is_command and self.outline.is_in_background(number))

    def around(self, first: int, last: int) -> tuple[Numbered, ...]:
        """Return the events from one number to another, as far as there are any."""
        begin = max(first, 1)
        events = enumerate(islice(self.trace.events(begin), max(last - begin + 1, 0)), begin)
        return tuple((number, self._override(number, event)) for number, event in events)

    def stack(self) -> tuple[tuple[Frame, ...], int]:
        """Return the spans around the current event, outermost first, and how many further out are left out.

        A start and an end are inside their own span.
        """
        spans = self.outline.stack(self.position)
        more = max(len(spans) - MOST_FRAMES, 0)
        return tuple(map(self.history.frame, spans[more:])), more

    def span(self) -> int:
        """Return the start of the span around the current event, 0 for none; a start and an end are inside their own span."""
        if not self.position:
            return 0
        return self.position if self._is_start(self.position) else self.outline.enclosing(self.position)

    def value(self, expression: Expression, number: int | None = None) -> Any:
        """Return the value of an expression with the state at the current event; before the first, every field is null.

        Args:
            expression: what to evaluate.
            number: the event whose fields are read, if it is not the current one.
        """
        return self._evaluate(expression, self.position, self.position if number is None else number)

    def variables(self, changed: dict[str, int], at_hand: Numbered | None = None) -> dict[str, Any]:
        """Return the values of `state.*`.

        Args:
            changed: name -> number of the event that last reported its value.
            at_hand: an event that has been read, and need not be read again.
        """
        values = self._values
        read = {} if at_hand is None else {at_hand[0]: read_state(at_hand[1])}
        for name, number in changed.items():
            if name not in values or values[name][0] != number:
                if number not in read:
                    read[number] = read_state(self.trace.event(number))
                values[name] = (number, read[number].get(name))
        return {name: values[name][1] for name in changed}

    def ask(self, about: str, **question: str) -> dict[str, Any] | None:
        """Ask about the user's frames that wait at the current event; None if none wait there."""
        return self.program.ask(self.position, about, **question) if self.program and self.live else None

    def run_pdb(self) -> Stopped:
        """Run a pdb at the frame that waits at the current event; it stops there again, or where the program waits next.

        Raises:
            WrongUsageError: no frame waits there, or there is no terminal.
        """
        if self.program is None or not self.live:
            raise WrongUsageError("pdb needs a running program, as of `debug trace --step`")
        if self.program.run_pdb(self.position):
            if not self.program.waits():
                self._go_on()
            self.position = self.total
        return self.go(self.position, "pdb")

    def add(self, wanted: Breakpoint) -> int:
        """Set a breakpoint, and return its number."""
        stop = StopPoint(breakpoint=wanted, temporary=wanted.temporary, enabled=wanted.enabled)
        return self.stops.add(stop).number

    def go(self, number: int, reason: str = "goto") -> Stopped:
        """Move to an event, at most before the first and to the last."""
        total = self.total
        self.position = min(max(number, 0), total)
        edge = "start" if self.position == 0 else "end" if number > total else reason
        return self._make_stopped(edge)

    def step(self, count: int) -> Stopped:
        """Move by so many events, backwards where it is negative."""
        at, left = self.position, abs(count)
        if count < 0:
            while at and left:
                at -= 1
                left -= not (at and self.is_quiet(at))
            return self._move_back(at, "step")

        def find() -> int:
            nonlocal at, left
            while left and at < self.total:
                at += 1
                left -= not self.is_quiet(at)
            return 0 if left else at

        return self._move_on(find, "step")

    def next(self, count: int, selected: int = 0) -> Stopped:
        """Move by so many events at the same level, past what happens inside spans; backwards where it is negative.

        Args:
            count: how many.
            selected: the start of a span around the current event, from which levels are counted, as from a selected
                frame in pdb; 0 for the current event itself.
        """
        begun = self.position
        at, left = selected or begun, abs(count)
        if count < 0:
            outline = self.outline
            while at and left:
                at, left = outline.step_back_over(at), left - 1
            return self._move_back(at, "step")

        def find() -> int:
            nonlocal at, left
            outline = self.outline
            while left and (following := self._next_over(outline, at)):
                at, left = following, left - (following > begun)
            return 0 if left else at

        return self._move_on(find, "step")

    def until(self, number: int = 0, selected: int = 0) -> Stopped:
        """Move forwards to an event; without a number, to the next one not deeper inside than this one or a selected span."""
        if number:
            return self._move_on(lambda: number if number <= self.total else 0, "until")
        begun = self.position
        at = selected or begun

        def find() -> int:
            nonlocal at
            # In a live program there is no next event until something happens at this level.
            beside = self.outline.following if self.live and at else self.outline.step_beside
            while at <= begun and (following := beside(at)):
                at = following
            return at if at > begun else 0

        return self._move_on(find, "until")

    def run_until(self, find: Find) -> Stopped:
        """Move forwards to the event that `find` returns."""
        return self._move_on(find, "until")

    def finish(self, selected: int = 0) -> Stopped:
        """Move forwards to the end of the current or a selected span; from an end, to that of the span around."""
        span = selected or self.span()
        if span and self.outline.end(span) == self.position:
            span = self.outline.level(self.position)
        return self._move_on(lambda: self.outline.end(span) if span else 0, "return")

    def finish_back(self, selected: int = 0) -> Stopped:
        """Move backwards to the start of the current or a selected span; from a start, to that of the span around."""
        return self._move_back(selected or self.outline.enclosing(self.position), "return")

    def run(self) -> Stopped:
        """Move forwards to the next breakpoint or watch, or to the last event."""
        return self._move_on(lambda: 0, "end")

    def run_back(self) -> Stopped:
        """Move backwards to the breakpoint or watch before, or to the start."""
        return self._move_back(0, "start")

    def find(self, test: Callable[[Event], bool], *, back: bool = False) -> int:
        """Return the next event that passes a test, or with `back` the one before; 0 for none."""
        first, end = (1, self.position) if back else (self.position + 1, self.total + 1)
        events = self.history.passing(first, end, back=back)
        return next(
            (
                number
                for number, event, _ in events
                if test(self._override(number, event)) and not self.is_quiet(number)
            ),
            0,
        )

    def replay(self) -> Iterator[tuple[int, Event, list[Hit]]]:
        """Yield every event as it is shown, with the breakpoints that it hits; the position stays where it is."""
        detector = self._make_detector()
        if not (detector.stops or len(self.overrides)):  # nothing needs the outline
            yield from ((number, event, []) for number, event in enumerate(self.trace.events(), 1))
            return
        outline = self.outline  # once, because each question looks whether the trace has grown
        starts: dict[int, Event] = {}  # of the open calls with an override, so that no start is read again

        def override(number: int, event: Event) -> Event:
            if self.overrides.has_for(number, event):
                starts[number] = event
            begun = outline.own_start(number) if starts and event["event_type"][-4:] == "_end" else 0
            start = starts.pop(begun, None)
            return event if start is None else self.overrides.apply(number, event, (begun, start))

        yield from self._test_events(detector, self.history.passing(1, self.total + 1), override)

    def _move_on(self, find: Find, reason: str) -> Stopped:
        """Move forwards to the event that `find` returns, past the events between; to the end if it returns none."""
        while True:
            target, last = find(), self.total
            stopped = self._pass(self.position + 1, target or last + 1)
            if stopped is not None:
                return stopped
            if target:
                return self.go(target, reason)
            self.position = last  # so that these events are not passed twice if the program is interrupted
            if not self._go_on():
                return self.go(last + 1, reason)

    def _go_on(self) -> bool:
        """Let a live program go on; return False if there is none, or it ended without another event."""
        if self.program is None or self._ended:
            return False
        self._ended = not self.program.go_on()
        return not self._ended or self.total > self.position

    def _move_back(self, target: int, reason: str) -> Stopped:
        """Move backwards to an event, past the events between; 0 and below mean before the first event."""
        return self._pass(max(target + 1, 1), self.position, back=True) or self.go(target, reason)

    def _pass(self, first: int, end: int, *, back: bool = False) -> Stopped | None:
        """Pass the events from one to before another; if one of them hits a breakpoint, stop there."""
        detector = self._make_detector()
        if first >= end or not detector.stops:
            return None
        counter = HitCounter()
        for number, event, hits in self._test_passing(detector, first, end, back=back):
            if not hits:
                continue
            stopping = counter.count(hits)
            if stopping:
                counter.commit(self.stops)
                return self._stop_at(number, event, stopping)
        counter.commit(self.stops)
        return None

    def _make_detector(self) -> HitDetector:
        return HitDetector(
            self.stops,
            self._find_occurrence,
            self._value_before,
            lambda: self.history.contents,
        )

    def _test_passing(
        self, detector: HitDetector, first: int, end: int, *, back: bool
    ) -> Iterator[tuple[int, Event, list[Hit]]]:
        """Yield the events from one to before another that may hit anything, with what they hit."""
        # A fault turns an event into one that failed, so its recorded kind does not show whether it can hit.
        filters = None if self.overrides.faults else detector.filters
        passing = self.history.passing(first, end, filters, back=back)
        if not (back and detector.watches):
            yield from self._test_events(detector, passing)
            return
        while block := list(islice(passing, _BLOCK)):  # a watch compares values in recorded order
            yield from reversed(list(self._test_events(detector, reversed(block))))

    def _test_events(
        self,
        detector: HitDetector,
        passing: Iterable[tuple[int, Event, StateAt]],
        override: Callable[[int, Event], Event] | None = None,
    ) -> Iterator[tuple[int, Event, list[Hit]]]:
        """Yield some events as they are shown, with what they hit."""
        totals, values, latest = _NOTHING, _NOTHING, -1
        for number, event, state in passing:
            if detector.reads_totals:
                totals = state.totals.scope()
            # Between two events in a row, the state changes only if the second one reports it.
            if detector.reads_state and (latest != number - 1 or event["event_type"] in STATE_EVENTS):
                values = self.variables(state.changed, (number, event))
            latest = number
            shown = (override or self._override)(number, event)
            read = self._add_price(number, shown) if detector.reads_cost else shown
            if detector.reads_variables:
                read = complete_variables(self.trace, number, read)
            if number in self._frames:
                read = {**read, "frames": self._frames[number]}
            yield number, shown, detector.find_hits(number, read, totals, values)

    def _stop_at(self, number: int, event: Event, stopping: list[Hit]) -> Stopped:
        """Make an event the current one; the result names the first breakpoint that stopped there."""
        self.position = number
        for hit in stopping:
            if hit.stop.temporary:
                self.stops.remove(hit.stop.number)
        stop, changed = stopping[0]
        stopped = self._make_stopped("breakpoint" if stop.watch is None else "watch", event, stop, changed)
        self.due = stop.commands
        return stopped

    def _make_stopped(
        self,
        reason: str,
        event: Event | None = None,
        stop: StopPoint | None = None,
        changed: ValueChange | None = None,
    ) -> Stopped:
        """Return the current event and the reason for stopping there; the event is read if it is not at hand."""
        self.due = ()
        if event is None:
            event = self.event
        return Stopped(
            number=self.position,
            event=event,
            reason=reason,
            total=self.total,
            breakpoint=None if stop is None else stop.number,
            location=None if stop is None else stop.location,
            changed=changed,
            waiting=self.live and self._waits_at(event),
        )

    def _waits_at(self, event: Event | None) -> bool:
        """Return whether the current event is the start of a call that has not run, and the last event so far."""
        is_start = event is not None and event["event_type"] in CALL_STARTS and not is_unseen(event)
        return is_start and self.position == self.total

    def _next_over(self, outline: Outline, number: int) -> int:
        """Return where `next` leads; in a live program 0 until the span that is passed over has ended."""
        if not self.live or not number:
            return outline.step_over(number)
        return outline.end(number) or (0 if self._is_start(number) else outline.following(number))

    def _is_start(self, number: int) -> bool:
        kind = self.outline.kind(number)
        event_type = self.trace.event(number)["event_type"] if kind is None else kind.event_type
        return begins_span(event_type)

    def _override(self, number: int, event: Event) -> Event:
        """Return an event of a trace with the overrides; the events of a live program have them already."""
        if not len(self.overrides) or event["event_type"][-4:] != "_end" or self.program is not None:
            return event
        begun = self.outline.own_start(number)
        return self.overrides.apply(number, event, (begun, self.trace.event(begun)) if begun else None)

    def _add_price(self, number: int, event: Event) -> Event:
        """Return an event with the cost of the call, for an expression that reads it."""
        if event.get("component") != "llm" or event["event_type"][-4:] != "_end":
            return event
        begun = self.outline.own_start(number)
        start = self.trace.event(begun) if begun else {}
        return priced(event, call_cost(event, seller_of(start.get("metadata"))))

    def _evaluate(self, expression: Expression, at: int, number: int) -> Any:
        """Return the value of an expression with the fields of one event and the state at another."""
        return expression.evaluate(self._scope(expression, at, number))

    def _scope(self, expression: Expression, at: int, number: int) -> dict[str, Any]:
        """Return what an expression may read: the fields of one event, and the state at another."""
        state = self.history.at(at)
        values = self.variables(state.changed) if "state" in expression.names else _NOTHING
        event = self.event_at(number) if number and not expression.names <= ACCUMULATED else {}
        if number and "locals" in expression.text:
            event = complete_variables(self.trace, number, event)
        if number and "cost_estimate" in expression.names:
            event = self._add_price(number, event)
        return event_scope(number, event, state.totals.scope(), values)

    def _value_before(self, watched: Expression, number: int) -> Any:
        """Return the value of a watch at the latest event before one that has the field; null if none has it."""
        if watched.names <= ACCUMULATED:
            return self._evaluate(watched, number - 1, number - 1)
        fields, overrides = FieldsRead(watched), self.overrides.all
        # A live program makes a move of each event: what is known is kept, so that no event is looked at twice.
        begun, until, known = self._watched.get((watched.text, overrides), (0, 0, None))
        at = number - 1
        while at and not begun <= at <= until:
            if fields.are_in(self._scope(watched, at, at)):
                begun, known = at, self._evaluate(watched, at, at)
                break
            at -= 1
        else:
            if not at:
                begun, known = 0, self._evaluate(watched, 0, 0)
        self._watched[watched.text, overrides] = (begun, number - 1, known)
        return known

    def _find_occurrence(self, location: Location) -> Occurrence | None:
        """Return the entry that a location with an occurrence means; a live program may reach it later."""
        found = self._occurrences.get(location)
        if (found is None or not found.end) and (
            location not in self._occurrences or self.program is not None
        ):
            self._occurrences[location] = self.history.find_occurrence(location)
        return self._occurrences[location]
