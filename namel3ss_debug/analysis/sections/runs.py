"""Sets of whole numbers that mostly follow each other, kept as runs: a million of them take next to no memory.

Each number is stored with the number of its event. A run is a stretch in which both rise by one from event to event, so
that one row of 24 bytes holds all of it.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Runs:
    """Numbers (of 63 bits) with their events, in the order of the events.

    `following` and `following_event` are the next number and event of the latest run. With `loose`, events may lie
    between the numbers of one run; then only the event of its first number is known.
    """

    __slots__ = ("_ends", "_events", "_firsts", "_loose", "following", "following_event")

    def __init__(self, *, loose: bool = False) -> None:
        self._loose = loose
        self._firsts = array("q")
        self._ends = array("q")  # one beyond the last number, for all runs but the latest
        self._events = array("q")
        self.following = -1
        self.following_event = 0

    def add(self, value: int, event: int) -> None:
        """Add the next number."""
        if value == self.following and (self._loose or event == self.following_event):
            self.following += 1
            self.following_event = event + 1
            return
        if self._firsts:
            self._ends.append(self.following)
        self._firsts.append(value)
        self._events.append(event)
        self.following = value + 1
        self.following_event = event + 1

    def is_recent(self, value: int) -> bool:
        """Return whether the number is in the latest run: a quick test."""
        return value < self.following and bool(self._firsts) and value >= self._firsts[-1]

    def __len__(self) -> int:
        return len(self._firsts)

    def in_order(self) -> Iterator[tuple[int, int, int]]:
        """Yield (first, last, event of the first) of each run, by their numbers, equal ones by their events."""
        ends = [*self._ends, self.following]
        firsts, events = self._firsts, self._events
        for index in sorted(
            range(len(firsts)), key=firsts.__getitem__
        ):  # stable, so earlier events come first
            yield firsts[index], ends[index] - 1, events[index]


class Lookup:
    """Finds the first event of a number, and the numbers that occur more than once.

    Attributes:
        repeated: how many numbers occurred again.
        repeats: the events of the first `most` of them.
    """

    def __init__(self, runs: Runs, most: int) -> None:
        self._firsts = array("q")
        self._lasts = array("q")
        self._offsets = array("q")  # what to add to a number to have its event
        self.repeated = 0
        self._most = most
        self.repeats: list[int] = []
        for begin, last, event in runs.in_order():
            first, offset = begin, event - begin
            # Overlapping stretches are cut so that each number belongs to one stretch, that of its first event.
            overlapping = []
            while self._lasts and self._lasts[-1] >= first:
                overlapping.append((self._firsts.pop(), self._lasts.pop(), self._offsets.pop()))
            for low, high, other in reversed(overlapping):
                self._append(low, min(first - 1, high), other)
                shared, end = max(low, first), min(high, last)
                if shared <= end:
                    self._repeat(shared, end, max(offset, other))
                    self._append(shared, end, min(offset, other))
                self._append(max(low, last + 1), high, other)
                first = max(first, high + 1)
            self._append(first, last, offset)
        self.repeats = sorted(self.repeats)[:most]

    def _append(self, first: int, last: int, offset: int) -> None:
        """Append a stretch of numbers, joined with the one before where it continues that."""
        if first > last:
            return
        if self._firsts and self._offsets[-1] == offset and self._lasts[-1] + 1 == first:
            self._lasts[-1] = last
            return
        self._firsts.append(first)
        self._lasts.append(last)
        self._offsets.append(offset)

    def _repeat(self, first: int, last: int, offset: int) -> None:
        """Count a stretch of numbers that occur again, and keep the first events."""
        self.repeated += last - first + 1
        self.repeats += range(first + offset, min(last, first + self._most) + offset + 1)
        if len(self.repeats) > 4 * self._most:
            self.repeats = sorted(self.repeats)[: self._most]

    def event(self, value: int) -> int | None:
        """Return the number of the first event that has the number; None where none has it."""
        index = bisect_right(self._firsts, value) - 1
        if index < 0 or value > self._lasts[index]:
            return None
        return value + self._offsets[index]
