"""Crews, flows, tasks and agents of crewai, as its event bus tells of them.

Handlers on the bus are called in threads of its own, sometime after; so the bus is listened to where an event is given
to it, which is in the context of what the event is about. Its events name the event that they end and the one that they
are in.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple

from namel3ss_debug.capture.frameworks.reading import made_before, read
from namel3ss_debug.capture.frameworks.structure import Structure
from namel3ss_debug.capture.patching import Undo, hide_own_frame, replace
from namel3ss_debug.capture.tools import runs_as
from namel3ss_debug.errors import short

_MOST_NAME = 80
_MOST_BEGUN = 4096


class _Begins(NamedTuple):
    """What an event begins: the component, how it is called, what goes in, and the prefix of the event types."""

    component: str
    name: Callable[[Any], Any]
    inputs: Callable[[Any], Mapping[str, Any]] = lambda _event: {}
    prefix: str | None = None


def _task_name(event: Any) -> Any:
    task = event.task
    return getattr(task, "name", None) or getattr(task, "description", None) or event.task_name


_BEGINS = {
    "crew_kickoff_started": _Begins("chain", lambda e: e.crew_name, lambda e: {"inputs": e.inputs}),
    "flow_started": _Begins("chain", lambda e: e.flow_name, lambda e: {"inputs": e.inputs}),
    "method_execution_started": _Begins(
        "chain", lambda e: e.method_name, lambda e: {"params": e.params}, "chain_step"
    ),
    "task_started": _Begins("chain", _task_name, lambda e: {"context": e.context}, "chain_step"),
    "agent_execution_started": _Begins("agent", lambda e: e.agent.role, lambda e: {"prompt": e.task_prompt}),
    "lite_agent_execution_started": _Begins(
        "agent", lambda e: e.agent_info.get("role"), lambda e: {"messages": e.messages}
    ),
    "agent_reasoning_started": _Begins("chain", lambda _event: "reasoning", prefix="chain_step"),
    "knowledge_query_started": _Begins(
        "chain", lambda _event: "knowledge", lambda e: {"prompt": e.task_prompt}, "chain_step"
    ),
    "llm_guardrail_started": _Begins("validation", lambda e: e.guardrail_name or "guardrail"),
}
"""Type of an event -> what it begins. Those that begin with `llm_call` and `tool_usage` are models and tools."""

_OF_FLOWS = frozenset({"flow_started", "method_execution_started"})
"""What an agent of crewai's own is made of as well: that is not shown, a flow of the user's is."""

_MEMORY: dict[str, tuple[str, Callable[[Any], Any], Callable[[Any], Any]]] = {
    "memory_query_completed": ("search", lambda e: e.query, lambda e: e.results),
    "memory_retrieval_completed": ("read", lambda _event: None, lambda e: e.memory_content),
    "memory_save_completed": ("write", lambda _event: None, lambda e: e.value),
}
"""Type of an event -> the operation on the memory, its key, and its value."""

_ENDINGS = ("_completed", "_finished", "_failed", "_error", "_paused", "_canceled")
_TOOLS = "crewai.tools.base_tool"
_COWORKERS = {"delegate_work_to_coworker": "handoff", "ask_question_to_coworker": "message"}
"""The tools by which an agent turns to another -> the kind of what it says."""


class _Scopes(NamedTuple):
    """What is known of the events of a bus that others are in.

    Attributes:
        starting: the types of those that begin it.
        begun: by the id of each that has not ended, what it begins, and the id of what it is in.
    """

    starting: frozenset[str]
    begun: dict[Hashable, tuple[str, Hashable]]


def follow(module: Any, structure: Structure) -> list[Undo]:
    """Listen to the event bus, or learn what tools are made of, whichever the module is about.

    Raises:
        AttributeError: events do not say what they belong to, or the module has not what is followed there.
    """
    if module.__name__ == _TOOLS:
        # pydantic gives the second a method of its own
        kinds = module.BaseTool, getattr(module, "Tool", None)
        for tool in made_before(module.BaseTool):
            read(structure, _learn, tool)
        own = [kind for kind in kinds if "model_post_init" in vars(kind or object)]
        return [
            replace(kind, "model_post_init", lambda original: _making(original, structure)) for kind in own
        ]
    base = getattr(module, "BaseEvent", None)
    if "started_event_id" not in getattr(base, "model_fields", ()):
        raise AttributeError("its events do not say what they belong to")
    bus = module.CrewAIEventsBus
    scopes = _Scopes(getattr(module, "SCOPE_STARTING_EVENTS", frozenset()), {})
    undo = [replace(bus, "emit", lambda original: _emitting(original, structure, scopes))]
    if hasattr(bus, "aemit"):
        undo.append(replace(bus, "aemit", lambda original: _emitting_on_loop(original, structure, scopes)))
    return undo


def _making(original: Callable[..., Any], structure: Structure) -> Callable[..., Any]:
    def model_post_init(self: Any, context: Any, /) -> None:
        original(self, context)
        read(structure, _learn, self)

    return model_post_init


def _learn(tool: Any) -> None:
    """What a tool runs, under the names that it may have in an event."""
    strings = sys.modules.get("crewai.utilities.string_utils")
    sanitized = getattr(strings, "sanitize_tool_name", str)(tool.name)
    for name in {tool.name, sanitized}:
        runs_as(name, getattr(tool, "func", None), tool._run, tool._arun)  # noqa: SLF001  (which each tool has for its own)


def _emitting(original: Callable[..., Any], structure: Structure, scopes: _Scopes) -> Callable[..., Any]:
    def emit(self: Any, source: Any, event: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return original(self, source, event, *args, **kwargs)
        except BaseException as error:
            hide_own_frame(error)
            raise
        finally:
            read(structure, _hear, structure, scopes, source, event)

    return emit


def _emitting_on_loop(
    original: Callable[..., Any], structure: Structure, scopes: _Scopes
) -> Callable[..., Any]:
    async def aemit(self: Any, source: Any, event: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return await original(self, source, event, *args, **kwargs)
        except BaseException as error:
            hide_own_frame(error)
            raise
        finally:
            read(structure, _hear, structure, scopes, source, event)

    return aemit


def _hear(structure: Structure, scopes: _Scopes, source: Any, event: Any) -> None:
    """An event was given to the bus."""
    kind: str = event.type
    if kind in _MEMORY:
        _remember(structure, event)
    if kind.endswith("_started"):
        is_own = kind in _OF_FLOWS and type(source).__module__.startswith("crewai.")
        if is_own:
            structure.skip(event.event_id, event.parent_event_id)
        if is_own or _begin(structure, scopes.starting, kind, event):
            scopes.begun[event.event_id] = kind.removesuffix("_started"), event.parent_event_id
            if len(scopes.begun) > _MOST_BEGUN:  # the oldest will never end
                scopes.begun.pop(next(iter(scopes.begun)), None)
    elif kind.endswith(_ENDINGS) and event.started_event_id is not None:
        key = _ended(scopes.begun, kind.rpartition("_")[0], event.started_event_id)
        if key is not None:
            scopes.begun.pop(key, None)
            _end(structure, kind, key, event)


def _ended(begun: Mapping[Hashable, tuple[str, Hashable]], what: str, named: Hashable) -> Hashable:
    """What an end ends: what it names, or what began in that. Of a failure that it tells twice, crewai ends what is around it."""
    if named not in begun or begun[named][0] == what:
        return named
    inner = (key for key, (kind, parent) in list(begun.items()) if kind == what and parent == named)
    return next(inner, None)


def _begin(structure: Structure, scopes: frozenset[str], kind: str, event: Any) -> bool:
    """Something has begun; whether it ends, too."""
    key, parent = event.event_id, event.parent_event_id
    if kind == "llm_call_started":
        inputs = {"model": event.model, "messages": _messages(event.messages)}
        structure.begin_model(key, event.model, parent=parent, inputs=inputs)
    elif kind == "tool_usage_started":
        arguments = _arguments(event.tool_args)
        structure.begin_tool(key, event.tool_name, arguments, parent=parent)
        said = _COWORKERS.get(event.tool_name.lower().replace(" ", "_"))
        if said is not None:
            _say(structure, event.agent_role, arguments, said)
    elif kind in _BEGINS:
        begins = _BEGINS[kind]
        name = short(str(begins.name(event) or begins.component).strip(), _MOST_NAME)
        inputs = {what: value for what, value in begins.inputs(event).items() if value}
        structure.begin(key, begins.component, name, parent=parent, prefix=begins.prefix, inputs=inputs)
    elif kind in scopes:  # nothing ends any other, such as a line of the log, nor is anything in it
        structure.skip(key, parent)
    else:
        return False
    return True


def _end(structure: Structure, kind: str, key: Hashable, event: Any) -> None:
    told = getattr(event, "error", None)
    failed = kind.endswith(("_failed", "_error"))
    error = None
    if failed:
        error = told if isinstance(told, BaseException) else _FailureError(str(told))
    if kind.startswith("llm_call_"):
        structure.end_model(key, _answer(event), error, _usage(event))
    elif kind.startswith("tool_usage_"):
        structure.end_tool(key, getattr(event, "output", None), error)
    elif failed and not isinstance(told, BaseException):
        structure.failed(key, "error", str(told))
        structure.end(key)
    else:
        structure.end(key, _outputs(event), error)


class _FailureError(Exception):
    """What crewai tells of a failure: a text."""


def _outputs(event: Any) -> Any:
    found = next(
        (getattr(event, name) for name in ("output", "result", "plan") if hasattr(event, name)), None
    )
    return getattr(found, "raw", found)


def _messages(messages: Any) -> list[dict[str, Any]]:
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    return [
        {"role": each.get("role"), "parts": [{"type": "text", "content": each.get("content")}]}
        for each in messages or ()
        if isinstance(each, Mapping)
    ]


def _answer(event: Any) -> dict[str, Any]:
    response = getattr(event, "response", None)
    return {} if response is None else {"text": response if isinstance(response, str) else str(response)}


def _usage(event: Any) -> dict[str, int]:
    told = getattr(event, "usage", None) or {}
    names = {"input_tokens": "prompt_tokens", "output_tokens": "completion_tokens"}
    return {ours: told[theirs] for ours, theirs in names.items() if isinstance(told.get(theirs), int)}


def _arguments(told: Any) -> dict[str, Any]:
    if isinstance(told, str):
        try:
            told = json.loads(told)
        except ValueError:
            return {"input": told}
    return dict(told) if isinstance(told, Mapping) else {}


def _say(structure: Structure, sender: str | None, arguments: Mapping[str, Any], kind: str) -> None:
    receiver = arguments.get("coworker")
    if sender and receiver:
        told = {
            "framework": structure.framework,
            "from": sender.strip(),
            "to": str(receiver).strip(),
            "kind": kind,
        }
        text = arguments.get("task") or arguments.get("question")
        structure.tell(
            "agent_message",
            component="agent",
            component_name=told["from"],
            outputs={"text": text},
            metadata=told,
        )


def _remember(structure: Structure, event: Any) -> None:
    operation, key, value = _MEMORY[event.type]
    inputs = {
        name: found for name, found in (("key", key(event)), ("value", value(event))) if found is not None
    }
    metadata = {"framework": structure.framework, "operation": operation}
    structure.tell(
        "memory_operation",
        component="memory",
        component_name=event.source_type or "memory",
        inputs=inputs,
        metadata=metadata,
    )
