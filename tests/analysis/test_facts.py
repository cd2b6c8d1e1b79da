from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.analysis.facts import covered_ns
from namel3ss_debug.traces.facts import LONGEST_NS, whole_ns

SPANS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)).map(sorted), max_size=12)


def flat(intervals):
    """Intervals as the code keeps them: one number after the other."""
    return array("q", [place for interval in intervals for place in interval])


@given(SPANS, st.integers(0, 30), st.integers(0, 30))
def test_covered_time_is_every_moment_that_some_child_ran(intervals, begin, end):
    """The union of intervals agrees with counting the moments one by one."""
    moments = {moment for low, high in intervals for moment in range(low, high)}
    assert covered_ns(flat(intervals), begin, end) == len(moments & set(range(begin, end)))


@given(SPANS, st.randoms())
def test_the_order_of_the_children_does_not_matter(intervals, random):
    """The same intervals cover the same time however they came."""
    mixed = random.sample(intervals, len(intervals))
    assert covered_ns(flat(mixed), 3, 27) == covered_ns(flat(intervals), 3, 27)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1.5, 1_500_000),
        (0, 0),
        (-3, 0),
        ("2", 0),
        (None, 0),
        (True, 0),
        (1e300, LONGEST_NS),
        (float("nan"), 0),
    ],
)
def test_a_time_becomes_whole_nanoseconds_or_nothing(value, expected):
    """What is no time is 0 and what is too long is cut."""
    assert whole_ns(value, 1_000_000) == expected
