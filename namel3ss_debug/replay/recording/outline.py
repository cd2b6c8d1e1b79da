"""The shape of a recording by event number: what is inside what, what comes next beside it, and of which kind.

Numbers count from 1, and 0 means none. A *level* is what happened directly inside one span, or inside none: the
starts there, the ends of those, and point events. Chunks of streamed answers and resource samples are of no
level; from one of them `following` and `preceding` lead to the level it happened in. Each event costs a few
integers, so that a million of them fit, and every question is a look-up.

A start that names a span which has ended (work that outlived its parent) is taken for a child of the nearest span
around that one which is still open; so is the end of such a start. Starts with the same id nest like brackets. A
`trace_start` is a point event; what names it as parent happened where the process was started.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator, Sequence
from typing import Any, Final

from namel3ss_debug.replay.recording.kinds import Kind, Kinds
from namel3ss_debug.traces.events import Event, ends_span
from namel3ss_debug.traces.totals import is_failure

MOST_ENDED: Final = 16_384
"""So many ended spans are remembered by their id at least, for what still names them as parent."""

MARKED_EVERY: Final = 4096
"""The spans that are open are written down every so many events; further apart where they are very many."""

_MOST_MARKED = 2_000_000
_MOST_GROWING = 200_000
_NO_LEVEL = frozenset({"stream_chunk", "resource_sample", "stack_sample", "inputs_read"})
"""Events that moves over spans pass over: they are pieces of something, or no deed of the program, as in `capture/gate.py`."""
_STRETCH = 4096
_BYTE = 256
_UNENDED = 0xFFFF_FFFF


class Outline:
    """The shape of the events taken so far.

    Attributes:
        failures: the numbers of the events that say something failed, starts left out, in order.
        kinds: the kinds of the events.
        can_grow: whether further events can be taken.
    """

    def __init__(self) -> None:
        self.failures = array("I")
        self.kinds = Kinds()
        self.can_grow = True
        self._enclosing, self._end = array("I", [0]), array("I", [0])
        self._following, self._preceding = array("I", [0]), array("I", [0])
        self._kind = array("H", [0])
        self._open: dict[str, int] = {}
        self._covered: dict[str, list[int]] = {}  # earlier open starts with the same id
        self._ended: dict[str, int] = {}
        self._ended_before: dict[str, int] = {}
        self._processes: dict[str, str | None] = {}  # id of a process start -> id of what it was started in
        self._last: dict[int, int] = {}  # open start, 0 for none -> the last event of the level inside it
        self._waiting: dict[int, array[int]] = {}  # the same -> events of no level since then
        self._around: dict[int, int] = {}  # ended start -> a start around it that was open later
        self._every = MARKED_EVERY
        self._marks: list[array[int]] = [array("I")]  # the open starts after every so many events
        self._marked = 0

    @property
    def count(self) -> int:
        """How many events were taken."""
        return len(self._kind) - 1

    def enclosing(self, number: int) -> int:
        """The start that an event happened inside; of an end its own start, of a start the one around it."""
        return self._enclosing[number]

    def end(self, number: int) -> int:
        """The end of the span that a start begins; 0 while it is open, and of what is no start."""
        end = self._end[number]
        return 0 if end == _UNENDED else end

    def open_at(self, number: int) -> list[int]:
        """The starts of the spans that are open after an event, in order."""
        mark = min(number // self._every, len(self._marks) - 1)
        end = self._end
        found = [start for start in self._marks[mark] if end[start] > number]
        since = mark * self._every + 1
        return found + [start for start in range(since, number + 1) if end[start] > number]

    def stack(self, number: int) -> list[int]:
        """The starts of the open spans around an event, the outermost first.

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
        """The next event at the same level; from the last one, the end of the span around."""
        return self._following[number]

    def preceding(self, number: int) -> int:
        """The event before at the same level; from the first one, the start of the span around."""
        return self._preceding[number]

    def kind(self, number: int) -> Kind | None:
        """The kind of an event, where it is told."""
        kind = self.kinds.rows[self._kind[number]]
        return kind if kind is not None and kind.told else None

    def latest(self, event_type: str, number: int) -> int:
        """The latest event of a type, such as `llm_call_start`, at or before this one."""
        wanted = bytearray(kind is not None and kind.event_type == event_type for kind in self.kinds.rows)
        return next(self.backward(wanted, 1, number + 1), 0)

    def forward(self, wanted: bytearray, first: int, end: int) -> Iterator[int]:
        """The events of wanted kinds from one number to before another; see `Kinds.wanted`."""
        end = min(end, len(self._kind))
        for begin in range(max(first, 1), end, _STRETCH):
            marks = self._matches(wanted, begin, min(begin + _STRETCH, end))
            place = marks.find(1)
            while place >= 0:
                yield begin + place
                place = marks.find(1, place + 1)

    def backward(self, wanted: bytearray, first: int, end: int) -> Iterator[int]:
        """The same events, the latest first."""
        first, end = max(first, 1), min(end, len(self._kind))
        for after in range(end, first, -_STRETCH):
            begin = max(after - _STRETCH, first)
            marks = self._matches(wanted, begin, after)
            place = marks.rfind(1)
            while place >= 0:
                yield begin + place
                place = marks.rfind(1, 0, place)

    def _matches(self, wanted: bytearray, begin: int, end: int) -> bytes:
        """A byte for each event: 1 where its kind is wanted."""
        stretch = self._kind[begin:end]
        if len(wanted) <= _BYTE:
            return stretch.tobytes()[sys.byteorder == "big" :: 2].translate(wanted.ljust(_BYTE, b"\0"))
        return bytes(map(wanted.__getitem__, stretch))

    def add(self, event: Event) -> int:
        """Take the next event; of an end, return the number of its start, otherwise 0."""
        number = len(self._kind)
        event_type = event["event_type"]
        kind = self.kinds.take(event)
        self._kind.append(kind)
        self._end.append(0)
        self._following.append(0)
        parent = event.get("parent_event_id")
        begun = 0
        if ends_span(event_type):
            begun = self._close(parent, number)
            level = self._still_open(self._enclosing[begun]) if begun else self._inside(parent)
            self._enclosing.append(begun or level)
        else:
            level = self._inside(parent)
            self._enclosing.append(level)
        self._preceding.append(self._last.get(level, level))
        if event_type in _NO_LEVEL:
            self._waiting.setdefault(level, array("I")).append(number)
        else:
            self._follow(level, number)
            self._last[level] = number
            if event_type[-6:] == "_start" and "event_id" in event:
                self._begin(event_type, event["event_id"], parent, number)
        row = self.kinds.rows[kind]
        if (is_failure(event) if row is None else row.failed) and event_type[-6:] != "_start":
            self.failures.append(number)
        if number % self._every == 0:
            self._mark()
        return begun

    def _begin(self, event_type: str, event_id: str, parent: str | None, number: int) -> None:
        if event_type == "trace_start":
            self._processes[event_id] = self._processes.get(parent, parent) if parent else None
            return
        if event_id in self._open:
            self._covered.setdefault(event_id, []).append(self._open[event_id])
        self._open[event_id] = number
        self._end[number] = _UNENDED

    def _close(self, event_id: str | None, number: int) -> int:
        """End the latest open start with an id, and return it; 0 where there is none."""
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
        self._follow(begun, number)
        self._last.pop(begun, None)
        self._ended[event_id] = begun
        if len(self._ended) >= MOST_ENDED:
            self._ended_before, self._ended = self._ended, {}
        return begun

    def _follow(self, level: int, number: int) -> None:
        """An event is the next one for what came last in a level."""
        last = self._last.get(level)
        if last is not None:
            self._following[last] = number
        if self._waiting:
            for waiting in self._waiting.pop(level, ()):
                self._following[waiting] = number

    def _inside(self, event_id: str | None) -> int:
        """The open start that something with this parent happens inside."""
        if event_id in self._processes and event_id not in self._open:
            event_id = self._processes[event_id]
        if event_id is None:
            return 0
        start = self._open.get(event_id)
        if start is None:
            ended = self._ended.get(event_id) or self._ended_before.get(event_id, 0)
            start = self._still_open(ended)
        return start

    def _still_open(self, start: int) -> int:
        """The start itself while its span is open, else the nearest open one around it; shortens paths on the way."""
        passed = []
        while start and self._end[start] != _UNENDED:
            passed.append(start)
            start = self._around.get(start, self._enclosing[start])
        for ended in passed[:-1]:
            self._around[ended] = start
        return start

    def _mark(self) -> None:
        """Note which spans are open now; where that would take too much memory, only every second time."""
        covered = (start for starts in self._covered.values() for start in starts)
        self._marks.append(array("I", sorted([*self._open.values(), *covered])))
        self._marked += len(self._marks[-1])
        while self._marked > _MOST_MARKED and len(self._marks) > 2:
            self._every *= 2
            self._marks = self._marks[::2]
            self._marked = sum(map(len, self._marks))

    def told(self) -> dict[str, Any]:
        """Everything that makes it, as JSON with arrays in it; without what it needs to grow where that is very much."""
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
            "kinds": [list(kind) for kind, _ in self.kinds.counted()],
            "times": self.kinds.times,
            "every": self._every,
            "marks": self._marks,
            "growing": None if much else [*growing, *(list(each.items()) for each in numbered)],
        }

    @classmethod
    def of(cls, told: dict[str, Any], arrays: Sequence[array[Any]]) -> Outline:
        """Make it of what `told` gave, which has the places of the arrays in their stead."""
        outline = cls()
        shape = [arrays[place] for place in told["shape"]]
        outline._enclosing, outline._end, outline._following, outline._preceding = shape[:4]
        outline._kind, outline.failures = shape[4:]
        outline.kinds = Kinds([Kind(*row) for row in told["kinds"]], arrays[told["times"]])
        outline._every, outline._marks = told["every"], [arrays[place] for place in told["marks"]]
        outline._marked = sum(map(len, outline._marks))
        growing = told["growing"]
        outline.can_grow = growing is not None
        if growing is not None:
            outline._open, outline._covered, outline._ended, outline._ended_before = growing[:4]
            outline._processes, outline._last, outline._around = (
                growing[4],
                dict(growing[5]),
                dict(growing[7]),
            )
            outline._waiting = {level: arrays[place] for level, place in growing[6]}
        return outline
