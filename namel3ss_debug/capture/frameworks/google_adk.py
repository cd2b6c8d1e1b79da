"""Hand-offs between agents of google-adk, and tools of classes; its own spans report everything else that its agents do.

An agent hands over with a tool of the framework, which names the other agent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from namel3ss_debug.capture.frameworks.reading import read_safely
from namel3ss_debug.capture.frameworks.structure import Structure
from namel3ss_debug.capture.patching import Undo, hide_own_frame, replace
from namel3ss_debug.capture.tools import runs_as

_HAND_OVER = "transfer_to_agent"


def follow(module: Any, structure: Structure) -> list[Undo]:
    """Follow the tools that are functions, including the one that hands over, or those of a class.

    Raises:
        AttributeError: the module lacks a class or a method that is followed.
    """
    if module.__name__.endswith(".base_tool"):
        return [
            replace(
                module.BaseTool,
                "__init__",
                lambda original: _wrap_init(original, structure, _learn_class_tool),
            )
        ]
    return [
        replace(
            module.FunctionTool,
            "__init__",
            lambda original: _wrap_init(original, structure, _learn_function_tool),
        ),
        replace(module.FunctionTool, "run_async", lambda original: _wrap_run_async(original, structure)),
    ]


def _learn_class_tool(tool: Any) -> None:
    runs_as(tool.name, type(tool).run_async, given_in="args")


def _learn_function_tool(tool: Any) -> None:
    runs_as(tool.name, tool.func)


def _wrap_init(
    original: Callable[..., Any], structure: Structure, learn: Callable[[Any], None]
) -> Callable[..., Any]:
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807  (it replaces one)
        try:
            original(self, *args, **kwargs)
        except BaseException as error:
            hide_own_frame(error)
            raise
        read_safely(structure, learn, self)

    return __init__


def _wrap_run_async(original: Callable[..., Any], structure: Structure) -> Callable[..., Any]:
    async def run_async(self: Any, *, args: dict[str, Any], tool_context: Any, **kwargs: Any) -> Any:
        try:
            result = await original(self, args=args, tool_context=tool_context, **kwargs)
        except BaseException as error:
            hide_own_frame(error)
            raise
        if self.name == _HAND_OVER:
            read_safely(structure, _record_hand_off, structure, args, tool_context)
        return result

    return run_async


def _record_hand_off(structure: Structure, args: dict[str, Any], tool_context: Any) -> None:
    sender, receiver = getattr(tool_context, "agent_name", None), args.get("agent_name")
    if sender and receiver:
        metadata = {"framework": structure.framework, "from": sender, "to": receiver, "kind": "handoff"}
        structure.record_event("agent_message", component="agent", component_name=sender, metadata=metadata)
