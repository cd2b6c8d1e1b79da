"""The memory of each process over time, and whether it leaks.

A reading is the memory in a span or a sample of a process. A leak is detected by the slope of the readings (`slopes`)
in MB per hour with its interval, never by two points. Memory `grows` where the interval lies above zero both for the
whole time and for its second half, and where it hardly slows down, so memory that a program takes while it warms up is
no leak. It `shrinks` where the interval lies below zero; otherwise it is `steady`. With less than `LEAST_SECONDS` of
time, or fewer than `LEAST_POINTS` readings, there is no result.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from namel3ss_debug.analysis.slopes import CONFIDENCE, METHOD, Slope, sliced, theil_sen
from namel3ss_debug.traces.facts import NS_PER_SECOND

if TYPE_CHECKING:
    from collections.abc import Sequence

    from namel3ss_debug.traces.events import Event
    from namel3ss_debug.traces.span_table import SpanTable

LEAST_SECONDS = 30
LEAST_POINTS = 10
MOST_PROCESSES = 20
_LEAST_IN_HALF = 5
_LEAST_LATER = 2 / 3
"""Of the slope of all, that of the second half; where it is less, the first half grew more than twice as fast."""

_HOUR = 3600 * NS_PER_SECOND

ProcessKey = tuple[str, str]
"""Identifies a process: the execution id, and the prefix of its event ids."""


def process_key(event: Event) -> ProcessKey:
    """Return the key of an event's process. Ids of other formats count for the first process."""
    event_id = event.get("event_id", "")
    prefix = event_id.partition(".")[0] if event_id[:1] == "p" else ""
    return event.get("execution_id", ""), prefix


class _Readings(NamedTuple):
    """The readings of one process, by number: the indexes of their traces, the numbers of their events, times and MB."""

    traces: list[int]
    numbers: list[int]
    times: list[int]
    mb: list[float]

    def peak(self) -> int:
        """Return the index of the highest reading; of equal ones the earliest."""
        return self.mb.index(max(self.mb))


def _readings_by_process(spans: SpanTable) -> dict[ProcessKey, _Readings]:
    readings = spans.readings
    indexes: defaultdict[int, list[int]] = defaultdict(list)
    for index, process in enumerate(readings["process"]):
        indexes[process].append(index)
    columns = [readings[name] for name in ("trace", "number", "at", "mb")]
    return {
        spans.values[process]: _Readings(*([column[index] for index in rows] for column in columns))
        for process, rows in indexes.items()
    }


def describe_memory(spans: SpanTable) -> dict[str, Any]:
    """Return the first, the last and the highest reading of all, and each process with its leak."""
    readings = spans.readings
    mb: Sequence[float] = readings["mb"]
    peak = max(mb, default=None)
    peak_index = 0 if peak is None else mb.index(peak)
    by_process = sorted(
        _readings_by_process(spans).items(), key=lambda process: (-len(process[1].numbers), process[0])
    )
    processes = [_process_to_json(spans, *process) for process in by_process[:MOST_PROCESSES]]
    processes.sort(key=lambda row: -(row["leak"]["low_mb_per_hour"] or 0.0))
    return {
        **(spans.path(readings["trace"][peak_index]) if mb else {}),
        "samples": len(mb),
        "start_mb": mb[0] if mb else None,
        "end_mb": mb[-1] if mb else None,
        "peak_mb": peak,
        "peak_number": readings["number"][peak_index] if mb else None,
        "method": METHOD,
        "process_count": len(by_process),
        "processes": processes,
    }


def _process_to_json(spans: SpanTable, process: ProcessKey, readings: _Readings) -> dict[str, Any]:
    """Return the memory of one process over time."""
    peak = readings.peak()
    known = [(at, mb) for at, mb in zip(readings.times, readings.mb, strict=True) if at >= 0]
    times, values = [at for at, _ in known], [mb for _, mb in known]
    elapsed = max(times, default=0) - min(times, default=0)
    return {
        **spans.path(readings.traces[peak]),
        "process": process[1] or "p0",
        "samples": len(readings.numbers),
        "seconds": round(elapsed / NS_PER_SECOND, 6) if times else None,
        "ended_at": round(max(times) / NS_PER_SECOND, 6) if times else None,
        "start_mb": readings.mb[0],
        "end_mb": readings.mb[-1],
        "peak_mb": readings.mb[peak],
        "first_number": readings.numbers[0],
        "last_number": readings.numbers[-1],
        "peak_number": readings.numbers[peak],
        "leak": describe_leak(times, values, elapsed),
    }


def describe_leak(times: Sequence[int], values: Sequence[float], elapsed: int) -> dict[str, Any]:
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
    """Return `grows`, `shrinks` or `steady`, by the slopes of the whole time and of its second half.

    Growth that slows down is that of a program that warms up, and steady.
    """
    if slope.high < 0:
        return "shrinks"
    grows = slope.low > 0 and later is not None and later.low > 0
    return "grows" if grows and later is not None and later.slope >= _LEAST_LATER * slope.slope else "steady"


def _per_hour(per_ns: float) -> float:
    return round(per_ns * _HOUR, 3)
