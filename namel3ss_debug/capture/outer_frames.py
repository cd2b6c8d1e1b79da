"""Stack traces that end where the program begins: what walks the stack outwards skips the recorder's frames.

`logging` prints the call stack of a record that it cannot format, a program prints its own, and Python, which has no
frames below a script, would show none of ours there. The two functions of the standard library that all of these go
through are changed in their bodies, and that of loguru, which shows the local values of each frame as well. Who follows
`f_back` itself otherwise, or has `faulthandler` print the stack, still sees the two frames of the runner.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Callable
from types import FrameType, FunctionType
from typing import Any

from namel3ss_debug.capture.editing import call_of, edit_body
from namel3ss_debug.capture.patching import Undo, when_imported

_OURS = os.path.join(os.path.dirname(__file__), "")
_NAME = "__namel3ss_debug_outer"


def install() -> Undo:
    """Pass over our frames from now on; the result takes it back."""
    return when_imported(
        {
            "traceback": lambda module: _edit(module.walk_stack),
            "inspect": lambda module: _edit(module.getouterframes),
            "loguru._better_exceptions": lambda module: _edit(module.ExceptionFormatter._extract_frames),  # noqa: SLF001  (its walk)
        },
        lambda _: None,  # a Python that walks in another way shows our frames, and nothing else comes of it
    )


def outer(frame: FrameType | None) -> FrameType | None:
    """The frame itself, or where it is ours, the nearest around it that is not."""
    while frame is not None and frame.f_code.co_filename.startswith(_OURS):
        frame = frame.f_back
    return frame


class _StepOutwards(ast.NodeTransformer):
    """`frame = frame.f_back` in a walk, or its first step from a traceback, gets the next frame that is not ours."""

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
