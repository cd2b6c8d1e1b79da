"""Regular expressions with bounded time and memory, for `matches(text, "...")` and for `/regex/` places.

Python's engine tries alternatives one after the other, so a short pattern can take for ever on a hostile text.
Here a pattern is parsed by Python's own parser, and its work is bounded before it runs: where trying every
alternative is cheap, Python's engine searches; everywhere else a table of states built from the same parse tree
reads each character once (Thompson 1968, "Regular Expression Search Algorithm"; states made when first needed,
as in grep and RE2). Only whether there is a match, and about where, is found out, so greedy and lazy quantifiers mean
the same.

The rules: at most 256 characters; an open-ended quantifier (`*`, `+`, `{n,}`) not inside another one; no
backreferences, look-around, conditionals, atomic groups or possessive quantifiers; counts such as `{50}` only up
to 300 states in all. A search looks at the first 4,096 characters of a text.
"""

from __future__ import annotations

import re
import warnings
from bisect import bisect_left
from fnmatch import fnmatchcase
from functools import lru_cache
from re import _compiler, _parser  # type: ignore[attr-defined]  # the parse tree Python's own engine runs
from typing import Any, NamedTuple

from namel3ss_debug.errors import ExpressionError

MAX_PATTERN = 256
MAX_TEXT = 4096
_MAX_STATES = 300
_MAX_WORK = 50_000_000
_MAX_MOVES = 4096
_REPEATS = ("MAX_REPEAT", "MIN_REPEAT")
_CHARACTERS = ("LITERAL", "NOT_LITERAL", "ANY", "IN")
_REFUSED = {
    "GROUPREF": "backreferences",
    "GROUPREF_EXISTS": "conditional groups",
    "ASSERT": "look-ahead and look-behind",
    "ASSERT_NOT": "look-ahead and look-behind",
    "ATOMIC_GROUP": "atomic groups",
    "POSSESSIVE_REPEAT": "possessive quantifiers",
}
_WORD = re.compile(r"\w")
_INSIDE_NOTHING = re.search(r"\B", "") is not None  # Python 3.14 has changed this for the empty text


class _Node(NamedTuple):
    """One state: a character to match, a choice of next states, a position to check, or the end (`kind` "end")."""

    kind: str
    test: Any = None
    ways: tuple[int, ...] = ()


class Pattern:
    """A checked pattern; `search` returns whether it occurs in a text, `span` where, in bounded time and memory."""

    __slots__ = ("_moves", "_nodes", "_placed", "_quick", "_start")

    def __init__(self, text: str) -> None:
        tree = _parse(text)
        self._nodes = [_Node("end")]
        self._start = frozenset({_Builder(tree.state, self._nodes).sequence(tree, 0, tree.state.flags)})
        self._placed = any(node.kind == "position" for node in self._nodes)
        self._moves: dict[tuple[frozenset[int], str, str, bool], frozenset[int] | None] = {}
        work = MAX_TEXT * _ways(tree) * len(self._nodes)
        self._quick = re.compile(text).search if work <= _MAX_WORK else None

    def search(self, text: str) -> bool:
        """Return whether the pattern occurs in the first 4,096 characters of `text`."""
        text = text[:MAX_TEXT]
        if self._quick is not None:
            return self._quick(text) is not None
        return self._walk(text) >= 0

    def span(self, text: str) -> tuple[int, int] | None:
        """Return the place of the first match, from its first character to after its last one; None where there is none.

        Where the search does not use Python's engine, it is the shortest match that ends first; for a pattern with
        positions such as `^` only that end is known, and the span is empty.
        """
        text = text[:MAX_TEXT]
        if self._quick is not None:
            found = self._quick(text)
            return None if found is None else found.span()
        end = self._walk(text)
        if end < 0:
            return None
        if self._placed:
            return end, end
        too_late = bisect_left(range(end + 1), True, key=lambda begin: self._walk(text[begin:end]) < 0)
        return too_late - 1, end

    def _walk(self, text: str) -> int:
        moves, current, before, last = self._moves, self._start, "", len(text) - 1
        for place, character in enumerate(text):
            key = (current, before, character, self._placed and place == last)
            try:
                following = moves[key]
            except KeyError:
                if len(moves) >= _MAX_MOVES:
                    moves.clear()
                following = moves[key] = self._move(*key)
            if following is None:
                return place
            current = following
            if self._placed:
                before = character
        return len(text) if self._reach(current, before, "", last=False) is None else -1

    def _move(
        self, current: frozenset[int], before: str, character: str, last: bool
    ) -> frozenset[int] | None:
        """Return the states after one character, including the start; None once the end can be reached."""
        reached = self._reach(current, before, character, last)
        if reached is None:
            return None
        tests = [self._nodes[number] for number in reached]
        return self._start.union(node.ways[0] for node in tests if node.test(character))

    def _reach(self, current: frozenset[int], before: str, character: str, last: bool) -> list[int] | None:
        """Return the character states reachable without reading a character; None where the end is among them."""
        seen, todo, found = set(current), list(current), []
        while todo:
            number = todo.pop()
            node = self._nodes[number]
            if node.kind == "end":
                return None
            if node.kind == "character":
                found.append(number)
            elif node.kind == "choice" or _holds(node.test, before, character, last):
                fresh = [way for way in node.ways if way not in seen]
                seen.update(fresh)
                todo.extend(fresh)
        return found


