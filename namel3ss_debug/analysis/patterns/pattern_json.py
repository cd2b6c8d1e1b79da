"""Patterns as JSON: the kind, the events that prove it, the confidence, and the cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from namel3ss_debug.analysis.distributions import milliseconds
from namel3ss_debug.analysis.resources.usage import dollars

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from namel3ss_debug.analysis.patterns.calls import Operation, PatternCall

MOST_NUMBERS = 20
"""The most event numbers that are listed with a pattern; its `count` is the number of all."""


def pattern_to_json(
    kind: str,
    calls: Sequence[PatternCall],
    confidence: float,
    cost: dict[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Return a pattern as JSON.

    Args:
        kind: one of `patterns.KINDS`.
        calls: the calls that prove it, at least one; the operation is that of the first.
        confidence: from 0 to 1.
        cost: a result of `sum_cost`; None for that of the calls.
        **more: further fields of patterns of this kind.
    """
    component, name = calls[0].operation
    return {
        "kind": kind,
        "component": component,
        "component_name": name or None,
        "count": len(calls),
        "numbers": [call.number for call in calls[:MOST_NUMBERS]],
        "confidence": round(confidence, 3),
        "cost": sum_cost(calls) if cost is None else cost,
        **more,
    }


def sum_cost(calls: Iterable[PatternCall], more_ns: int = 0) -> dict[str, Any]:
    """Return the time, tokens and money of some calls; the money is None where no call has a known cost."""
    duration_ns, tokens, amount, priced = more_ns, 0, 0, False
    for call in calls:
        duration_ns += call.duration_ns or 0
        tokens += call.tokens
        if call.cost is not None:
            amount += call.cost
            priced = True
    return {"ms": milliseconds(duration_ns), "tokens": tokens, "usd": dollars(amount) if priced else None}


def operation_to_json(operation: Operation) -> dict[str, Any]:
    """Return an operation as a row of a list of operations."""
    component, name = operation
    return {"component": component, "component_name": name or None}


def parse_json(text: bytes) -> Any:
    """Return the value of a short JSON text; None where no text was kept."""
    return orjson.loads(text) if text else None


def repetition_confidence(times: int) -> float:
    """Return the confidence in something that happened this many times: 0.75 for three, 0.94 for five."""
    return 1 - 0.5 ** (times - 1)
