"""How a set of durations is spread: mean, standard deviation and percentiles, computed from whole nanoseconds.

Durations are kept as integers, so that the figures do not depend on the order of adding; they become milliseconds
only here, at the end.
"""

from __future__ import annotations

from array import array
from math import sqrt
from operator import mul
from typing import TYPE_CHECKING

from namel3ss_debug.traces.facts import NS_PER_MS

if TYPE_CHECKING:
    from collections.abc import Sequence

PERCENTILES = (10, 25, 50, 75, 90, 95, 99)


LEAST_FOR_OUTLIERS = 10
LEAST_FACTOR = 2
LEAST_NS = 10 * NS_PER_MS
OUTLIERS = (
    "above p75 + 3 (p75 - p25), the outer fence of Tukey (1977), of at least 10 durations, "
    "and at least twice the median and 10 ms longer"
)
"""The method by which `far_out` finds outliers, in words."""


def durations() -> array[int]:
    """Return an empty collection of durations, in nanoseconds: eight bytes for each."""
    return array("q")


def percentile(ordered: Sequence[int], percent: int) -> float:
    """Return the value below which `percent` per cent of the sorted values lie, by linear interpolation.

    This is method 7 of Hyndman and Fan (1996), "Sample Quantiles in Statistical Packages", the default of
    numpy and R: the position is `percent / 100 * (n - 1)`, and a position between two values takes its share
    of the way from one to the next.

    Args:
        ordered: At least one value, in rising order.
        percent: From 0 to 100.
    """
    place, hundredths = divmod(percent * (len(ordered) - 1), 100)
    value = ordered[place]
    if not hundredths:
        return float(value)
    return value + (ordered[place + 1] - value) * hundredths / 100


def milliseconds(nanoseconds: float) -> float:
    """Nanoseconds as milliseconds, to the nanosecond."""
    return round(nanoseconds / NS_PER_MS, 6)


def describe(values: Sequence[int]) -> dict[str, float | None]:
    """Mean, deviation, extremes and percentiles of durations, in milliseconds; all None where there are none.

    The standard deviation is that of the population (divided by n, as numpy does by default): the spans of a
    trace are all there were, and no sample.
    """
    names = ("mean_ms", "stddev_ms", "min_ms", *(f"p{percent}_ms" for percent in PERCENTILES), "max_ms")
    if not values:
        return dict.fromkeys(names)
    ordered = sorted(values)
    count = len(ordered)
    total = sum(ordered)
    variance = count * sum(map(mul, ordered, ordered)) - total * total
    figures = (
        total / count,
        sqrt(variance) / count,
        ordered[0],
        *(percentile(ordered, percent) for percent in PERCENTILES),
        ordered[-1],
    )
    return dict(zip(names, map(milliseconds, figures), strict=True))


def far_out(values: Sequence[int]) -> float | None:
    """Return the duration above which one of these is an outlier; None where there are too few of them."""
    if len(values) < LEAST_FOR_OUTLIERS:
        return None
    ordered = sorted(values)
    return outer_fence(*(percentile(ordered, percent) for percent in (25, 50, 75)))


def outer_fence(low: float, median: float, high: float) -> float:
    """Return the duration above which one is an outlier among those with these quartiles.

    This is the outer fence of Tukey, "Exploratory Data Analysis" (1977): three times the distance between the quartiles
    above the upper one. Where most durations are nearly equal, the fence is next to the median, so an outlier is also
    `LEAST_FACTOR` times the median, and `LEAST_NS` longer.
    """
    return max(high + 3 * (high - low), median * LEAST_FACTOR, median + LEAST_NS)
