"""Breakpoints and watches: where stepping stops, under which number, and how often each was hit."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

from namel3ss_debug.errors import ExpressionError, PlaceError
from namel3ss_debug.expressions import Expression, compile_expression, event_scope
from namel3ss_debug.expressions.unmet import FieldsRead
from namel3ss_debug.fields import FIELD_NAMES
from namel3ss_debug.replay.debugger.locations import Location, Occurrence, TraceContents, parse_location
from namel3ss_debug.replay.debugger.results import BreakpointRow, ValueChange
from namel3ss_debug.replay.debugger.variables import STATE_EVENTS
from namel3ss_debug.traces.events import Event

MOST_STOPS: Final = 1000

ACCUMULATED: Final = frozenset({"totals", "state"})
"""The names of an expression whose values come from the events so far, and not from the current one."""

_NUMBERS: Final = (int, float)
_IF: Final = re.compile(r"""("[^"]*"|'[^']*')|\sif\s""")
_ELSE: Final = re.compile(r"\selse\s")


@dataclass(frozen=True)
class Breakpoint:
    """A location at which stepping stops; for library users `ReplayBreakpoint`.

    Args:
        location: the location as it is written at the prompt, or a parsed one.
        condition: stop only where this is true; also as `if ...` in the location.
        temporary: stop once only.
        enabled: a disabled breakpoint stops nothing.

    Raises:
        PlaceError: the location does not parse.
        ExpressionError: the condition does not parse.
    """

    location: str | Location
    condition: str | None = None
    temporary: bool = False
    enabled: bool = True
    parsed: Location = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        parsed = self.location
        if self.condition is not None:
            text = parsed if isinstance(parsed, str) else parsed.text
            parsed = f"{text} if {self.condition}"
        # The class is frozen, so that a breakpoint can be shared by several sessions.
        object.__setattr__(self, "parsed", parse_location(parsed) if isinstance(parsed, str) else parsed)

    def reads(self, *names: str) -> bool:
        """Return whether its condition reads any of these names."""
        condition = self.parsed.condition
        return condition is not None and not condition.names.isdisjoint(names)

    def stops(
        self,
        number: int,
        event: Event,
        totals: Mapping[str, Any],
        state: Mapping[str, Any],
        occurrence: Occurrence | None = None,
        contents: Callable[[], TraceContents] | None = None,
    ) -> bool:
        """Return whether stepping stops at this event.

        Args:
            number: the number of the event.
            event: the event.
            totals: the running totals up to it; needed only where the condition reads them.
            state: the state at it; needed only where the condition reads it.
            occurrence: the entry that the location means, where it has an occurrence.
            contents: returns what the trace holds, up to this event at least; without it, every event of a line of
                an app counts, and not its start alone.
        """
        location = self.parsed
        if location.number is not None and location.number != number:
            return False
        if location.condition is None:
            if location.occurrence is not None:
                stops = occurrence is not None and number == occurrence.number
            else:
                stops = location.enters(event)
        else:
            if location.occurrence is not None:
                stops = occurrence is not None and number in occurrence
            else:
                stops = location.covers(event)
            stops = stops and location.condition.matches_event(number, event, totals, state)
        return stops and (not location.of_app or contents is None or contents().is_opening(event))


ReplayBreakpoint = Breakpoint
"""The name under which library users import it."""


def _changes_state(event: Event) -> bool:
    return event["event_type"] in STATE_EVENTS


_STATE_CHANGES: Final = Breakpoint(Location("state", covers=_changes_state, enters=_changes_state))