class _Builder:
    """Makes states from a parse tree, from its end to its start."""

    def __init__(self, state: Any, nodes: list[_Node]) -> None:
        self.state = state
        self.nodes = nodes

    def add(self, node: _Node) -> int:
        if len(self.nodes) >= _MAX_STATES:
            raise ExpressionError(
                f"the pattern needs more than {_MAX_STATES} states; make its counts smaller"
            )
        self.nodes.append(node)
        return len(self.nodes) - 1

    def sequence(self, items: Any, after: int, flags: int) -> int:
        for operation, argument in reversed(list(items)):
            after = self.item(operation, argument, after, flags)
        return after

    def item(self, operation: Any, argument: Any, after: int, flags: int) -> int:
        """Add the nodes of one item of a pattern, and return the number of the first."""
        name = str(operation)
        if name in _CHARACTERS:
            one = _parser.SubPattern(self.state, [(operation, argument)])
            return self.add(_Node("character", _compiler.compile(one, flags).match, (after,)))
        if name == "AT":
            return self.add(_Node("position", _position(str(argument), flags), (after,)))
        if name == "SUBPATTERN":
            _, added, removed, inner = argument
            return self.sequence(inner, after, (flags | added) & ~removed)
        if name == "BRANCH":
            return self.add(_Node("choice", None, tuple(self.sequence(a, after, flags) for a in argument[1])))
        return self.repeat(argument, after, flags)

    def repeat(self, argument: tuple[int, Any, Any], after: int, flags: int) -> int:
        """Add the nodes of a repetition, required ones before optional ones, and return the number of the first."""
        least, most, inner = argument
        entry = after
        if most is _parser.MAXREPEAT:
            entry = self.add(_Node("choice"))
            self.nodes[entry] = _Node("choice", None, (self.sequence(inner, entry, flags), after))
        else:
            for _ in range(most - least):
                entry = self.add(_Node("choice", None, (self.sequence(inner, entry, flags), after)))
        for _ in range(least):
            entry = self.sequence(inner, entry, flags)
        return entry


@lru_cache(maxsize=256)
def compile_pattern(text: str) -> Pattern:
    """Check a regular expression and make it ready to search.

    Raises:
        ExpressionError: the pattern does not parse, or uses something that the rules of this module exclude.
    """
    return Pattern(text)


def name_fits(name: object, pattern: str) -> bool:
    """Return whether a component's name equals the pattern, ignoring case, or fits its `*` and `?`."""
    folded, wanted = str(name).casefold(), pattern.casefold()
    return folded == wanted or fnmatchcase(folded, wanted)


def _parse(text: str) -> Any:
    if len(text) > MAX_PATTERN:
        raise ExpressionError(f"the pattern has {len(text)} characters; at most {MAX_PATTERN} are allowed")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = _parser.parse(text)
            re.compile(text)
    except (re.error, ValueError, OverflowError, MemoryError, RecursionError) as problem:
        raise ExpressionError(f"the pattern is not a regular expression: {problem}") from None
    _check(tree, inside=False)
    return tree


def _check(items: Any, *, inside: bool) -> None:
    """Refuse what the rules exclude; `inside` is true within an open-ended quantifier."""
    for operation, argument in items:
        name = str(operation)
        if name in _REFUSED:
            raise ExpressionError(f"the pattern may not use {_REFUSED[name]}")
        if name == "SUBPATTERN":
            _check(argument[3], inside=inside)
        elif name == "BRANCH":
            for alternative in argument[1]:
                _check(alternative, inside=inside)
        elif name in _REPEATS:
            unbounded = argument[1] is _parser.MAXREPEAT
            if unbounded and inside:
                raise ExpressionError("the pattern has a quantifier (* + {n,}) inside another; remove one")
            _check(argument[2], inside=inside or unbounded)
        elif name not in _CHARACTERS and name != "AT":
            raise ExpressionError(f"the pattern may not use {name.lower()}")


def _ways(items: Any) -> int:
    """Return an upper bound on the alternatives that a backtracking engine tries from one place, limited to a large number."""
    product = 1
    for operation, argument in items:
        name = str(operation)
        if name == "SUBPATTERN":
            product *= _ways(argument[3])
        elif name == "BRANCH":
            product *= sum(_ways(alternative) for alternative in argument[1])
        elif name in _REPEATS:
            least, most, inner = argument
            most = min(int(most), MAX_TEXT)
            once = _ways(inner)
            product *= max(1, most - least + 1) if once == 1 else once ** min(most, 64) + most - least
        product = min(product, _MAX_WORK)
    return product


def _position(name: str, flags: int) -> str:
    """Return the kind of position a state stands for, which depends on the flag MULTILINE."""
    lines = bool(flags & re.MULTILINE)
    kind = {
        "AT_BEGINNING": "line" if lines else "start",
        "AT_BEGINNING_STRING": "start",
        "AT_END": "line end" if lines else "last",
        "AT_END_STRING": "end",
        "AT_BOUNDARY": "boundary",
        "AT_NON_BOUNDARY": "inside",
    }[name]
    return f"{kind} ascii" if flags & re.ASCII and kind in ("boundary", "inside") else kind


def _holds(kind: str, before: str, character: str, last: bool) -> bool:
    """Return whether a position holds between `before` and `character` (both empty outside the text)."""
    if kind == "start":
        return before == ""
    if kind == "line":
        return before in ("", "\n")
    if kind == "end":
        return character == ""
    if kind == "last":
        return character == "" or (last and character == "\n")
    if kind == "line end":
        return character in ("", "\n")
    if before == character == "":
        return kind.startswith("inside") and _INSIDE_NOTHING
    ascii_only = kind.endswith("ascii")
    edge = _is_word(before, ascii_only) != _is_word(character, ascii_only)
    return edge == kind.startswith("boundary")


def _is_word(character: str, ascii_only: bool) -> bool:
    return _WORD.match(character) is not None and (not ascii_only or character.isascii())
