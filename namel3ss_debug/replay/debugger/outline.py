"""The shape of a trace by event number: what is inside what, what comes next beside it, and of which kind.

Numbers count from 1, and 0 means none. A *level* is what happened directly inside one span, or inside none: the
starts there, their ends, and point events. Chunks of streamed answers and resource samples belong to no level; from
one of them `following` and `preceding` lead to the level it happened in. Each event costs a few integers, so that a
million of them fit in memory, and every move is a look-up.

A start may name a parent span that has ended (work that outlived its parent). It counts as a child of the nearest
enclosing span that is still open, and so does its end. Starts with the same id nest like brackets. A `trace_start` is
a point event; an event that names it as parent happened where the process was started.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator, Sequence
from typing import Any, Final

from namel3ss_debug.replay.debugger.kinds import EventKind, EventKinds
from namel3ss_debug.traces.events import Event, ends_span
from namel3ss_debug.traces.totals import is_failure

MOST_ENDED: Final = 16_384
"""How many ended spans are remembered by their id at least, for events that name them as parent."""

MARKED_EVERY: Final = 4096
"""The open spans are listed after every so many events; less often where there are very many of them."""

_MOST_MARKED = 2_000_000
_MOST_GROWING = 200_000
_NO_LEVEL = frozenset(
    {"stream_chunk", "resource_sample", "stack_sample", "file_access", "inputs_read", "output"}
)
"""Events that moves over spans pass over: pieces of a span, or measurements rather than actions of the program."""
_STRETCH = 4096
_BYTE = 256
_UNENDED = 0xFFFF_FFFF


class Outline:
    """The shape of the events added so far.

    Attributes:
        failures: the numbers of the events that report a failure, in order, without starts.
        kinds: the kinds of the events.
        can_grow: whether further events can be added.
    """

    def __init__(self) -> None:
        self.failures = array("I")
        self.kinds = EventKinds()
        self.can_grow = True
        self._enclosing, self._end = array("I", [0]), array("I", [0])
        self._following, self._preceding = array("I", [0]), array("I", [0])
        self._kind = array("H", [0])
        self._open: dict[str, int] = {}
        self._covered: dict[str, list[int]] = {}  # earlier open starts with the same id
        self._ended: dict[str, int] = {}
        self._ended_before: dict[str, int] = {}
        self._processes: dict[str, str | None] = {}  # id of a process start -> id of the span that started it
        self._last: dict[int, int] = {}  # open start, 0 for none -> the last event of the level inside it
        self._waiting: dict[int, array[int]] = {}  # the same -> events without a level since then
        self._around: dict[int, int] = {}  # ended start -> a start around it that was open later
        self._every = MARKED_EVERY
        self._marks: list[array[int]] = [array("I")]  # the open starts after every so many events
        self._marked = 0

    @property
    def count(self) -> int:
        """How many events were added."""
        return len(self._kind) - 1

    def enclosing(self, number: int) -> int:
        """Return the start of the span around an event; for an end its own start."""
        return self._enclosing[number]

    def end(self, number: int) -> int:
        """Return the end of the span that a start begins; 0 while it is open, and for any other event."""
        end = self._end[number]
        return 0 if end == _UNENDED else end

    def open_at(self, number: int) -> list[int]:
        """Return the starts of the spans that are open after an event, in order."""
        mark = min(number // self._every, len(self._marks) - 1)
        end = self._end
        found = [start for start in self._marks[mark] if end[start] > number]
        since = mark * self._every + 1
        return found + [start for start in range(since, number + 1) if end[start] > number]

    def stack(self, number: int) -> list[int]:
        """Return the starts of the open spans around an event, the outermost first.

        A start and an end are inside their own span: at the end, as at a return in pdb, the frame is still there.
        """
        found = []
        start = number if self._end[number] else self._enclosing[number]
        while start:
            if self._end[start] >= number:
                found.append(start)
            start = self._enclosing[start]
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

    def own_start(self, number: int) -> int:
        """Return the start that an end belongs to; 0 for any other event, and for an end without a start."""
        around = self.enclosing(number)
        return around if around and self.end(around) == number else 0

    def level(self, number: int) -> int:
        """Return the start in whose level an event is: the one around it, or for an end the one around its span."""
        begun = self.own_start(number)
        start = self.enclosing(begun or number)
        while begun and start and 0 < self.end(start) < number:  # it ended before its child did
            start = self.enclosing(start)
        return start

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

    def add(self, event: Event) -> int:
        """Add the next event, and return the number of its start if it is an end, otherwise 0."""
        number = len(self._kind)
        event_type = event["event_type"]
        kind = self.kinds.add(event)
        self._kind.append(kind)
        self._end.append(0)
        self._following.append(0)
        parent = event.get("parent_event_id")
        begun = 0
        if ends_span(event_type):
            begun = self._close_span(parent, number)
            level = self._find_open(self._enclosing[begun]) if begun else self._find_level(parent)
            self._enclosing.append(begun or level)
        else:
            level = self._find_level(parent)
            self._enclosing.append(level)
        self._preceding.append(self._last.get(level, level))
        if event_type in _NO_LEVEL:
            self._waiting.setdefault(level, array("I")).append(number)
        else:
            self._set_following(level, number)
            self._last[level] = number
            if event_type[-6:] == "_start" and "event_id" in event:
                self._open_span(event_type, event["event_id"], parent, number)
        row = self.kinds.rows[kind]
        if (is_failure(event) if row is None else row.failed) and event_type[-6:] != "_start":
            self.failures.append(number)
        if number % self._every == 0:
            self._mark_open_spans()
        return begun

    def _open_span(self, event_type: str, event_id: str, parent: str | None, number: int) -> None:
        if event_type == "trace_start":
            self._processes[event_id] = self._processes.get(parent, parent) if parent else None
            return
        if event_id in self._open:
            self._covered.setdefault(event_id, []).append(self._open[event_id])
        self._open[event_id] = number
        self._end[number] = _UNENDED

    def _close_span(self, event_id: str | None, number: int) -> int:
        """Close the latest open span with an id, and return its start; 0 where there is none."""
        if event_id is None:
            return 0
        begun = self._open.pop(event_id, 0)
        if not begun:
            return 0
        if self._covered and event_id in self._covered:
            self._open[event_id] = self._covered[event_id].pop()
            if not self._covered[event_id]:
                del self._covered[event_id]
        self._end[begun] = number
        self._set_following(begun, number)
        self._last.pop(begun, None)
        self._ended[event_id] = begun
        if len(self._ended) >= MOST_ENDED:
            self._ended_before, self._ended = self._ended, {}
        return begun

    def _set_following(self, level: int, number: int) -> None:
        """Make an event the next one for the last event of a level."""
        last = self._last.get(level)
        if last is not None:
            self._following[last] = number
        if self._waiting:
            for waiting in self._waiting.pop(level, ()):
                self._following[waiting] = number

    def _find_level(self, event_id: str | None) -> int:
        """Return the open start that an event with this parent happens inside."""
        if event_id in self._processes and event_id not in self._open:
            event_id = self._processes[event_id]
        if event_id is None:
            return 0
        start = self._open.get(event_id)
        if start is None:
            ended = self._ended.get(event_id) or self._ended_before.get(event_id, 0)
            start = self._find_open(ended)
        return start

    def _find_open(self, start: int) -> int:
        """Return the start itself while its span is open, else the nearest open one around it.

        Ended spans on the way are pointed at the result, so that a long chain of them is followed only once.
        """
        passed = []
        while start and self._end[start] != _UNENDED:
            passed.append(start)
            start = self._around.get(start, self._enclosing[start])
        for ended in passed[:-1]:
            self._around[ended] = start
        return start

    def _mark_open_spans(self) -> None:
        """List the spans that are open now; if the lists take too much memory, drop every second one."""
        covered = (start for starts in self._covered.values() for start in starts)
        self._marks.append(array("I", sorted([*self._open.values(), *covered])))
        self._marked += len(self._marks[-1])
        while self._marked > _MOST_MARKED and len(self._marks) > 2:
            self._every *= 2
            self._marks = self._marks[::2]
            self._marked = sum(map(len, self._marks))

    def to_json(self) -> dict[str, Any]:
        """Return the outline as JSON with arrays in it, without the state for growing where that is very large."""
        growing: list[dict[str, Any]] = [
            self._open,
            self._covered,
            self._ended,
            self._ended_before,
            self._processes,
        ]
        numbered: list[dict[int, Any]] = [self._last, self._waiting, self._around]
        much = sum(map(len, growing)) + sum(map(len, numbered)) > _MOST_GROWING
        return {
            "shape": [
                self._enclosing,
                self._end,
                self._following,
                self._preceding,
                self._kind,
                self.failures,
            ],
            "kinds": [list(kind) for kind, _ in self.kinds.count()],
            "times": self.kinds.times,
            "every": self._every,
            "marks": self._marks,
            "growing": None if much else [*growing, *(list(each.items()) for each in numbered)],
        }

    @classmethod
    def from_json(cls, document: dict[str, Any], arrays: Sequence[array[Any]]) -> Outline:
        """Rebuild an outline from `to_json`, with the indexes of the arrays in their place."""
        outline = cls()
        shape = [arrays[index] for index in document["shape"]]
        outline._enclosing, outline._end, outline._following, outline._preceding = shape[:4]
        outline._kind, outline.failures = shape[4:]
        outline.kinds = EventKinds([EventKind(*row) for row in document["kinds"]], arrays[document["times"]])
        outline._every, outline._marks = document["every"], [arrays[index] for index in document["marks"]]
        outline._marked = sum(map(len, outline._marks))
        growing = document["growing"]
        outline.can_grow = growing is not None
        if growing is not None:
            outline._open, outline._covered, outline._ended, outline._ended_before = growing[:4]
            outline._processes, outline._last, outline._around = (
                growing[4],
                dict(growing[5]),
                dict(growing[7]),
            )
            outline._waiting = {level: arrays[index] for level, index in growing[6]}
        return outline
