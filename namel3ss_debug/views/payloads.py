"""Payloads on the screen with syntax colours, and documents as JSON that cannot harm a terminal."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

import orjson
from rich.cells import cell_len
from rich.text import Text

from namel3ss_debug.views.cleaning import DIM, ELLIPSIS, clean, shorten, wrapped
from namel3ss_debug.wire import lenient

MAX_DEPTH = 40
STRING_LIMIT = 200_000
KEY_STYLE, STRING_STYLE, NUMBER_STYLE, WORD_STYLE = "blue", "green", "cyan", "magenta"

_UNSAFE = re.compile(
    "[\x7f-\x9f\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
"""Controls, direction marks and invisible characters that JSON may hold unescaped and that we escape."""


def json_text(value: Any, width: int, *, indent: str = "") -> Iterator[Text]:
    """Return the lines of a payload: JSON for readers, not for parsers.

    Small lists and objects are on one line; a long string goes over several lines, wrapped, with its own line ends
    kept.

    Args:
        value: a value of a trace.
        width: the cells a line may take.
        indent: the text before each line.
    """
    return _lines(Text(indent, end=""), value, width=width, margin=len(indent))


def json_bytes(value: Any, *, indent: bool = False) -> str:
    """Return `value` as JSON in which every control, direction mark and invisible character is an escape.

    Keys keep their order; numbers that are not finite become null, because JSON does not have them.
    """
    try:
        encoded = orjson.dumps(value, option=orjson.OPT_INDENT_2 if indent else 0).decode()
    except (TypeError, RecursionError):
        encoded = json.dumps(
            _plain(value, 0),
            ensure_ascii=False,
            indent=2 if indent else None,
            separators=None if indent else (",", ":"),
        )
    return safe_json(encoded)


def safe_json(encoded: str) -> str:
    """Return JSON in which characters that must not reach a terminal are escaped."""
    return encoded if encoded.isascii() and "\x7f" not in encoded else _UNSAFE.sub(_escape, encoded)


def _escape(match: re.Match[str]) -> str:
    return json.dumps(match[0])[1:-1] if match[0] != "\x7f" else "\\u007f"


def _plain(value: Any, depth: int) -> Any:
    """Return a value that the plain encoder can write: limited depth, no NaN, only texts as keys."""
    if depth > 200:
        return {"$truncated": True}
    if isinstance(value, dict):
        return {str(key): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, depth + 1) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool | None) else str(value)


_FOR_THE_RE_RUN = frozenset({"extra", "given", "made", "same"})
"""Keys in the form of an object that only a re-run needs."""


def untupled(value: Any) -> Any:
    """Return a value with recorded tuples as lists, and objects without the keys that only a re-run needs."""
    if not isinstance(value, dict) or "$type" not in value:
        return value
    if value["$type"] == "tuple" and isinstance(value.get("items"), list):
        return value["items"]
    if "made" in value:
        return {name: part for name, part in value.items() if name not in _FOR_THE_RE_RUN}
    return value


def _lines(
    head: Text, value: Any, *, width: int, margin: int, after: str = "", depth: int = 0
) -> Iterator[Text]:
    """Yield the lines of one value that follows `head` and is followed by `after`."""
    value = untupled(value)
    inline = _inline(value, max(width - cell_len(head.plain) - len(after), 16), depth)
    if inline is not None:
        yield head.append_text(inline).append(after)
    elif isinstance(value, str):
        yield from _string_lines(head, value, width, margin + 2, after)
    elif depth >= MAX_DEPTH:
        yield head.append("…", DIM).append(after)
    else:
        opening, closing = "{}" if isinstance(value, dict) else "[]"
        yield head.append(opening)
        pad = " " * (margin + 2)
        last = len(value) - 1
        for i, item in enumerate(value):
            label, inner = Text(pad, end=""), item
            if isinstance(value, dict):
                key = shorten(clean(item, 200), max(width - margin - 28, 12), middle=True)
                label, inner = label.append(f'"{key}"', KEY_STYLE).append(": "), value[item]
            behind = "," if i < last else ""
            yield from _lines(label, inner, width=width, margin=margin + 2, after=behind, depth=depth + 1)
        yield Text(" " * margin + closing + after, end="")


def _inline(value: Any, room: int, depth: int) -> Text | None:
    """Return the value on one line, or `None` if it needs more."""
    value = untupled(value)
    if isinstance(value, str):
        if len(value) > room or "\n" in value:
            return None
        shown = Text('"' + clean(value.replace('"', '\\"')) + '"', STRING_STYLE, end="")
        return shown if cell_len(shown.plain) <= room else None
    if not isinstance(value, dict | list):
        style = NUMBER_STYLE if lenient.is_number(value) else WORD_STYLE
        return Text(_word(value), style, end="")
    if len(value) > 12 or (value and depth >= MAX_DEPTH):
        return None
    keys = list(value) if isinstance(value, dict) else [None] * len(value)
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    whole = Text(opening, end="")
    for i, (key, item) in enumerate(
        zip(keys, value.values() if isinstance(value, dict) else value, strict=True)
    ):
        if isinstance(item, dict | list) and item and depth + 1 >= MAX_DEPTH:
            return None
        whole.append(", " if i else "")
        if key is not None:
            whole.append(f'"{clean(key, room)}"', KEY_STYLE).append(": ")
        part = _inline(item, room - len(whole.plain) - 1, depth + 1)
        if part is None or cell_len(whole.plain) + cell_len(part.plain) + 1 > room:
            return None
        whole.append_text(part)
    return whole.append(closing)


def _string_lines(head: Text, value: str, width: int, margin: int, after: str) -> Iterator[Text]:
    """Yield a long string: it begins behind its key and goes on below, with its own line ends kept."""
    cleaned = clean(value[:STRING_LIMIT], multiline=True) + (ELLIPSIS if len(value) > STRING_LIMIT else "")
    first, *others = cleaned.split("\n")
    room = max(width - margin - len(after) - 2, 16)
    pieces = wrapped(first, room, max(width - cell_len(head.plain) - len(after) - 2, 16))
    for own in others:
        pieces.extend(wrapped(own, room, room))
    pieces[-1] += '"'
    head.append('"' + pieces[0], STRING_STYLE)
    pad = " " * (margin + 1)
    for piece in pieces[1:]:
        yield head
        head = Text(pad, end="").append(piece, STRING_STYLE) if piece else Text(end="")
    yield head.append(after)


def _word(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return clean(value, 100)
