"""Find outliers in the run's own distribution, by robust statistics.

The modified z-score of Iglewicz and Hoaglin, "How to Detect and Handle Outliers" (1993): 0.6745 times the distance from
the median, divided by the median of all such distances (MAD); beyond `FAR_OUT` a value is an outlier. Where more than
half of the values are the same, the MAD is zero, and the mean of the distances times 1.2533 replaces MAD / 0.6745.
Durations and tokens are spread over orders of magnitude, so the scores are those of their logarithms.
"""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from namel3ss_debug.analysis.distributions import milliseconds
from namel3ss_debug.analysis.sections.calls import COMPLETED, OTHER, pattern_to_json, sum_cost
from namel3ss_debug.traces.facts import NS_PER_MS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from namel3ss_debug.analysis.sections.calls import Operation, PatternCall

FAR_OUT = 3.5
LEAST_VALUES = 10
LEAST_FACTOR = 2.0
LEAST_NS = 10 * NS_PER_MS
LEAST_TOKENS = 100

_OF_MAD = 0.6745
_OF_MEAN = 1.253314


class Spread(NamedTuple):
    """The median of some values, and the unit in which a distance from it is a z-score."""

    median: float
    unit: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self | None:
        """Return the spread of at least `LEAST_VALUES` values; None where they are fewer, or all equal."""
        if len(values) < LEAST_VALUES:
            return None
        median = _median(sorted(values))
        distances = sorted(abs(value - median) for value in values)
        unit = _median(distances) / _OF_MAD or _OF_MEAN * sum(distances) / len(distances)
        return cls(median, unit) if unit else None

    def score(self, value: float) -> float:
        """Return the modified z-score."""
        return (value - self.median) / self.unit

    def is_far_out(self, value: float) -> bool:
        """Return whether a value is an outlier above the median."""
        return self.score(value) > FAR_OUT


def _median(ordered: Sequence[float]) -> float:
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def find_anomalies(calls: Sequence[PatternCall]) -> Iterator[dict[str, Any]]:
    """Yield the calls whose duration or number of tokens is an outlier among those of the same operation.

    Args:
        calls: by number; only those that succeeded are compared, without spans that only enclose others.
    """
    operations: dict[Operation, list[PatternCall]] = {}
    for call in calls:
        if call.outcome == COMPLETED and call.kind != OTHER and call.end_number != call.number:
            operations.setdefault(call.operation, []).append(call)
    for same in operations.values():
        if len(same) >= LEAST_VALUES:
            yield from _find_far_out(same, "duration", lambda call: call.duration_ns or 0, LEAST_NS)
            yield from _find_far_out(same, "tokens", lambda call: call.tokens, LEAST_TOKENS)


def _find_far_out(
    calls: Sequence[PatternCall], measure: str, measure_of: Callable[[PatternCall], int], least: int
) -> Iterator[dict[str, Any]]:
    """Yield the calls of one operation that lie far from the median, to either side, by the logarithms."""
    ordered = sorted(value for call in calls if (value := measure_of(call)) > 0)
    if len(ordered) < LEAST_VALUES or ordered[-1] - ordered[0] < least:
        return
    median = round(_median(ordered))
    low = min(median / LEAST_FACTOR, median - least)
    high = max(median * LEAST_FACTOR, median + least)
    if low < ordered[0] and ordered[-1] < high:
        return
    spread = Spread.of([log(value) for value in ordered])
    if spread is None:
        return
    sides: dict[str, list[tuple[float, int, PatternCall]]] = {"high": [], "low": []}
    for call in calls:
        value = measure_of(call)
        if 0 < value <= low or value >= high:
            score = spread.score(log(value))
            if abs(score) > FAR_OUT:
                sides["high" if score > 0 else "low"].append((score, value, call))
    for side, outliers in sides.items():
        if not outliers:
            continue
        outliers.sort(key=lambda item: (-abs(item[0]), item[2].number))
        score, value, _ = outliers[0]
        beyond = sum(value for _, value, _ in outliers) - len(outliers) * median if side == "high" else 0
        timed = measure == "duration"
        shown = milliseconds if timed else int
        yield pattern_to_json(
            "anomaly",
            [call for _, _, call in outliers],
            1 - FAR_OUT / 2 / abs(score),
            sum_cost((), beyond) if timed else {"ms": 0.0, "tokens": beyond, "usd": None},
            measure="duration_ms" if timed else measure,
            side=side,
            median=shown(median),
            furthest=shown(value),
            score=round(score, 2),
            of=len(calls),
        )
