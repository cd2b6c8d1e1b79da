import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from namel3ss_debug.analysis.slopes import MOST_POINTS, sliced, theil_sen

POINTS = st.lists(
    st.tuples(st.integers(0, 60), st.integers(-9, 9)), min_size=4, max_size=40, unique_by=lambda p: p[0]
)


@given(POINTS)
def test_slope_and_interval_are_those_of_scipy(points):
    """The figures are what `scipy.stats.theilslopes` gives, with many equal values and without."""
    x, y = zip(*points, strict=True)
    assume(len({*y}) > 2)
    slope, expected = theil_sen(points), stats.theilslopes(y, x, 0.95)
    assert slope.slope == pytest.approx(expected.slope, abs=1e-12)
    assert (slope.low, slope.high) == pytest.approx((expected.low_slope, expected.high_slope), abs=1e-12)


def test_a_third_of_wrong_points_moves_the_slope_little():
    """Points on a line of slope 2 with every fourth far away still have about that slope."""
    points = [(float(x), 2.0 * x + (1000 if x % 4 == 0 else 0)) for x in range(40)]
    assert theil_sen(points).slope == pytest.approx(2.0, abs=0.2)


@pytest.mark.parametrize("points", [[], [(1.0, 2.0)], [(1.0, 2.0), (1.0, 5.0)]])
def test_without_two_different_times_there_is_no_slope(points):
    """Nothing is divided by zero."""
    assert theil_sen(points) is None


@given(st.lists(st.tuples(st.integers(0, 10**12), st.floats(0, 1e6)), max_size=600), st.randoms())
def test_slices_do_not_depend_on_the_order_of_the_points(points, shuffle):
    """A part of a trace may bring its readings in any order."""
    mixed = points[:]
    shuffle.shuffle(mixed)
    times, values = zip(*points, strict=True) if points else ((), ())
    other_times, other_values = zip(*mixed, strict=True) if mixed else ((), ())
    found = sliced(times, values)
    assert found == sliced(other_times, other_values)
    assert len(found) <= MOST_POINTS


def test_many_points_become_medians_of_equal_slices():
    """A thousand points in a line are still in that line."""
    found = sliced(list(range(0, 10_000, 10)), [float(x) for x in range(0, 10_000, 10)])
    assert len(found) == MOST_POINTS
    assert all(x == y for x, y in found)
