"""The texts in an event, for searches through a trace."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from namel3ss_debug.traces.events import Event
from namel3ss_debug.wire.values import at_key

_MOST_VALUES = 2000
_PAYLOADS = ("inputs", "outputs")


def event_texts(event: Event, most: int = _MOST_VALUES) -> Iterator[str]:
    """Yield the texts in an event, at any depth, and the numbers in its inputs and outputs.

    The least deep come first; at most `most` values of the inputs and outputs, and as many of the rest.
    """
    yield from _find_texts([value for name, value in event.items() if name not in _PAYLOADS], most)
    yield from _find_texts([event.get(name) for name in _PAYLOADS], most, numbers=True)


def _find_texts(todo: list[Any], most: int, *, numbers: bool = False) -> Iterator[str]:
    for value in islice(todo, most):  # the list grows while it is read
        kind = type(value)
        if kind is str:
            yield value
        elif kind is dict:
            todo.extend(islice(value.values(), most))
        elif kind is list:
            todo.extend(value[:most])
        elif numbers and (kind is int or kind is float):
            yield str(value)


def located_texts(event: Event, most: int = _MOST_VALUES) -> Iterator[tuple[str, str]]:
    """Yield the same texts, inputs and outputs first, each with the path by which `p` reads it: `outputs.calls[0].name`.

    Used for the one event that was found: a search goes through all events, and paths cost more than the texts.
    """
    yield from _locate_texts([(name, event.get(name)) for name in _PAYLOADS], most, numbers=True)
    rest = [(_at_key("", name), value) for name, value in event.items() if name not in _PAYLOADS]
    yield from _locate_texts(rest, most)


def _locate_texts(
    todo: list[tuple[str, Any]], most: int, *, numbers: bool = False
) -> Iterator[tuple[str, str]]:
    for path, value in islice(todo, most):
        kind = type(value)
        if kind is str:
            yield path, value
        elif kind is dict:
            todo.extend((_at_key(path, key), inner) for key, inner in islice(value.items(), most))
        elif kind is list:
            todo.extend((f"{path}[{index}]", inner) for index, inner in enumerate(value[:most]))
        elif numbers and (kind is int or kind is float):
            yield path, str(value)


def _at_key(path: str, key: str) -> str:
    return at_key(path, key).removeprefix("." if not path else "")
