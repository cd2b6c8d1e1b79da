"""Find the surroundings of one event of a trace: the spans around it, its neighbours, and the events inside it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import islice

from namel3ss_debug.inspection.selection import IndexedEvents, Numbered
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.span_table import AT_TOP, NOWHERE, PARENT_LOST, SpanTableBuilder

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
    builder, place = SpanTableBuilder(), NOWHERE
    table, inside_of = builder.table, defaultdict[int, list[int]](list)
    first, last, at = max(1, number - look), number + look, 0
    for begin, end in ((1, min(_HEAD, first - 1)), (first, last)):
        builder.count = begin - 1
        for at, each in enumerate(islice(trace.events(begin), end - begin + 1), begin):
            found = builder.take(each)
            if at == number:
                place = found
            if each["event_type"][-4:] != "_end" and not table.is_quiet(each, found.span):
                inside_of[found.parent].append(at)
            if at > number + _HEAD and (place.span == AT_TOP or table.end[place.span]):
                break
    span = place.span
    parent = row = place.parent if span == AT_TOP else table.parent[span]
    above: list[int] = []
    while row >= 0:
        above.insert(0, table.number[row])
        row = table.parent[row]
    start, end = (number, number) if span == AT_TOP else (table.number[span], table.end[span])
    half = end if start == number else start
    inside = [] if span == AT_TOP else inside_of[span]
    beside = inside_of[parent] if parent >= 0 else []
    before = [other for other in beside if other < number][-_NEIGHBOURS:]
    after = [other for other in beside if other > (end or number)][:_NEIGHBOURS]
    events = dict(trace.chosen({half or number, *above, *before, *after, *inside[:_INSIDE]}))

    def with_events(numbers: list[int]) -> tuple[Numbered, ...]:
        return tuple((other, events[other]) for other in numbers)

    is_lost = min(row, place.parent) <= PARENT_LOST and first > 1
    return Surroundings(
        number,
        event,
        None if half in (0, number) else (half, events[half]),
        with_events(above),
        with_events(before),
        with_events(after),
        with_events(inside[:_INSIDE]),
        len(inside),
        complete=not is_lost and (end > 0 or at < last),
    )
