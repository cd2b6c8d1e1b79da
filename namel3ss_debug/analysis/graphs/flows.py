"""Data flow between spans: which span gave the value that a later one was given.

A value belongs to the span that was the first in the trace to give it, unless it had been among the inputs of a span
that began before that one ended: then it came from outside. Every later span whose inputs hold the value takes it
from there. What a span took by way of the last span it took anything from, or by way of the span around it, is
not told again. Each value is looked at once for each span that holds it, so the time is that of reading them.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from namel3ss_debug.analysis.graphs.spangraph import Row


def flows(rows: Sequence[Row], parents: Sequence[int]) -> dict[tuple[int, int], int]:
    """The places of giver and taker -> how many values went that way.

    Args:
        rows: the spans by number.
        parents: the place of the span around each, by place from 1; 0 at the top.
    """
    first: dict[int, int] = {}
    for place in sorted(range(len(rows)), key=lambda place: rows[place].end_number):
        for key in rows[place].given:
            first.setdefault(key, place)
    takers: dict[int, set[int]] = {}
    for place, row in enumerate(rows):
        if row.taken:
            keys = {key for key in row.taken if key in first}
            for key in [key for key in keys if row.number < rows[first[key]].end_number]:
                del first[key]
                keys.discard(key)
            if keys:
                takers[place] = keys
    counts: Counter[tuple[int, int]] = Counter()
    nothing: set[int] = set()
    for place in sorted(takers):
        keys = {key for key in takers[place] if key in first} - takers.get(parents[place + 1] - 1, nothing)
        latest = max((first[key] for key in keys), default=-1)
        for key in keys - takers.get(latest, nothing):
            counts[first[key] + 1, place + 1] += 1
    return dict(counts)
