"""Find how long a span computed itself, and so how long it waited."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from namel3ss_debug.analysis.facts import MeasuredSpan

_TOLERANCE = 0.05
"""The share by which the durations of children may differ from the time in which they ran: clocks are not exact."""


def own_cpu_ns(span: MeasuredSpan, duration: int, cpu: int, sums: str) -> int | None:
    """Return the CPU time of a span's self time in nanoseconds, and leave the whole for its parent.

    It is not known where the children of a span ran concurrently, or did not all record their CPU time: None then. Other
    threads may have computed at the same time, so it is never more than the self time.

    Args:
        span: a span that ended.
        duration: its duration in nanoseconds.
        cpu: its CPU time in nanoseconds, that of its children included.
        sums: the name under which spans leave their CPU time and duration for their parent. Each section has its own.
    """
    below, above = span.below, span.above
    if above is not None:
        inside = above.vector(sums, 2)
        inside[0] += cpu
        inside[1] += duration
    if below is not None and below.intervals:
        computed, measured = below.sums.get(sums, (0, 0))
        covered = duration - span.self_ns
        if abs(measured - covered) > covered * _TOLERANCE:
            return None
        cpu = max(cpu - computed, 0)
    return min(cpu, span.self_ns)
