"""Redact JSON that is read from files of other writers, which may have redacted nothing."""

from __future__ import annotations

from types import NoneType
from typing import Any

from namel3ss_debug.traces.redaction.redactor import KEY, Redactor

_DEEPEST = 200
_CARD_LIKE = 10**12
_NO_TEXTS = frozenset({float, bool, NoneType})


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
        plain, changes = redactor.plain_names, {}
        for name, item in value.items():
            # Most names are known and say nothing, and most values have no text: a call for each would cost more than the search.
            is_plain = plain.get(name)
            if is_plain is None:
                is_plain = redactor.is_plain_name(name)
            if not is_plain:
                key, clear = redactor.text(name), _member(name, item, redactor, depth)
                if clear is not item or key != name:
                    changes[name] = key, clear
                continue
            kind = type(item)
            if kind is str:
                clear = redactor.text(item)
            elif kind in _NO_TEXTS:
                continue
            else:
                clear = redact_document(item, redactor, depth + 1)
            if clear is not item:
                changes[name] = name, clear
        return dict(changes.get(name, (name, value[name])) for name in value) if changes else value
    return value


def _member(name: str, value: Any, redactor: Redactor, depth: int) -> Any:
    if value in (None, "", True, False, []) or value == {}:
        return value
    if redactor.field_is_secret(name, value) or (
        type(value) is str and redactor.is_secret_value(name, value)
    ):
        return KEY
    return redact_document(value, redactor, depth + 1)
