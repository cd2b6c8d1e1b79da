"""Find the first places where two JSON values differ, as JSON paths, with the values there."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

from namel3ss_debug.wire import lenient
from namel3ss_debug.wire.matching import Block, matching_blocks
from namel3ss_debug.wire.values import at_key

_MOST_PATHS = 20
_MAX_DEPTH = 100
"""How deep values are compared; deeper ones are equal or one change."""

_LONGEST_LIST = 2000
"""How many items the lists may have that are matched by their equal items; the items of longer ones are compared in pairs."""


class PathChange(NamedTuple):
    """A place where two JSON values differ: `kind` is `changed`, `added` or `dropped`, `path` a JSON path."""

    path: str
    kind: str
    old: Any
    new: Any


def diff_values(old: Any, new: Any, most: int = _MOST_PATHS) -> tuple[PathChange, ...]:
    """Return the first differences between two JSON values; keys in their order, lists matched by their equal items."""
    return tuple(islice(_diff(old, new, "$", 0), most))


def _diff(old: Any, new: Any, path: str, depth: int) -> Iterator[PathChange]:
    if depth > _MAX_DEPTH:
        if lenient.dump(old, ordered=True) != lenient.dump(new, ordered=True):
            yield PathChange(path, "changed", old, new)
    elif isinstance(old, dict) and isinstance(new, dict):
        yield from _diff_objects(old, new, path, depth)
    elif isinstance(old, list) and isinstance(new, list):
        yield from _diff_lists(old, new, path, depth)
    elif type(old) is not type(new) or old != new:
        yield PathChange(path, "changed", old, new)


def _diff_objects(old: dict[str, Any], new: dict[str, Any], path: str, depth: int) -> Iterator[PathChange]:
    for key in [*old, *(key for key in new if key not in old)]:
        key_path = at_key(path, key)
        if key not in new:
            yield PathChange(key_path, "dropped", old[key], None)
        elif key not in old:
            yield PathChange(key_path, "added", None, new[key])
        else:
            yield from _diff(old[key], new[key], key_path, depth + 1)


def _diff_lists(old: list[Any], new: list[Any], path: str, depth: int) -> Iterator[PathChange]:
    """Compare the items between equal ones in pairs; paths have indexes of the new list, or of the old one if dropped."""
    i = j = 0
    for first, second, size in _match_items(old, new):
        pairs = min(first - i, second - j)
        for offset in range(pairs):
            yield from _diff(old[i + offset], new[j + offset], f"{path}[{j + offset}]", depth + 1)
        yield from (
            PathChange(f"{path}[{index}]", "dropped", old[index], None) for index in range(i + pairs, first)
        )
        yield from (
            PathChange(f"{path}[{index}]", "added", None, new[index]) for index in range(j + pairs, second)
        )
        i, j = first + size, second + size


def _match_items(old: list[Any], new: list[Any]) -> list[Block]:
    if len(old) > _LONGEST_LIST or len(new) > _LONGEST_LIST:
        return [Block(len(old), len(new), 0)]
    dumped = (
        [lenient.dump(item, ordered=True) for item in old],
        [lenient.dump(item, ordered=True) for item in new],
    )
    return [*matching_blocks(*dumped)]
