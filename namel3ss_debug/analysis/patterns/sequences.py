"""Which calls come one after the other again and again, and which run at the same time.

A sequence is two to `LONGEST` operations that follow each other at one level, as they began (n-grams). Of those that
occur `LEAST_TIMES` times, those are kept that are no part of a longer one that occurs nearly as often (closed
sequences, as in Yan, Han and Afshar, "CloSpan", 2003), that are not one operation alone, and that are not due to
chance: of the times that its first or its last operation occurs, at least `LEAST_SHARE` are in the sequence. That share
is its confidence. A parallel group is a set of calls at one level in which each but the first began before all that
began earlier had ended; groups of the same operations are one entry. `at_once` is how many of the largest of them ran
at one moment at most.
"""

from __future__ import annotations

from collections import Counter
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from namel3ss_debug.analysis.distributions import milliseconds
from namel3ss_debug.analysis.patterns.calls import OPEN
from namel3ss_debug.analysis.patterns.found import pattern, told

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from namel3ss_debug.analysis.patterns.calls import Call, Operation

LONGEST = 5
LEAST_TIMES = 3
LEAST_SHARE = 0.5
MOST_SEQUENCES = 20
MOST_OPERATIONS = 10

_NEARLY = 0.9

Gram = tuple[int, ...]


def sequences(levels: Sequence[Sequence[Call]]) -> list[dict[str, Any]]:
    """The sequences that occur most often, those that cover most calls first."""
    names: dict[Operation, int] = {}
    flat: list[int] = []
    calls: list[Call | None] = []
    for place, level in enumerate(levels, 1):
        if len(level) < 2:
            continue
        flat += [names.setdefault(call.operation, len(names)) for call in level]
        calls += level
        flat.append(-place)  # no sequence goes beyond its level
        calls.append(None)
    counts: Counter[Gram] = Counter()
    for length in range(2, LONGEST + 1):
        counts.update(zip(*(flat[offset:] for offset in range(length)), strict=False))
    single = Counter(flat)
    frequent = {gram: times for gram, times in counts.items() if times >= LEAST_TIMES and min(gram) >= 0}
    # a shorter one that occurs as often as the longer one around it adds nothing
    within: dict[Gram, int] = {}
    for gram, times in frequent.items():
        for part in (gram[:-1], gram[1:]):
            within[part] = max(within.get(part, 0), times)
    chosen = [
        gram
        for gram, times in frequent.items()
        if len(set(gram)) > 1
        and within.get(gram, 0) < _NEARLY * times
        and not _is_turned(gram, frequent)
        and _share(times, gram, single) >= LEAST_SHARE
    ]
    chosen.sort(key=lambda gram: (-frequent[gram] * len(gram), -len(gram), gram))
    told_of = _told(chosen[:MOST_SEQUENCES], flat, calls, list(names))
    return [
        {**entry, "confidence": round(_share(frequent[gram], gram, single), 3)} for gram, entry in told_of
    ]


def _share(times: int, gram: Gram, single: Mapping[int, int]) -> float:
    """The share of its first or last operations that are in the sequence."""
    return min(times / min(single[gram[0]], single[gram[-1]]), 1.0)


def _is_turned(gram: Gram, frequent: dict[Gram, int]) -> bool:
    """Whether it is a rotation of a repeated round of which another rotation came before."""
    if any(gram[:size] == gram[-size:] for size in range(1, len(gram))):
        return True  # it ends as it began, so that it is more than one round
    turned = (*gram[1:], gram[0])
    while turned != gram:
        times = frequent.get(turned, 0)
        if times > frequent[gram] or (times == frequent[gram] and turned < gram):
            return True
        turned = (*turned[1:], turned[0])
    return False


def _told(
    chosen: list[Gram], flat: list[int], calls: list[Call | None], names: list[Operation]
) -> Iterator[tuple[Gram, dict[str, Any]]]:
    """The sequences that come often enough without overlapping themselves."""
    wanted = set(chosen)
    begins: dict[Gram, list[int]] = {gram: [] for gram in chosen}
    for length in {len(gram) for gram in chosen}:
        for place, gram in enumerate(zip(*(flat[offset:] for offset in range(length)), strict=False)):
            if gram in wanted:
                found = begins[gram]
                if not found or found[-1] + length <= place:
                    found.append(place)
    for gram in chosen:
        places = begins[gram]
        if len(places) < LEAST_TIMES:
            continue
        steps = [call for place in places for call in calls[place : place + len(gram)] if call is not None]
        entry = pattern("sequence", steps, 1.0, operations=[told(names[name]) for name in gram])
        entry |= {
            "count": len(places),
            "numbers": [call.number for place in places[:20] if (call := calls[place]) is not None],
        }
        yield gram, entry


def parallel_groups(levels: Iterable[Sequence[Call]]) -> list[dict[str, Any]]:
    """The groups of calls that ran at the same time, by the operations in them."""
    groups: dict[tuple[tuple[Operation, int], ...], list[list[Call]]] = {}
    for level in levels:
        for group in _overlapping(level):
            key = tuple(sorted(Counter(call.operation for call in group).items()))
            groups.setdefault(key, []).append(group)
    entries = []
    for key, same in groups.items():
        largest = max(same, key=len)
        work = sum(call.lasted or 0 for group in same for call in group)
        wall = sum(map(_wall, same))
        entry = pattern(
            "parallel",
            largest,
            1.0,
            groups=len(same),
            at_once=_at_once(largest),
            operations=[{**told(operation), "calls": times} for operation, times in key[:MOST_OPERATIONS]],
            wall_ms=milliseconds(wall),
            saved_ms=milliseconds(max(work - wall, 0)),
        )
        entries.append(entry)
    return entries


def _overlapping(level: Sequence[Call]) -> Iterator[list[Call]]:
    """Groups of calls that ran at the same time."""
    group: list[Call] = []
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


def _at_once(group: Sequence[Call]) -> int:
    """How many of some calls ran at one moment at most."""
    moments = sorted(
        (number, step) for call in group for number, step in ((call.number, 1), (call.end_number, -1))
    )
    return max(accumulate(step for _, step in moments))


def _wall(group: Sequence[Call]) -> int:
    """The nanoseconds from the first beginning to the last end; of calls without times, those of the longest."""
    timed = [
        (call.began, call.lasted) for call in group if call.began is not None and call.lasted is not None
    ]
    if not timed:
        return max(call.lasted or 0 for call in group)
    return max(began + lasted for began, lasted in timed) - min(began for began, _ in timed)
