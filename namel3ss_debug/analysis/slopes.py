"""How fast something rises or falls over time, and how sure that is.

The slope is the estimator of Theil (1950) and Sen (1968): the median of the slopes between all pairs of points, which a
third of the points, however wrong, cannot move far. Its interval is Sen's, from the variance of Kendall's
statistic with ties, as `scipy.stats.theilslopes` computes it. Readings of one process depend on each
other, so the interval is rather too narrow than too wide; decisions should not rest on it alone.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from itertools import islice, pairwise
from math import sqrt
from operator import le
from statistics import NormalDist, median
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

CONFIDENCE = 0.95
MOST_POINTS = 200
"""Where there are more points, those of each slice of time are combined into one."""

METHOD = "Theil-Sen: the median of the slopes between all pairs of points, with Sen's interval"


class Slope(NamedTuple):
    """A slope in units of y for each unit of x, the interval it lies in with `CONFIDENCE`, and from how many points."""

    slope: float
    low: float
    high: float
    points: int


def theil_sen(points: Sequence[tuple[float, float]]) -> Slope | None:
    """Return the slope of some points (x, y), in any order; None where they do not have two different x."""
    slopes = sorted(
        (other_y - y) / (other_x - x)
        for place, (x, y) in enumerate(points)
        for other_x, other_y in points[place + 1 :]
        if other_x != x
    )
    if not slopes:
        return None
    size, pairs = len(points), len(slopes)
    ties = sum(tied_terms(values) for values in zip(*points, strict=True))
    spread = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2) * sqrt(max(variance_term(size) - ties, 0) / 18)
    low = max(round((pairs - spread) / 2) - 1, 0)
    high = min(round((pairs + spread) / 2), pairs - 1)
    return Slope(median(slopes), slopes[low], slopes[high], size)


def variance_term(size: int) -> int:
    """18 times the variance of Kendall's statistic over so many values, none of them tied."""
    return size * (size - 1) * (2 * size + 5)


def tied_terms(values: Iterable[float]) -> int:
    """Return the reduction of that by equal values: a term for each group of them."""
    return sum(map(variance_term, Counter(values).values()))


def sliced(times: Sequence[int], values: Sequence[float]) -> list[tuple[float, float]]:
    """Return the points themselves, or, of more than `MOST_POINTS`, the medians of equal slices of time.

    The x is counted from the first time, in the unit of `times`. The order does not matter.
    """
    if not times:
        return []
    first, last = min(times), max(times)
    if len(times) <= MOST_POINTS or first == last:
        return sorted((float(at - first), value) for at, value in zip(times, values, strict=True))
    width = (last - first) // MOST_POINTS + 1
    if not all(map(le, times, islice(times, 1, None))):
        order = sorted(range(len(times)), key=times.__getitem__)
        times, values = [times[place] for place in order], [values[place] for place in order]
    bounds = [bisect_left(times, first + number * width) for number in range(MOST_POINTS + 1)]
    return [
        (float(median(times[begin:end]) - first), median(values[begin:end]))
        for begin, end in pairwise(bounds)
        if begin < end
    ]
