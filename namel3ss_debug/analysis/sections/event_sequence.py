"""Keep the data of every event that the checks of integrity need: its id, its `seq`, its time, the ids it names.

It is stored compactly, so that a million events can be checked.
"""

from __future__ import annotations

from array import array
from hashlib import blake2b
from math import inf
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

from namel3ss_debug.analysis.sections.runs import Lookup, Runs
from namel3ss_debug.traces.facts import since_epoch

if TYPE_CHECKING:
    from namel3ss_debug.traces.events import Event

_DIGITS = "0123456789"
_MOST_DIGITS = 9
_LOW = 0xFFFFFFFF
_MOST_PROCESSES = 50_000  # a trace with made-up ids must not fill the memory


class ProblemNotes:
    """The count of problems of one kind, and the first of them by event number with the measured amounts."""

    __slots__ = ("_first", "_most", "count")

    def __init__(self, most: int) -> None:
        self.count = 0
        self._most = most
        self._first: list[tuple[int, int]] = []

    def add(self, number: int, amount: int = 0) -> None:
        """Add a problem: the number of its event, and an amount."""
        self.count += 1
        self._first.append((number, amount))
        if len(self._first) > 4 * self._most:
            self._first = self.first()

    def first(self) -> list[tuple[int, int]]:
        """Return the first problems."""
        return sorted(self._first)[: self._most]


class ProcessSequence:
    """The events of one process, as far as their ids identify it: whether numbers have gaps and times rise.

    `last_at` is the time of the latest event, in seconds.
    """

    __slots__ = ("last_at", "seqs")

    def __init__(self) -> None:
        self.seqs = Runs(loose=True)
        self.last_at = -inf

    def gaps(self) -> list[tuple[int, int, bool]]:
        """Return for each gap the event after it, how many numbers are missing, and whether it precedes all events."""
        gaps = []
        expected = 0
        for first, last, event in self.seqs.in_order():
            if first > expected:
                gaps.append((event, first - expected, not expected))
            expected = max(expected, last + 1)
        return gaps


class References(NamedTuple):
    """The problems of ids that events name.

    Attributes:
        missing: events that name an id that no event has.
        late: events that name a later event, or themselves.
        circles: the first event of each circle of parents.
    """

    missing: ProblemNotes
    late: ProblemNotes
    circles: ProblemNotes


class EventSequence:
    """Follows every event in order.

    Args:
        most: how many events of each kind of problem are kept.
        tolerance_ns: by how much a clock may seem to go back without a finding.
    """

    def __init__(self, most: int, tolerance_ns: int) -> None:
        self.most = most
        self.tolerance_ns = tolerance_ns
        self.ids = Runs()
        self._first_process = ProcessSequence()
        self.processes: dict[str, ProcessSequence] = {"": self._first_process}
        self.steps_back = ProblemNotes(most)
        self.largest_step = 0
        self._referenced = array("q")
        self._referenced_by = array("q")
        self._children = array("q")
        self._parents = array("q")
        self._parent: str | None = None
        self._parent_key = 0

    def add(self, number: int, event: Event) -> None:
        """Add the next event."""
        event_id, seq = event.get("event_id"), event.get("seq")
        kind = event["event_type"]
        parent = event.get("parent_event_id")
        if parent is not None and kind[-4:] != "_end":
            if parent != self._parent:
                key = _split(parent)[1]
                known = self._note_reference(number, key)
                self._parent, self._parent_key = parent if known else None, key
            if kind[-6:] == "_start":
                self._children.append(number)
                self._parents.append(self._parent_key)
        ids, process = self.ids, self._first_process
        # The tracer writes ids of the first process like this.
        if seq is not None and event_id == str(following := seq + 1):
            if ids.following == following and ids.following_event == number:
                # `add`, inlined: this runs for every event.
                ids.following, ids.following_event = seq + 2, number + 1
            else:
                ids.add(following, number)
        elif event_id is not None:
            prefix, key = _split(event_id)
            ids.add(key, number)
            if prefix and seq is not None and key & _LOW in {seq, seq + 1}:
                process = self._process_of(prefix)
        if seq is not None:
            seqs = process.seqs
            if seq == seqs.following:
                seqs.following = seq + 1
            else:
                seqs.add(seq, number)
        at = event.get("timestamp")
        if at is not None and kind != "trace_start":  # a trace_start is written late, with an early time
            if at < process.last_at:
                back = since_epoch(process.last_at) - since_epoch(at)
                if back > self.tolerance_ns:
                    self._note_step_back(number, back)
            process.last_at = at
        if "depends_on" in event:
            for needed in event["depends_on"]:
                if isinstance(needed, str):
                    self._note_reference(number, _split(needed)[1])

    def _process_of(self, prefix: str) -> ProcessSequence:
        """Return the sequence of the process whose ids have this prefix."""
        process = self.processes.get(prefix)
        if process is None:
            if len(self.processes) > _MOST_PROCESSES:
                return self._first_process
            process = self.processes[prefix] = ProcessSequence()
        return process

    def _note_step_back(self, number: int, back: int) -> None:
        self.steps_back.add(number, back)
        self.largest_step = max(self.largest_step, back)

    def _note_reference(self, number: int, key: int) -> bool:
        """Note that an event names an id, unless that is a recent one; return whether it is."""
        if self.ids.is_recent(key):
            return True
        self._referenced.append(key)
        self._referenced_by.append(number)
        return False

    def references(self, lookup: Lookup) -> References:
        """Look up every id that was named, and return the problems."""
        references = References(*(ProblemNotes(self.most) for _ in References._fields))
        late = set()
        for key, number in zip(self._referenced, self._referenced_by, strict=True):
            event = lookup.event(key)
            if event is None:
                references.missing.add(number)
            elif event >= number:
                late.add(number)
        for number in late:
            references.late.add(number)
        if late:
            self._find_circles(sorted(late), lookup, references.circles)
        return references

    def _find_circles(self, starts: list[int], lookup: Lookup, circles: ProblemNotes) -> None:
        """Find circles by going up from the spans whose parent is later: every circle has one of them."""
        parents = dict(zip(self._children, self._parents, strict=True))
        done: set[int] = set()
        for start in starts:
            number: int | None = start
            path: dict[int, None] = {}
            while number in parents and number not in done and number not in path:
                path[number] = None
                number = lookup.event(parents[number])
            if number in path:
                ring = list(path)
                circles.add(min(ring[ring.index(number) :]))
            done.update(path)


def _split(event_id: str) -> tuple[str, int]:
    """Split off the number at the end of an id; return the part before it, and a key of 63 bits for the whole id."""
    if event_id.isdecimal() and event_id.isascii() and event_id[0] != "0" and len(event_id) <= _MOST_DIGITS:
        return "", int(event_id)
    prefix = event_id.rstrip(_DIGITS)
    digits = event_id[len(prefix) :]
    if digits and len(digits) <= _MOST_DIGITS and (digits[0] != "0" or digits == "0"):
        return prefix, (crc32(prefix.encode(errors="replace")) & 0x7FFFFFFF) << 32 | int(digits)
    digest = blake2b(event_id.encode(errors="replace"), digest_size=8).digest()
    return "", int.from_bytes(digest, "little") >> 1
