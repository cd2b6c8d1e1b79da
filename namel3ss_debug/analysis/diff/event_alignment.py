"""Align chosen events of two runs, such as those that a transcript shows, by the alignment of their rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from namel3ss_debug.analysis.diff.comparison import RunComparison
from namel3ss_debug.analysis.diff.rows import NEVER, NO_ROW
from namel3ss_debug.wire.matching import longest_rising


class EventPair(NamedTuple):
    """An event of either run.

    Attributes:
        a, b: the numbers of the events; 0 where a run has none.
        alone: whose event alone stands at this place, `a` or `b`; empty for both. It has another event where the same
            event is at another place in the other run.
    """

    a: int
    b: int
    alone: str = ""


def map_events(comparison: RunComparison) -> dict[int, int]:
    """Return the events of the first run -> the same ones of the second."""
    one, other = comparison.a.rows, comparison.b.rows
    events: dict[int, int] = {}
    waiting = [(pair.a, pair.b, pair.same) for pair in comparison.aligned if NO_ROW not in (pair.a, pair.b)]
    while waiting:
        a, b, same = waiting.pop()
        events[one.number[a]] = other.number[b]
        # Attempts before the last have no place among the rows.
        events[one.first_attempt[a]] = other.first_attempt[b]
        if NEVER not in (one.end_number[a], other.end_number[b]):
            events[one.end_number[a]] = other.end_number[b]
        if same:  # the rows inside equal rows are not aligned, for they are the same
            waiting += ((*rows, True) for rows in zip(one.children_of(a), other.children_of(b), strict=True))
    return events


def align_events(ours: Sequence[int], theirs: Sequence[int], same: Mapping[int, int]) -> list[EventPair]:
    """Align events in the order of both runs.

    Args:
        ours: the numbers of events of the first run, in the order in which they are shown.
        theirs: those of the second.
        same: the events of the first run -> the same ones of the second.
    """
    index_of = {number: index for index, number in enumerate(theirs)}
    matched = [
        (index, index_of[same[number]])
        for index, number in enumerate(ours)
        if same.get(number, 0) in index_of
    ]
    partners = {theirs[index]: ours[place] for place, index in matched}
    pairs: list[EventPair] = []
    i = j = 0

    def add_alone(until: int, until_theirs: int) -> Iterator[EventPair]:
        yield from (
            EventPair(number, same[number] if same.get(number, 0) in index_of else 0, "a")
            for number in ours[i:until]
        )
        yield from (EventPair(partners.get(number, 0), number, "b") for number in theirs[j:until_theirs])

    for kept in longest_rising([index for _, index in matched]):
        place, index = matched[kept]
        pairs += add_alone(place, index)
        pairs.append(EventPair(ours[place], theirs[index]))
        i, j = place + 1, index + 1
    pairs += add_alone(len(ours), len(theirs))
    return pairs
