"""Crews, flows, tasks and agents of crewai, as its event bus reports them.

The bus calls its handlers later and in its own threads. So the method that emits an event is followed, because it runs
in the context of the work that the event reports. An event names the event that it ends, and its parent.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple

from namel3ss_debug.capture.core.patching import Undo, replace
from namel3ss_debug.capture.frameworks.structure import Structure, find_existing_tools, observe, read_safely
from namel3ss_debug.capture.seams.functions.tools import register_functions
from namel3ss_debug.errors import short

_LONGEST_NAME = 80
_MOST_OPEN = 4096


class _Start(NamedTuple):
    """What an event begins: the component, functions for its name and its inputs, and the prefix of the event types."""

    component: str
    name: Callable[[Any], Any]
    inputs: Callable[[Any], Mapping[str, Any]] = lambda _event: {}
    prefix: str | None = None


def _task_name(event: Any) -> Any:
    task = event.task
    return getattr(task, "name", None) or getattr(task, "description", None) or event.task_name


_STARTS = {
    "crew_kickoff_started": _Start("chain", lambda e: e.crew_name, lambda e: {"inputs": e.inputs}),
    "flow_started": _Start("chain", lambda e: e.flow_name, lambda e: {"inputs": e.inputs}),
    "method_execution_started": _Start(
        "chain", lambda e: e.method_name, lambda e: {"params": e.params}, "chain_step"
    ),
    "task_started": _Start("chain", _task_name, lambda e: {"context": e.context}, "chain_step"),
    "agent_execution_started": _Start("agent", lambda e: e.agent.role, lambda e: {"prompt": e.task_prompt}),
    "lite_agent_execution_started": _Start(
        "agent", lambda e: e.agent_info.get("role"), lambda e: {"messages": e.messages}
    ),
    "agent_reasoning_started": _Start("chain", lambda _event: "reasoning", prefix="chain_step"),
    "knowledge_query_started": _Start(
        "chain", lambda _event: "knowledge", lambda e: {"prompt": e.task_prompt}, "chain_step"
    ),
    "llm_guardrail_started": _Start("validation", lambda e: e.guardrail_name or "guardrail"),
}
"""Type of an event -> what it begins. Types with the prefix `llm_call` or `tool_usage` are models and tools."""

_FLOW_EVENTS = frozenset({"flow_started", "method_execution_started"})
"""Events of flows. An agent of crewai is implemented as a flow too, which is not shown; the user's flows are."""

_MEMORY: dict[str, tuple[str, Callable[[Any], Any], Callable[[Any], Any]]] = {
    "memory_query_completed": ("search", lambda e: e.query, lambda e: e.results),
    "memory_retrieval_completed": ("read", lambda _event: None, lambda e: e.memory_content),
    "memory_save_completed": ("write", lambda _event: None, lambda e: e.value),
}
"""Type of an event -> the operation on the memory, its key, and its value."""

_ENDINGS = ("_completed", "_finished", "_failed", "_error", "_paused", "_canceled")
_TOOLS = "crewai.tools.base_tool"
_COWORKERS = {"delegate_work_to_coworker": "handoff", "ask_question_to_coworker": "message"}
"""The tools with which an agent turns to another one -> the kind of its message."""


class _Scopes(NamedTuple):
    """The events of a bus that contain others.

    Attributes:
        starting: the types of events that begin a scope.
        unfinished: id of an event whose end has not come -> the kind of its scope, and the id of its parent.
    """

    starting: frozenset[str]
    unfinished: dict[Hashable, tuple[str, Hashable]]


def follow(module: Any, structure: Structure) -> list[Undo]:
    """Follow the event bus, or learn the functions of tools, depending on the module.

    Raises:
        AttributeError: events do not name their parents, or the module lacks a function that is followed.
    """
    if module.__name__ == _TOOLS:
        # pydantic adds a method of its own to the second
        kinds = module.BaseTool, getattr(module, "Tool", None)
        for tool in find_existing_tools(module.BaseTool):
            read_safely(structure, _learn, tool)
        own = [kind for kind in kinds if "model_post_init" in vars(kind or object)]
        return [
            replace(kind, "model_post_init", lambda original: _wrap_post_init(original, structure))
            for kind in own
        ]
    base = getattr(module, "BaseEvent", None)
    if "started_event_id" not in getattr(base, "model_fields", ()):
        raise AttributeError("its events do not name their parents")
    bus = module.CrewAIEventsBus
    scopes = _Scopes(getattr(module, "SCOPE_STARTING_EVENTS", frozenset()), {})

    def begin(_bus: Any, source: Any, event: Any, *_args: Any, **_kwargs: Any) -> tuple[Any, Any]:
        return source, event

    def end(emitted: tuple[Any, Any], _result_or_error: Any) -> None:
        _handle(structure, scopes, *emitted)

    return [
        replace(bus, name, lambda original: observe(original, structure, begin, end, end))
        for name in ("emit", "aemit")
        if hasattr(bus, name)
    ]


def _wrap_post_init(original: Callable[..., Any], structure: Structure) -> Callable[..., Any]:
    def model_post_init(self: Any, context: Any, /) -> None:
        original(self, context)
        read_safely(structure, _learn, self)

    return model_post_init


def _learn(tool: Any) -> None:
    """Register the functions of a tool under the names that it may have in an event."""
    strings = sys.modules.get("crewai.utilities.string_utils")
    sanitized = getattr(strings, "sanitize_tool_name", str)(tool.name)
    for name in {tool.name, sanitized}:
        # `_run` and `_arun` are the methods that each tool defines.
        register_functions(name, getattr(tool, "func", None), tool._run, tool._arun)


