"""Recording what the loggers of the standard library let through, without a handler.

`logging.Logger.callHandlers` is edited in its body: the program sees no handler of ours, `logging.basicConfig` does
what it did, and no frame of ours stands in a traceback. Nothing here imports `logging`; a program that does not either
is not made to.
"""

from __future__ import annotations

import ast
import sys
import threading
import weakref
from types import ModuleType
from typing import TYPE_CHECKING

from namel3ss_debug.capture import switch
from namel3ss_debug.capture.editing import edit_body
from namel3ss_debug.capture.patching import Undo, when_imported
from namel3ss_debug.capture.tracer import ExecutionTracer
from namel3ss_debug.traces.events import LOG_LEVELS

if TYPE_CHECKING:
    from logging import LogRecord

SEEN = threading.local()
"""The record that this thread logged last, as `record`, so that a handler does not record it again: a weak reference, for a
record may hold an exception, and that all variables of the functions that it passed."""


def install(tracer: ExecutionTracer) -> Undo:
    """Record what the loggers of the standard library let through, from the level of the settings on.

    Returns:
        A function that puts everything back.
    """
    least = LOG_LEVELS.get(tracer.config.log_level)
    if least is None:
        return lambda: None

    def edit(module: ModuleType) -> list[Undo]:
        from namel3ss_debug.capture.logs.handlers import UNRECORDED, record_standard  # noqa: PLC0415  (imports `logging`)

        # At the end of Python objects that go may log yet. The recording is over then, and no module is whole any more.
        ends = sys.is_finalizing

        def note(record: LogRecord) -> None:
            if ends() or switch.ACTIVE is not tracer:
                return
            try:
                SEEN.record = weakref.ref(record)
                if record.levelno >= least:
                    record_standard(record, tracer)
            except Exception as error:
                tracer.problem(UNRECORDED, error)

        change = _NoteFirst()
        put_back = edit_body(module.Logger.callHandlers, {"_namel3ss_note": note}, change)
        if put_back is None:
            tracer.problem("log records of this Python are not recorded")
        return [] if put_back is None else [put_back]

    return when_imported({"logging": edit}, tracer.problem)


class _NoteFirst(ast.NodeTransformer):
    """Calls `_namel3ss_note` with the second argument of a method, before its body."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        place = node.body[0]
        name = ast.copy_location(ast.Name(node.args.args[1].arg, ast.Load()), place)
        call = ast.Call(ast.copy_location(ast.Name("_namel3ss_note", ast.Load()), place), [name], [])
        node.body.insert(1, ast.copy_location(ast.Expr(ast.copy_location(call, place)), place))
        return node
