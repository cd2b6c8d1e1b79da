"""Find which calls follow each other again and again, and which run at the same time.

A sequence is two to `LONGEST` operations that follow each other at one level, as they began. It occurs at least
`LEAST_TIMES` times without overlapping itself, and not by chance: of the times that its first or its last operation
occurs, at least `LEAST_SHARE` are in the sequence. That share is its confidence. A sequence of operations that are all
in one that covers more calls adds nothing, and is left out.

A parallel group is a set of calls at one level in which each call but the first began before all earlier ones had
ended. Groups of the same operations are one row. `at_once` is the peak concurrency of the largest of them.
"""

from __future__ import annotations

from collections import Counter
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from namel3ss_debug.analysis.distributions import milliseconds
from namel3ss_debug.analysis.sections.calls import MOST_NUMBERS, OPEN, operation_to_json, pattern_to_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from namel3ss_debug.analysis.sections.calls import Operation, PatternCall

LONGEST = 5
LEAST_TIMES = 3
LEAST_SHARE = 0.5
MOST_SEQUENCES = 20
MOST_OPERATIONS = 10


def find_sequences(levels: Sequence[Sequence[PatternCall]]) -> list[dict[str, Any]]:
    """Return the sequences that cover most calls, those first."""
    times = Counter(call.operation for level in levels for call in level)
    found: dict[tuple[Operation, ...], list[Sequence[PatternCall]]] = {}
    for level in levels:
        operations = [call.operation for call in level]
        free: dict[tuple[Operation, ...], int] = {}  # where the last occurrence ended
        for length in range(2, LONGEST + 1):
            for index in range(len(level) - length + 1):
                sequence = tuple(operations[index : index + length])
                if free.get(sequence, 0) <= index:
                    free[sequence] = index + length
                    found.setdefault(sequence, []).append(level[index : index + length])
    frequent = [item for item in found.items() if len(item[1]) >= LEAST_TIMES]
    frequent.sort(key=lambda item: (-len(item[0]) * len(item[1]), len(item[0]), item[1][0][0].number))
    entries: list[dict[str, Any]] = []
    reported: list[frozenset[Operation]] = []
    for sequence, occurrences in frequent:
        inside = frozenset(sequence)
        share = len(occurrences) / min(times[sequence[0]], times[sequence[-1]])
        if len(inside) > 1 and share >= LEAST_SHARE and not any(inside <= other for other in reported):
            reported.append(inside)
            row = pattern_to_json(
                "sequence",
                [call for calls in occurrences for call in calls],
                min(share, 1.0),
                operations=[operation_to_json(operation) for operation in sequence],
            )
            numbers = [calls[0].number for calls in occurrences[:MOST_NUMBERS]]
            entries.append(row | {"count": len(occurrences), "numbers": numbers})
    return entries[:MOST_SEQUENCES]


def find_parallel_groups(levels: Iterable[Sequence[PatternCall]]) -> list[dict[str, Any]]:
    """Return the groups of calls that ran at the same time, by the operations in them."""
    groups: dict[tuple[tuple[Operation, int], ...], list[list[PatternCall]]] = {}
    for level in levels:
        for group in _overlapping(level):
            key = tuple(sorted(Counter(call.operation for call in group).items()))
            groups.setdefault(key, []).append(group)
    entries = []
    for key, same in groups.items():
        largest = max(same, key=len)
        work = sum(call.duration_ns or 0 for group in same for call in group)
        wall = sum(map(_wall_ns, same))
        entry = pattern_to_json(
            "parallel",
            largest,
            1.0,
            groups=len(same),
            at_once=_peak_concurrency(largest),
            operations=[
                {**operation_to_json(operation), "calls": times} for operation, times in key[:MOST_OPERATIONS]
            ],
            wall_ms=milliseconds(wall),
            saved_ms=milliseconds(max(work - wall, 0)),
        )
        entries.append(entry)
    return entries


def _overlapping(level: Sequence[PatternCall]) -> Iterator[list[PatternCall]]:
    """Yield groups of calls that ran at the same time."""
    group: list[PatternCall] = []
    until = 0
    for call in level:
        if call.outcome == OPEN or call.end_number == call.number:
            continue
        if call.number < until:
            group.append(call)
            until = max(until, call.end_number)
            continue
        if len(group) > 1:
            yield group
        group = [call]
        until = call.end_number
    if len(group) > 1:
        yield group


def _peak_concurrency(group: Sequence[PatternCall]) -> int:
    """Return how many of some calls ran at one moment at most."""
    moments = sorted(
        (number, step) for call in group for number, step in ((call.number, 1), (call.end_number, -1))
    )
    return max(accumulate(step for _, step in moments))


def _wall_ns(group: Sequence[PatternCall]) -> int:
    """Return the time from the first beginning to the last end; of calls without times, the longest duration."""
    timed = [
        (call.began, call.duration_ns)
        for call in group
        if call.began is not None and call.duration_ns is not None
    ]
    if not timed:
        return max(call.duration_ns or 0 for call in group)
    return max(began + duration_ns for began, duration_ns in timed) - min(began for began, _ in timed)
