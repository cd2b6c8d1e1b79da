"""The shape of a trace by event number: what is inside what, what comes next beside it, and of which kind.

Numbers count from 1, and 0 means none. A *level* is what happened directly inside one span, or inside none: the
starts there, their ends, and point events. Chunks of streamed answers and resource samples belong to no level; from
one of them `following` and `preceding` lead to the level it happened in. Each event costs a few integers, so that a
million of them fit in memory, and every move is a look-up.

The spans are those of the table of spans. A start may name a parent span that has ended (work that outlived its
parent). It belongs to the level of the nearest enclosing span that is still open, and so does its end.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator
from typing import Final

from namel3ss_debug.replay.debugger.kinds import EventKind, EventKinds
from namel3ss_debug.traces.costs import Cost, lacks_price, span_cost
from namel3ss_debug.traces.events import Event, begins_span, ends_span
from namel3ss_debug.traces.span_table import Fact, SpanTable, SpanTableBuilder
from namel3ss_debug.traces.totals import is_failure

MARKED_EVERY: Final = 4096
"""The open spans are listed after every so many events."""

UNPRICED: Final = Fact(
    "unpriced",
    lambda start, end: bool(end) and lacks_price(end) and span_cost(start, end) is None,
    frozenset({"llm"}),
)
"""Whether a call of a model ended whose price is unknown."""

_NO_LEVEL = frozenset(
    {"stream_chunk", "resource_sample", "stack_sample", "file_access", "inputs_read", "output"}
)
"""Events that moves over spans pass over: pieces of a span, or measurements rather than actions of the program."""
_STRETCH = 4096
_BYTE = 256
_NONE: Final = -1


class Outline:
    """The shape of the events added so far.

    Attributes:
        failures: the numbers of the events that report a failure, in order, without starts.
        kinds: the kinds of the events.
        spans: the table of the spans.
    """

    def __init__(self) -> None:
        self.failures = array("I")
        self.kinds = EventKinds()
        self._builder = SpanTableBuilder(facts=(UNPRICED,))
        self.spans = self._builder.table
        self._span, self._level = array("i", [_NONE]), array("i", [_NONE])
        self._following, self._preceding = array("I", [0]), array("I", [0])
        self._kind = array("H", [0])
        self._open: dict[int, None] = {}
        self._last: dict[int, int] = {}  # row of a level -> its last event
        self._waiting: dict[int, array[int]] = {}  # the same -> events without a level since then
        self._around: dict[int, int] = {}  # row of an ended span -> one around it that was open later
        self._marks: list[array[int]] = [array("i")]  # the rows that are open after every so many events

    @property
    def count(self) -> int:
        """How many events were added."""
        return len(self._kind) - 1

    def settled_spans(self) -> SpanTable:
        """Return the table of the spans, with the columns that need all events so far."""
        return self._builder.settle()

    def enclosing(self, number: int) -> int:
        """Return the start of the span around an event; for an end its own start."""
        return self.own_start(number) or self.level(number)

    def is_in_background(self, number: int) -> bool:
        """Return whether an event is the start or end of a command that a library runs for its own purposes."""
        row = self._span[number]
        return row >= 0 and bool(self.spans.background[row])

    def level(self, number: int) -> int:
        """Return the start in whose level an event is: the one around it, or for an end the one around its span."""
        return self._start(self._level[number])

    def _start(self, row: int) -> int:
        return self.spans.number[row] if row >= 0 else 0

    def end(self, number: int) -> int:
        """Return the end of the span that a start begins; 0 while it is open, and for any other event."""
        row = self._span[number]
        return self.spans.end[row] if row >= 0 and self.spans.number[row] == number else 0

    def own_start(self, number: int) -> int:
        """Return the start that an end belongs to; 0 for any other event, and for an end without a start."""
        start = self._start(self._span[number])
        return start if start != number else 0

    def open_at(self, number: int) -> list[int]:
        """Return the starts of the spans that are open after an event, in order."""
        mark = min(number // MARKED_EVERY, len(self._marks) - 1)
        since = range(mark * MARKED_EVERY + 1, number + 1)
        begun = (self._span[start] for start in since if self._span[start] >= 0 and not self.own_start(start))
        ends = self.spans.end
        rows = [row for row in (*self._marks[mark], *begun) if not 0 < ends[row] <= number]
        return [self.spans.number[row] for row in rows]

    def stack(self, number: int) -> list[int]:
        """Return the starts of the open spans around an event, the outermost first.

        A start and an end are inside their own span: at the end, as at a return in pdb, the frame is still there.
        """
        found = []
        row = self._span[number] if self._span[number] >= 0 else self._level[number]
        while row >= 0:
            start, end = self.spans.number[row], self.spans.end[row]
            if not 0 < end < number:
                found.append(start)
            row = self._level[start]
        return found[::-1]

    def following(self, number: int) -> int:
        """Return the next event at the same level; from the last one, the end of the span around."""
        return self._following[number]

    def preceding(self, number: int) -> int:
        """Return the event before at the same level; from the first one, the start of the span around."""
        return self._preceding[number]

    def step_over(self, number: int) -> int:
        """Return the end of a start; from any other event the next one at its level, or else at an outer level."""
        return self.end(number) or self.step_beside(number)

    def step_beside(self, number: int) -> int:
        """Return the next event at the same level, or else at an outer level."""
        if not number:
            return 1 if self.count else 0
        return self.following(number) or self._find_outside(number)

    def step_back_over(self, number: int) -> int:
        """Return the start of an end; from any other event the one before at its level, or else the start around."""
        return self.own_start(number) or self.preceding(number)

    def _find_outside(self, number: int) -> int:
        """Return the next event of the outer levels. Only a span without an end leads here."""
        found = []
        for start in self.stack(number):
            if start in (number, self.own_start(number)):
                continue
            later = self.following(start)
            while 0 < later <= number:
                later = self.following(later)
            found.append(later)
        return min(filter(None, found), default=0)

    def kind(self, number: int) -> EventKind | None:
        """Return the kind of an event, where it is kept with name and call site."""
        kind = self.kinds.rows[self._kind[number]]
        return kind if kind is not None and kind.exact else None

    def latest(self, event_type: str, number: int) -> int:
        """Return the latest event of a type, such as `llm_call_start`, at or before this one."""
        wanted = bytearray(kind is not None and kind.event_type == event_type for kind in self.kinds.rows)
        return next(self.backward(wanted, 1, number + 1), 0)

    def forward(self, wanted: bytearray, first: int, end: int) -> Iterator[int]:
        """Yield the events of wanted kinds from one number to before another; see `EventKinds.select`."""
        end = min(end, len(self._kind))
        for begin in range(max(first, 1), end, _STRETCH):
            marks = self._match_kinds(wanted, begin, min(begin + _STRETCH, end))
            index = marks.find(1)
            while index >= 0:
                yield begin + index
                index = marks.find(1, index + 1)

    def backward(self, wanted: bytearray, first: int, end: int) -> Iterator[int]:
        """Yield the same events, the latest first."""
        first, end = max(first, 1), min(end, len(self._kind))
        for after in range(end, first, -_STRETCH):
            begin = max(after - _STRETCH, first)
            marks = self._match_kinds(wanted, begin, after)
            index = marks.rfind(1)
            while index >= 0:
                yield begin + index
                index = marks.rfind(1, 0, index)

    def _match_kinds(self, wanted: bytearray, begin: int, end: int) -> bytes:
        """Return a byte for each event: 1 where its kind is wanted."""
        # `find` over bytes runs in C: with few kinds, one `translate` tests a stretch of events.
        stretch = self._kind[begin:end]
        if len(wanted) <= _BYTE:
            return stretch.tobytes()[sys.byteorder == "big" :: 2].translate(wanted.ljust(_BYTE, b"\0"))
        return bytes(map(wanted.__getitem__, stretch))

    def add(self, event: Event) -> Cost | None:
        """Add the next event, and return the cost of the span that it ends."""
        number = len(self._kind)
        event_type = event["event_type"]
        kind = self.kinds.add(event)
        self._kind.append(kind)
        self._following.append(0)
        row, parent = self._builder.take(event)
        cost = self.spans.cost_of(row)
        level = self._find_open(parent)
        if row >= 0 and self.spans.end[row] == self.spans.number[row]:  # an end without a start
            row = _NONE
        if row >= 0 and ends_span(event_type):
            self._open.pop(row, None)
            self._set_following(row, number)
            self._last.pop(row, None)
            level = self._find_open(self._level[self.spans.number[row]])
        self._span.append(row)
        self._level.append(level)
        self._preceding.append(self._last.get(level) or self._start(level))
        if event_type in _NO_LEVEL or (row >= 0 and self.spans.background[row]):
            self._waiting.setdefault(level, array("I")).append(number)
        else:
            self._set_following(level, number)
            self._last[level] = number
        if row >= 0 and begins_span(event_type):
            self._open[row] = None
        known = self.kinds.rows[kind]
        if (is_failure(event) if known is None else known.failed) and event_type[-6:] != "_start":
            self.failures.append(number)
        if number % MARKED_EVERY == 0:
            self._marks.append(array("i", self._open))
        return cost

    def _set_following(self, level: int, number: int) -> None:
        """Make an event the next one for the last event of a level."""
        last = self._last.get(level)
        if last is not None:
            self._following[last] = number
        if self._waiting:
            for waiting in self._waiting.pop(level, ()):
                self._following[waiting] = number

    def _find_open(self, row: int) -> int:
        """Return the row itself while its span is open, else the nearest open one around it.

        Ended spans on the way are pointed at the result, so that a long chain of them is followed only once.
        """
        passed = []
        while row >= 0 and self.spans.end[row]:
            passed.append(row)
            row = self._around.get(row, self._level[self.spans.number[row]])
        for ended in passed[:-1]:
            self._around[ended] = row
        return max(row, _NONE)
