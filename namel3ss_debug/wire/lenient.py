"""Reads foreign JSON without ever raising: a value of another type than expected counts as missing.

A provider's body may be cut, wrong or hostile, and the program that is traced must not notice. Every
decoder of this package reads through these functions only.
"""

from __future__ import annotations

import json
import re
from typing import Any, TypeGuard

import orjson

_LONG_NUMBER = re.compile(r"[0-9]{19}")
_OBJECTS = frozenset({dict})


def mapping(value: object) -> dict[str, Any]:
    """The value when it is an object, otherwise an empty one."""
    return value if isinstance(value, dict) else {}


def sequence(value: object) -> list[Any]:
    """The value when it is an array, otherwise an empty one."""
    return value if isinstance(value, list) else []


def mappings(value: object) -> list[dict[str, Any]]:
    """The objects in an array; anything else in it is left out. The result must not be changed."""
    if not isinstance(value, list):
        return []
    return (
        value if _OBJECTS.issuperset(map(type, value)) else [item for item in value if isinstance(item, dict)]
    )


def string(value: object) -> str | None:
    """The value when it is a string, otherwise None."""
    return value if isinstance(value, str) else None


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether the value is a JSON number; `true` and `false` are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def count(value: object) -> int | None:
    """The value when it is a whole number that counts something, otherwise None."""
    if type(value) is int:  # nearly always; a bool has another type
        return value if value >= 0 else None
    if value is None or isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if isinstance(value, float) and not value.is_integer():
        return None
    return int(value) if value >= 0 else None


def load(raw: bytes | str) -> Any:
    """The JSON value of `raw`, or None where it does not parse."""
    try:
        return orjson.loads(raw)
    except ValueError:
        return None


def load_or_text(text: str) -> Any:
    """The JSON object or array in a text; for a JSON string, a list of it alone; otherwise the text itself."""
    value = load(text)
    if isinstance(value, (dict, list)):
        return value
    return [value] if isinstance(value, str) else text


def load_arguments(value: object) -> Any:
    """The arguments of a tool call: parsed where they are JSON text, the text itself where not.

    No arguments at all are `{}`. orjson rounds integers beyond 64 bits, so text that may hold one is read
    by the slower `json`, which does not.
    """
    if value is None or value == "":
        return {}
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value) if _LONG_NUMBER.search(value) else orjson.loads(value)
    except (ValueError, RecursionError):
        return value


def dump(value: object, *, ordered: bool = False) -> bytes:
    """`value` as JSON bytes with sorted keys where `ordered`.

    What orjson refuses (lone surrogates, huge integers, deep nesting) is written by `json`; what that cannot write
    either, because it is nested a thousand levels deep, becomes null.
    """
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS if ordered else None)
    except (TypeError, ValueError):
        pass
    try:
        return json.dumps(value, separators=(",", ":"), default=repr, sort_keys=ordered).encode()
    except (TypeError, ValueError, RecursionError):
        return b"null"


def dump_arguments(value: object) -> str:
    """Arguments as the text that a provider sends, from which `load_arguments` reads the same arguments."""
    if isinstance(value, str) and load_arguments(value) == value:
        return value
    return dump({} if value is None else value).decode()


def known(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields that are not None."""
    return {name: value for name, value in fields.items() if value is not None}


def present(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields with content: None and empty arrays and objects are left out."""
    return {name: value for name, value in fields.items() if value is not None and value not in ([], {})}
