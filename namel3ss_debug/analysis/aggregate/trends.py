"""Judge whether a figure rises or falls over time, how sure that is, and by how much a day.

Each figure of a trace, or of a group of them, is a point in time. The direction is that of the Mann-Kendall test
(Mann 1945, "Nonparametric Tests Against Trend"; Kendall 1975, "Rank Correlation Methods"), the slope that of Theil and
Sen (`slopes`). Both use the order of the values and medians, so a single extreme run decides nothing, and no
distribution is assumed.

- `S` is the number of pairs of points of which the later is higher, less those of which it is lower.
- `p_value` is how likely an S at least as far from 0 is where there is no trend. Up to `EXACT` points without ties it
  is exact; otherwise it is that of the normal distribution, with the variance corrected for ties and S moved by one
  towards 0.
- `slope_per_day` is the median of the slopes of all pairs of points at different times. It lies between `slope_low` and
  `slope_high` with 95 per cent. Where the points span less than `SHORTEST_S`, a change a day would be guessed from
  minutes: it is None, with its limits, and `slope_per_run` is the median change from one point to the next.
- `direction` is `rising` or `falling` where `p_value` is below `SIGNIFICANT`, else `none`; `unknown` below `LEAST`
  points.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations
from math import erfc, factorial, sqrt
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from namel3ss_debug.analysis.slopes import theil_sen, tied_terms, variance_term

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

SIGNIFICANT = 0.05
LEAST = 4
EXACT = 30
MOST = 500
"""The most points that count, the latest ones: the slope looks at every pair of them."""

SHORTEST_S = 86_400
"""A change a day is reported only where the points span at least this many seconds."""

METHOD = "Mann-Kendall test at 0.05, Theil-Sen slope"

_SECONDS_A_DAY = 86_400


class Point(NamedTuple):
    """A figure at a time, in seconds since the epoch."""

    at: float
    value: float


class Figure(NamedTuple):
    """One figure of a run that has a trend: its name, the function that reads it, and its meaning."""

    name: str
    of: Callable[[Mapping[str, Any]], float | None]
    meaning: str


def _throughput(overview: Mapping[str, Any]) -> float | None:
    """Return the calls of models and tools per second."""
    duration = overview.get("duration_ms")
    calls = (overview.get("llm_calls") or 0) + (overview.get("tool_calls") or 0)
    return round(calls * 1000 / duration, 6) if duration else None


def _error_rate(overview: Mapping[str, Any]) -> float | None:
    """Return the share of spans that failed."""
    rate = overview.get("success_rate")
    return None if rate is None else round(1 - rate, 12)


FIGURES: tuple[Figure, ...] = (
    Figure("response_time_ms", lambda run: run.get("duration_ms"), "how long a run took"),
    Figure("throughput", _throughput, "calls of models and tools per second"),
    Figure("error_rate", _error_rate, "share of the spans that did not do their work"),
    Figure("memory_mb", lambda run: run.get("memory_peak_mb"), "the most memory of a run"),
    Figure("tokens", lambda run: run.get("tokens"), "tokens of a run"),
    Figure("cost", lambda run: run.get("cost"), "US dollars of a run"),
)


def compute_trends(runs: Iterable[tuple[float, Mapping[str, Any]]]) -> dict[str, Any]:
    """Return the trend of each figure.

    Args:
        runs: when each run began, in seconds since the epoch, and its figures: an `execution_overview` with
            `memory_peak_mb`. A run without a figure has no point there.

    Returns:
        `method`, and in `figures` one object of `compute_trend` for each of `FIGURES` that has a point.
    """
    ordered = sorted(runs, key=lambda run: run[0])
    figures = {}
    for figure in FIGURES:
        values = ((at, figure.of(run)) for at, run in ordered)
        points = [Point(at, value) for at, value in values if value is not None]
        if points:
            figures[figure.name] = compute_trend(points)
    return {"method": METHOD, "figures": figures}


def compute_trend(points: Sequence[Point]) -> dict[str, Any]:
    """Return the trend of a series.

    Args:
        points: at least one, in the order of time; of more than `MOST` the latest count.

    Returns:
        `points`, `first` and `last` (values), `median`, `direction`, and where there are at least `LEAST` points
        `p_value`, `confidence` (1 less that), `slope_per_day` with `slope_low` and `slope_high`, or `slope_per_run`;
        else None.
    """
    points = points[-MOST:]
    values = [point.value for point in points]
    enough = len(points) >= LEAST
    score = kendall_score(values)
    p_value = mann_kendall(values) if enough else None
    days = points[-1].at - points[0].at >= SHORTEST_S
    slope = (
        theil_sen([(point.at / _SECONDS_A_DAY, point.value) for point in points]) if enough and days else None
    )
    steps = theil_sen(list(enumerate(values))) if enough and not days else None
    direction = "unknown" if p_value is None else "none"
    if p_value is not None and p_value < SIGNIFICANT:
        direction = "rising" if score > 0 else "falling"
    return {
        "points": len(points),
        "first": values[0],
        "last": values[-1],
        "median": median(values),
        "direction": direction,
        "p_value": None if p_value is None else round(p_value, 6),
        "confidence": None if p_value is None else round(1 - p_value, 6),
        "slope_per_day": None if slope is None else _round(slope.slope),
        "slope_low": None if slope is None else _round(slope.low),
        "slope_high": None if slope is None else _round(slope.high),
        "slope_per_run": None if steps is None else _round(steps.slope),
    }


def kendall_score(values: Sequence[float]) -> int:
    """Return S: the number of pairs whose later value is higher, less the number of those whose later value is lower."""
    return sum((later > earlier) - (later < earlier) for earlier, later in combinations(values, 2))


def score_variance(values: Sequence[float]) -> float:
    """Return the variance of S where there is no trend, corrected for ties (Kendall 1975)."""
    return (variance_term(len(values)) - tied_terms(values)) / 18


def mann_kendall(values: Sequence[float]) -> float:
    """Return the two-sided probability that chance alone makes at least as many pairs go one way.

    Args:
        values: at least two, in the order of time.
    """
    score, size = abs(kendall_score(values)), len(values)
    if size <= EXACT and len(set(values)) == size:
        ways = _inversions(size)
        least = (len(ways) - 1 + score) // 2  # S is the number of pairs less twice that of the inversions
        return min(2 * sum(ways[least:]) / factorial(size), 1.0)
    variance = score_variance(values)
    return erfc((score - 1) / sqrt(2 * variance)) if variance > 0 and score else 1.0


@lru_cache(maxsize=EXACT)
def _inversions(size: int) -> tuple[int, ...]:
    """Return how many orders of this many values have each number of inversions (the Mahonian numbers)."""
    ways = [1]
    for number in range(2, size + 1):
        wider = [0] * (len(ways) + number - 1)
        for place, count in enumerate(ways):
            for shift in range(number):
                wider[place + shift] += count
        ways = wider
    return tuple(ways)


def _round(value: float) -> float:
    """Round to nine significant digits, so that the result does not depend on the machine."""
    return float(f"{value:.9g}")
