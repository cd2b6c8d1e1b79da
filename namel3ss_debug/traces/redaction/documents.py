"""Redact JSON that is read from files of other writers, which may have redacted nothing."""

from __future__ import annotations

from typing import Any

from namel3ss_debug.traces.redaction.redactor import KEY, Redactor

_DEEPEST = 200
_CARD_LIKE = 10**12


def redact_document(value: Any, redactor: Redactor, depth: int = 0) -> Any:
    """Return a JSON value without secrets; the same object if there are none."""
    kind = type(value)
    if kind is str:
        return redactor.text(value)
    if kind is int and abs(value) >= _CARD_LIKE:
        digits = str(value)
        clear = redactor.text(digits)
        return value if clear is digits else clear
    if depth > _DEEPEST:
        return value
    if kind is list:
        hidden = redactor.hidden(value)
        items = [
            hidden[place] if place in hidden else redact_document(item, redactor, depth + 1)
            for place, item in enumerate(value)
        ]
        return items if any(one is not other for one, other in zip(items, value, strict=True)) else value
    if kind is dict:
        members = {redactor.text(name): _member(name, item, redactor, depth) for name, item in value.items()}
        is_same = len(members) == len(value) and all(
            members.get(name) is item for name, item in value.items()
        )
        return value if is_same else members
    return value


def _member(name: str, value: Any, redactor: Redactor, depth: int) -> Any:
    if value in (None, "", True, False, []) or value == {}:
        return value
    if redactor.field_is_secret(name, value) or (
        type(value) is str and redactor.is_secret_value(name, value)
    ):
        return KEY
    return redact_document(value, redactor, depth + 1)
