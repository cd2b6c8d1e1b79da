"""Bursts: many calls in a short time, compared with the run's own rate; stalls: long times without any event.

A burst is at least `LEAST_CALLS` calls of models and tools in a row, each of which began `FASTER` times as soon after
the one before as calls do in this run on average.

A stall is a time of at least `slow_ms` between two events that is an outlier among these times (see `far_out`). Besides, a span was open that does not explain it: one with nothing running inside it, or a call that
took far longer than others of its kind.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from namel3ss_debug.analysis.distributions import far_out, milliseconds
from namel3ss_debug.analysis.sections.calls import (
    LLM,
    OPEN,
    OTHER,
    TOOL,
    PatternCall,
    operation_to_json,
    pattern_to_json,
    sum_cost,
)
from namel3ss_debug.traces.facts import NS_PER_MS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FASTER = 3.0
LEAST_CALLS = 10
MOST_CANDIDATES = 100

_NS_PER_SECOND = 1_000_000_000
_LEAST_ALIKE = 5


def find_bursts(calls: Sequence[PatternCall]) -> Iterator[dict[str, Any]]:
    """Yield the stretches in which calls of models and tools were much faster than in the run as a whole.

    Args:
        calls: by number.
    """
    timed = sorted(
        (
            (call.began, call.number, call)
            for call in calls
            if call.began is not None and call.kind in {LLM, TOOL}
        ),
        key=lambda item: item[:2],
    )
    gaps = [later[0] - earlier[0] for earlier, later in pairwise(timed)]
    wall = sum(gaps)
    if not wall or len(timed) < 2 * LEAST_CALLS:
        return
    first = 0
    for index, gap in enumerate((*gaps, wall)):
        if gap * FASTER * len(gaps) <= wall:
            continue
        members = [item[2] for item in timed[first : index + 1]]
        duration_ns = timed[index][0] - timed[first][0]
        first = index + 1
        if len(members) < LEAST_CALLS or not duration_ns:
            continue  # a clock of whole seconds puts calls at the very same instant
        yield pattern_to_json(
            "burst",
            members,
            1.0,
            sum_cost(members),
            operations=_operations_to_json(members),
            lasted_ms=milliseconds(duration_ns),
            per_second=round((len(members) - 1) * _NS_PER_SECOND / duration_ns, 3),
            per_second_of_run=round(len(gaps) * _NS_PER_SECOND / wall, 3),
        )


def _operations_to_json(calls: Sequence[PatternCall]) -> list[dict[str, Any]]:
    """Return the ten most frequent operations of some calls, with their numbers of calls."""
    counts: dict[tuple[str, str], int] = {}
    for call in calls:
        counts[call.operation] = counts.get(call.operation, 0) + 1
    ordered = sorted(counts, key=lambda operation: (-counts[operation], operation))
    return [{**operation_to_json(operation), "calls": counts[operation]} for operation in ordered[:10]]


class _Pause(NamedTuple):
    """A time without an event, between two events."""

    duration_ns: int
    after: int
    until: int


def find_stalls(
    calls: Sequence[PatternCall], slow_ns: int, last_number: int | None
) -> Iterator[dict[str, Any]]:
    """Yield the long times in which nothing began or ended although something was open.

    Args:
        calls: all spans by number.
        slow_ns: the least time of a stall, in nanoseconds.
        last_number: the number of the last event that is known; None where all are known.
    """
    moments = sorted(
        (number, at)
        for call in calls
        for number, at in ((call.number, call.began), (call.end_number, _ended_at(call)))
        if number and at is not None and (last_number is None or number <= last_number)
    )
    pauses = [
        _Pause(later[1] - earlier[1], earlier[0], later[0])
        for earlier, later in pairwise(moments)
        if later[1] > earlier[1]
    ]
    limit = far_out([pause.duration_ns for pause in pauses])
    if limit is None:
        return
    long = [pause for pause in pauses if pause.duration_ns >= slow_ns and pause.duration_ns > limit]
    long.sort(key=lambda pause: (-pause.duration_ns, pause.after))
    if long:
        medians = _median_durations(calls)
        for pause, running in _open_during(
            calls, sorted(long[:MOST_CANDIDATES], key=lambda pause: pause.after)
        ):
            stall = _stall_to_json(pause, running, medians)
            if stall is not None:
                yield stall


def _ended_at(call: PatternCall) -> int | None:
    return None if call.began is None or call.duration_ns is None else call.began + call.duration_ns


def _median_durations(calls: Sequence[PatternCall]) -> dict[tuple[str, str], int]:
    """Return the median duration of each operation that has at least `_LEAST_ALIKE` calls."""
    duration_ns: dict[tuple[str, str], list[int]] = {}
    for call in calls:
        if call.duration_ns is not None:
            duration_ns.setdefault(call.operation, []).append(call.duration_ns)
    return {
        operation: sorted(values)[len(values) // 2]
        for operation, values in duration_ns.items()
        if len(values) >= _LEAST_ALIKE
    }


def _open_during(
    calls: Sequence[PatternCall], pauses: list[_Pause]
) -> Iterator[tuple[_Pause, list[PatternCall]]]:
    """Yield each pause with the innermost spans that were open in it; the pauses are sorted by number."""
    open_now: dict[int, PatternCall] = {}
    index = 0
    for pause in pauses:
        while index < len(calls) and calls[index].number <= pause.after:
            open_now[calls[index].number] = calls[index]
            index += 1
        over = [
            number for number, call in open_now.items() if call.end_number and call.end_number <= pause.after
        ]
        for number in over:
            del open_now[number]
        outer = {call.parent for call in open_now.values()}
        yield pause, [call for call in open_now.values() if call.row not in outer]


def _stall_to_json(
    pause: _Pause, running: list[PatternCall], medians: dict[tuple[str, str], int]
) -> dict[str, Any] | None:
    """Return the stall of a pause; None where a call that took no longer than usual explains the pause."""
    if not running:
        return None
    blocked = [call for call in running if call.kind in {LLM, TOOL} or call.operation[0] == "http"]
    for call in blocked:
        median = medians.get(call.operation)
        longer = call.duration_ns is None or (median is not None and call.duration_ns > 10 * median)
        if not longer and call.outcome != OPEN:
            return None
    inner = blocked or [call for call in running if call.kind != OTHER] or running
    return pattern_to_json(
        "stall",
        inner[:1],
        0.7 if blocked else 0.9,
        {"ms": milliseconds(pause.duration_ns), "tokens": 0, "usd": None},
        after=pause.after,
        until=pause.until,
        running=bool(blocked),
    )


def at_least_ns(slow_ms: float) -> int:
    """Return the setting `slow_ms` in nanoseconds, at least one."""
    return max(int(min(slow_ms, 1e12) * NS_PER_MS), 1)
