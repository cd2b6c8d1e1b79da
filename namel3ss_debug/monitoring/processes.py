"""The memory and the processor time of one process while it runs."""

from __future__ import annotations

from collections import deque
from statistics import median
from typing import Any, Final

from namel3ss_debug.analysis.forecasts import forecast_walk
from namel3ss_debug.analysis.sections.memory import describe_leak
from namel3ss_debug.traces.facts import NS_PER_SECOND

SLICE_SECONDS: Final = 30.0
"""Readings of this time are one point of the trend."""

_SAME_STRETCH_SECONDS: Final = 2.0
_LEAST_SHARE_SECONDS: Final = 10.0


class ProcessLoad:
    """What the readings of one process show.

    Attributes:
        mb: the latest memory in MB; None before there was one.
        numbers: the events of the first and of the latest reading.
    """

    def __init__(self, window: float, cpu_share: float | None) -> None:
        self._window, self._cpu_share = window, cpu_share
        self.mb: float | None = None
        self.numbers: tuple[int, ...] = ()
        self._points: deque[tuple[float, float]] = (
            deque()
        )  # the end of a slice, and the median of its readings
        self._slice: list[float] = []
        self._slice_began = 0.0
        self._cpu: deque[tuple[float, float]] = deque()
        self._busy: tuple[float, float] | None = None
        self._leak: dict[str, Any] | None = None

    def add_memory(self, at: float, mb: float, number: int) -> None:
        """Take a reading of the memory."""
        if self.mb is None or at - self._slice_began >= SLICE_SECONDS:
            if self._slice:
                self._points.append((self._slice_began, median(self._slice)))
                while self._points[0][0] < at - self._window:
                    self._points.popleft()
                self._leak = self._find_leak()
            self._slice, self._slice_began = [], at
        self._slice.append(mb)
        self.mb = mb
        self._seen(number)

    def _seen(self, number: int) -> None:
        self.numbers = (self.numbers[0] if self.numbers else number, number)

    def _find_leak(self) -> dict[str, Any] | None:
        """Return the trend; None where its points do not cover half of the window, which is longer than a start takes."""
        elapsed = self._points[-1][0] - self._points[0][0]
        if 2 * elapsed < self._window:
            return None
        times = [int(at * NS_PER_SECOND) for at, _ in self._points]
        return describe_leak(times, [mb for _, mb in self._points], times[-1] - times[0])

    def mb_per_hour(self) -> float | None:
        """Return how fast the memory grows: the slower of the whole window and its second half; 0 where it does not.

        So memory that a program takes while it warms up, ever more slowly, does not grow.
        """
        if self._leak is None or self._leak["verdict"] is None:
            return None
        if self._leak["verdict"] != "grows":
            return 0.0
        return float(min(self._leak["mb_per_hour"], self._leak["second_half_mb_per_hour"]))

    def mb_ahead(self) -> float | None:
        """Return what the memory will surely exceed half a window from now; None where it does not grow."""
        if not self.mb_per_hour() or len(self._points) < 2:
            return None
        values = [mb for _, mb in self._points]
        step = (self._points[-1][0] - self._points[0][0]) / (len(values) - 1)
        found = forecast_walk(values, self._window / 2 / step)
        return None if found is None else found.low

    def add_cpu(self, at: float, seconds: float, number: int) -> None:
        """Take a reading of the processor time since the process began."""
        self._seen(number)
        if self._cpu:
            before, used = self._cpu[-1]
            if at <= before:
                return
            if self._cpu_share is not None and seconds - used > self._cpu_share * (at - before):
                self.add_busy(before, at)
        self._cpu.append((at, seconds))
        while len(self._cpu) > 2 and self._cpu[1][0] <= at - SLICE_SECONDS * 2:
            self._cpu.popleft()

    def add_busy(self, began: float, ended: float) -> None:
        """Take a time in which the process computed nearly without a pause."""
        if self._busy is not None and began - self._busy[1] <= _SAME_STRETCH_SECONDS / 2:
            began = min(began, self._busy[0])
        self._busy = (began, max(ended, self._busy[1] if self._busy else ended))

    def busy_seconds(self, now: float) -> float:
        """Return for how long it has computed without a pause until now."""
        if self._busy is None or now - self._busy[1] > _SAME_STRETCH_SECONDS:
            return 0.0
        return self._busy[1] - self._busy[0]

    def cpu_share(self) -> float | None:
        """Return the share of one processor over the last minute; None where the readings cover too little of it."""
        if len(self._cpu) < 2 or self._cpu[-1][0] - self._cpu[0][0] < _LEAST_SHARE_SECONDS:
            return None
        (began, before), (ended, used) = self._cpu[0], self._cpu[-1]
        return (used - before) / (ended - began)
