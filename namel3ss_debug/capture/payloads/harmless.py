"""Values under secret names that are no secrets: empty values, schemas, tokens of a language model."""

from __future__ import annotations

from typing import Any

_SCHEMA_TYPES = frozenset({"string", "number", "integer", "boolean", "array", "object", "null"})
_SCHEMA_FORMS = ("anyOf", "oneOf", "allOf", "$ref")
_SCHEMA = frozenset(
    {
        "type", "title", "description", "format", "default", "minLength", "maxLength", "items", "nullable",
        *_SCHEMA_FORMS,
    }
)  # fmt: skip
"""The keywords of a schema, none of which holds a value except `default`."""


def reveals_nothing(value: Any) -> bool:
    """Return whether a value under a secret name reveals nothing.

    Such values stay, because they show whether a credential was there.
    """
    if type(value) is dict:
        return _is_schema(value)
    return value is None or type(value) is bool or (type(value) is str and not value)


def _is_schema(value: dict[Any, Any]) -> bool:
    """Return whether a plain dict is a JSON Schema, as tools describe their parameters, and not a value."""
    if any(type(key) is not str or key not in _SCHEMA for key in value):
        return False
    kind = value.get("type")
    is_typed = (
        kind in _SCHEMA_TYPES
        if type(kind) is str
        else kind is None and any(key in value for key in _SCHEMA_FORMS)
    )
    return is_typed and reveals_nothing(value.get("default"))


def is_logprob(name: str, pairs: list[tuple[Any, Any]]) -> bool:
    """Return whether `token` is a language model's, next to its probability, and not a credential."""
    return name == "token" and any(type(key) is str and key == "logprob" for key, _ in pairs)
