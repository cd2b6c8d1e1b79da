"""Divide the time of a run among its operations, so that the shares add up to the whole run.

    {"wall_ms": 1150.0,
     "start_up_ms": 482.0,           until the first call, where the trace has the start of the program; else null
     "operations": [{"component": "llm", "component_name": "gpt-4o", "calls": 6, "ms": 566.0, "share": 0.492}],
     "outside_ms": 99.0}             after that, outside of any call

Each moment counts once: for the call that began last of those that were running. All shares are of `wall_ms`.
"""

from __future__ import annotations

from collections import Counter
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

from namel3ss_debug.analysis.distributions import milliseconds
from namel3ss_debug.analysis.totals import LISTED

if TYPE_CHECKING:
    from namel3ss_debug.traces.span_table import SpanTable


def share_time(spans: SpanTable) -> dict[str, Any] | None:
    """Return the times of one trace; None where its length is not known."""
    if not spans.wall or spans.first_at is None:
        return None
    last = spans.first_at + spans.wall
    apart = {index for index, (component, _) in enumerate(spans.operations) if component == "app"}
    began = [
        (begin, row)
        for row, begin in enumerate(spans.began)
        if begin >= 0 and spans.operation[row] not in apart and not spans.background[row]
    ]
    began.sort()
    calls = Counter(spans.operation[row] for _, row in began)
    times: Counter[int] = Counter()
    running: list[tuple[int, int, int]] = []  # the one that began last first, with its end
    now = spans.first_at
    for begin, row in [*began, (last, -1)]:
        while running and now < begin:
            _, latest, end = running[0]
            until = min(end, begin)
            if until > now:
                times[spans.operation[-latest]] += until - now
                now = until
            if end <= now:
                heappop(running)
        now = max(now, begin)
        if row >= 0:
            # A call without an end ran until the trace ended.
            end = begin + spans.duration[row] if spans.duration[row] >= 0 else last
            heappush(running, (-begin, -row, min(end, last)))
    start_up = max(began[0][0] - spans.first_at, 0) if began and spans.types["trace_start"] else None
    ordered = sorted(times, key=lambda index: (-times[index], spans.operations[index]))
    return {
        "wall_ms": milliseconds(spans.wall),
        "start_up_ms": None if start_up is None else milliseconds(start_up),
        "operations": [
            {
                "component": spans.operations[index][0],
                "component_name": spans.operations[index][1] or None,
                "calls": calls[index],
                "ms": milliseconds(times[index]),
                "share": round(times[index] / spans.wall, 6),
            }
            for index in ordered[:LISTED]
        ],
        "outside_ms": milliseconds(max(spans.wall - times.total() - (start_up or 0), 0)),
    }
