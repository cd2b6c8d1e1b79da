"""Printed stacks end where the program begins: what walks them outwards passes over the frames of the recorder.

`logging` prints the call stack of a record that it cannot format, a program prints its own, and Python, which has no
frames below a script, would show none of ours there. The two functions of the standard library that all of these go
through are changed in their bodies. Who follows `f_back` itself, or has `faulthandler` print the stack, still sees
the two frames of the runner.
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
        },
        lambda _: None,  # a Python that walks in another way shows our frames, and nothing else comes of it
    )


def outer(frame: FrameType | None) -> FrameType | None:
    """The frame itself, or where it is ours, the nearest around it that is not."""
    while frame is not None and frame.f_code.co_filename.startswith(_OURS):
        frame = frame.f_back
    return frame


class _StepOutwards(ast.NodeTransformer):
    """`frame = frame.f_back` in the loop of a walk gets the next frame that is not ours."""

    def visit_Assign(self, node: ast.Assign) -> ast.Assign:
        target, value = node.targets[0], node.value
        is_step = isinstance(value, ast.Attribute) and value.attr == "f_back"
        if is_step and isinstance(target, ast.Name) and ast.unparse(value) == f"{target.id}.f_back":
            node.value = call_of(_NAME, value)
        return node


def _edit(function: Any) -> list[Callable[[], None]]:
    undo = (
        edit_body(function, {_NAME: outer}, _StepOutwards()) if isinstance(function, FunctionType) else None
    )
    return [] if undo is None else [undo]
