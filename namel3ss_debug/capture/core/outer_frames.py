"""End stack traces where the program begins: walks up the stack skip the tracer's frames.

`logging` prints the call stack of a record that it cannot format, and a program may print its own. Plain Python has no
frames below a script there. Both go through two functions of the standard library, whose bodies are edited, and loguru
has one of its own, which also shows the local variables of each frame. Code that follows `f_back` itself, and
`faulthandler`, still see the two frames of the runner.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from types import FrameType, FunctionType
from typing import Any

from namel3ss_debug.capture.core.editing import call_of, edit_body
from namel3ss_debug.capture.core.own_code import CAPTURE_FOLDER
from namel3ss_debug.capture.core.patching import Undo, when_imported

_NAME = "__namel3ss_debug_outer"


def install() -> Undo:
    """Skip our frames from now on, and return a function that undoes it."""
    return when_imported(
        {
            "traceback": lambda module: _edit(module.walk_stack),
            "inspect": lambda module: _edit(module.getouterframes),
            "loguru._better_exceptions": lambda module: _edit(module.ExceptionFormatter._extract_frames),
        },
        lambda _: None,  # a Python with another walk shows our frames, which does no harm
    )


def outer(frame: FrameType | None) -> FrameType | None:
    """Return the frame itself, or the nearest one around it that is not ours."""
    while frame is not None and frame.f_code.co_filename.startswith(CAPTURE_FOLDER):
        frame = frame.f_back
    return frame


class _StepOutwards(ast.NodeTransformer):
    """Lets `frame = frame.f_back` in a walk, or its first step from a traceback, skip our frames."""

    def visit_Assign(self, node: ast.Assign) -> ast.Assign:
        target, value = node.targets[0], node.value
        if not isinstance(target, ast.Name) or not isinstance(value, ast.Attribute):
            return node
        if ast.unparse(value) in {f"{target.id}.f_back", "tb.tb_frame.f_back"}:
            node.value = call_of(_NAME, value)
        return node


def _edit(function: Any) -> list[Callable[[], None]]:
    undo = (
        edit_body(function, {_NAME: outer}, _StepOutwards()) if isinstance(function, FunctionType) else None
    )
    return [] if undo is None else [undo]