@dataclass
class StopPoint:
    """A breakpoint or a watch that is set.

    Exactly one of two is given: `breakpoint` stops at a location, `watch` where the value of the expression changes.

    Attributes:
        number: the number that commands use; never given again.
        condition: of a watch, what must be true besides; a breakpoint has its condition in its location.
        hits: how often it was hit.
        ignore: how many more hits do not stop.
        commands: the debugger commands that run where it stops.
    """

    number: int = 0
    breakpoint: Breakpoint | None = None
    watch: Expression | None = None
    condition: Expression | None = None
    temporary: bool = False
    enabled: bool = True
    hits: int = 0
    ignore: int = 0
    commands: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Its name in messages, such as `breakpoint 2`."""
        once = "temporary " if self.temporary else ""
        return f"{once}{'breakpoint' if self.watch is None else 'watch'} {self.number}"

    @property
    def location(self) -> str:
        """Its location or expression, as it was written."""
        if self.breakpoint is not None:
            return self.breakpoint.parsed.text
        text = "" if self.watch is None else self.watch.text
        return text if self.condition is None else f"{text} if {self.condition.text}"

    @property
    def names(self) -> frozenset[str]:
        """The names that its expressions read."""
        condition = self.condition if self.breakpoint is None else self.breakpoint.parsed.condition
        expressions = (self.watch, condition)
        return frozenset().union(*(each.names for each in expressions if each is not None))

    @property
    def filter(self) -> Breakpoint | None:
        """A breakpoint that covers every event at which this can stop; None where any event can be one."""
        if self.breakpoint is not None:
            return self.breakpoint
        return _STATE_CHANGES if self.watch is not None and self.watch.names == {"state"} else None

    def row(self) -> BreakpointRow:
        """Return its row in the list of breakpoints."""
        return BreakpointRow(
            self.number,
            self.location,
            self.temporary,
            self.enabled,
            self.hits,
            "break" if self.watch is None else "watch",
            self.ignore,
            self.commands,
        )

    def set_condition(self, text: str) -> None:
        """Replace the condition, or remove it if the text is empty.

        Raises:
            ExpressionError: the condition does not parse.
        """
        condition = compile_expression(text) if text else None
        if self.breakpoint is None:
            self.condition = condition
            return
        location = self.breakpoint.parsed
        where = location.text
        if location.condition is not None:
            where = re.sub(r"\s*(?:,|\bif)\s*$", "", where.removesuffix(location.condition.text))
        written = f"{where} if {condition.text}".lstrip() if condition is not None else where or "if true"
        self.breakpoint = Breakpoint(replace(location, text=written, condition=condition))


def parse_watch(text: str) -> StopPoint:
    """Parse a watch: an expression, or an expression and `if CONDITION`.

    Raises:
        ExpressionError: it does not parse, or reads nothing that could change.
    """
    expression, condition = text, ""
    for found in _IF.finditer(text):
        if found[1] is None and not _ELSE.search(text, found.end()):  # not the `if` of `x if c else y`
            expression, condition = text[: found.start()], text[found.end() :]
            break
    watched = compile_expression(expression)
    if not watched.names:
        raise ExpressionError(f"{watched.text}: nothing in it can change; watch a name such as totals.cost")
    return StopPoint(watch=watched, condition=compile_expression(condition) if condition else None)


class StopPoints:
    """The breakpoints and watches of a session by number, in the order in which they were set.

    Attributes:
        latest: the number given last; 0 where there was none.
    """

    def __init__(self) -> None:
        self._set: dict[int, StopPoint] = {}
        self.latest = 0

    def __len__(self) -> int:
        return len(self._set)

    def __iter__(self) -> Iterator[StopPoint]:
        return iter(list(self._set.values()))

    def add(self, stop: StopPoint) -> StopPoint:
        """Set a breakpoint or watch under the next number.

        Raises:
            PlaceError: very many are set already.
        """
        if len(self._set) >= MOST_STOPS:
            raise PlaceError(f"{MOST_STOPS} breakpoints are set; clear some first")
        self.latest += 1
        stop.number = self.latest
        self._set[stop.number] = stop
        return stop

    def copy_from(self, earlier: StopPoints) -> None:
        """Set those of an earlier session under their numbers, with no hits."""
        self._set = {stop.number: replace(stop, hits=0) for stop in earlier}
        self.latest = earlier.latest

    def find(self, number: int) -> StopPoint | None:
        """Return the one with this number, if it is set."""
        return self._set.get(number)

    def remove(self, number: int) -> None:
        """Delete one, if it is set."""
        self._set.pop(number, None)

    def rows(self) -> tuple[BreakpointRow, ...]:
        """Return their rows in the list of breakpoints."""
        return tuple(stop.row() for stop in self._set.values())


class Hit(NamedTuple):
    """A breakpoint or watch that an event hits; for a watch, how its value changed."""

    stop: StopPoint
    changed: ValueChange | None = None


class HitDetector:
    """Find the breakpoints and watches that each of several events in order hits.

    Args:
        stops: the breakpoints and watches; disabled ones are left out.
        occurrence: returns the entry that a location with an occurrence means.
        value_before: returns the value of a watch at the latest event before a number that has it; called where stepping
            begins or goes back.
        contents: returns what the trace holds by now.
    """

    def __init__(
        self,
        stops: Iterable[StopPoint],
        occurrence: Callable[[Location], Occurrence | None],
        value_before: Callable[[Expression, int], Any],
        contents: Callable[[], TraceContents],
    ) -> None:
        self.stops = [stop for stop in stops if stop.enabled]
        names: frozenset[str] = frozenset().union(*(stop.names for stop in self.stops))
        self.reads_totals, self.reads_state = "totals" in names, "state" in names
        self.reads_cost = "cost_estimate" in names
        self.reads_variables = any("locals" in stop.location for stop in self.stops)
        self.watches = any(stop.watch is not None for stop in self.stops)
        self._occurrence = occurrence
        self._value_before = value_before
        self._contents = contents
        self._values: dict[int, tuple[int, Any]] = {}
        self._fields = {
            stop.number: FieldsRead(stop.watch)
            for stop in self.stops
            if stop.watch is not None and not stop.watch.names <= ACCUMULATED
        }

    @property
    def filters(self) -> list[Breakpoint] | None:
        """Breakpoints that cover every event that can hit; None where any event can."""
        filters = [stop.filter for stop in self.stops]
        return None if None in filters else [each for each in filters if each is not None]

    def find_hits(
        self, number: int, event: Event, totals: Mapping[str, Any], state: Mapping[str, Any]
    ) -> list[Hit]:
        """Return what an event hits; `totals` and `state` are needed only where an expression reads them."""
        hits = []
        for stop in self.stops:
            if stop.breakpoint is not None:
                location = stop.breakpoint.parsed
                occurrence = None if location.occurrence is None else self._occurrence(location)
                if stop.breakpoint.stops(number, event, totals, state, occurrence, self._contents):
                    hits.append(Hit(stop))
            elif stop.watch is not None:
                changed = self._find_change(stop.number, stop.watch, number, event, totals, state)
                condition = stop.condition
                if changed is not None and (
                    condition is None or condition.matches_event(number, event, totals, state)
                ):
                    hits.append(Hit(stop, changed))
        return hits

    def _find_change(
        self,
        key: int,
        watch: Expression,
        number: int,
        event: Event,
        totals: Mapping[str, Any],
        state: Mapping[str, Any],
    ) -> ValueChange | None:
        """Return how this event changed the value of a watch; None where it is the same as before, or has no such field."""
        names = watch.names
        scope: Mapping[str, Any]
        if names <= ACCUMULATED:
            scope = {"totals": totals, "state": state}
        else:
            scope = event if names <= FIELD_NAMES else event_scope(number, event, totals, state)
            if not self._fields[key].are_in(scope):
                return None
        new = watch.evaluate(scope)
        latest, old = self._values.get(key, (number, None))
        if latest >= number:  # on the way back, and at the first event, no value before this one is at hand
            old = self._value_before(watch, number)
        self._values[key] = (number, new)
        return None if is_same(old, new) else ValueChange(old, new)


def is_same(old: Any, new: Any) -> bool:
    """Return whether two JSON values are the same: 1 is 1.0, but true is not 1."""
    if type(old) is not type(new) and not (type(old) in _NUMBERS and type(new) in _NUMBERS):
        return False
    try:
        return bool(old == new)
    except RecursionError:  # nested deeper than Python compares
        return False


class HitCounter:
    """Count the hits of one move; `commit` adds them when the move is done, so an interrupted move counts none."""

    def __init__(self) -> None:
        self._hits: Counter[int] = Counter()

    def count(self, hits: Iterable[Hit]) -> list[Hit]:
        """Count the hits of an event, and return those that are not ignored."""
        stopping = []
        for hit in hits:
            self._hits[hit.stop.number] += 1
            if self._hits[hit.stop.number] > hit.stop.ignore:
                stopping.append(hit)
        return stopping

    def commit(self, stops: StopPoints) -> None:
        """Add the hits to those of the breakpoints."""
        for number, hits in self._hits.items():
            stop = stops.find(number)
            if stop is not None:
                stop.hits += hits
                stop.ignore = max(stop.ignore - hits, 0)
        self._hits.clear()
