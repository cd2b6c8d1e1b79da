"""What is not compared: ids, times, measured durations, and what the settings name.

Such a value is replaced by its kind, `<uuid>` or `<time>`, on both sides before they are compared: two uuids in the
same place are equal, a uuid and a word are not. The values of keys named like ids or times are masked where they
look like ids or times; in texts, what looks like a uuid, a moment (date with time of day), the id of a call or an
answer, an address in memory, a port of this machine or the name of a temporary file. A date alone, a plain number
and any other `id` are data.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Any, Final

from namel3ss_debug.wire import lenient

_DIGIT = re.compile(r"\d")
_TEXT = re.compile(
    r"(?P<uuid>\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b)"
    r"|(?P<time>\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?"
    r"|\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d? [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d(?: GMT| [+-]\d{4})?)"
    r"|(?P<id>\b(?:call|toolu|srvtoolu|fc|msg|resp|rs|chatcmpl|cmpl|gen|run|req)[_-]"
    r"(?=[A-Za-z]*\d)[A-Za-z0-9]{6,}(?:[_-]\w+)*)"
    r"|(?P<address>\b0x[0-9a-f]{8,16}\b)"
    r"|(?P<port>(?<=127\.0\.0\.1:)\d{2,5}\b|(?<=localhost:)\d{2,5}\b|(?<=\[::1\]:)\d{2,5}\b)"
    r"|(?P<file>(?<=/)tmp[a-z0-9_]{8}\b)"
)
_DURATION = re.compile(r"\b\d+(?:\.\d+)?\s?(?:ns|µs|us|ms|s|secs?|seconds?|minutes?)\b")
_CALLS: Final = frozenset(
    {
        "tool_call",
        "tool_call_response",
        "server_tool_call",
        "server_tool_call_response",
        "function",
        "tool_use",
    }
)
"""The types of objects whose `id` is the id of a call."""

_IGNORED: Final = "<ignored>"
_SECONDS = (1.2e9, 2.2e9)
"""Seconds since the epoch from 2008 to 2039; also as milli-, micro- and nanoseconds."""

_MOST_CACHED = 4_000_000
_DEEPEST = 200


class Masks:
    """Masks values, and gives the digests by which masked values are compared.

    Args:
        ignored: what the settings name besides: a key (`request_id`), wherever it occurs, or a path from the event on
            (`outputs.result.generated_at`), in which `*` stands for any one key and `**` for any number of them; the
            places of items in lists are left out.
    """

    def __init__(self, ignored: Iterable[str] = ()) -> None:
        keys, self._paths = _compiled(ignored)
        self._named = bool(keys) or self._paths is not None
        self._by_name = _NAMES | dict.fromkeys(keys, _of_ignored)
        self._known: dict[bytes, int] = {}
        self._room = _MOST_CACHED

    def digest(self, value: Any, field: str) -> int:
        """A number of 64 bits that is equal where the masked values are; 0 for a missing value.

        Args:
            value: JSON.
            field: the field of the event that it is in, as `inputs` or `outputs`.
        """
        if value is None:
            return 0
        return _number(lenient.dump(self.masked(value, field), ordered=True))

    def repeated(self, value: Any, field: str) -> int:
        """As `digest`, for values that occur again and again, as the messages of a conversation do."""
        raw = lenient.dump(value) + field.encode()
        found = self._known.get(raw)
        if found is None:
            found = self.digest(value, field)
            self._room -= len(raw)
            if self._room < 0:
                self._known.clear()
                self._room = _MOST_CACHED - len(raw)
            self._known[raw] = found
        return found

    def masked(self, value: Any, field: str) -> Any:
        """A value with its ids, times and the like replaced."""
        return self._value(value, field, 0)

    def compared(self, value: Any, field: str) -> Any:
        """A value without what the settings name, if they name anything."""
        return self.masked(value, field) if self._named else value

    def said(self, text: str, *, timed: bool = False) -> str:
        """A text, masked; `timed` also masks measured times, as in log records."""
        if _DIGIT.search(text) is None:
            return text
        text = _TEXT.sub(_label, text)
        return _DURATION.sub("<duration>", text) if timed else text

    def _value(self, value: Any, path: str, depth: int) -> Any:
        kind = type(value)
        if kind is str:
            return self.said(value) if _DIGIT.search(value) is not None else value
        if kind is dict and depth < _DEEPEST:
            return self._object(value, path, depth + 1)
        if kind is list and depth < _DEEPEST:
            return [self._value(item, path, depth + 1) for item in value]
        return value

    def _object(self, value: dict[str, Any], path: str, depth: int) -> dict[str, Any]:
        masked: dict[str, Any] = {}
        paths = self._paths
        for key, item in value.items():
            by_name = self._by_name.get(key)
            if paths is not None and paths.fullmatch(f"{path}.{key}"):
                masked[key] = _IGNORED
            elif by_name is not None and (label := by_name(item, value)) is not None:
                masked[key] = label
            else:
                masked[key] = self._value(item, path if paths is None else f"{path}.{key}", depth)
        return masked


def _of_id(item: Any, _value: dict[str, Any]) -> str | None:
    return "<id>" if type(item) is str or type(item) is int else None


def _of_call(item: Any, value: dict[str, Any]) -> str | None:
    """The mask for the `id` of a call: an object with the type of one, or with a name and arguments."""
    kind = value.get("type")
    if (type(kind) is str and kind in _CALLS) or ("name" in value and "arguments" in value):
        return _of_id(item, value)
    return None


def _of_time(item: Any, _value: dict[str, Any]) -> str | None:
    return "<time>" if _is_moment(item) else None


def _of_duration(item: Any, _value: dict[str, Any]) -> str | None:
    return "<duration>" if type(item) is int or type(item) is float else None


def _of_ignored(_item: Any, _value: dict[str, Any]) -> str | None:
    return _IGNORED


_ByName = Callable[[Any, dict[str, Any]], str | None]

_NAMES: dict[str, _ByName] = {
    "id": _of_call,
    **dict.fromkeys(("call_id", "tool_call_id", "tool_use_id"), _of_id),
    **dict.fromkeys(
        ("created", "created_at", "completed_at", "started_at", "ended_at", "updated_at", "timestamp", "ts"),
        _of_time,
    ),
    **dict.fromkeys(
        ("duration_ms", "elapsed_ms", "latency_ms", "elapsed", "latency", "took_ms"), _of_duration
    ),
}
"""Keys whose values may be masked, with what gives the mask for a value; None for a value that is compared."""


def _label(match: re.Match[str]) -> str:
    return f"<{match.lastgroup}>"


def _is_moment(value: object) -> bool:
    if type(value) is not int and type(value) is not float:
        return False
    return any(_SECONDS[0] <= value / unit <= _SECONDS[1] for unit in (1, 1_000, 1_000_000, 1_000_000_000))


def _number(data: bytes) -> int:
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "little") or 1


def _compiled(ignored: Iterable[str]) -> tuple[frozenset[str], re.Pattern[str] | None]:
    """The keys that are ignored everywhere, and one pattern for all paths."""
    keys, paths = set(), []
    for pattern in ignored:
        if "." not in pattern and "*" not in pattern:
            keys.add(pattern)
            continue
        parts = [_segment(part) for part in pattern.split(".")]
        paths.append(r"\.".join(parts).replace(r".*\.", r"(?:.*\.)?"))
    return frozenset(keys), re.compile("|".join(paths)) if paths else None


def _segment(part: str) -> str:
    if part == "**":
        return ".*"
    return r"[^.]*".join(re.escape(piece) for piece in part.split("*"))
