from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.analysis.sections.concurrency import (
    SLICES,
    Intervals,
    compute_wall_shares,
    measure_concurrency,
)

SPANS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 15)), max_size=15)


def filled(spans):
    """Intervals of (begin, length), in milliseconds."""
    intervals = Intervals()
    begins = array("q", [begin * 1_000_000 for begin, _ in spans])
    intervals.add(begins, array("q", [length * 1_000_000 for _, length in spans]))
    return intervals


def running(spans):
    """How many spans run in each millisecond, counted one by one."""
    return [sum(begin <= at < begin + length for begin, length in spans) for at in range(60)]


@given(SPANS)
def test_levels_are_those_counted_millisecond_by_millisecond(spans):
    """Most, mean, serial and idle time, and the time of each level."""
    counted = running(spans)
    found = measure_concurrency(filled(spans), 0, 60_000_000)
    busy = [count for count in counted if count]
    assert found["most"] == max(counted)
    assert found["mean"] == (round(sum(busy) / len(busy), 3) if busy else None)
    assert (found["serial_ms"], found["idle_ms"]) == (counted.count(1), counted.count(0))
    assert found["levels"] == [{"running": level, "ms": counted.count(level)} for level in sorted(set(busy))]
    width = 60 // SLICES
    slices = [sum(counted[place : place + width]) / width for place in range(0, 60, width)]
    assert found["over_time"] == pytest.approx(slices, abs=1e-3)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 40), st.integers(0, 15)), max_size=15))
def test_shares_are_of_the_time_in_which_at_least_one_ran(spans):
    """Time in which two spans of a component ran counts once."""
    kinds = {kind: [span[1:] for span in spans if span[0] == kind] for kind in "ab"}
    found = compute_wall_shares({kind: filled(own) for kind, own in kinds.items()}, 60_000_000)
    expected = {kind: sum(map(bool, running(own))) for kind, own in kinds.items()}
    assert {row["component"]: row["ms"] for row in found} == expected
    assert [row["ms"] for row in found] == sorted(expected.values(), reverse=True)
    assert all(row["share"] == pytest.approx(row["ms"] / 60, abs=1e-6) for row in found)


@given(SPANS, SPANS)
def test_parts_come_together(one, other):
    """The order in which spans are gathered makes no difference."""
    merged = filled(one)
    merged.merge(filled(other))
    assert list(merged.iter_stretches()) == list(filled(other + one).iter_stretches())


@given(SPANS)
def test_covered_time_is_that_of_all_stretches(spans):
    """The time in which something ran is the same by its gaps as by its stretches."""
    intervals = filled(spans)
    assert intervals.covered() == sum(end - begin for begin, end, _ in intervals.iter_stretches())


@pytest.mark.parametrize("wall", [None, 0])
def test_without_time_there_are_no_shares(wall):
    """Nothing is divided by zero."""
    found = measure_concurrency(filled([(3, 0)]), None, wall)
    assert (found["serial_share"], found["over_time"], found["most"]) == (None, [], 0)
    assert compute_wall_shares({"tool": filled([(1, 2)])}, wall)[0]["share"] is None
