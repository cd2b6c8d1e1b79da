"""How a pattern is reported: its kind, the events that prove it, how sure it is, and what it cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from namel3ss_debug.analysis.distributions import milliseconds
from namel3ss_debug.analysis.resources.usage import dollars

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from namel3ss_debug.analysis.patterns.calls import Call, Operation

MOST_NUMBERS = 20
"""How many event numbers are listed with a pattern; its `count` is the number of all."""


def pattern(
    kind: str,
    calls: Sequence[Call],
    confidence: float,
    cost: dict[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """One thing that was found.

    Args:
        kind: what it is.
        calls: the calls that prove it, at least one; the operation is that of the first.
        confidence: how sure it is, from 0 to 1.
        cost: a result of `cost_of`; that of the calls if left out.
        **more: fields that only patterns of this kind have.
    """
    component, name = calls[0].operation
    return {
        "kind": kind,
        "component": component,
        "component_name": name or None,
        "count": len(calls),
        "numbers": [call.number for call in calls[:MOST_NUMBERS]],
        "confidence": round(confidence, 3),
        "cost": cost_of(calls) if cost is None else cost,
        **more,
    }


def cost_of(calls: Iterable[Call], more_ns: int = 0) -> dict[str, Any]:
    """The time, tokens and money of some calls; None for the money where it is known of none of them."""
    lasted, tokens, amount, priced = more_ns, 0, 0, False
    for call in calls:
        lasted += call.lasted or 0
        tokens += call.tokens
        if call.cost is not None:
            amount += call.cost
            priced = True
    return {"ms": milliseconds(lasted), "tokens": tokens, "usd": dollars(amount) if priced else None}


def told(operation: Operation) -> dict[str, Any]:
    """An operation as an entry of a list of operations."""
    component, name = operation
    return {"component": component, "component_name": name or None}


def value_of(text: bytes) -> Any:
    """The value of a short text of JSON; None where none was kept."""
    return orjson.loads(text) if text else None


def repeated_so_often(times: int) -> float:
    """The confidence in something that happened so many times: three times .75, five times .94."""
    return 1 - 0.5 ** (times - 1)
