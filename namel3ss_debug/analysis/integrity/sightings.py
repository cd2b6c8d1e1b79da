"""The data of every event that the checks of integrity need: its id, its `seq`, its time, the ids it names.

It is stored compactly, so that a million events can be checked, and so that the parts of a cut trace can be merged
exactly.
"""

from __future__ import annotations

from array import array
from hashlib import blake2b
from math import inf
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

from namel3ss_debug.analysis.integrity.runs import Lookup, Runs
from namel3ss_debug.analysis.nesting import since_epoch

if TYPE_CHECKING:
    from namel3ss_debug.traces.events import Event

_DIGITS = "0123456789"
_MOST_DIGITS = 9
_LOW = 0xFFFFFFFF
_MOST_LANES = 50_000  # so that ids that are made to fill the memory cannot do so


class Noted:
    """A count of problems, and the first of them by event number with the measured amounts."""

    __slots__ = ("_first", "_most", "count")

    def __init__(self, most: int) -> None:
        self.count = 0
        self._most = most
        self._first: list[tuple[int, int]] = []

    def add(self, number: int, seen: int = 0) -> None:
        """Note one of them: the number of its event, and an amount."""
        self.count += 1
        self._first.append((number, seen))
        if len(self._first) > 4 * self._most:
            self._first = self.first()

    def first(self) -> list[tuple[int, int]]:
        """Return the first of them."""
        return sorted(self._first)[: self._most]

    def merge(self, later: Noted) -> None:
        """Add what else was noted."""
        self.count += later.count
        self._first = sorted(self._first + later._first)[: self._most]


class Lane:
    """The events of one process, as far as their ids identify it: are numbers without gaps, do times rise.

    `first` is the time, in nanoseconds since the epoch, and the number of the first event with a time; `last_at` the
    time of the latest, in seconds.
    """

    __slots__ = ("first", "last_at", "seqs")

    def __init__(self) -> None:
        self.seqs = Runs(loose=True)
        self.first: tuple[int, int] | None = None
        self.last_at = -inf

    def gaps(self) -> list[tuple[int, int, bool]]:
        """For each gap the event after it, how many numbers are missing, and whether it is before the first event."""
        found = []
        expected = 0
        for first, last, event in self.seqs.in_order():
            if first > expected:
                found.append((event, first - expected, not expected))
            expected = max(expected, last + 1)
        return found


class References(NamedTuple):
    """The ids that events name: whether and where they were found.

    `missing`: an event names an id that is nowhere; `late`: it names an event that comes after it, or itself;
    `circles`: the first event of each circle of parents.
    """

    missing: Noted
    late: Noted
    circles: Noted


