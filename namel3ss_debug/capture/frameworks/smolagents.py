"""Agents of smolagents: their runs, steps and plans, the tools and agents that they call, and the checks of their answers.

The step callbacks are called only when a step is over, so the methods of the agents are followed instead. The tools of
an agent that writes code are called by that code and are not known to the model as tools. They are recorded where they
are called.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from namel3ss_debug.capture.core import context
from namel3ss_debug.capture.core.patching import Undo, hide_own_frame, replace
from namel3ss_debug.capture.core.tracer import OpenSpan
from namel3ss_debug.capture.frameworks.structure import (
    Structure,
    observe,
    observe_tool,
    read_safely,
    run_in_span,
)
from namel3ss_debug.capture.seams.functions.tools import register_functions

_LOCAL_MODELS = ("TransformersModel", "VLLMModel", "MLXModel")
"""The models that answer within the process. The others send requests, which are recorded."""


def follow(module: Any, structure: Structure) -> list[Undo]:
    """Follow agents, tools or models, depending on the module.

    Raises:
        AttributeError: the module lacks a class or a method that is followed.
    """
    if module.__name__.endswith(".tools"):
        return [replace(module.Tool, "__call__", lambda original: _wrap_tool_call(original, structure))]
    if module.__name__.endswith(".models"):
        kinds = [getattr(module, name) for name in _LOCAL_MODELS if hasattr(module, name)]
        return [
            replace(kind, "generate", lambda original: _wrap_generate(original, structure)) for kind in kinds
        ]
    base = module.MultiStepAgent
    undo = [
        replace(base, "run", lambda original: _wrap_run(original, structure)),
        replace(base, "__call__", lambda original: _wrap_agent_call(original, structure)),
    ]
    undo += [
        replace(kind, "_step_stream", lambda original: _wrap_step(original, structure))
        for kind in (module.ToolCallingAgent, module.CodeAgent)
        if "_step_stream" in vars(kind)
    ]
    if hasattr(base, "_generate_planning_step"):
        undo.append(
            replace(
                base, "_generate_planning_step", lambda original: _wrap_planning_step(original, structure)
            )
        )
    if hasattr(base, "_validate_final_answer"):
        undo.append(
            replace(base, "_validate_final_answer", lambda original: _wrap_answer_check(original, structure))
        )
    return undo


def _agent_name(agent: Any) -> str:
    return getattr(agent, "name", None) or type(agent).__name__


def _wrap_run(original: Callable[..., Any], structure: Structure) -> Callable[..., Any]:
    def run(self: Any, task: Any, *args: Any, **kwargs: Any) -> Any:
        if args[0] if args else kwargs.get("stream", False):
            return _follow_stream(self, structure, task, original(self, task, *args, **kwargs))
        key = object()
        structure.begin(key, "agent", _agent_name(self), inputs={"task": task})
        try:
            result = original(self, task, *args, **kwargs)
        except BaseException as error:
            hide_own_frame(error)
            structure.end(key, error=error)
            raise
        structure.end(key, {"result": getattr(result, "output", result)})
        return result

    return run


def _follow_stream(
    agent: Any, structure: Structure, task: Any, steps: Generator[Any, Any, Any]
) -> Generator[Any, Any, Any]:
    """Return the steps of a streamed run. The run is inside its span while it works on a step."""
    return run_in_span(
        steps,
        lambda key, frame: structure.begin(
            key, "agent", _agent_name(agent), inputs={"task": task}, frame=frame
        ),
        lambda key, error: structure.end(key, error=error),
    )


def _wrap_step(original: Callable[..., Any], structure: Structure) -> Callable[..., Any]:
    def _step_stream(self: Any, memory_step: Any, *args: Any, **kwargs: Any) -> Any:
        turn = getattr(memory_step, "step_number", None)
        return run_in_span(
            original(self, memory_step, *args, **kwargs),
            lambda key, frame: structure.begin(
                key, "agent", _agent_name(self), prefix="agent_turn", metadata={"turn": turn}, frame=frame
            ),
            lambda key, error: structure.end(key, error=error),
        )

    return _step_stream


def _wrap_planning_step(original: Callable[..., Any], structure: Structure) -> Callable[..., Any]:
    def _generate_planning_step(*args: Any, **kwargs: Any) -> Any:
        return run_in_span(
            original(*args, **kwargs),
            lambda key, frame: structure.begin(key, "chain", "planning", prefix="chain_step", frame=frame),
            lambda key, error: structure.end(key, error=error),
        )

    return _generate_planning_step


def _wrap_answer_check(original: Callable[..., Any], structure: Structure) -> Callable[..., Any]:
    def begin(_agent: Any, final_answer: Any, *_args: Any, **_kwargs: Any) -> object:
        key = object()
        structure.begin(key, "validation", "final_answer_checks", inputs={"answer": final_answer})
        return key

    return observe(
        original,
        structure,
        begin,
        lambda key, _result: structure.end(key, {"passed": True}),
        lambda key, error: structure.end(key, error=error),
    )


def _wrap_tool_call(original: Callable[..., Any], structure: Structure) -> Callable[..., Any]:
    def begin(tool: Any, *args: Any, **kwargs: Any) -> object:
        key = object()
        read_safely(structure, register_functions, tool.name, getattr(tool, "forward", None))
        structure.begin_tool(key, tool.name, read_safely(structure, _arguments_by_name, tool, args, kwargs))
        return key

    return observe_tool(original, structure, begin)


def _arguments_by_name(tool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a tool by name. The tool accepts single arguments or one dict."""
    named = {name: value for name, value in kwargs.items() if name != "sanitize_inputs_outputs"}
    if len(args) == 1 and not named and isinstance(args[0], dict):
        return args[0]
    return dict(zip(getattr(tool, "inputs", None) or (), args, strict=False)) | named


