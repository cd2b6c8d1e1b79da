"""Mask what is not compared: ids, times, measured durations, and what the settings name.

Both sides have such a value replaced by its kind, `<uuid>` or `<time>`, before they are compared. So two uuids in the
same place are equal, and a uuid differs from a word. Keys named like ids or times are masked where their values look
like ids or times. In texts the masks cover a uuid, a moment (a date with a time of day), the id of a call or an answer,
an address in memory, a port of this machine and the name of a temporary file. A date alone, a plain number and any
other `id` are data.
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
_CALL_TYPES: Final = frozenset(
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
"""Seconds since the epoch from 2008 to 2039. Milli-, micro- and nanoseconds are scaled to it."""

_MOST_CACHED = 4_000_000
_DEEPEST = 200


class Masks:
    """Mask values, and compute digests that are equal where masked values are.

    Args:
        ignored: what the settings name besides: a key (`request_id`), wherever it occurs, or a path from the event on
            (`outputs.result.generated_at`), in which `*` stands for any one key and `**` for any number of them. Paths
            leave out the indexes of lists.
    """

    def __init__(self, ignored: Iterable[str] = ()) -> None:
        keys, self._paths = _compile(ignored)
        self._named = bool(keys) or self._paths is not None
        self._masks_by_key = _MASKS_BY_KEY | dict.fromkeys(keys, _mask_ignored)
        self._known: dict[bytes, int] = {}
        self._room = _MOST_CACHED

    def digest(self, value: Any, field: str) -> int:
        """Return a number of 64 bits that is equal where the masked values are; 0 for a missing value.

        Args:
            value: JSON.
            field: the field of the event that it is in, as `inputs` or `outputs`.
        """
        if value is None:
            return 0
        data = lenient.dump(self.mask(value, field), ordered=True)
        return int.from_bytes(blake2b(data, digest_size=8).digest(), "little") or 1

    def digest_repeated(self, value: Any, field: str) -> int:
        """Return the digest of a value that occurs again and again, as the messages of a conversation do, from a cache."""
        raw = lenient.dump(value) + field.encode()
        digest = self._known.get(raw)
        if digest is None:
            digest = self.digest(value, field)
            self._room -= len(raw)
            if self._room < 0:
                self._known.clear()
                self._room = _MOST_CACHED - len(raw)
            self._known[raw] = digest
        return digest

    def mask(self, value: Any, field: str) -> Any:
        """Return a value with its ids, times and the like replaced."""
        return self._mask_value(value, field, 0)

    def mask_named(self, value: Any, field: str) -> Any:
        """Return a value masked if the settings name anything, else as it is."""
        return self.mask(value, field) if self._named else value

    def mask_text(self, text: str, *, timed: bool = False) -> str:
        """Return a text with its ids and times masked; `timed` also masks measured times, as in log records."""
        if _DIGIT.search(text) is None:
            return text
        text = _TEXT.sub(lambda match: f"<{match.lastgroup}>", text)
        return _DURATION.sub("<duration>", text) if timed else text

    def _mask_value(self, value: Any, path: str, depth: int) -> Any:
        """Return a value with its ids, times and the like replaced; `path` is the path of the value."""
        kind = type(value)
        if kind is str:
            return self.mask_text(value) if _DIGIT.search(value) is not None else value
        if kind is dict and depth < _DEEPEST:
            return self._mask_object(value, path, depth + 1)
        if kind is list and depth < _DEEPEST:
            return [self._mask_value(item, path, depth + 1) for item in value]
        return value

    def _mask_object(self, value: dict[str, Any], path: str, depth: int) -> dict[str, Any]:
        """Return an object with the values masked whose keys or paths are, and all others looked into."""
        mask: dict[str, Any] = {}
        paths = self._paths
        for key, item in value.items():
            mask_by_key = self._masks_by_key.get(key)
            if paths is not None and paths.fullmatch(f"{path}.{key}"):
                mask[key] = _IGNORED
            elif mask_by_key is not None and (label := mask_by_key(item, value)) is not None:
                mask[key] = label
            else:
                mask[key] = self._mask_value(item, path if paths is None else f"{path}.{key}", depth)
        return mask


def _mask_id(item: Any, _container: dict[str, Any]) -> str | None:
    return "<id>" if type(item) is str or type(item) is int else None


def _mask_call_id(item: Any, value: dict[str, Any]) -> str | None:
    """Return the mask for the `id` of a call: an object with the type of one, or with a name and arguments."""
    kind = value.get("type")
    if (type(kind) is str and kind in _CALL_TYPES) or ("name" in value and "arguments" in value):
        return _mask_id(item, value)
    return None


def _mask_time(item: Any, _container: dict[str, Any]) -> str | None:
    """Return the mask for a time since the epoch, in seconds or a smaller unit."""
    if type(item) is not int and type(item) is not float:
        return None
    units = (1, 1_000, 1_000_000, 1_000_000_000)
    return "<time>" if any(_SECONDS[0] <= item / unit <= _SECONDS[1] for unit in units) else None


def _mask_duration(item: Any, _container: dict[str, Any]) -> str | None:
    return "<duration>" if type(item) is int or type(item) is float else None


def _mask_ignored(_item: Any, _container: dict[str, Any]) -> str | None:
    return _IGNORED


_MaskByKey = Callable[[Any, dict[str, Any]], str | None]

_MASKS_BY_KEY: dict[str, _MaskByKey] = {
    "id": _mask_call_id,
    **dict.fromkeys(("call_id", "tool_call_id", "tool_use_id"), _mask_id),
    **dict.fromkeys(
        ("created", "created_at", "completed_at", "started_at", "ended_at", "updated_at", "timestamp", "ts"),
        _mask_time,
    ),
    **dict.fromkeys(
        ("duration_ms", "elapsed_ms", "latency_ms", "elapsed", "latency", "took_ms"), _mask_duration
    ),
}
"""Key -> the function that returns the mask for its value, or None for a value that is compared."""


def _compile(ignored: Iterable[str]) -> tuple[frozenset[str], re.Pattern[str] | None]:
    """Return the keys that are ignored everywhere, and one pattern for all paths."""
    keys, paths = set(), []
    for pattern in ignored:
        if "." not in pattern and "*" not in pattern:
            keys.add(pattern)
            continue
        parts = [
            ".*" if part == "**" else r"[^.]*".join(map(re.escape, part.split("*")))
            for part in pattern.split(".")
        ]
        paths.append(r"\.".join(parts).replace(r".*\.", r"(?:.*\.)?"))
    return frozenset(keys), re.compile("|".join(paths)) if paths else None
