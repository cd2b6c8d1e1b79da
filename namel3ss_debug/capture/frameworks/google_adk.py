"""Hand-offs between agents of google-adk, and tools of classes; what else its agents do comes from the spans that it makes itself.

An agent hands over by a tool of the framework's, which names the other agent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from namel3ss_debug.capture.frameworks.reading import read
from namel3ss_debug.capture.frameworks.structure import Structure
from namel3ss_debug.capture.patching import Undo, hide_own_frame, replace
from namel3ss_debug.capture.tools import runs_as

_HAND_OVER = "transfer_to_agent"


def follow(module: Any, structure: Structure) -> list[Undo]:
    """Follow the tools that are functions, among them the one that hands over, or those that are of a class.

    Raises:
        AttributeError: the module has not what is followed there.
    """
    if module.__name__.endswith(".base_tool"):
        return [
            replace(module.BaseTool, "__init__", lambda original: _making(original, structure, _of_class))
        ]
    return [
        replace(module.FunctionTool, "__init__", lambda original: _making(original, structure, _of_function)),
        replace(module.FunctionTool, "run_async", lambda original: _calling(original, structure)),
    ]


def _of_class(tool: Any) -> None:
    runs_as(tool.name, type(tool).run_async, given_in="args")


def _of_function(tool: Any) -> None:
    runs_as(tool.name, tool.func)


def _making(
    original: Callable[..., Any], structure: Structure, learn: Callable[[Any], None]
) -> Callable[..., Any]:
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807  (it stands in the place of one)
        try:
            original(self, *args, **kwargs)
        except BaseException as error:
            hide_own_frame(error)
            raise
        read(structure, learn, self)

    return __init__


def _calling(original: Callable[..., Any], structure: Structure) -> Callable[..., Any]:
    async def run_async(self: Any, *, args: dict[str, Any], tool_context: Any, **kwargs: Any) -> Any:
        try:
            result = await original(self, args=args, tool_context=tool_context, **kwargs)
        except BaseException as error:
            hide_own_frame(error)
            raise
        if self.name == _HAND_OVER:
            read(structure, _tell, structure, args, tool_context)
        return result

    return run_async


def _tell(structure: Structure, args: dict[str, Any], tool_context: Any) -> None:
    sender, receiver = getattr(tool_context, "agent_name", None), args.get("agent_name")
    if sender and receiver:
        told = {"framework": structure.framework, "from": sender, "to": receiver, "kind": "handoff"}
        structure.tell("agent_message", component="agent", component_name=sender, metadata=told)
