"""Measure how many spans ran at once over the time of a run, and for what share of it each component ran.

Only innermost spans count as running: a span with children mostly waits for them. Beginnings and ends are sorted
separately and walked in parallel. That is enough to know how many were running; which of them does not matter.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from itertools import islice
from operator import add, sub
from typing import TYPE_CHECKING, Any

from namel3ss_debug.analysis.distributions import milliseconds

if TYPE_CHECKING:
    from collections.abc import Iterator

SLICES = 20
"""The number of equal slices in which the time of a run is shown."""

_MOST_LEVELS = 20


class Intervals:
    """When the spans of one kind ran: sixteen bytes for each."""

    __slots__ = ("begins", "ends")

    def __init__(self) -> None:
        self.begins = array("q")
        self.ends = array("q")

    def add(self, begins: array[int], durations: array[int]) -> None:
        """Add spans by the times they began, in nanoseconds since the epoch, and by their durations."""
        self.begins.extend(begins)
        self.ends.extend(map(add, begins, durations))

    def merge(self, later: Intervals) -> None:
        """Merge the intervals of another part into these."""
        self.begins.extend(later.begins)
        self.ends.extend(later.ends)

    def iter_stretches(self) -> Iterator[tuple[int, int, int]]:
        """Yield (begin, end, how many were running) for each stretch of time in which something ran, in order."""
        begins, ends = sorted(self.begins), sorted(self.ends)
        size = len(begins)
        index = running = before = 0
        for end in ends:
            while index < size and begins[index] <= end:
                begin = begins[index]
                if running and begin > before:
                    yield before, begin, running
                before = begin
                running += 1
                index += 1
            if end > before:
                yield before, end, running
            before = end
            running -= 1

    def covered(self) -> int:
        """Return for how many nanoseconds at least one of them ran.

        Nothing ran between the n-th end and the (n + 1)-th beginning, where that is later.
        """
        if not self.begins:
            return 0
        begins, ends = sorted(self.begins), sorted(self.ends)
        gaps: int = sum(gap for gap in map(sub, islice(begins, 1, None), ends) if gap > 0)
        return ends[-1] - begins[0] - gaps


def measure_concurrency(innermost: Intervals, first_at: int | None, wall_ns: int | None) -> dict[str, Any]:
    """Return how many spans ran at once.

    Args:
        innermost: the spans in which no other span ran.
        first_at: when the run began, nanoseconds since the epoch.
        wall_ns: the duration of the run.

    Returns:
        `most` at once; `mean` while anything ran; for how long exactly one (`serial_ms`) and none (`idle_ms`) ran,
        with their shares of the wall time; `levels`, for how long each number of them ran; `over_time`, the mean number in
        each of `SLICES` slices of the run.
    """
    wall = wall_ns or 0
    levels, slices = _levels(innermost, first_at or 0, wall)
    busy = sum(levels.values())
    work = sum(running * elapsed for running, elapsed in levels.items())
    serial, idle = levels.get(1, 0), wall - busy
    return {
        "most": max(levels, default=0),
        "mean": round(work / busy, 3) if busy else None,
        "serial_ms": milliseconds(serial),
        "serial_share": round(serial / wall, 6) if wall else None,
        "idle_ms": milliseconds(idle),
        "idle_share": round(idle / wall, 6) if wall else None,
        "levels": [
            {"running": running, "ms": milliseconds(levels[running])}
            for running in sorted(sorted(levels, key=lambda level: (-levels[level], level))[:_MOST_LEVELS])
        ],
        "over_time": [round(amount * SLICES / wall, 3) for amount in slices] if wall else [],
    }


def _levels(innermost: Intervals, first: int, wall: int) -> tuple[dict[int, int], list[int]]:
    """Return for how long each number of spans ran, and the work of each slice in span-nanoseconds."""
    levels: defaultdict[int, int] = defaultdict(int)
    slices = [0] * SLICES
    current, until = 0, 0  # the slice that the last stretch ended in, and its end
    for began, ended, running in innermost.iter_stretches():
        # no `max` and `min`: there are two stretches for most spans
        begin = began - first if began > first else 0
        end = ended - first
        if end > wall:  # noqa: PLR1730
            end = wall
        if begin < end:
            levels[running] += end - begin
            if end <= until:
                slices[current] += (end - begin) * running
            else:
                _share_out(slices, begin, end, running, wall)
                current = end * SLICES // wall
                until = _slice_end(current, wall)
    return levels, slices


def _slice_end(index: int, wall: int) -> int:
    return -(-(index + 1) * wall // SLICES)


def _share_out(slices: list[int], begin: int, end: int, running: int, wall: int) -> None:
    """Add a stretch to the slices it lies in."""
    at = begin * SLICES // wall
    while begin < end:
        until = min(end, _slice_end(at, wall))
        slices[min(at, SLICES - 1)] += (until - begin) * running
        begin, at = max(until, begin), at + 1


def compute_wall_shares(components: dict[str, Intervals], wall_ns: int | None) -> list[dict[str, Any]]:
    """Return for how long at least one span of each component ran, with its share of the wall time.

    The longest comes first. Components that contain each other or ran at the same time count each for itself, so the
    shares may add up to more than 1.
    """
    covered = {component: intervals.covered() for component, intervals in components.items()}
    return [
        {
            "component": component,
            "ms": milliseconds(covered[component]),
            "share": round(min(covered[component] / wall_ns, 1.0), 6) if wall_ns else None,
        }
        for component in sorted(covered, key=lambda component: (-covered[component], component))
    ]
