"""Values of an app as its recording shows them: numbers in place of the decimals that the language computes with."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

_DEEPEST = 20


def plain(value: Any, depth: int = 0) -> Any:
    """A value with numbers in place of decimals, where they are the same; deeply nested values stay as they are."""
    if isinstance(value, Decimal):
        return _number(value)
    if depth > _DEEPEST:
        return value
    if type(value) is dict:
        return {name: plain(held, depth + 1) for name, held in value.items()}
    if type(value) is list:
        return [plain(held, depth + 1) for held in value]
    return value


def _number(value: Decimal) -> Any:
    if not value.is_finite():
        return value
    if value == value.to_integral_value():
        return int(value)
    number = float(value)
    return number if Decimal(repr(number)) == value else value


def variables(values: Mapping[str, Any], state: Any) -> dict[str, Any]:
    """The local variables of a flow, and its state; secrets are none of them."""
    found = {name: plain(value) for name, value in dict(values).items() if name != "secrets"}
    return found | ({"state": plain(state)} if state else {})
