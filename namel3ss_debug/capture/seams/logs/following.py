"""Records what the loggers of the standard library let through, without a handler.

The body of `logging.Logger.callHandlers` is edited: the program sees no handler of ours, `logging.basicConfig` works
as before, and no frame of ours appears in a traceback. Nothing here imports `logging`, because a program that does not
use it should not have to load it.
"""

from __future__ import annotations

import ast
import sys
import weakref
from types import ModuleType
from typing import TYPE_CHECKING

from namel3ss_debug.capture.core import switch
from namel3ss_debug.capture.core.editing import edit_body
from namel3ss_debug.capture.core.patching import Undo, when_imported
from namel3ss_debug.capture.core.tracer import ExecutionTracer
from namel3ss_debug.capture.seams.logs.records import SEEN
from namel3ss_debug.traces.events import LOG_LEVELS

if TYPE_CHECKING:
    from logging import LogRecord


def install(tracer: ExecutionTracer) -> Undo:
    """Record what the loggers of the standard library let through, from the level of the settings on.

    Returns:
        A function that undoes the change.
    """
    lowest = LOG_LEVELS.get(tracer.config.log_level)
    if lowest is None:
        return lambda: None

    def edit(module: ModuleType) -> list[Undo]:
        from namel3ss_debug.capture.seams.logs.handlers import (  # imports `logging`
            UNRECORDED,
            record_standard,
        )

        # At the end of Python, objects that are deleted may still log. The trace is complete then, and modules are
        # torn down.
        is_finalizing = sys.is_finalizing

        def note(record: LogRecord) -> None:
            if is_finalizing() or switch.ACTIVE is not tracer:
                return
            try:
                SEEN.record = weakref.ref(record)
                if record.levelno >= lowest:
                    record_standard(record, tracer)
            except Exception as error:
                tracer.problem(UNRECORDED, error)

        transformer = _NoteFirst()
        undo = edit_body(module.Logger.callHandlers, {"_namel3ss_note": note}, transformer)
        if undo is None:
            tracer.problem("log records of this Python are not recorded")
        return [] if undo is None else [undo]

    return when_imported({"logging": edit}, tracer.problem)


class _NoteFirst(ast.NodeTransformer):
    """Adds a call of `_namel3ss_note`, with the second argument of a method, at the start of its body."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        position = node.body[0]
        name = ast.copy_location(ast.Name(node.args.args[1].arg, ast.Load()), position)
        call = ast.Call(ast.copy_location(ast.Name("_namel3ss_note", ast.Load()), position), [name], [])
        node.body.insert(1, ast.copy_location(ast.Expr(ast.copy_location(call, position)), position))
        return node
