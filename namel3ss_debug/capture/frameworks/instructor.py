"""instructor: the answers of a model that are objects. It requests each as a call of a tool that has the object's fields.

No function answers such a call, so it is no tool call. If the answer cannot be used, that is a failed validation, whose
error instructor sends back to the model as if it were the tool's result.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from namel3ss_debug.capture.core.patching import Undo, replace
from namel3ss_debug.capture.frameworks.structure import Structure, read_safely

_MOST_FRAMES = 4


def follow(module: Any, structure: Structure) -> list[Undo]:
    """Follow the hook that instructor calls with each answer that it cannot use.

    Args:
        module: the one that defines the hooks; another one may only pass them on.
        structure: receives the reports.

    Raises:
        AttributeError: the module lacks the class of the hooks, or the hook.
    """
    if module.Hooks.__module__ != module.__name__:
        return []

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def emit_parse_error(self: Any, error: Exception, *args: Any, **kwargs: Any) -> Any:
            caller = sys._getframe(1)  # the frame that knows the class of the object
            read_safely(structure, _record, structure, error, caller, kwargs.get("attempt_number"))
            return original(self, error, *args, **kwargs)

        return emit_parse_error

    return [replace(module.Hooks, "emit_parse_error", make)]


def _record(structure: Structure, error: Exception, caller: FrameType | None, attempt: int | None) -> None:
    """Record the failed validation of an answer."""
    name = None
    for _ in range(_MOST_FRAMES):
        if caller is not None and name is None:
            name = getattr(caller.f_locals.get("response_model"), "__name__", None)
            caller = caller.f_back
    name = str(name or getattr(error, "title", None) or "response_model")
    structure.expect_no_tool(name)
    key = object()
    metadata = {} if attempt is None else {"attempt": attempt}
    structure.begin(key, "validation", name, metadata=metadata)
    structure.end(key, error=error)
