"""Which items of two lists are the same."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.wire.matching import count_common_prefix, matching_blocks

TURNS = [item for number in range(300) for item in (number, "-")]
items = st.lists(st.integers(0, 6), max_size=30)


def pairs(old, new):
    """The places that are matched."""
    return [(i + k, j + k) for i, j, size in matching_blocks(old, new) for k in range(size)]


@given(items, items)
def test_blocks_hold_the_same_and_grow(old, new):
    """A law: as `difflib` has it, and each block is as long as it can be."""
    *blocks, last = matching_blocks(old, new)
    assert last == (len(old), len(new), 0)
    at_old = at_new = 0
    for place, (i, j, size) in enumerate(blocks):
        assert size > 0
        assert old[i : i + size] == new[j : j + size]
        assert i >= at_old
        assert j >= at_new
        assert place == 0 or (i, j) != (at_old, at_new)
        at_old, at_new = i + size, j + size


@given(items)
def test_equal_lists_are_one_block(old):
    """A law: nothing differs, nothing is parted."""
    assert list(matching_blocks(old, list(old))) == [(0, 0, len(old)), (len(old), len(old), 0)][not old :]


@given(items, st.data())
def test_one_item_more_or_less_is_just_that(old, data):
    """A law: all others are matched."""
    place = data.draw(st.integers(0, len(old)))
    longer = [*old[:place], data.draw(st.integers(0, 6)), *old[place:]]
    assert len(pairs(old, longer)) == len(pairs(longer, old)) == len(old)


def test_what_is_there_once_is_matched_first():
    """A moved block is left where it gives the longest order of unique items."""
    assert pairs("axbxcxd", "dxaxbxc") == [(0, 2), (1, 3), (2, 4), (3, 5), (4, 6)]


@pytest.mark.parametrize(
    ("old", "new", "least"),
    [
        (list(range(10_000)), [number if number % 2 else -number - 1 for number in range(10_000)], 5000),
        (list(range(100)) * 100, list(range(100)) * 100, 10_000),
        (list(range(100)) * 100, (list(range(50, 100)) + list(range(50))) * 100, 9900),
        ([1, 2] * 5000, [2, 1] * 5000, 9999),
        (list(range(10_000)), list(range(10_000))[::-1], 1),
        (TURNS, TURNS[100:] + TURNS[:100], len(TURNS) - 101),
        ([3, 3] + [1, 2] * 3000, [1, 2] * 3000 + [3, 3], 6000),
    ],
    ids=[
        *("every second one", "the same", "a loop that begins elsewhere", "two in turn", "backwards"),
        *("the first come last", "two come last in a loop"),
    ],
)
def test_ten_thousand_items_are_matched(old, new, least):
    """Also where nothing is there once, and where all is out of order; both places go forward from pair to pair."""
    found = pairs(old, new)
    assert len(found) >= least
    assert all(one[0] < other[0] and one[1] < other[1] for one, other in pairwise(found))
    assert all(old[i] == new[j] for i, j in found)


@given(st.text("ab", max_size=80), st.text("ab", max_size=20), st.text("ab", max_size=20))
def test_the_common_prefix_is_found(both, one, other):
    """A law: so many characters are the same, and the next is not."""
    first, second = both + one, both + other
    length = count_common_prefix(first, second)
    assert length >= len(both)
    assert first[:length] == second[:length]
    assert first[length : length + 1] != second[length : length + 1] or length == min(len(first), len(second))
