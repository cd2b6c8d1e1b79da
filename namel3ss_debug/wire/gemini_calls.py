"""Join Gemini's function calls with streamed arguments: `willContinue`, and `partialArgs` with their JSON paths.

A call begins with its name. Each next part of the stream contains pieces of its arguments, and a part without
`willContinue` ends the call.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise
from typing import Any

from namel3ss_debug.wire import framing, lenient
from namel3ss_debug.wire.contract import Json

_STEP = re.compile(r"""\.([^.\[\]]+)|\[([0-9]{1,9})\]|\['([^']*)'\]|\["([^"]*)"\]""")
"""One step of a JSON path: the name of a field, or an index in a list."""

_MOST_STEPS = 64
_MOST_ITEMS = 1000
"""How many items one list may have, so that a hostile index does not fill the memory."""

_VALUE_KEYS = ("stringValue", "numberValue", "boolValue")


def get_field(block: Json, name: str) -> Any:
    """Return the field of that name, in either spelling that Google's servers take."""
    return block[name] if name in block else block.get(_to_snake_case(name))


@lru_cache(maxsize=64)
def _to_snake_case(name: str) -> str:
    """Return `functionCall` as `function_call`."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def is_streamed(call: Json) -> bool:
    """Return whether this is only the beginning of a call."""
    return bool(get_field(call, "willContinue") or get_field(call, "partialArgs"))


def start_call(call: Json, texts: framing.GrowingTexts) -> Json:
    """Return a new call that pieces are added to; its arguments come only from these, and the event is not changed."""
    joined: Json = {name: value for name, value in call.items() if name in ("id", "name")}
    joined["args"] = {}
    add_piece(joined, call, texts)
    return joined


def add_piece(joined: Json, piece: Json, texts: framing.GrowingTexts) -> None:
    """Add the next piece to a call."""
    for part in lenient.mappings(get_field(piece, "partialArgs")):
        steps = _parse_path(lenient.string(get_field(part, "jsonPath")) or "")
        value = next(
            (get_field(part, name) for name in _VALUE_KEYS if get_field(part, name) is not None), None
        )
        if steps:
            _set_at_path(joined["args"], steps, value, texts)
    if get_field(piece, "willContinue"):
        joined["willContinue"] = True
    else:
        joined.pop("willContinue", None)


def _parse_path(path: str) -> list[str | int]:
    """Return `$.foo.bar[0]` as `["foo", "bar", 0]`."""
    steps = _STEP.findall(path)[:_MOST_STEPS]
    return [int(index) if index else name or single or double for name, index, single, double in steps]


def _set_at_path(arguments: Json, steps: list[str | int], value: Any, texts: framing.GrowingTexts) -> None:
    """Set the value at a path, or append it to the text there."""
    container: Any = arguments
    for step, following in pairwise(steps):
        inner = _get(container, step)
        if not isinstance(inner, list if isinstance(following, int) else dict):
            inner = [] if isinstance(following, int) else {}
            _set(container, step, inner)
        container = inner
    if isinstance(container, dict) and isinstance(value, str):
        texts.add(container, str(steps[-1]), value)
        return
    current = _get(container, steps[-1])
    _set(
        container,
        steps[-1],
        current + value if isinstance(current, str) and isinstance(value, str) else value,
    )


def _get(container: Any, step: str | int) -> Any:
    if isinstance(container, dict):
        return container.get(str(step))
    return container[step] if isinstance(step, int) and step < len(container) else None


def _set(container: Any, step: str | int, value: Any) -> None:
    if isinstance(container, dict):
        container[str(step)] = value
    elif isinstance(step, int):
        container += [None] * (min(step, _MOST_ITEMS) + 1 - len(container))
        container[min(step, len(container) - 1)] = value
