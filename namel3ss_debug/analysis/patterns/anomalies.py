"""Outliers in the run's own distribution, by robust statistics.

The modified z-score of Iglewicz and Hoaglin, "How to Detect and Handle Outliers" (1993): 0.6745 times the distance from
the median, divided by the median of all such distances (MAD); beyond `FAR_OUT` a value is an outlier. Where more than
half of the values are the same, so that the MAD is zero, the mean of the distances times 1.2533 is taken in place of
MAD / 0.6745. Durations and tokens are spread over orders of magnitude, so their logarithms are looked at.
"""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from namel3ss_debug.analysis.distributions import NS_PER_MS, milliseconds
from namel3ss_debug.analysis.patterns.calls import COMPLETED, OTHER
from namel3ss_debug.analysis.patterns.found import cost_of, pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from namel3ss_debug.analysis.patterns.calls import Call, Operation

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
        """The spread of at least `LEAST_VALUES` values; None where they are fewer, or all the same."""
        if len(values) < LEAST_VALUES:
            return None
        median = _median(sorted(values))
        distances = sorted(abs(value - median) for value in values)
        unit = _median(distances) / _OF_MAD or _OF_MEAN * sum(distances) / len(distances)
        return cls(median, unit) if unit else None

    def score(self, value: float) -> float:
        """The modified z-score."""
        return (value - self.median) / self.unit

    def is_far_out(self, value: float) -> bool:
        """Whether a value is an outlier above."""
        return self.score(value) > FAR_OUT


def _median(ordered: Sequence[float]) -> float:
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def anomalies(calls: Sequence[Call]) -> Iterator[dict[str, Any]]:
    """The calls whose duration or number of tokens is an outlier among those of the same operation.

    Args:
        calls: by number; only those that succeeded are compared, without spans that only enclose others.
    """
    operations: dict[Operation, list[Call]] = {}
    for call in calls:
        if call.outcome == COMPLETED and call.kind != OTHER and call.end_number != call.number:
            operations.setdefault(call.operation, []).append(call)
    for same in operations.values():
        if len(same) >= LEAST_VALUES:
            yield from _far_out(same, "duration", lambda call: call.lasted or 0, LEAST_NS)
            yield from _far_out(same, "tokens", lambda call: call.tokens, LEAST_TOKENS)


def _far_out(
    calls: Sequence[Call], measure: str, value_of: Callable[[Call], int], least: int
) -> Iterator[dict[str, Any]]:
    """Calls of one operation whose value lies far from the median, to either side, by the logarithms."""
    ordered = sorted(value for call in calls if (value := value_of(call)) > 0)
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
    sides: dict[str, list[tuple[float, int, Call]]] = {"high": [], "low": []}
    for call in calls:
        value = value_of(call)
        if 0 < value <= low or value >= high:
            score = spread.score(log(value))
            if abs(score) > FAR_OUT:
                sides["high" if score > 0 else "low"].append((score, value, call))
    for side, found in sides.items():
        if not found:
            continue
        found.sort(key=lambda item: (-abs(item[0]), item[2].number))
        score, value, _ = found[0]
        beyond = sum(value for _, value, _ in found) - len(found) * median if side == "high" else 0
        timed = measure == "duration"
        shown = milliseconds if timed else int
        yield pattern(
            "anomaly",
            [call for _, _, call in found],
            1 - FAR_OUT / 2 / abs(score),
            cost_of((), beyond) if timed else {"ms": 0.0, "tokens": beyond, "usd": None},
            measure="duration_ms" if timed else measure,
            side=side,
            median=shown(median),
            furthest=shown(value),
            score=round(score, 2),
            of=len(calls),
        )
