"""The memory of each process over time, and whether it leaks.

A reading is the memory in a span or a sample of a process. A leak is detected by the slope of the readings (`slopes`)
in MB per hour with its interval, never by two points. Memory `grows` where the interval lies above zero both for the
whole time and for its second half, so memory that a program takes while it starts, and then keeps, is no leak. It
`shrinks` where the interval lies below zero; otherwise it is `steady`. With less than `LEAST_SECONDS` of time, or fewer
than `LEAST_POINTS` readings, there is no result.
"""

from __future__ import annotations

from array import array
from itertools import compress
from typing import TYPE_CHECKING, Any, NamedTuple

from namel3ss_debug.analysis.slopes import CONFIDENCE, METHOD, Slope, sliced, theil_sen
from namel3ss_debug.traces.facts import NS_PER_SECOND

if TYPE_CHECKING:
    from namel3ss_debug.traces.events import Event

LEAST_SECONDS = 30
LEAST_POINTS = 10
MOST_PROCESSES = 20
_LEAST_IN_HALF = 5
_HOUR = 3600 * NS_PER_SECOND
_NO_TIME = -1

ProcessKey = tuple[str, str]
"""Identifies a process: the execution id, and the prefix of its event ids."""


def process_key(event: Event) -> ProcessKey:
    """Return the key of an event's process. Ids of other formats count for the first process."""
    event_id = event.get("event_id", "")
    prefix = event_id.partition(".")[0] if event_id[:1] == "p" else ""
    return event.get("execution_id", ""), prefix


class MemoryReading(NamedTuple):
    """Megabytes, and the number of the event that has them."""

    mb: float
    number: int


class _Readings:
    """The readings of one process: twenty-four bytes each."""

    __slots__ = ("mb", "numbers", "times")

    def __init__(self) -> None:
        self.numbers = array("q")
        self.times = array("q")
        self.mb = array("d")

    def merge(self, later: _Readings) -> None:
        self.numbers.extend(later.numbers)
        self.times.extend(later.times)
        self.mb.extend(later.mb)

    def first(self) -> MemoryReading:
        index = self.numbers.index(min(self.numbers))
        return MemoryReading(self.mb[index], self.numbers[index])

    def last(self) -> MemoryReading:
        index = self.numbers.index(max(self.numbers))
        return MemoryReading(self.mb[index], self.numbers[index])

    def peak(self) -> MemoryReading:
        """Return the highest reading; of equal ones the earliest."""
        highest = max(self.mb)
        if self.mb.count(highest) == 1:
            return MemoryReading(highest, self.numbers[self.mb.index(highest)])
        return MemoryReading(highest, min(compress(self.numbers, map(highest.__eq__, self.mb))))

    def timed(self) -> tuple[list[int], list[float]]:
        """Return the times and values of the readings whose time is known."""
        if min(self.times) != _NO_TIME:
            return list(self.times), list(self.mb)
        known = [index for index, at in enumerate(self.times) if at != _NO_TIME]
        return [self.times[index] for index in known], [self.mb[index] for index in known]


