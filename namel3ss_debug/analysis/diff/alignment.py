"""Align the rows of two runs by what happened and where in the tree, not by time or text.

The rows inside two aligned rows are aligned as two sequences, and so on downwards. Rows with equal subtrees are matched
first, then rows with the same request, the same answer, the same shape, the same name and the same kind. Each step
matches only between the matches before, as patience diff does (`wire.matching`), so alignment takes little more than
linear time. Unmatched rows with the same request were moved: they happened at another place in the order. Equal
subtrees are not looked into.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

from namel3ss_debug.analysis.diff.rows import NO_ROW, Rows, request_key
from namel3ss_debug.wire.matching import longest_rising, matching_blocks

Key = Callable[[Rows, int], object]


class RowPair(NamedTuple):
    """Two aligned rows, or one row without a partner.

    Attributes:
        a, b: the rows; `NO_ROW` where one run has none.
        same: whether the two subtrees are equal; then the rows inside are not listed.
        moved: whether its place among its neighbours differs between the runs.
        subtree_end: the index after the last pair inside this one.
        depth: how many pairs are around it.
    """

    a: int
    b: int
    same: bool
    moved: bool
    subtree_end: int
    depth: int


_MOST_REPEATS = 3


class _Gap(NamedTuple):
    """The indexes of unmatched rows between two matches."""

    ours: list[int]
    theirs: list[int]


class Siblings(NamedTuple):
    """The matched rows inside one row of each run, where not all have the same order.

    Attributes:
        pairs: the matched rows, in the order of the first run.
        moved: the indexes in `pairs` of those that are out of order.
    """

    pairs: list[tuple[int, int]]
    moved: list[int]


class Alignment(NamedTuple):
    """All row pairs of two runs in the order of the second; rows of the first alone are where they would have been."""

    aligned: list[RowPair]
    reordered: list[Siblings]


def align(one: Rows, other: Rows, *, payloads: bool) -> Alignment:
    """Align two runs whose `compute_subtrees` has been called.

    Args:
        one: the first run, `a`.
        other: the second run, `b`.
        payloads: whether payloads are compared.
    """
    aligner = _Aligner(one, other, payloads=payloads)
    aligner.run()
    return Alignment(aligner.aligned, aligner.reordered)


def _subtree_key(rows: Rows, row: int) -> object:
    return rows.subtree[row]


def _answer_key(rows: Rows, row: int) -> object:
    """Return a key of the component and its answer; rows without an answer are equal to no other row."""
    return (rows.kind_of(row).component, rows.answer[row] or (rows.number[row], id(rows)))


def _shape_key(rows: Rows, row: int) -> object:
    return rows.shape[row]


def _name_key(rows: Rows, row: int) -> object:
    return rows.kind_of(row)


def _type_key(rows: Rows, row: int) -> object:
    return (rows.kind_of(row).type, rows.kind_of(row).component)


_WITH_PAYLOADS: tuple[Key, ...] = (_subtree_key, request_key, _answer_key, _shape_key, _name_key, _type_key)
_WITHOUT: tuple[Key, ...] = (_subtree_key, _name_key, _type_key)


_CONTENT_KEYS = frozenset({_subtree_key, request_key, _answer_key})
_LARGE_GAP = 10_000


class _Aligner:
    """Aligns two runs, without recursion."""

    def __init__(self, one: Rows, other: Rows, *, payloads: bool) -> None:
        self.one, self.other = one, other
        self.aligned: list[RowPair] = []
        self.reordered: list[Siblings] = []
        self._keys = _WITH_PAYLOADS if payloads else _WITHOUT

    def run(self) -> None:
        """Align everything, from the top."""
        waiting = [iter(self._children(NO_ROW, NO_ROW))]
        opened: list[int] = []
        while waiting:
            step = next(waiting[-1], None)
            if step is None:
                waiting.pop()
                if opened:
                    index = opened.pop()
                    self.aligned[index] = self.aligned[index]._replace(subtree_end=len(self.aligned))
                continue
            a, b, moved = step
            both = NO_ROW not in (a, b)
            same = both and self.one.subtree[a] == self.other.subtree[b]
            index = len(self.aligned)
            self.aligned.append(RowPair(a, b, same, moved, index + 1, len(opened)))
            if both and not same:
                opened.append(index)
                waiting.append(iter(self._children(a, b)))

    def _children(self, a: int, b: int) -> list[tuple[int, int, bool]]:
        """Return the rows inside two rows, aligned in the order of the second run, with whether each was moved."""
        ours, theirs = self.one.children_of(a), self.other.children_of(b)
        if not ours or not theirs:
            return [(row, NO_ROW, False) for row in ours] + [(NO_ROW, row, False) for row in theirs]
        matched = self._match(ours, theirs)
        moved = _find_moved(matched)
        if moved:
            pairs = [(ours[i], theirs[j]) for i, j in matched]
            self.reordered.append(Siblings(pairs, moved))
        return _merge(ours, theirs, matched, set(moved))

    def _match(self, ours: array[int], theirs: array[int]) -> list[tuple[int, int]]:
        """Return the indexes of matched rows, ordered by those of the first run."""
        pairs: list[tuple[int, int]] = []
        gaps = [_Gap([*range(len(ours))], [*range(len(theirs))])]
        for key in self._keys:
            # The keys from here on are weaker than an equal request. Without this, a moved call could be paired with
            # another call that happens to have the same answer.
            if key is _answer_key:
                pairs += self._match_moved(ours, theirs, gaps)
            gaps = [left for gap in gaps for left in self._match_in_gap(ours, theirs, gap, key, pairs)]
        return sorted(pairs)

    def _match_in_gap(
        self, ours: array[int], theirs: array[int], gap: _Gap, key: Key, pairs: list[tuple[int, int]]
    ) -> Iterator[_Gap]:
        """Match rows with the same key between two matches, and yield the gaps between the new matches.

        In a large gap without any unique row, rows would be matched by content and not by their order. Those rows are
        left to the later, weaker keys, which match them in order.
        """
        waiting = [gap]
        while waiting:
            gap = waiting.pop()
            if not gap.ours or not gap.theirs:
                if gap.ours or gap.theirs:
                    yield gap
                continue
            old = [key(self.one, ours[index]) for index in gap.ours]
            new = [key(self.other, theirs[index]) for index in gap.theirs]
            large = len(old) * len(new) > _LARGE_GAP and key in _CONTENT_KEYS
            before = len(pairs)
            left: list[_Gap] = []
            i = j = 0
            for block in matching_blocks(*(_hide_repeats(old, new) if large else (old, new))):
                left.append(_Gap(gap.ours[i : block.old], gap.theirs[j : block.new]))
                i, j = block.old + block.size, block.new + block.size
                pairs += zip(gap.ours[block.old : i], gap.theirs[block.new : j], strict=True)
            # Unique rows have cut a large gap into smaller ones, in which other rows may now be unique.
            if large and len(pairs) > before:
                waiting += left
            else:
                yield from (gap for gap in left if gap.ours or gap.theirs)

    def _match_moved(self, ours: array[int], theirs: array[int], gaps: list[_Gap]) -> list[tuple[int, int]]:
        """Match rows with the same request at different places, and take them out of their gaps.

        Only requests that are left equally often on both sides, and seldom, are matched. A call that is made again and
        again did not move just because its place differs.
        """
        here = _group_by_request(self.one, ours, (index for gap in gaps for index in gap.ours))
        there = _group_by_request(self.other, theirs, (index for gap in gaps for index in gap.theirs))
        pairs = [
            pair
            for key, indexes in here.items()
            if len(indexes) <= _MOST_REPEATS and len(indexes) == len(there.get(key, ()))
            for pair in zip(indexes, there[key], strict=True)
        ]
        matched_ours, matched_theirs = {i for i, _ in pairs}, {j for _, j in pairs}
        for gap in gaps if pairs else ():
            gap.ours[:] = [index for index in gap.ours if index not in matched_ours]
            gap.theirs[:] = [index for index in gap.theirs if index not in matched_theirs]
        return pairs


def _hide_repeats(old: list[object], new: list[object]) -> tuple[list[object], list[object]]:
    """Return two lists in which only the common head and tail, and items that are unique in both, are equal."""
    head, tail = 0, 0
    shorter = min(len(old), len(new))
    while head < shorter and old[head] == new[head]:
        head += 1
    while tail < shorter - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    times_old, times_new = Counter(old), Counter(new)

    def marked(listed: list[object], side: str) -> list[object]:
        last = len(listed) - tail
        return [
            ("head", index)
            if index < head
            else ("tail", len(listed) - index)
            if index >= last
            else item
            if times_old[item] == times_new[item] == 1
            else (side, index)
            for index, item in enumerate(listed)
        ]

    return marked(old, "old"), marked(new, "new")


def _group_by_request(rows: Rows, siblings: array[int], indexes: Iterable[int]) -> dict[object, list[int]]:
    """Group the indexes of some rows by the requests of the rows."""
    groups: dict[object, list[int]] = {}
    for index in indexes:
        groups.setdefault(request_key(rows, siblings[index]), []).append(index)
    return groups


def _find_moved(pairs: list[tuple[int, int]]) -> list[int]:
    """Return the indexes of the pairs that are not in the longest selection with the same order on both sides."""
    if all(before[1] < after[1] for before, after in pairwise(pairs)):
        return []
    kept = set(longest_rising([j for _, j in pairs]))
    return [index for index in range(len(pairs)) if index not in kept]


def _merge(
    ours: array[int], theirs: array[int], pairs: list[tuple[int, int]], moved: set[int]
) -> list[tuple[int, int, bool]]:
    """Merge both sequences in the order of the second. Rows of the first alone follow the row before them there."""
    of_theirs = {j: (i, index in moved) for index, (i, j) in enumerate(pairs)}
    matched = {i for i, _ in pairs}
    steady = {i for index, (i, _) in enumerate(pairs) if index not in moved}
    merged: list[tuple[int, int, bool]] = []
    reached = 0

    def only_ours(until: int) -> None:
        nonlocal reached
        merged.extend((ours[i], NO_ROW, False) for i in range(reached, until) if i not in matched)
        reached = max(reached, until)

    for j, row in enumerate(theirs):
        i, is_moved = of_theirs.get(j, (NO_ROW, False))
        if i in steady:
            only_ours(i)
        merged.append((NO_ROW if i == NO_ROW else ours[i], row, is_moved))
    only_ours(len(ours))
    return merged
