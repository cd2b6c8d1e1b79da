"""Where a rising quantity is going, and how sure that is.

A *level*, such as a latency or an error rate, lies around a line with noise of its own: the forecast is that of ordinary
least squares, with its prediction interval. What *accumulates*, such as a context or memory, goes on from where it is, by
steps as large as the earlier ones: the forecast is that of a random walk with drift, whose uncertainty grows with the way.
Values are equally far apart. The intervals hold the true value in `CONFIDENCE` of the cases.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise
from math import ceil, sqrt
from statistics import NormalDist, fmean
from typing import TYPE_CHECKING, Final, NamedTuple

from namel3ss_debug.analysis.slopes import CONFIDENCE

if TYPE_CHECKING:
    from collections.abc import Sequence

LEAST_VALUES: Final = 5
MOST_STEPS: Final = 1000
_Z: Final = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)


class Forecast(NamedTuple):
    """An expected value, and the interval it lies in with `CONFIDENCE`."""

    value: float
    low: float
    high: float


def student_t(freedom: int) -> float:
    """Return the quantile of Student's distribution for `CONFIDENCE`, by the expansion of Cornish and Fisher; from 3 degrees on."""
    z, n = _Z, freedom
    return (
        z
        + (z**3 + z) / (4 * n)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * n**3)
    )


def forecast_level(values: Sequence[float], ahead: float) -> Forecast | None:
    """Return the value so many steps after the last one, of a quantity with a level; None for too few values."""
    count = len(values)
    if count < LEAST_VALUES:
        return None
    middle, mean = (count - 1) / 2, fmean(values)
    spread = count * (count * count - 1) / 12
    slope = sum((index - middle) * value for index, value in enumerate(values)) / spread
    noise = sum((value - mean - slope * (index - middle)) ** 2 for index, value in enumerate(values))
    way = count - 1 + ahead - middle
    expected = mean + slope * way
    error = sqrt(noise / (count - 2) * (1 + 1 / count + way * way / spread)) * student_t(count - 2)
    return Forecast(expected, expected - error, expected + error)


def forecast_walk(values: Sequence[float], ahead: float) -> Forecast | None:
    """Return the value so many steps after the last one, of a quantity that accumulates; None for too few values."""
    if len(values) < LEAST_VALUES:
        return None
    steps = [later - value for value, later in pairwise(values)]
    drift = fmean(steps)
    # `statistics.stdev` computes with fractions: a monitor asks this some hundred times a second
    deviation = sqrt(sum((step - drift) ** 2 for step in steps) / (len(steps) - 1))
    expected = values[-1] + drift * ahead
    error = deviation * sqrt(ahead + ahead * ahead / len(steps)) * student_t(len(steps) - 1)
    return Forecast(expected, expected - error, expected + error)


def steps_until(values: Sequence[float], limit: float) -> Forecast | None:
    """Return in how many steps a quantity that accumulates reaches a limit.

    None where it does not rise, where too few values are known, or where it may never get there. Counted are whole
    steps: at the first one of the interval the upper bound of the value reaches the limit, at the last one the lower bound.
    """
    if len(values) < LEAST_VALUES or values[-1] >= limit:
        return None
    drift = (values[-1] - values[0]) / (len(values) - 1)
    if drift <= 0 or (limit - values[-1]) / drift > MOST_STEPS:
        return None
    expected = ceil((limit - values[-1]) / drift)
    low = _first_step(values, limit, "high", expected)
    high = _first_step(values, limit, "low", MOST_STEPS)
    return None if low is None or high is None else Forecast(expected, low, high)


def _first_step(values: Sequence[float], limit: float, bound: str, most: int) -> int | None:
    """Return the first step up to `most` at which a bound of the forecast reaches the limit; it stays above it then."""
    step = bisect_left(
        range(1, most + 1), limit, key=lambda ahead: getattr(forecast_walk(values, ahead), bound)
    )
    return step + 1 if step < most else None