class MemoryReadings:
    """The readings of every process."""

    def __init__(self) -> None:
        self._by_process: dict[ProcessKey, _Readings] = {}
        self._latest: tuple[str, _Readings] | None = None

    def add(self, number: int, event: Event) -> None:
        """Add the memory in an event."""
        run = event.get("execution_id", "")
        if event.get("event_id", "")[:1] == "p":
            readings = self._readings_of(process_key(event))
        elif self._latest is not None and run == self._latest[0]:  # usually all of them are of one lane
            readings = self._latest[1]
        else:
            readings = self._readings_of((run, ""))
            self._latest = (run, readings)
        at = event.get("timestamp")
        readings.numbers.append(number)
        # Whole microseconds: a float of seconds is not more precise.
        readings.times.append(_NO_TIME if at is None else int(at * 1e6 + 0.5) * 1000)
        readings.mb.append(event["memory_usage_mb"])

    def _readings_of(self, process: ProcessKey) -> _Readings:
        """Return the readings of a process, which are created where there are none."""
        readings = self._by_process.get(process)
        if readings is None:
            readings = self._by_process[process] = _Readings()
        return readings

    def merge(self, later: MemoryReadings) -> None:
        """Merge the readings of a later part into these."""
        for process, readings in later._by_process.items():
            mine = self._by_process.get(process)
            if mine is None:
                self._by_process[process] = readings
            else:
                mine.merge(readings)

    def renumber(self, by: int) -> None:
        """Add a number to the numbers of all events."""
        for readings in self._by_process.values():
            readings.numbers = array("q", [number + by for number in readings.numbers])

    def result(self) -> dict[str, Any]:
        """Return the first, the last and the highest reading of all, and each process with its leak."""
        by_process = list(self._by_process.items())
        first = min((readings.first() for _, readings in by_process), key=_by_number, default=None)
        last = max((readings.last() for _, readings in by_process), key=_by_number, default=None)
        peak = max(
            (readings.peak() for _, readings in by_process),
            key=lambda reading: (reading.mb, -reading.number),
            default=None,
        )
        by_process.sort(key=lambda process: (-len(process[1].numbers), process[0]))
        processes = [_process_to_json(process, readings) for process, readings in by_process[:MOST_PROCESSES]]
        processes.sort(key=lambda row: -(row["leak"]["low_mb_per_hour"] or 0.0))
        return {
            "samples": sum(len(readings.numbers) for _, readings in by_process),
            "start_mb": first.mb if first else None,
            "end_mb": last.mb if last else None,
            "peak_mb": peak.mb if peak else None,
            "peak_number": peak.number if peak else None,
            "method": METHOD,
            "process_count": len(by_process),
            "processes": processes,
        }


def _process_to_json(process: ProcessKey, readings: _Readings) -> dict[str, Any]:
    """Return the memory of one process over time."""
    first, last, peak = readings.first(), readings.last(), readings.peak()
    times, values = readings.timed()
    elapsed = max(times, default=0) - min(times, default=0)
    return {
        "process": process[1] or "p0",
        "samples": len(readings.numbers),
        "seconds": round(elapsed / NS_PER_SECOND, 6) if times else None,
        "ended_at": round(max(times) / NS_PER_SECOND, 6) if times else None,
        "start_mb": first.mb,
        "end_mb": last.mb,
        "peak_mb": peak.mb,
        "first_number": first.number,
        "last_number": last.number,
        "peak_number": peak.number,
        "leak": _leak(times, values, elapsed),
    }


def _leak(times: list[int], values: list[float], elapsed: int) -> dict[str, Any]:
    """Return the slope with its interval, and the verdict."""
    reason = None
    if len(times) < LEAST_POINTS:
        reason = f"fewer than {LEAST_POINTS} readings"
    elif elapsed < LEAST_SECONDS * NS_PER_SECOND:
        reason = f"less than {LEAST_SECONDS} seconds of readings"
    slope = later = None
    if reason is None:
        points = sliced(times, values)
        slope = theil_sen(points)
        half = [point for point in points if 2 * point[0] >= elapsed]
        later = theil_sen(half) if len(half) >= _LEAST_IN_HALF else None
    return {
        "verdict": None if slope is None else _verdict(slope, later),
        "mb_per_hour": None if slope is None else _per_hour(slope.slope),
        "low_mb_per_hour": None if slope is None else _per_hour(slope.low),
        "high_mb_per_hour": None if slope is None else _per_hour(slope.high),
        "second_half_mb_per_hour": None if later is None else _per_hour(later.slope),
        "confidence": CONFIDENCE,
        "points": 0 if slope is None else slope.points,
        "reason": reason,
    }


def _verdict(slope: Slope, later: Slope | None) -> str:
    """Return `grows`, `shrinks` or `steady`, by the slopes of the whole time and of its second half."""
    if slope.high < 0:
        return "shrinks"
    return "grows" if slope.low > 0 and later is not None and later.low > 0 else "steady"


def _per_hour(per_ns: float) -> float:
    return round(per_ns * _HOUR, 3)


def _by_number(reading: MemoryReading) -> int:
    return reading.number
