"""Find which parallel calls a request depends on by their order, and the state that they may share.

The functions that made the parallel calls, and that which made the request, are read as source. What the first ones
assign and the last one reads is state that depends on which of them ran last. Nothing is executed, and another way
between them may exist, so it is a question and no statement.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from namel3ss_debug.replay.rerun.divergences import Divergence
from namel3ss_debug.replay.rerun.recorded_calls import RecordedCalls, outputs_of
from namel3ss_debug.wire import lenient

_MOST_CALLS: Final = 4
_CHANGING: Final = frozenset(
    {"append", "add", "update", "extend", "insert", "setdefault", "pop", "remove", "discard", "clear", "put"}
)
"""Methods that change the object that they are called on."""


@dataclass(frozen=True)
class OrderRace:
    """A request that depends on the order of earlier parallel calls.

    Attributes:
        request: its event in the trace.
        calls: the events of the parallel calls.
        state: what they may share, such as `self.city`; "" if nothing was found.
    """

    request: int
    calls: tuple[int, ...]
    state: str

    def describe(self) -> str:
        """Return it as a sentence without its full stop."""
        *first, last = map(str, self.calls)
        shared = f": shared state `{self.state}`?" if self.state else ""
        return f"event {self.request} depends on the order of events {', '.join(first)} and {last}{shared}"


def find_race(
    found: Divergence | None, recorded: RecordedCalls, parallel: Iterable[list[int]], root: Path
) -> OrderRace | None:
    """Return the parallel calls before a request that changed with their order; None if there are none.

    Args:
        found: how the request diverged.
        recorded: the recorded calls.
        parallel: groups of calls that overlapped.
        root: the folder of the user's code.
    """
    if found is None or found.recorded is None:
        return None
    request = found.recorded
    groups = [[number for number in group if number < request.number] for group in parallel]
    group = next((group for group in reversed(groups) if len(group) > 1), [])
    if not group:
        return None
    named = [number for number in group if _mentions(recorded, number, _changed_words(found))]
    calls = tuple((named if len(named) > 1 else group)[:_MOST_CALLS])
    writers = {place for number in calls for place in recorded.calls[number].request.chain}
    return OrderRace(request.number, calls, _find_shared(writers, request.request.chain, root))


def _changed_words(found: Divergence) -> frozenset[str]:
    """Return the words that only one of the two requests has."""
    difference = found.difference
    if difference is None:
        return frozenset()
    sides = [(change.old, change.new) for change in difference.messages]
    sides += [(change.old, change.new) for change in difference.paths]
    found_words = (
        _words(lenient.dump(old).decode()) ^ _words(lenient.dump(new).decode()) for old, new in sides
    )
    return frozenset().union(*found_words)


def _words(text: str) -> set[str]:
    return {word for word in "".join(c if c.isalnum() else " " for c in text).split() if len(word) > 1}


def _mentions(recorded: RecordedCalls, number: int, words: frozenset[str]) -> bool:
    """Return whether a call was sent, or answered with, one of some words."""
    sides = (recorded.start(number).get("inputs"), outputs_of(recorded.end(number)))
    return any(not words.isdisjoint(_words(lenient.dump(side).decode())) for side in sides)


def _find_shared(writers: Iterable[str], reader: Sequence[str], root: Path) -> str:
    """Return the first expression that a function of some chains assigns and that one of another chain reads."""
    read = {name for place in reader for name in _state_of(place, root, is_written=False)}
    for place in sorted(writers):
        for name in _state_of(place, root, is_written=True):
            if name.rpartition(".")[2] in {each.rpartition(".")[2] for each in read}:
                return name
    return ""


def _state_of(place: str, root: Path, *, is_written: bool) -> list[str]:
    """Return the attributes and globals that a function of a chain assigns, or reads: `self.city`, `results`."""
    file, _, name = place.partition(":")
    try:
        tree = ast.parse((root / file).read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError):
        return []
    function = _find_function(tree, [part for part in name.split(".") if part != "<locals>"])
    if function is None:
        return []
    local = _local_names(function)
    nodes = _written(function) if is_written else _read(function)
    return [
        ast.unparse(node)
        for node in nodes
        if isinstance(node, ast.Attribute) or (isinstance(node, ast.Name) and node.id not in local)
    ]


def _find_function(tree: ast.AST, path: list[str]) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    """Return the function at a qualified name."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name == path[0]:
            if len(path) > 1:
                return _find_function(node, path[1:])
            return None if isinstance(node, ast.ClassDef) else node
    return None


def _local_names(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """Return the names that a function has for itself: its parameters, and what it assigns without `global`."""
    shared = {
        name
        for node in ast.walk(function)
        if isinstance(node, ast.Global | ast.Nonlocal)
        for name in node.names
    }
    assigned = {
        node.id
        for node in ast.walk(function)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    parameters = {node.arg for node in ast.walk(function) if isinstance(node, ast.arg)}
    return (assigned | parameters) - shared


def _written(function: ast.AST) -> Iterator[ast.expr]:
    """Yield what a function assigns or changes: an attribute, a name, or the object that holds an item."""
    for node in ast.walk(function):
        if isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Store):
            yield node
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
            yield node.value
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in _CHANGING
        ):
            yield node.func.value


def _read(function: ast.AST) -> Iterator[ast.expr]:
    """Yield the attributes and names that a function reads."""
    for node in ast.walk(function):
        if isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Load):
            yield node
