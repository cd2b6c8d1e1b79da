import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.analysis.slopes import MOST_POINTS, sliced, theil_sen


@pytest.mark.parametrize(
    ("size", "ties", "expected"),
    [
        (5, False, (-0.275, -1.7, 2.8)),
        (12, True, (0.0, -0.08333333333333333, 0.36363636363636365)),
        (40, True, (0.0, 0.0, 0.125)),
        (60, False, (0.5149074074074074, 0.4707317073170731, 0.5676470588235293)),
    ],
)
def test_slope_and_interval_are_those_of_scipy(size, ties, expected):
    """The figures are what `scipy.stats.theilslopes(y, x, 0.95)` of SciPy 1.17 gives, with many ties and without."""
    made = random.Random(7)
    for count, tied in ((5, False), (12, True), (40, True), (60, False)):
        x = [float(made.randrange(20) if tied else i) for i in range(count)]
        y = [float(made.randrange(6)) if tied else round(0.5 * a + made.gauss(0, 3), 1) for a in x]
        if (count, tied) == (size, ties):
            break
    slope = theil_sen(list(zip(x, y, strict=True)))
    assert (slope.slope, slope.low, slope.high) == pytest.approx(expected, abs=1e-12)


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
    assert len(found) <= max(MOST_POINTS, min(len(points), MOST_POINTS))


def test_many_points_become_medians_of_equal_slices():
    """A thousand points in a line are still in that line."""
    found = sliced(list(range(0, 10_000, 10)), [float(x) for x in range(0, 10_000, 10)])
    assert len(found) == MOST_POINTS
    assert all(x == y for x, y in found)
