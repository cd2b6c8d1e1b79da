"""Joins Gemini's function calls with streamed arguments: `willContinue`, and `partialArgs` with their JSON paths.

A call begins with its name, each next part of the stream holds pieces of its arguments, and a part without
`willContinue` ends it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise
from typing import Any

from namel3ss_debug.wire import lenient, sse
from namel3ss_debug.wire.contract import Json

_STEP = re.compile(r"""\.([^.\[\]]+)|\[([0-9]{1,9})\]|\['([^']*)'\]|\["([^"]*)"\]""")
"""One step of a JSON path: the name of a field, or a place in a list."""

_MOST_STEPS = 64
_MOST_ITEMS = 1000
"""How many items are begun in one list at most, so that a hostile index does not fill the memory."""

_VALUES = ("stringValue", "numberValue", "boolValue")


def either(block: Json, name: str) -> Any:
    """The field of that name, in either spelling that Google's servers take."""
    return block[name] if name in block else block.get(_underscored(name))


@lru_cache(maxsize=64)
def _underscored(name: str) -> str:
    """`functionCall` as `function_call`."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def comes_in_pieces(call: Json) -> bool:
    """Whether this is the beginning of a call, and not the whole call."""
    return bool(either(call, "willContinue") or either(call, "partialArgs"))


def begun(call: Json, texts: sse.GrowingTexts) -> Json:
    """A new call, to which pieces are added, and whose arguments come only from these; the event is not changed."""
    whole: Json = {name: value for name, value in call.items() if name in ("id", "name")}
    whole["args"] = {}
    add(whole, call, texts)
    return whole


def add(whole: Json, piece: Json, texts: sse.GrowingTexts) -> None:
    """Add the next piece to a call."""
    for part in lenient.mappings(either(piece, "partialArgs")):
        steps = _steps(lenient.string(either(part, "jsonPath")) or "")
        value = next((either(part, name) for name in _VALUES if either(part, name) is not None), None)
        if steps:
            _put(whole["args"], steps, value, texts)
    if either(piece, "willContinue"):
        whole["willContinue"] = True
    else:
        whole.pop("willContinue", None)


def _steps(path: str) -> list[str | int]:
    """`$.foo.bar[0]` as `["foo", "bar", 0]`."""
    found = _STEP.findall(path)[:_MOST_STEPS]
    return [int(place) if place else name or quoted or double for name, place, quoted, double in found]


def _put(args: Json, steps: list[str | int], value: Any, texts: sse.GrowingTexts) -> None:
    """Put a value into its place, or append it to the text that is there."""
    holder: Any = args
    for step, following in pairwise(steps):
        inner = _at(holder, step)
        if not isinstance(inner, list if isinstance(following, int) else dict):
            inner = [] if isinstance(following, int) else {}
            _set(holder, step, inner)
        holder = inner
    if isinstance(holder, dict) and isinstance(value, str):
        texts.add(holder, str(steps[-1]), value)
        return
    known = _at(holder, steps[-1])
    _set(holder, steps[-1], known + value if isinstance(known, str) and isinstance(value, str) else value)


def _at(holder: Any, step: str | int) -> Any:
    if isinstance(holder, dict):
        return holder.get(str(step))
    return holder[step] if isinstance(step, int) and step < len(holder) else None


def _set(holder: Any, step: str | int, value: Any) -> None:
    if isinstance(holder, dict):
        holder[str(step)] = value
    elif isinstance(step, int):
        holder += [None] * (min(step, _MOST_ITEMS) + 1 - len(holder))
        holder[min(step, len(holder) - 1)] = value
