"""Self times of spans, and what children leave for their parent.

Self time is a span's duration less the time in which at least one of its direct children ran: the union of
their intervals, cut to the span's own, so that children that ran in parallel are not counted twice. A child's
interval is its start's timestamp and its own duration. Only children that ended before their parent count; one
that outlives its parent takes nothing from it.

A union of intervals, like a sum, does not depend on the order in which it was gathered, so that the parts of a cut
trace can be merged exactly.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from dataclasses import dataclass
from operator import add
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from namel3ss_debug.traces.costs import Used
    from namel3ss_debug.traces.events import Event

EVERY_EVENT = frozenset({"*"})
"""The `events` of a fold that wants to see all events in order, those of spans included."""

_ONE = 2
"""How many numbers one interval takes."""

_T = TypeVar("_T")


class Below:
    """What the children of one span left for it: their intervals, and whatever sums the folds hand up.

    Sixteen bytes for each direct child, held until the parent ends.
    """

    __slots__ = ("intervals", "sums")

    def __init__(self) -> None:
        self.intervals: array[int] = array("q")
        """Start and end of each child in nanoseconds since the epoch, one after the other."""
        self.sums: dict[str, list[int]] = {}

    def vector(self, name: str, length: int) -> list[int]:
        """Return the sums of this name, to be added to in place; zeros at first."""
        found = self.sums.get(name)
        if found is None:
            found = self.sums[name] = [0] * length
        return found


def add_up(into: list[int], amounts: Sequence[int]) -> None:
    """Add each amount to the one at its place."""
    into[:] = map(add, into, amounts)


@dataclass(slots=True, eq=False)
class MeasuredSpan:
    """A span as the folds see it, with what was measured on the way.

    It is not a tuple, because the folds read its fields some fifty times, and slots are read four times as fast.

    Attributes:
        number: the number of the start event; of the end, where the start is not in the trace.
        end_number: the number of the end event; 0 for a span that never ended.
        start: the start event; empty where it is not in the trace.
        end: the end event; empty for a span that never ended.
        component: as the start says.
        name: the component's name; empty where there is none.
        failed: whether it ended as a failure.
        retried: whether it is an attempt that follows a failed one.
        duration_ns: how long it took; None where that was not recorded.
        self_ns: the duration less the time in which its children ran.
        below: the data that its children have left, if any.
        above: where to leave data for the parent span; None where the parent has ended or is not known.
        used: its tokens and what it cost; None until `usage.used` has been asked.
    """

    number: int
    end_number: int
    start: Event
    end: Event
    component: str
    name: str
    failed: bool
    retried: bool
    duration_ns: int | None
    self_ns: int
    below: Below | None
    above: Below | None
    used: Used | None = None

    @property
    def id(self) -> str | None:
        """The id of the span, which is that of its start event."""
        return self.start.get("event_id") if self.start else self.end.get("parent_event_id")

    @property
    def parent_id(self) -> str | None:
        """The id of the span it ran inside; None at the top, and where the start is not in the trace."""
        return self.start.get("parent_event_id")

    def get(self, field: str) -> object:
        """Return a field of the end event, or of the start event where the end does not have it."""
        value = self.end.get(field)
        return self.start.get(field) if value is None else value


def covered_ns(intervals: array[int], begin: int, end: int) -> int:
    """Return how many nanoseconds from `begin` to `end` lie in at least one of the intervals."""
    if len(intervals) == _ONE:
        low, high = intervals
        if begin <= low <= high <= end:  # most often; `max` and `min` are calls
            return high - low
        return max(min(end, high) - max(begin, low), 0)
    covered = 0
    reached = begin
    numbers = iter(intervals)
    for low, high in sorted(zip(numbers, numbers, strict=True)):
        if high > reached:
            reached = max(reached, low)
            if high >= end:
                return covered + max(end - reached, 0)
            covered += high - reached
            reached = high
    return covered


def latest(numbered: Sequence[tuple[int, _T]], before: float) -> tuple[int, _T] | None:
    """Return the last of some numbered things, in rising order, whose number is below `before`."""
    place = bisect_left(numbered, before, key=_number)
    return numbered[place - 1] if place else None


def _number(numbered: tuple[int, object]) -> int:
    return numbered[0]