def _handle(structure: Structure, scopes: _Scopes, source: Any, event: Any) -> None:
    """Record an event that was emitted."""
    kind: str = event.type
    if kind in _MEMORY:
        _record_memory(structure, event)
    if kind.endswith("_started"):
        is_internal = kind in _FLOW_EVENTS and type(source).__module__.startswith("crewai.")
        if is_internal:
            structure.skip(event.event_id, event.parent_event_id)
        if is_internal or _begin(structure, scopes.starting, kind, event):
            scopes.unfinished[event.event_id] = kind.removesuffix("_started"), event.parent_event_id
            if len(scopes.unfinished) > _MOST_OPEN:  # the oldest will never end
                scopes.unfinished.pop(next(iter(scopes.unfinished)), None)
    elif kind.endswith(_ENDINGS) and event.started_event_id is not None:
        key = _find_ended(scopes.unfinished, kind.rpartition("_")[0], event.started_event_id)
        if key is not None:
            scopes.unfinished.pop(key, None)
            _end(structure, kind, key, event)


def _find_ended(unfinished: Mapping[Hashable, tuple[str, Hashable]], kind: str, named: Hashable) -> Hashable:
    """Return the id of what an end event ends: what it names, or what began inside that.

    When crewai reports a failure twice, the second event names the outer scope.
    """
    if named not in unfinished or unfinished[named][0] == kind:
        return named
    inner = (key for key, (known, parent) in list(unfinished.items()) if known == kind and parent == named)
    return next(inner, None)


def _begin(structure: Structure, scopes: frozenset[str], kind: str, event: Any) -> bool:
    """Record the start of something, and return whether an end will follow."""
    key, parent = event.event_id, event.parent_event_id
    if kind == "llm_call_started":
        inputs = {"model": event.model, "messages": _messages(event.messages)}
        structure.begin_model(key, event.model, parent=parent, inputs=inputs)
    elif kind == "tool_usage_started":
        arguments = _arguments(event.tool_args)
        structure.begin_tool(key, event.tool_name, arguments, parent=parent)
        message_kind = _COWORKERS.get(event.tool_name.lower().replace(" ", "_"))
        if message_kind is not None:
            _record_message(structure, event.agent_role, arguments, message_kind)
    elif kind in _STARTS:
        start = _STARTS[kind]
        name = short(str(start.name(event) or start.component).strip(), _LONGEST_NAME)
        inputs = {input_name: value for input_name, value in start.inputs(event).items() if value}
        structure.begin(key, start.component, name, parent=parent, prefix=start.prefix, inputs=inputs)
    elif kind in scopes:  # any other event, such as a line of the log, has no end and contains nothing
        structure.skip(key, parent)
    else:
        return False
    return True


def _end(structure: Structure, kind: str, key: Hashable, event: Any) -> None:
    cause = getattr(event, "error", None)
    has_failed = kind.endswith(("_failed", "_error"))
    error = None
    if has_failed:
        error = cause if isinstance(cause, BaseException) else _FailureError(str(cause))
    if kind.startswith("llm_call_"):
        structure.end_model(key, _answer(event), error, _usage(event))
    elif kind.startswith("tool_usage_"):
        structure.end_tool(key, getattr(event, "output", None), error)
    elif has_failed and not isinstance(cause, BaseException):
        structure.mark_failed(key, "error", str(cause))
        structure.end(key)
    else:
        structure.end(key, _outputs(event), error)


class _FailureError(Exception):
    """A failure of which crewai only reports the text."""


def _outputs(event: Any) -> Any:
    output = next(
        (getattr(event, name) for name in ("output", "result", "plan") if hasattr(event, name)), None
    )
    return getattr(output, "raw", output)


def _messages(messages: Any) -> list[dict[str, Any]]:
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    return [
        {"role": message.get("role"), "parts": [{"type": "text", "content": message.get("content")}]}
        for message in messages or ()
        if isinstance(message, Mapping)
    ]


def _answer(event: Any) -> dict[str, Any]:
    response = getattr(event, "response", None)
    return {} if response is None else {"text": response if isinstance(response, str) else str(response)}


def _usage(event: Any) -> dict[str, int]:
    usage = getattr(event, "usage", None) or {}
    names = {"input_tokens": "prompt_tokens", "output_tokens": "completion_tokens"}
    return {
        field: usage[reported] for field, reported in names.items() if isinstance(usage.get(reported), int)
    }


def _arguments(arguments: Any) -> dict[str, Any]:
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except ValueError:
            return {"input": arguments}
    return dict(arguments) if isinstance(arguments, Mapping) else {}


def _record_message(
    structure: Structure, sender: str | None, arguments: Mapping[str, Any], kind: str
) -> None:
    receiver = arguments.get("coworker")
    if sender and receiver:
        metadata = {
            "framework": structure.framework,
            "from": sender.strip(),
            "to": str(receiver).strip(),
            "kind": kind,
        }
        text = arguments.get("task") or arguments.get("question")
        structure.record_event(
            "agent_message",
            component="agent",
            component_name=metadata["from"],
            outputs={"text": text},
            metadata=metadata,
        )


def _record_memory(structure: Structure, event: Any) -> None:
    operation, key, value = _MEMORY[event.type]
    inputs = {name: item for name, item in (("key", key(event)), ("value", value(event))) if item is not None}
    metadata = {"framework": structure.framework, "operation": operation}
    structure.record_event(
        "memory_operation",
        component="memory",
        component_name=event.source_type or "memory",
        inputs=inputs,
        metadata=metadata,
    )
