"""Finds the first places where two JSON values differ, as JSON paths, with the values there."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

from namel3ss_debug.wire import lenient
from namel3ss_debug.wire.matching import Block, matching_blocks
from namel3ss_debug.wire.values import at_key

_MOST_PATHS = 20
_DEEPEST = 100
_LONGEST_LIST = 2000


class PathChange(NamedTuple):
    """A place where two JSON values differ: `kind` is `changed`, `added` or `dropped`, `path` a JSON path."""

    path: str
    kind: str
    old: Any
    new: Any


def path_changes(old: Any, new: Any, most: int = _MOST_PATHS) -> tuple[PathChange, ...]:
    """The first places where two JSON values differ; keys in their order, lists matched by their equal items."""
    return tuple(islice(_changes(old, new, "$", 0), most))


def _changes(old: Any, new: Any, path: str, depth: int) -> Iterator[PathChange]:
    if depth > _DEEPEST:
        if lenient.dump(old, ordered=True) != lenient.dump(new, ordered=True):
            yield PathChange(path, "changed", old, new)
    elif isinstance(old, dict) and isinstance(new, dict):
        yield from _changes_of_objects(old, new, path, depth)
    elif isinstance(old, list) and isinstance(new, list):
        yield from _changes_of_lists(old, new, path, depth)
    elif type(old) is not type(new) or old != new:
        yield PathChange(path, "changed", old, new)


def _changes_of_objects(
    old: dict[str, Any], new: dict[str, Any], path: str, depth: int
) -> Iterator[PathChange]:
    for key in [*old, *(key for key in new if key not in old)]:
        where = at_key(path, key)
        if key not in new:
            yield PathChange(where, "dropped", old[key], None)
        elif key not in old:
            yield PathChange(where, "added", None, new[key])
        else:
            yield from _changes(old[key], new[key], where, depth + 1)


def _changes_of_lists(old: list[Any], new: list[Any], path: str, depth: int) -> Iterator[PathChange]:
    """Compares the items between equal ones in pairs; paths use places in the new list, for dropped items the old."""
    i = j = 0
    for first, second, size in _blocks(old, new):
        paired = min(first - i, second - j)
        for step in range(paired):
            yield from _changes(old[i + step], new[j + step], f"{path}[{j + step}]", depth + 1)
        yield from (
            PathChange(f"{path}[{place}]", "dropped", old[place], None) for place in range(i + paired, first)
        )
        yield from (
            PathChange(f"{path}[{place}]", "added", None, new[place]) for place in range(j + paired, second)
        )
        i, j = first + size, second + size


def _blocks(old: list[Any], new: list[Any]) -> list[Block]:
    if len(old) > _LONGEST_LIST or len(new) > _LONGEST_LIST:
        return [Block(len(old), len(new), 0)]
    dumped = (
        [lenient.dump(item, ordered=True) for item in old],
        [lenient.dump(item, ordered=True) for item in new],
    )
    return [*matching_blocks(*dumped)]
