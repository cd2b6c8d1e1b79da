"""Read foreign JSON without ever raising: a value of an unexpected type counts as missing.

A provider's body may be cut, wrong or hostile, and the traced program must not notice. Every decoder of this package
reads through these functions only.
"""

from __future__ import annotations

import json
import re
from typing import Any, TypeGuard

import orjson

_LONG_NUMBER = re.compile(r"[0-9]{19}")
_ONLY_DICTS = frozenset({dict})


def mapping(value: object) -> dict[str, Any]:
    """Return the value if it is an object, otherwise an empty one."""
    return value if isinstance(value, dict) else {}


def sequence(value: object) -> list[Any]:
    """Return the value if it is an array, otherwise an empty one."""
    return value if isinstance(value, list) else []


def mappings(value: object) -> list[dict[str, Any]]:
    """Return the objects in an array and leave out everything else. The result must not be changed."""
    if not isinstance(value, list):
        return []
    # Nearly every array holds only objects. The check is one pass in C, and then the array itself is the result.
    if _ONLY_DICTS.issuperset(map(type, value)):
        return value
    return [item for item in value if isinstance(item, dict)]


def string(value: object) -> str | None:
    """Return the value if it is a string, otherwise None."""
    return value if isinstance(value, str) else None


def is_number(value: object) -> TypeGuard[int | float]:
    """Return whether the value is a JSON number; `true` and `false` are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def count(value: object) -> int | None:
    """Return the value as an int if it is a whole number from 0 on, otherwise None."""
    if type(value) is int:  # nearly always; a bool has another type
        return value if value >= 0 else None
    if value is None or isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if isinstance(value, float) and not value.is_integer():
        return None
    return int(value) if value >= 0 else None


def load(raw: bytes | str) -> Any:
    """Parse JSON; return None if it does not parse."""
    try:
        return orjson.loads(raw)
    except ValueError:
        return None


def load_or_text(text: str) -> Any:
    """Return the JSON object or array in a text, for a JSON string a list of it alone, otherwise the text itself."""
    value = load(text)
    if isinstance(value, (dict, list)):
        return value
    return [value] if isinstance(value, str) else text


def load_arguments(value: object) -> Any:
    """Parse the arguments of a tool call; return text that is not JSON as it is.

    No arguments at all become `{}`. orjson rounds integers beyond 64 bits; text that may contain one goes to the
    slower `json`, which does not.
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
    """Return the value as JSON bytes, with sorted keys if `ordered`.

    orjson refuses lone surrogates, huge integers and deep nesting; `json` writes these. A value nested a thousand
    levels deep is too much for `json` too, and becomes null.
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
    """Return arguments as the text that a provider sends; `load_arguments` reads the same arguments from it."""
    if isinstance(value, str) and load_arguments(value) == value:
        return value
    return dump({} if value is None else value).decode()


def drop_none(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that are not None."""
    return {name: value for name, value in fields.items() if value is not None}


def drop_empty(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields with content: without None, empty arrays and empty objects."""
    return {name: value for name, value in fields.items() if value is not None and value not in ([], {})}
