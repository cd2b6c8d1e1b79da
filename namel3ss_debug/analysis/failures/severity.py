"""Rate how severe a failure is, and the failures of a run together: numbers from 0 (nothing) to 1 (all is lost).

A failure's severity is the weight of its category, which is how much damage such a failure does if it is not
handled, adjusted by how far it went:

- contained (a span around it succeeded): weight x 0.6;
- passed on (the span around it failed with it): weight;
- at the top (no span is around the last one that failed, or the program died in it): (1 + weight) / 2.

A weak failure's severity is that of a contained one times its confidence. The severity of the run is the greatest of:
the severity of each failure that reached the top, and the greatest severity of the others times the square root of the
share of spans that failed. So one contained failure among ten thousand spans weighs next to nothing, and one that ended
the run weighs in full. Weak failures count as contained ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import sqrt

WEIGHTS: dict[str, float] = {
    "authentication": 0.8,
    "resource": 0.8,
    "step_limit": 0.8,
    "context_overflow": 0.7,
    "dependency": 0.6,
    "network": 0.6,
    "timeout": 0.6,
    "malformed_output": 0.5,
    "parameter": 0.5,
    "tool": 0.5,
    "logic": 0.5,
    "unknown": 0.5,
    "model_refusal": 0.4,
    "rate_limit": 0.4,
    "cancelled": 0.2,
}
"""Category -> the weight of its failures."""

_CONTAINED = 0.6


def severity(category: str, *, passed_on: bool, at_top: bool, confidence: float = 1.0) -> float:
    """Return how severe one failure is.

    Args:
        category: one of `categories.CATEGORIES`.
        passed_on: whether a span around it failed with it.
        at_top: whether the last span that failed with it has no span around it.
        confidence: the confidence that it is a failure at all.
    """
    weight = WEIGHTS.get(category, WEIGHTS["unknown"])
    if at_top:
        weight = (1 + weight) / 2
    elif not passed_on:
        weight *= _CONTAINED
    return round(weight * confidence, 3)


def run_severity(at_top: Iterable[float], others: Iterable[float], share_failed: float) -> float:
    """Return how severe the failures of a run are together.

    Args:
        at_top: the severity of each failure that reached the top.
        others: the severities of the other failures.
        share_failed: the share of the spans that failed, from 0 to 1.
    """
    contained = max(others, default=0.0) * sqrt(min(max(share_failed, 0.0), 1.0))
    return round(max(max(at_top, default=0.0), contained), 3)
