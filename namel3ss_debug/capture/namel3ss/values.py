"""Values of an app as its trace shows them: numbers in place of the decimals that the language computes with."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

_MAX_DEPTH = 20


def to_plain(value: Any, depth: int = 0) -> Any:
    """Return a value with numbers in place of equal decimals. Deeply nested values stay as they are."""
    if isinstance(value, Decimal):
        return _number(value)
    if depth > _MAX_DEPTH:
        return value
    if type(value) is dict:
        return {name: to_plain(item, depth + 1) for name, item in value.items()}
    if type(value) is list:
        return [to_plain(item, depth + 1) for item in value]
    return value


def _number(value: Decimal) -> Any:
    if not value.is_finite():
        return value
    if value == value.to_integral_value():
        return int(value)
    number = float(value)
    return number if Decimal(repr(number)) == value else value


def variables(values: Mapping[str, Any], state: Any) -> dict[str, Any]:
    """Return the local variables of a flow, and its state. The secrets are left out."""
    local_variables = {name: to_plain(value) for name, value in dict(values).items() if name != "secrets"}
    return local_variables | ({"state": to_plain(state)} if state else {})
