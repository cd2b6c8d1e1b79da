"""Compare the durations of each operation with those in baseline traces: what became slower, and how sure that is.

The document, times in milliseconds, the largest difference in time of the whole run first:

    {"baselines": ["traces/trace_1.jsonl"], "confidence": 0.95, "slower": 1, "faster": 0,
     "operations": [{"component": "llm", "component_name": "gpt-4o", "calls": 20, "baseline_calls": 24,
                     "median_ms": 910.0, "baseline_median_ms": 640.0, "difference_ms": 268.0, "low_ms": 190.0,
                     "high_ms": 344.0, "change": 0.419, "verdict": "slower"}]}

`difference_ms` is the estimator of Hodges and Lehmann (1963): the median of the differences between all pairs of calls,
`low_ms` and `high_ms` its distribution-free interval from the Mann-Whitney statistic in the normal approximation (Hollander
and Wolfe, "Nonparametric Statistical Methods"). The verdict is `slower` or `faster` where the interval excludes zero, else
`same`; `unknown` below `LEAST_CALLS` calls on a side; `new` or `gone` where a side has none.
"""

from __future__ import annotations

from array import array
from math import sqrt
from statistics import NormalDist, median
from typing import TYPE_CHECKING, Any

from namel3ss_debug.analysis.distributions import durations, milliseconds
from namel3ss_debug.analysis.slopes import CONFIDENCE
from namel3ss_debug.importers.opening import open_nonempty_trace
from namel3ss_debug.traces.span_table import read_spans

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path


Key = tuple[str, str]
LEAST_CALLS = 4
"""With three calls on each side, no interval at 95 % excludes zero."""
MOST_CALLS = 400
"""Of more calls on a side, so many at equal distances in the order of duration are compared: their pairs are 160,000."""


def read_durations(paths: Iterable[Path]) -> dict[Key, array[int]]:
    """Return the durations in some traces together, in nanoseconds.

    Raises:
        UnreadableTraceError: nothing in one of them can be read.
    """
    together: dict[Key, array[int]] = {}
    for path in paths:
        spans = read_spans(open_nonempty_trace(path).events())
        for key, rows in spans.by_operation().items():
            # a failed span may have ended at once
            known = [
                spans.duration[row] for row in rows if spans.duration[row] >= 0 and not spans.failed[row]
            ]
            if known:
                together.setdefault(key, durations()).extend(known)
    return together


def compare_with_baselines(paths: Sequence[Path], baselines: Sequence[Path]) -> dict[str, Any]:
    """Return the comparison of some traces with baseline traces.

    Raises:
        UnreadableTraceError: nothing in one of them can be read.
    """
    now, before = read_durations(paths), read_durations(baselines)
    rows = [compare_operation(key, now.get(key, ()), before.get(key, ())) for key in {**before, **now}]
    rows.sort(key=_rank)
    return {
        "baselines": [str(path) for path in baselines],
        "confidence": CONFIDENCE,
        "slower": sum(row["verdict"] == "slower" for row in rows),
        "faster": sum(row["verdict"] == "faster" for row in rows),
        "operations": rows,
    }


def compare_operation(key: Key, now: Sequence[int], before: Sequence[int]) -> dict[str, Any]:
    """Return the row of one operation.

    Args:
        key: its component and name.
        now: its durations in nanoseconds.
        before: those in the baselines.
    """
    row: dict[str, Any] = {
        "component": key[0],
        "component_name": key[1] or None,
        "calls": len(now),
        "baseline_calls": len(before),
        "median_ms": milliseconds(median(now)) if now else None,
        "baseline_median_ms": milliseconds(median(before)) if before else None,
        "difference_ms": None,
        "low_ms": None,
        "high_ms": None,
        "change": None,
        "verdict": "new" if not before else "gone" if not now else "unknown",
    }
    if min(len(now), len(before)) >= LEAST_CALLS:
        middle, low, high = estimate_shift(now, before)
        base = median(before)
        row |= {
            "difference_ms": milliseconds(middle),
            "low_ms": milliseconds(low),
            "high_ms": milliseconds(high),
            "change": round(middle / base, 4) if base else None,
            "verdict": "slower" if low > 0 else "faster" if high < 0 else "same",
        }
    return row


def estimate_shift(now: Sequence[int], before: Sequence[int]) -> tuple[float, float, float]:
    """Return by how much the first values exceed the second ones: the estimate, and the ends of its interval."""
    left, right = _thin(now), _thin(before)
    differences = sorted(x - y for x in left for y in right)
    pairs = len(differences)
    spread = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2) * sqrt(pairs * (len(left) + len(right) + 1) / 12)
    low = max(round(pairs / 2 - spread) - 1, 0)
    return median(differences), differences[low], differences[pairs - 1 - low]


def _thin(values: Sequence[int]) -> Sequence[int]:
    ordered = sorted(values)
    if len(ordered) <= MOST_CALLS:
        return ordered
    return [ordered[place * (len(ordered) - 1) // (MOST_CALLS - 1)] for place in range(MOST_CALLS)]


def _rank(row: Mapping[str, Any]) -> tuple[Any, ...]:
    order = ("slower", "faster", "new", "gone", "same", "unknown")
    weight = abs(row["difference_ms"] or 0) * row["calls"]
    return order.index(row["verdict"]), -weight, row["component"], row["component_name"] or ""
