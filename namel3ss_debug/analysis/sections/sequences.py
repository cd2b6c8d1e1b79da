"""Find which calls follow each other again and again, and which run at the same time.

A sequence is two to `LONGEST` operations that follow each other at one level, as they began (n-grams). It occurs at
least `LEAST_TIMES` times, and consists of more than one operation. It is closed: no longer sequence around it occurs
nearly as often (as in Yan, Han and Afshar, "CloSpan", 2003). And it is not due to chance: of the times that its first
or its last operation occurs, at least `LEAST_SHARE` are in the sequence. That share is its confidence.

A parallel group is a set of calls at one level in which each call but the first began before all earlier ones had
ended. Groups of the same operations are one row. `at_once` is the peak concurrency of the largest of them.
"""

from __future__ import annotations

from collections import Counter
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from namel3ss_debug.analysis.distributions import milliseconds
from namel3ss_debug.analysis.sections.calls import OPEN, operation_to_json, pattern_to_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from namel3ss_debug.analysis.sections.calls import Operation, PatternCall

LONGEST = 5
LEAST_TIMES = 3
LEAST_SHARE = 0.5
MOST_SEQUENCES = 20
MOST_OPERATIONS = 10

_NEARLY_AS_OFTEN = 0.9

Gram = tuple[int, ...]


def find_sequences(levels: Sequence[Sequence[PatternCall]]) -> list[dict[str, Any]]:
    """Return the sequences that occur most often, those that cover most calls first."""
    names: dict[Operation, int] = {}
    flat: list[int] = []
    calls: list[PatternCall | None] = []
    for index, level in enumerate(levels, 1):
        if len(level) < 2:
            continue
        flat += [names.setdefault(call.operation, len(names)) for call in level]
        calls += level
        flat.append(-index)  # a number of its own, so that no sequence goes beyond its level
        calls.append(None)
    counts: Counter[Gram] = Counter()
    for length in range(2, LONGEST + 1):
        counts.update(zip(*(flat[offset:] for offset in range(length)), strict=False))
    single = Counter(flat)
    frequent = {gram: times for gram, times in counts.items() if times >= LEAST_TIMES and min(gram) >= 0}
    # A sequence that occurs as often as the longer one around it adds nothing.
    within: dict[Gram, int] = {}
    for gram, times in frequent.items():
        for part in (gram[:-1], gram[1:]):
            within[part] = max(within.get(part, 0), times)
    chosen = [
        gram
        for gram, times in frequent.items()
        if len(set(gram)) > 1
        and within.get(gram, 0) < _NEARLY_AS_OFTEN * times
        and not _is_rotation(gram, frequent)
        and _share(times, gram, single) >= LEAST_SHARE
    ]
    chosen.sort(key=lambda gram: (-frequent[gram] * len(gram), -len(gram), gram))
    entries = _sequences_to_json(chosen[:MOST_SEQUENCES], flat, calls, list(names))
    return [
        {**entry, "confidence": round(_share(frequent[gram], gram, single), 3)} for gram, entry in entries
    ]


def _share(times: int, gram: Gram, single: Mapping[int, int]) -> float:
    """Return the share of its first or last operations that are in the sequence."""
    return min(times / min(single[gram[0]], single[gram[-1]]), 1.0)


def _is_rotation(gram: Gram, frequent: dict[Gram, int]) -> bool:
    """Return whether it is a rotation of a repeated round of which another rotation is reported."""
    if any(gram[:size] == gram[-size:] for size in range(1, len(gram))):
        return True  # it ends as it began, so it is more than one round
    rotated = (*gram[1:], gram[0])
    while rotated != gram:
        times = frequent.get(rotated, 0)
        if times > frequent[gram] or (times == frequent[gram] and rotated < gram):
            return True
        rotated = (*rotated[1:], rotated[0])
    return False


def _sequences_to_json(
    chosen: list[Gram], flat: list[int], calls: list[PatternCall | None], names: list[Operation]
) -> Iterator[tuple[Gram, dict[str, Any]]]:
    """Yield the sequences that occur often enough without overlapping themselves."""
    wanted = set(chosen)
    begins: dict[Gram, list[int]] = {gram: [] for gram in chosen}
    for length in {len(gram) for gram in chosen}:
        for index, gram in enumerate(zip(*(flat[offset:] for offset in range(length)), strict=False)):
            if gram in wanted:
                indexes = begins[gram]
                if not indexes or indexes[-1] + length <= index:
                    indexes.append(index)
    for gram in chosen:
        indexes = begins[gram]
        if len(indexes) < LEAST_TIMES:
            continue
        steps = [call for index in indexes for call in calls[index : index + len(gram)] if call is not None]
        entry = pattern_to_json(
            "sequence", steps, 1.0, operations=[operation_to_json(names[name]) for name in gram]
        )
        entry |= {
            "count": len(indexes),
            "numbers": [call.number for index in indexes[:20] if (call := calls[index]) is not None],
        }
        yield gram, entry


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
