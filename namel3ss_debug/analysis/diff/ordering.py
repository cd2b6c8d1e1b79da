"""Find which changes of order are harmless: those between calls that ran side by side.

Two rows may change places if they overlapped in one of the runs, or if they belong to different tasks that overlapped
in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from namel3ss_debug.analysis.diff.rows import NEVER, Rows

if TYPE_CHECKING:
    from namel3ss_debug.analysis.diff.alignment import Siblings

_MOST_PAIRS: Final = 100_000

_Extent = tuple[int, int]


def find_harmless_moves(siblings: Siblings, sides: Sequence[Rows]) -> frozenset[int]:
    """Return the moved pairs that only changed places with rows that ran beside them, as indexes in `siblings.pairs`.

    Args:
        siblings: the matched rows inside one row, and which of them were moved.
        sides: both runs.
    """
    pairs = siblings.pairs
    if len(siblings.moved) * len(pairs) > _MOST_PAIRS:
        return frozenset()
    runs = [_find_extents(rows, [pair[side] for pair in pairs]) for side, rows in enumerate(sides)]

    def is_harmless(one: int, other: int) -> bool:
        spans = [_overlap(run[one][0], run[other][0]) for run in runs]
        tasks = [run[one][1] != run[other][1] and _overlap(run[one][1], run[other][1]) for run in runs]
        return any(spans) or all(tasks)

    def changed_places(one: int, other: int) -> bool:
        return (pairs[one][0] - pairs[other][0]) * (pairs[one][1] - pairs[other][1]) < 0

    return frozenset(
        index
        for index in siblings.moved
        if all(is_harmless(index, other) for other in range(len(pairs)) if changed_places(index, other))
    )


def _find_extents(rows: Rows, chosen: Sequence[int]) -> list[tuple[_Extent, _Extent]]:
    """Return for each row the numbers of its first and last events, and those of its task among these rows."""
    tasks: dict[int, _Extent] = {}
    for row in chosen:
        begin, end = tasks.get(rows.task[row], (NEVER, 0))
        tasks[rows.task[row]] = (min(begin, rows.first_attempt[row]), max(end, rows.end_number[row]))
    return [((rows.first_attempt[row], rows.end_number[row]), tasks[rows.task[row]]) for row in chosen]


def _overlap(one: _Extent, other: _Extent) -> bool:
    return one[0] < other[1] and other[0] < one[1]
