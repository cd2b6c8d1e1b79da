"""Match the equal items of two lists in little more than linear time: the first step of every comparison here."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

_MOST_PAIRS_FOR_DIFFLIB = 10_000
"""How many pairs of items `difflib` may compare: its time grows with their number or faster."""

_MOST_SKIPPED = 200
"""How many items a match in one pass may skip; no item before a match can be matched any more."""


class Block(NamedTuple):
    """A run of `size` equal items, from index `old` in the old list and from index `new` in the new list."""

    old: int
    new: int
    size: int


def matching_blocks(old: Sequence[Hashable], new: Sequence[Hashable]) -> Iterator[Block]:
    """Yield the blocks in which two lists are equal, in order, each as long as possible; at the end an empty block.

    The method is Bram Cohen's patience diff, as in git: items that occur once in both lists are matched first, and the
    parts between two matches are compared in the same way. If no item occurs once, `difflib` matches few items, and one
    pass matches many.
    """
    start: tuple[int, int] | None = None
    size = 0
    for i, j in sorted(_match(old, new)):
        if start is not None and (i, j) == (start[0] + size, start[1] + size):
            size += 1
            continue
        if start is not None:
            yield Block(*start, size)
        start, size = (i, j), 1
    if start is not None:
        yield Block(*start, size)
    yield Block(len(old), len(new), 0)


def count_common_prefix(one: str, other: str) -> int:
    """Return how many characters two texts have in common at their beginning."""
    # Slices are compared in C: first ever longer ones, then a binary search inside the one that differs.
    shorter = min(len(one), len(other))
    low, step = 0, 16
    while low < shorter and one[low : low + step] == other[low : low + step]:
        low, step = low + step, step * 2
    low, high = min(low, shorter), min(low + step, shorter)
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _match(old: Sequence[Hashable], new: Sequence[Hashable]) -> list[tuple[int, int]]:
    """Return pairs of indexes of equal items, in no particular order."""
    pairs: list[tuple[int, int]] = []
    todo = [(0, len(old), 0, len(new))]
    while todo:
        i, i_end, j, j_end = todo.pop()
        while i < i_end and j < j_end and old[i] == new[j]:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        while i < i_end and j < j_end and old[i_end - 1] == new[j_end - 1]:
            i_end, j_end = i_end - 1, j_end - 1
            pairs.append((i_end, j_end))
        if i == i_end or j == j_end:
            continue
        anchors = [(i + a, j + b) for a, b in _match_unique(old[i:i_end], new[j:j_end])]
        if not anchors:
            pairs += [(i + a, j + b) for a, b in _match_repeated(old[i:i_end], new[j:j_end])]
            continue
        pairs += anchors
        for first, second in [*anchors, (i_end, j_end)]:
            todo.append((i, first, j, second))
            i, j = first + 1, second + 1
    return pairs


def _match_unique(old: Sequence[Hashable], new: Sequence[Hashable]) -> list[tuple[int, int]]:
    """Match items that occur once in both lists; return the longest selection that has the same order in both."""
    times_old, times_new = Counter(old), Counter(new)
    indexes = {item: index for index, item in enumerate(new) if times_new[item] == 1}
    pairs = [(i, indexes[item]) for i, item in enumerate(old) if times_old[item] == 1 and item in indexes]
    return [pairs[number] for number in longest_rising([j for _, j in pairs])]


def longest_rising(values: Sequence[int]) -> list[int]:
    """Return the indexes of the longest selection of values that rises from one to the next."""
    ends: list[int] = []  # the smallest value at which a chain of each length can end
    last: list[int] = []  # the index of that value
    before: list[int] = []  # the index before each value in its chain
    for index, value in enumerate(values):
        length = bisect_left(ends, value)
        before.append(last[length - 1] if length else -1)
        ends[length : length + 1], last[length : length + 1] = [value], [index]
    chain = []
    index = last[-1] if last else -1
    while index >= 0:
        chain.append(index)
        index = before[index]
    return chain[::-1]


def _match_repeated(old: Sequence[Hashable], new: Sequence[Hashable]) -> list[tuple[int, int]]:
    """Match lists in which no item occurs once: few items as well as possible, many with the next equal item."""
    if len(old) * len(new) <= _MOST_PAIRS_FOR_DIFFLIB:
        blocks = SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks()
        return [(i + k, j + k) for i, j, size in blocks for k in range(size)]
    indexes: dict[Hashable, list[int]] = {}
    for index, item in enumerate(new):
        indexes.setdefault(item, []).append(index)
    pairs, j = [], 0
    for i, item in enumerate(old):
        candidates = indexes.get(item, [])
        k = bisect_left(candidates, j)
        if k < len(candidates) and candidates[k] - j <= _MOST_SKIPPED:
            pairs.append((i, candidates[k]))
            j = candidates[k] + 1
    return pairs