class Sightings:
    """Takes every event in order.

    Args:
        most: how many events of each kind of problem are kept.
        tolerance_ns: by how much a clock may seem to go back without a finding.
    """

    def __init__(self, most: int, tolerance_ns: int) -> None:
        self.most = most
        self.tolerance_ns = tolerance_ns
        self.ids = Runs()
        self._lane = Lane()
        self.lanes: dict[str, Lane] = {"": self._lane}
        self.steps_back = Noted(most)
        self.largest_step = 0
        self._wanted = array("q")
        self._wanted_by = array("q")
        self._children = array("q")
        self._parents = array("q")
        self._parent: str | None = None
        self._parent_key = 0

    def take(self, number: int, event: Event) -> None:
        """Look at the next event."""
        event_id, seq = event.get("event_id"), event.get("seq")
        kind = event["event_type"]
        parent = event.get("parent_event_id")
        if parent is not None and kind[-4:] != "_end":
            if parent != self._parent:
                self._refer(number, parent)
            if kind[-6:] == "_start":
                self._children.append(number)
                self._parents.append(self._parent_key)
        ids, lane = self.ids, self._lane
        # as the tracer writes them, in the first process
        if seq is not None and event_id == str(following := seq + 1):
            if ids.following == following and ids.following_event == number:
                ids.following, ids.following_event = seq + 2, number + 1  # as `add`, without the call
            else:
                ids.add(following, number)
        elif event_id is not None:
            prefix, key = _split(event_id)
            ids.add(key, number)
            if prefix and seq is not None and key & _LOW in {seq, seq + 1}:
                lane = self._lane_of(prefix)
        if seq is not None:
            seqs = lane.seqs
            if seq == seqs.following:
                seqs.following = seq + 1
            else:
                seqs.add(seq, number)
        at = event.get("timestamp")
        if at is not None and kind != "trace_start":  # which is written late, with an early time
            if at < lane.last_at:
                back = since_epoch(lane.last_at) - since_epoch(at)
                if back > self.tolerance_ns:
                    self._step(number, back)
            elif lane.first is None:
                lane.first = (since_epoch(at), number)
            lane.last_at = at
        if "depends_on" in event:
            for needed in event["depends_on"]:
                if isinstance(needed, str):
                    self._want(number, _split(needed)[1])

    def _lane_of(self, prefix: str) -> Lane:
        lane = self.lanes.get(prefix)
        if lane is None:
            if len(self.lanes) > _MOST_LANES:
                return self._lane
            lane = self.lanes[prefix] = Lane()
        return lane

    def _step(self, number: int, back: int) -> None:
        self.steps_back.add(number, back)
        self.largest_step = max(self.largest_step, back)

    def _refer(self, number: int, parent: str) -> None:
        """Note that an event names another parent than the one before."""
        key = _split(parent)[1]
        self._parent, self._parent_key = (parent, key) if self._want(number, key) else (None, key)

    def _want(self, number: int, key: int) -> bool:
        """Note that an event names an id, unless that is a recent one; return whether it is."""
        if self.ids.is_recent(key):
            return True
        self._wanted.append(key)
        self._wanted_by.append(number)
        return False

    def merge(self, later: Sightings) -> None:
        """Add the events that follow."""
        self.ids.merge(later.ids)
        for prefix, lane in later.lanes.items():
            mine = self.lanes.get(prefix)
            if mine is None:
                self.lanes[prefix] = lane
                continue
            mine.seqs.merge(lane.seqs)
            if lane.first is not None:
                if mine.first is not None:
                    back = since_epoch(mine.last_at) - lane.first[0]
                    if back > self.tolerance_ns:
                        self._step(lane.first[1], back)
                mine.first = mine.first or lane.first
                mine.last_at = lane.last_at
        self.steps_back.merge(later.steps_back)
        self.largest_step = max(self.largest_step, later.largest_step)
        for column, more in (
            (self._wanted, later._wanted),
            (self._wanted_by, later._wanted_by),
            (self._children, later._children),
            (self._parents, later._parents),
        ):
            column.extend(more)
        self._parent = None

    def references(self, lookup: Lookup) -> References:
        """Look for every id that was named."""
        found = References(*(Noted(self.most) for _ in References._fields))
        late = set()
        for key, number in zip(self._wanted, self._wanted_by, strict=True):
            event = lookup.event(key)
            if event is None:
                found.missing.add(number)
            elif event >= number:
                late.add(number)
        for number in late:
            found.late.add(number)
        if late:
            self._follow(sorted(late), lookup, found.circles)
        return found

    def _follow(self, starts: list[int], lookup: Lookup, circles: Noted) -> None:
        """Find circles by going up from the spans whose parent comes later: every circle has one of them."""
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
    """Return the part of an id before the number at its end, and a key of 63 bits for the whole id."""
    if event_id.isdecimal() and event_id.isascii() and event_id[0] != "0" and len(event_id) <= _MOST_DIGITS:
        return "", int(event_id)
    prefix = event_id.rstrip(_DIGITS)
    digits = event_id[len(prefix) :]
    if digits and len(digits) <= _MOST_DIGITS and (digits[0] != "0" or digits == "0"):
        return prefix, (crc32(prefix.encode(errors="replace")) & 0x7FFFFFFF) << 32 | int(digits)
    whole = blake2b(event_id.encode(errors="replace"), digest_size=8).digest()
    return "", int.from_bytes(whole, "little") >> 1
