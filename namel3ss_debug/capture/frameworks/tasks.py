"""Tasks and threads that are created while a generator of a framework is suspended: they belong to their creator.

Both get a copy of the context, which contains the place of the generator. Later it is not known which code created
them, so the context is corrected when the copy is made. That begins when a framework has begun something in a
generator, which does not happen in most programs.
"""

from __future__ import annotations

import ast
import sys
import threading
from collections.abc import Callable
from contextvars import Context, Token
from types import FunctionType, TracebackType

from namel3ss_debug.capture.core.context import CURRENT, SpanLike
from namel3ss_debug.capture.core.editing import call_of, edit_body
from namel3ss_debug.capture.core.patching import Undo
from namel3ss_debug.capture.frameworks.current_span import elsewhere

_undo: list[Undo] = []
_lock = threading.Lock()


def follow(problem: Callable[[str], None]) -> None:
    """Follow the tasks and threads that are created from now on.

    Args:
        problem: receives a message if this version of Python cannot be patched.
    """
    if _undo or "asyncio.threads" not in sys.modules:
        return
    with _lock:
        if _undo:
            return
        asyncio = sys.modules["asyncio"]
        edits = (
            (asyncio.BaseEventLoop.create_task, {"_namel3ss_making": _TaskCreation}, _AroundBody()),
            (asyncio.to_thread, {"_namel3ss_copied": _correct_copy}, _CopyThrough()),
        )
        for function, names, transformer in edits:
            undo = edit_body(function, names, transformer) if isinstance(function, FunctionType) else None
            if undo is None:
                problem(f"{function.__qualname__} has no source: what it starts may be shown inside a stream")
            _undo.append(undo or _do_nothing)


def stop() -> None:
    """Undo the patches."""
    while _undo:
        _undo.pop()()


class _TaskCreation:
    """While a task is created, the context is the one that the task should get."""

    __slots__ = ("_token",)

    def __init__(self) -> None:
        self._token: Token[SpanLike | None] | None = None

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


def _correct_copy(copy: Context) -> Context:
    """Return the context that a thread should get: a fresh copy of the current one, corrected."""
    holder = CURRENT.get()
    place = elsewhere(holder)
    if place is not holder:
        copy.run(CURRENT.set, place)
    return copy


class _AroundBody(ast.NodeTransformer):
    """Puts `with _namel3ss_making():` around the body of a function."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        first = node.body[1]  # after the docstring
        block = ast.parse("with _namel3ss_making(): pass").body[0]
        for node_of_block in ast.walk(block):
            ast.copy_location(node_of_block, first)
        assert isinstance(block, ast.With)
        block.body = node.body[1:]
        node.body[1:] = [block]
        return node


class _CopyThrough(ast.NodeTransformer):
    """Passes the copy of the context through `_namel3ss_copied`."""

    def visit_Call(self, node: ast.Call) -> ast.expr:
        if isinstance(node.func, ast.Attribute) and node.func.attr == "copy_context":
            return call_of("_namel3ss_copied", node)
        return node


def _do_nothing() -> None:
    """Do nothing: there is nothing to undo."""
