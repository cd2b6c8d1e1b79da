"""Which row of one run is which row of the other: by what happened and where in the tree, not by time or text.

The rows inside two rows that belong together are aligned as two sequences, and so on downwards. Rows whose
whole subtrees are equal are matched first, then rows with the same question, the same answer, the same shape, the same
name and the same kind: each time only between the matches before, as patience diff does (`wire.matching`), so that it
takes little more than linear time. Rows that are left over on both sides and ask the same were moved: they happened at
another place in the order. Where two subtrees are the same, nothing inside them is looked at.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

from namel3ss_debug.analysis.diffing.rows import NOBODY, Rows, question
from namel3ss_debug.wire.matching import matching_blocks

Key = Callable[[Rows, int], object]


class Entry(NamedTuple):
    """One place in both runs.

    Attributes:
        a, b: the rows there; `NOBODY` where one run has none.
        same: whether the two subtrees are the same, in which case nothing inside has an entry.
        moved: whether it has another place among its neighbours than in the first run.
        beyond: the place after the last entry inside this one.
        depth: how many entries are around it.
    """

    a: int
    b: int
    same: bool
    moved: bool
    beyond: int
    depth: int


_SELDOM = 3


class _Gap(NamedTuple):
    """The places of rows without a match, between two matches."""

    ours: list[int]
    theirs: list[int]


class Siblings(NamedTuple):
    """The matched rows inside one row of each run, where not all have the same order.

    `pairs` are in the order of the first run, `moved` the places in it of those that would have to be moved.
    """

    pairs: list[tuple[int, int]]
    moved: list[int]


class Alignment(NamedTuple):
    """All places of two runs in the order of the second; rows of the first alone are where they would have been."""

    entries: list[Entry]
    reordered: list[Siblings]


def align(one: Rows, other: Rows, *, payloads: bool) -> Alignment:
    """Align two runs whose `finish` has been called.

    Args:
        one: the first run, `a`.
        other: the second run, `b`.
        payloads: whether payloads are compared.
    """
    aligning = _Aligning(one, other, payloads=payloads)
    aligning.run()
    return Alignment(aligning.entries, aligning.reordered)


def _subtree(rows: Rows, row: int) -> object:
    return rows.subtree[row]


def _answered(rows: Rows, row: int) -> object:
    """A key of the component and its answer; rows without an answer are equal to no other row."""
    return (rows.what(row).component, rows.answered[row] or (rows.number[row], id(rows)))


def _shape(rows: Rows, row: int) -> object:
    return rows.shape[row]


def _name(rows: Rows, row: int) -> object:
    return rows.what(row)


def _type(rows: Rows, row: int) -> object:
    return (rows.what(row).type, rows.what(row).component)


_WITH_PAYLOADS: tuple[Key, ...] = (_subtree, question, _answered, _shape, _name, _type)
_WITHOUT: tuple[Key, ...] = (_subtree, _name, _type)


_CONTENT = frozenset({_subtree, question, _answered})
_LARGE = 10_000


class _Aligning:
    """The work of `align`, without recursion."""

    def __init__(self, one: Rows, other: Rows, *, payloads: bool) -> None:
        self.one, self.other = one, other
        self.entries: list[Entry] = []
        self.reordered: list[Siblings] = []
        self._keys = _WITH_PAYLOADS if payloads else _WITHOUT

    def run(self) -> None:
        """Align everything, from the top."""
        waiting = [iter(self._children(NOBODY, NOBODY))]
        opened: list[int] = []
        while waiting:
            step = next(waiting[-1], None)
            if step is None:
                waiting.pop()
                if opened:
                    place = opened.pop()
                    self.entries[place] = self.entries[place]._replace(beyond=len(self.entries))
                continue
            a, b, moved = step
            both = NOBODY not in (a, b)
            same = both and self.one.subtree[a] == self.other.subtree[b]
            place = len(self.entries)
            self.entries.append(Entry(a, b, same, moved, place + 1, len(opened)))
            if both and not same:
                opened.append(place)
                waiting.append(iter(self._children(a, b)))

    def _children(self, a: int, b: int) -> list[tuple[int, int, bool]]:
        """The rows inside two rows, aligned: in the order of the second run, with whether each was moved."""
        ours, theirs = self.one.children_of(a), self.other.children_of(b)
        if not ours or not theirs:
            return [(row, NOBODY, False) for row in ours] + [(NOBODY, row, False) for row in theirs]
        matched = self._matched(ours, theirs)
        moved = _out_of_order(matched)
        if moved:
            pairs = [(ours[i], theirs[j]) for i, j in matched]
            self.reordered.append(Siblings(pairs, moved))
        return _merged(ours, theirs, matched, set(moved))

    def _matched(self, ours: array[int], theirs: array[int]) -> list[tuple[int, int]]:
        """The places of matched rows, ordered by those of the first run."""
        pairs: list[tuple[int, int]] = []
        gaps = [_Gap([*range(len(ours))], [*range(len(theirs))])]
        for key in self._keys:
            if key is _answered:  # keys from here on show less than that rows ask the same
                pairs += self._elsewhere(ours, theirs, gaps)
            gaps = [left for gap in gaps for left in self._in_gap(ours, theirs, gap, key, pairs)]
        return sorted(pairs)

    def _in_gap(
        self, ours: array[int], theirs: array[int], gap: _Gap, key: Key, pairs: list[tuple[int, int]]
    ) -> Iterator[_Gap]:
        """Match rows with the same key between two matches, and return the gaps between the new matches.

        In a large gap in which no row is unique, rows would be matched by content and not by their order: those are
        left to the later keys, by which rows only look alike, and which match them in order.
        """
        waiting = [gap]
        while waiting:
            gap = waiting.pop()
            if not gap.ours or not gap.theirs:
                if gap.ours or gap.theirs:
                    yield gap
                continue
            old = [key(self.one, ours[place]) for place in gap.ours]
            new = [key(self.other, theirs[place]) for place in gap.theirs]
            large = len(old) * len(new) > _LARGE and key in _CONTENT
            before = len(pairs)
            left: list[_Gap] = []
            i = j = 0
            for block in matching_blocks(*(_only_once(old, new) if large else (old, new))):
                left.append(_Gap(gap.ours[i : block.old], gap.theirs[j : block.new]))
                i, j = block.old + block.size, block.new + block.size
                pairs += zip(gap.ours[block.old : i], gap.theirs[block.new : j], strict=True)
            if large and len(pairs) > before:
                waiting += left
            else:
                yield from (each for each in left if each.ours or each.theirs)

    def _elsewhere(self, ours: array[int], theirs: array[int], gaps: list[_Gap]) -> list[tuple[int, int]]:
        """Match rows with the same question at different places, and take them out of their gaps.

        Only questions that are left equally often on both sides, and seldom: a call that is made again and again did
        not move just because its place differs.
        """
        here = _by_words(self.one, ours, (place for gap in gaps for place in gap.ours))
        there = _by_words(self.other, theirs, (place for gap in gaps for place in gap.theirs))
        pairs = [
            pair
            for words, places in here.items()
            if len(places) <= _SELDOM and len(places) == len(there.get(words, ()))
            for pair in zip(places, there[words], strict=True)
        ]
        taken, given = {i for i, _ in pairs}, {j for _, j in pairs}
        for gap in gaps if pairs else ():
            gap.ours[:] = [place for place in gap.ours if place not in taken]
            gap.theirs[:] = [place for place in gap.theirs if place not in given]
        return pairs


def _only_once(old: list[object], new: list[object]) -> tuple[list[object], list[object]]:
    """Two lists in which only the common beginning and end, and items that are in both exactly once, are equal."""
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
            ("head", place)
            if place < head
            else ("tail", len(listed) - place)
            if place >= last
            else item
            if times_old[item] == times_new[item] == 1
            else (side, place)
            for place, item in enumerate(listed)
        ]

    return marked(old, "old"), marked(new, "new")


def _by_words(rows: Rows, siblings: array[int], places: Iterable[int]) -> dict[object, list[int]]:
    found: dict[object, list[int]] = {}
    for place in places:
        found.setdefault(question(rows, siblings[place]), []).append(place)
    return found


def _out_of_order(pairs: list[tuple[int, int]]) -> list[int]:
    """The places of the pairs that are not in the longest selection which has the same order on both sides."""
    if all(before[1] < after[1] for before, after in pairwise(pairs)):
        return []
    ends: list[int] = []
    last: list[int] = []
    before_it: list[int] = []
    for place, (_, j) in enumerate(pairs):
        length = bisect_left(ends, j)
        before_it.append(last[length - 1] if length else -1)
        ends[length : length + 1], last[length : length + 1] = [j], [place]
    kept: set[int] = set()
    place = last[-1]
    while place >= 0:
        kept.add(place)
        place = before_it[place]
    return [place for place in range(len(pairs)) if place not in kept]


def _merged(
    ours: array[int], theirs: array[int], pairs: list[tuple[int, int]], moved: set[int]
) -> list[tuple[int, int, bool]]:
    """Both sequences as one, in the order of the second; rows of the first alone follow the row before them there."""
    of_theirs = {j: (i, place in moved) for place, (i, j) in enumerate(pairs)}
    matched = {i for i, _ in pairs}
    steady = {i for place, (i, _) in enumerate(pairs) if place not in moved}
    merged: list[tuple[int, int, bool]] = []
    reached = 0

    def only_ours(until: int) -> None:
        nonlocal reached
        merged.extend((ours[i], NOBODY, False) for i in range(reached, until) if i not in matched)
        reached = max(reached, until)

    for j, row in enumerate(theirs):
        i, is_moved = of_theirs.get(j, (NOBODY, False))
        if i in steady:
            only_ours(i)
        merged.append((NOBODY if i == NOBODY else ours[i], row, is_moved))
    only_ours(len(ours))
    return merged