def _wrap_agent_call(original: Callable[..., Any], structure: Structure) -> Callable[..., Any]:
    """Record the call of an agent by another one, which calls it like a tool."""

    def begin(agent: Any, task: Any, *_args: Any, **kwargs: Any) -> tuple[object, str, str | None]:
        key, name, caller = object(), _agent_name(agent), _current_agent()
        structure.begin_tool(key, name, {"task": task} | kwargs)
        _record_message(structure, caller, name, task)
        return key, name, caller

    def end(call: tuple[object, str, str | None], result: Any) -> None:
        key, name, caller = call
        _record_message(structure, name, caller, result)
        structure.end_tool(key, result)

    return observe(
        original, structure, begin, end, lambda call, error: structure.end_tool(call[0], error=error)
    )


def _record_message(structure: Structure, sender: str | None, receiver: str | None, text: Any) -> None:
    if sender is not None and receiver is not None:
        metadata = {"framework": structure.framework, "from": sender, "to": receiver, "kind": "message"}
        structure.record_event(
            "agent_message",
            component="agent",
            component_name=sender,
            outputs={"text": text},
            metadata=metadata,
        )


def _current_agent() -> str | None:
    """Return the name of the agent that the running code is inside."""
    span = context.current()
    while isinstance(span, OpenSpan) and span.component != "agent":
        span = span._parent
    return span.name if isinstance(span, OpenSpan) else None


def _wrap_generate(original: Callable[..., Any], structure: Structure) -> Callable[..., Any]:
    def begin(model: Any, messages: Any, *_args: Any, **_kwargs: Any) -> object:
        key, name = object(), getattr(model, "model_id", None) or type(model).__name__
        inputs = read_safely(structure, _format_request, name, messages)
        structure.begin_model(key, name, inputs=inputs)
        return key

    def end(key: object, answer: Any) -> None:
        usage = read_safely(structure, _read_usage, answer)
        structure.end_model(key, {"text": getattr(answer, "content", None)}, usage=usage)

    return observe(original, structure, begin, end, lambda key, error: structure.end_model(key, error=error))


def _format_request(model: str, messages: Any) -> dict[str, Any]:
    return {"model": model, "messages": [_format_message(message) for message in messages]}


def _read_usage(answer: Any) -> dict[str, int]:
    usage = getattr(answer, "token_usage", None)
    return {} if usage is None else {name: getattr(usage, name) for name in ("input_tokens", "output_tokens")}


def _format_message(message: Any) -> dict[str, Any]:
    """Return a message in the format of OpenTelemetry."""
    fields = message if isinstance(message, dict) else vars(message)
    role, content = fields.get("role"), fields.get("content")
    parts = [{"type": "text", "content": content}] if isinstance(content, str) else content or []
    return {"role": str(getattr(role, "value", role)), "parts": parts}
