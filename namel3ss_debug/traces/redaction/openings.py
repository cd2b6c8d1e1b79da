r"""Turn a pattern into one that finds a match begun at the end of a text, which more text could complete.

A pattern is a sequence of items, and a text ends inside a match where it ends inside one of them, after all items
before it have matched. So `abc` becomes `a(?:b(?:\Z)|\Z)|\Z`, only shorter. A look-ahead is cut the same way, a
look-behind stays, since its text is there already, and a class that repeats may go on repeating. In doubt, it is
assumed that the text may become a match.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import import_module
from typing import Any

from namel3ss_debug.late_patterns import compile_late

_parser: Any = import_module("re._parser")
_compiler: Any = import_module("re._compiler")
_c: Any = import_module("re._constants")

Item = tuple[Any, Any]

_END: Item = (_c.AT, _c.AT_END_STRING)
_SIMPLE = frozenset({_c.LITERAL, _c.NOT_LITERAL, _c.ANY, _c.IN})
_REPEATS = frozenset({_c.MAX_REPEAT, _c.MIN_REPEAT, _c.POSSESSIVE_REPEAT})
_LAST_WORD = compile_late(r"\S{1,1000}\Z")
LONGEST_LITERAL = 16
_STOP: Item = (None, None)
_ASCII = 128


@lru_cache(256)
def opening(pattern: str) -> re.Pattern[str]:
    """Return a pattern that matches the beginning of an unfinished match, up to the end of the text.

    The groups are those of the pattern, as far as the text goes. Later places of the pattern are tried first, so that a
    group that may have begun counts as begun.

    Args:
        pattern: a valid regular expression. One with a back reference or a condition cannot be cut: for it, anything
            after the last whitespace may become a match.
    """
    try:
        tree = _parser.parse(pattern)
        items = _cut(list(tree), tree.state)
        if items is None:
            return re.compile(r"(?!)")
        cut: re.Pattern[str] = _compiler.compile(_parser.SubPattern(tree.state, items), tree.state.flags)
    except (LookupError, AttributeError, TypeError, ValueError, RecursionError, re.error):
        return _LAST_WORD
    return cut


def first_literal(pattern: str) -> str:
    """Return the literal that every match of a pattern begins with, in lower case; "" where none is known."""
    try:
        items = list(_parser.parse(pattern))
    except (LookupError, AttributeError, TypeError, ValueError, RecursionError, re.error):
        return ""
    found = ""
    while items:
        kind, value = items.pop(0)
        if kind is _c.LITERAL and value < _ASCII:
            found += chr(value).lower()
        elif kind is _c.SUBPATTERN and not found:
            items = [*value[3], _STOP, *items]
        elif kind is not _c.AT:
            break
    return found[:LONGEST_LITERAL]


def _cut(items: list[Item], state: Any) -> list[Item] | None:
    """Return the items that match where the text ends inside this sequence; `None` where it never does."""
    result: list[Item] | None = None
    for item in reversed(items):
        later = None if result is None else [item, *result]
        result = _either([later, _cut_item(item, state)], state)
    return result


def _either(ways: list[list[Item] | None], state: Any) -> list[Item] | None:
    possible = [_parser.SubPattern(state, way) for way in ways if way is not None]
    if len(possible) < 2:
        return list(possible[0]) if possible else None
    return [(_c.BRANCH, (None, possible))]


def _cut_item(item: Item, state: Any) -> list[Item] | None:
    """Return the part of an item that matches where the text ends within it; None where it cannot end there."""
    kind, value = item
    if kind in _SIMPLE:
        return [_END]
    if kind in _REPEATS:
        return _cut_repeat(value, state)
    if kind is _c.BRANCH:
        return _either([_cut(list(way), state) for way in value[1]], state)
    if kind is _c.AT:
        return None if value in (_c.AT_BEGINNING, _c.AT_BEGINNING_STRING) else [_END]
    if kind is _c.SUBPATTERN:
        inside = _cut(list(value[3]), state)
        return None if inside is None else [(kind, (*value[:3], _parser.SubPattern(state, inside)))]
    if kind is _c.ATOMIC_GROUP:
        return _cut(list(value), state)
    if kind in (_c.ASSERT, _c.ASSERT_NOT):
        return _cut_assertion(kind, value, state)
    raise LookupError(kind)


def _cut_repeat(value: tuple[Any, Any, Any], state: Any) -> list[Item] | None:
    _least, most, repeated = value
    if len(repeated) == 1 and repeated[0][0] in _SIMPLE:
        return [(_c.POSSESSIVE_REPEAT, (0, most, repeated)), _END]
    inside = _cut(list(repeated), state)
    if inside is None or most == 1:
        return inside
    before = most if most is _c.MAXREPEAT else most - 1
    return [(_c.MAX_REPEAT, (0, before, repeated)), *inside]


def _cut_assertion(kind: Any, value: tuple[int, Any], state: Any) -> list[Item] | None:
    direction, asserted = value
    if direction > 0:  # what must not follow may still follow
        inside = _cut(list(asserted), state)
        return None if inside is None else [(_c.ASSERT, (1, _parser.SubPattern(state, inside)))]
    ahead = [
        cut[0] if item[0] is _c.ASSERT and (cut := _cut_item(item, state)) else item for item in asserted
    ]
    if kind is _c.ASSERT_NOT or ahead == list(asserted):
        return None
    return [(kind, (direction, _parser.SubPattern(state, ahead)))]
