"""What stops a walk: breakpoints and watches under their numbers, and the look-out for them along the way."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from namel3ss_debug.errors import ExpressionError, PlaceError
from namel3ss_debug.expressions import Expression, compile_expression, event_scope
from namel3ss_debug.expressions.language import FIELD_NAMES
from namel3ss_debug.replay.recording.breakpoints import Breakpoint, Known, Place
from namel3ss_debug.replay.recording.nth import Nth
from namel3ss_debug.replay.recording.variables import TELLING
from namel3ss_debug.replay.results import BreakpointRow, Changed
from namel3ss_debug.traces.events import Event

MOST_STOPS: Final = 1000

FOLDED: Final = frozenset({"totals", "state"})
"""The names of an expression whose values come from the events so far, and not from the current one."""

_NUMBERS: Final = (int, float)
_IF: Final = re.compile(r"""("[^"]*"|'[^']*')|\sif\s""")
_ELSE: Final = re.compile(r"\selse\s")


def _tells(event: Event) -> bool:
    return event["event_type"] in TELLING


_TELLING: Final = Breakpoint(Place("state", covers=_tells, enters=_tells))


@dataclass
class Stop:
    """A breakpoint or a watch that is set.

    One of two tells where it stops: `breakpoint` at a place, `watch` where the value of the expression changes.

    Attributes:
        number: what it is called by; never given again.
        condition: of a watch, what has to be true besides; that of a breakpoint is in its place.
        hits: how often it was met.
        ignore: how many more hits pass by.
        commands: what is done where it stops.
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
    def kind(self) -> str:
        """`break` or `watch`."""
        return "break" if self.watch is None else "watch"

    @property
    def called(self) -> str:
        """What messages call it."""
        once = "temporary " if self.temporary else ""
        return f"{once}{'breakpoint' if self.watch is None else 'watch'} {self.number}"

    @property
    def place(self) -> str:
        """Where it stops, in the words in which it was set."""
        if self.breakpoint is not None:
            return self.breakpoint.parsed.text
        where = "" if self.watch is None else self.watch.text
        return where if self.condition is None else f"{where} if {self.condition.text}"

    @property
    def names(self) -> frozenset[str]:
        """The names that its expressions read."""
        condition = self.condition if self.breakpoint is None else self.breakpoint.parsed.condition
        asked = (self.watch, condition)
        return frozenset().union(*(each.names for each in asked if each is not None))

    @property
    def filter(self) -> Breakpoint | None:
        """A breakpoint that leaves out events at which this can never stop; None where all have to be seen."""
        if self.breakpoint is not None:
            return self.breakpoint
        return _TELLING if self.watch is not None and self.watch.names == {"state"} else None

    def row(self) -> BreakpointRow:
        """How it is listed."""
        return BreakpointRow(
            self.number,
            self.place,
            self.temporary,
            self.enabled,
            self.hits,
            self.kind,
            self.ignore,
            self.commands,
        )


def parse_watch(text: str) -> Stop:
    """A watch of an expression, or of one and `if` a condition.

    Raises:
        ExpressionError: it does not parse, or reads nothing that could change.
    """
    expression, condition = _parted(text)
    watched = compile_expression(expression)
    if not watched.names:
        raise ExpressionError(f"{watched.text}: there is nothing in it that could change; watch totals.cost")
    return Stop(watch=watched, condition=compile_expression(condition) if condition else None)


def _parted(text: str) -> tuple[str, str]:
    """An expression and the condition behind its first `if` that is none of `x if c else y`."""
    for found in _IF.finditer(text):
        if found[1] is None and not _ELSE.search(text, found.end()):
            return text[: found.start()], text[found.end() :]
    return text, ""


class Stops:
    """The breakpoints and watches of a session by number, in the order in which they were set."""

    def __init__(self) -> None:
        self._set: dict[int, Stop] = {}
        self._given = 0

    def __len__(self) -> int:
        return len(self._set)

    def __iter__(self) -> Iterator[Stop]:
        return iter(list(self._set.values()))

    @property
    def latest(self) -> int:
        """The number given last; 0 where there was none."""
        return self._given

    def add(self, stop: Stop) -> Stop:
        """Give it a number and set it.

        Raises:
            PlaceError: very many are set already.
        """
        if len(self._set) >= MOST_STOPS:
            raise PlaceError(f"{MOST_STOPS} breakpoints are set; clear some first")
        self._given += 1
        stop.number = self._given
        self._set[stop.number] = stop
        return stop

    def adopt(self, earlier: Stops) -> None:
        """Set those of an earlier session under their numbers, as if none of them had been met yet."""
        self._set = {stop.number: replace(stop, hits=0) for stop in earlier}
        self._given = earlier.latest

    def find(self, number: int) -> Stop | None:
        """The one with this number, where it is set."""
        return self._set.get(number)

    def remove(self, number: int) -> None:
        """Take one away."""
        self._set.pop(number, None)

    def rows(self) -> tuple[BreakpointRow, ...]:
        """All of them as they are listed."""
        return tuple(stop.row() for stop in self._set.values())


def set_condition(stop: Stop, text: str) -> None:
    """Ask another condition, or none where the text is empty.

    Raises:
        ExpressionError: it does not parse.
    """
    condition = compile_expression(text) if text else None
    if stop.breakpoint is None:
        stop.condition = condition
        return
    place = stop.breakpoint.parsed
    where = place.text
    if place.condition is not None:
        where = re.sub(r"\s*(?:,|\bif)\s*$", "", where.removesuffix(place.condition.text))
    written = f"{where} if {condition.text}".lstrip() if condition is not None else where or "if true"
    stop.breakpoint = Breakpoint(replace(place, text=written, condition=condition))


class Met(NamedTuple):
    """A stop that an event meets, and, of a watch, how its value changed."""

    stop: Stop
    changed: Changed | None = None


class Lookout:
    """Sees events and says which stops each of them meets.

    Args:
        stops: what to look out for; what is switched off is left out.
        entry: the entry that the place of a breakpoint means, where it has an occurrence.
        before: the value of an expression at the event with a number; asked where the way leads back.
        known: what the recording holds by now.
    """

    def __init__(
        self,
        stops: Iterable[Stop],
        entry: Callable[[Place], Nth | None],
        before: Callable[[Expression, int], Any],
        known: Callable[[], Known],
    ) -> None:
        self.stops = [stop for stop in stops if stop.enabled]
        names: frozenset[str] = frozenset().union(*(stop.names for stop in self.stops))
        self.reads_totals, self.reads_state = "totals" in names, "state" in names
        self.reads_cost = "cost_estimate" in names
        self._entry = entry
        self._before = before
        self._known = known
        self._values: dict[int, tuple[int, Any]] = {}

    @property
    def watches(self) -> bool:
        """Whether a watch is among them, which compares the values at two events."""
        return any(stop.watch is not None for stop in self.stops)

    @property
    def filters(self) -> list[Breakpoint] | None:
        """Breakpoints at whose events alone anything can be met; None where all events have to be seen."""
        filters = [stop.filter for stop in self.stops]
        return None if None in filters else [each for each in filters if each is not None]

    def meet(
        self, number: int, event: Event, totals: Mapping[str, Any], state: Mapping[str, Any]
    ) -> list[Met]:
        """The stops that an event meets; `totals` and `state` are needed only where one reads them."""
        found = []
        for stop in self.stops:
            if stop.breakpoint is not None:
                place = stop.breakpoint.parsed
                nth = None if place.occurrence is None else self._entry(place)
                if stop.breakpoint.stops(number, event, totals, state, nth, self._known):
                    found.append(Met(stop))
            elif stop.watch is not None:
                changed = self._changed(stop.number, stop.watch, number, event, totals, state)
                asked = stop.condition is None or stop.condition.matches_event(number, event, totals, state)
                if changed is not None and asked:
                    found.append(Met(stop, changed))
        return found

    def _changed(
        self,
        key: int,
        watch: Expression,
        number: int,
        event: Event,
        totals: Mapping[str, Any],
        state: Mapping[str, Any],
    ) -> Changed | None:
        """How the value of a watch changed with this event; None where it is the same as after the event before."""
        names = watch.names
        if names <= FOLDED:
            new = watch.evaluate({"totals": totals, "state": state})
        elif names <= FIELD_NAMES:
            new = watch.evaluate(event)
        else:
            new = watch.evaluate(event_scope(number, event, totals, state))
        seen, old = self._values.get(key, (number, None))
        if seen >= number:  # on the way back, and at first
            old = self._before(watch, number - 1)
        self._values[key] = (number, new)
        return None if same(old, new) else Changed(old, new)


def same(old: Any, new: Any) -> bool:
    """Whether two values of JSON are the same: 1 is 1.0, but true is not 1."""
    if type(old) is not type(new) and not (type(old) in _NUMBERS and type(new) in _NUMBERS):
        return False
    try:
        return bool(old == new)
    except RecursionError:  # nested deeper than Python compares
        return False


class Tally:
    """The hits on one way, which count once the way is gone: an interrupted one has counted nothing."""

    def __init__(self) -> None:
        self._hits: Counter[int] = Counter()

    def stopping(self, met: Iterable[Met]) -> list[Met]:
        """Count the hits, and give back those that are not ignored."""
        found = []
        for each in met:
            self._hits[each.stop.number] += 1
            if self._hits[each.stop.number] > each.stop.ignore:
                found.append(each)
        return found

    def count(self, stops: Stops) -> None:
        """Let the hits count."""
        for number, hits in self._hits.items():
            stop = stops.find(number)
            if stop is not None:
                stop.hits += hits
                stop.ignore = max(stop.ignore - hits, 0)
        self._hits.clear()
