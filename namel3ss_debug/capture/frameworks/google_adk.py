"""Hand-offs between agents of google-adk, and tools of classes; its own spans report everything else that its agents do.

An agent hands over with a tool of the framework, which names the other agent.
"""

from __future__ import annotations

from typing import Any

from namel3ss_debug.capture.core.patching import Undo, replace
from namel3ss_debug.capture.frameworks.structure import Structure, observe, observe_creation
from namel3ss_debug.capture.seams.functions.tools import register_functions

_HAND_OVER = "transfer_to_agent"


def follow(module: Any, structure: Structure) -> list[Undo]:
    """Follow the tools that are functions, including the one that hands over, or those of a class.

    Raises:
        AttributeError: the module lacks a class or a method that is followed.
    """

    def learn_class(tool: Any) -> None:
        register_functions(tool.name, type(tool).run_async, arguments_in="args")

    def learn_function(tool: Any) -> None:
        register_functions(tool.name, tool.func)

    def begin(tool: Any, *, args: dict[str, Any], tool_context: Any, **_kwargs: Any) -> tuple[str, Any, Any]:
        return tool.name, getattr(tool_context, "agent_name", None), args.get("agent_name")

    def end(called: tuple[str, Any, Any], _result: Any) -> None:
        name, sender, receiver = called
        if name == _HAND_OVER and sender and receiver:
            metadata = {"framework": structure.framework, "from": sender, "to": receiver, "kind": "handoff"}
            structure.record_event(
                "agent_message", component="agent", component_name=sender, metadata=metadata
            )

    if module.__name__.endswith(".base_tool"):
        return [
            replace(
                module.BaseTool,
                "__init__",
                lambda original: observe_creation(original, structure, learn_class),
            )
        ]
    kind = module.FunctionTool
    return [
        replace(kind, "__init__", lambda original: observe_creation(original, structure, learn_function)),
        replace(kind, "run_async", lambda original: observe(original, structure, begin, end)),
    ]
