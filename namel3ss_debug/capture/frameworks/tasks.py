"""Tasks and threads made while a generator of a framework is suspended: they belong to the code that makes them.

Both take a copy of the context, in which the place of the generator stands, and later nobody can tell who made them. So
it is seen to when the copy is made, from when a framework has begun something in a generator: most programs never get
there.
"""

from __future__ import annotations

import ast
import sys
import threading
from collections.abc import Callable
from contextvars import Context, Token
from types import FunctionType, TracebackType

from namel3ss_debug.capture.context import CURRENT, Holder
from namel3ss_debug.capture.editing import call_of, edit_body
from namel3ss_debug.capture.frameworks.places import elsewhere
from namel3ss_debug.capture.patching import Undo

_undo: list[Undo] = []
_lock = threading.Lock()


def follow(problem: Callable[[str], None]) -> None:
    """Follow the tasks and threads that are made from now on.

    Args:
        problem: told in words what this version of Python does not let us do.
    """
    if _undo or "asyncio.threads" not in sys.modules:
        return
    with _lock:
        if _undo:
            return
        asyncio = sys.modules["asyncio"]
        edits = (
            (asyncio.BaseEventLoop.create_task, {"_namel3ss_making": _Making}, _AroundBody()),
            (asyncio.to_thread, {"_namel3ss_copied": _copied}, _CopyThrough()),
        )
        for function, names, change in edits:
            put_back = edit_body(function, names, change) if isinstance(function, FunctionType) else None
            if put_back is None:
                problem(f"{function.__qualname__} has no source: what it starts may be shown inside a stream")
            _undo.append(put_back or _nothing)


def stop() -> None:
    """Put everything back."""
    while _undo:
        _undo.pop()()


class _Making:
    """While a task is made, the context is as the task shall find it."""

    __slots__ = ("_token",)

    def __init__(self) -> None:
        self._token: Token[Holder | None] | None = None

    def __enter__(self) -> None:
        holder = CURRENT.get()
        place = elsewhere(holder)
        if place is not holder:
            self._token = CURRENT.set(place)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            CURRENT.reset(self._token)


def _copied(copy: Context) -> Context:
    """The context that a thread shall find: a fresh copy of that which the running code has."""
    holder = CURRENT.get()
    place = elsewhere(holder)
    if place is not holder:
        copy.run(CURRENT.set, place)
    return copy


class _AroundBody(ast.NodeTransformer):
    """Puts `with _namel3ss_making():` around what a function does."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        first = node.body[1]  # behind the docstring
        around = ast.parse("with _namel3ss_making(): pass").body[0]
        for part in ast.walk(around):
            ast.copy_location(part, first)
        assert isinstance(around, ast.With)
        around.body = node.body[1:]
        node.body[1:] = [around]
        return node


class _CopyThrough(ast.NodeTransformer):
    """Passes the copy of the context through `_namel3ss_copied`."""

    def visit_Call(self, node: ast.Call) -> ast.expr:
        if isinstance(node.func, ast.Attribute) and node.func.attr == "copy_context":
            return call_of("_namel3ss_copied", node)
        return node


def _nothing() -> None:
    """Do nothing: there is nothing to put back."""
