"""Agents of smolagents: their runs, steps and plans, the tools and the agents that they call, and the checks of their answers.

Its step callbacks are told of a step when that is over, so the methods of its agents are followed themselves. Tools of
an agent that writes code are called by that code, and never named to the model as tools; they are recorded where they
are called.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from typing import Any

from namel3ss_debug.capture import context
from namel3ss_debug.capture.frameworks.reading import read
from namel3ss_debug.capture.frameworks.structure import Structure
from namel3ss_debug.capture.patching import Undo, hide_own_frame, replace
from namel3ss_debug.capture.spans import Span
from namel3ss_debug.capture.tools import runs_as

_LOCAL_MODELS = ("TransformersModel", "VLLMModel", "MLXModel")
"""The models that answer within the process; the others send requests, which are recorded."""


def follow(module: Any, structure: Structure) -> list[Undo]:
    """Follow agents, tools or models, whichever the module has.

    Raises:
        AttributeError: the module has not what is followed there.
    """
    if module.__name__.endswith(".tools"):
        return [replace(module.Tool, "__call__", lambda original: _calling(original, structure))]
    if module.__name__.endswith(".models"):
        kinds = [getattr(module, name) for name in _LOCAL_MODELS if hasattr(module, name)]
        return [replace(kind, "generate", lambda original: _asking(original, structure)) for kind in kinds]
    base = module.MultiStepAgent
    undo = [
        replace(base, "run", lambda original: _running(original, structure)),
        replace(base, "__call__", lambda original: _being_asked(original, structure)),
    ]
    undo += [
        replace(kind, "_step_stream", lambda original: _stepping(original, structure))
        for kind in (module.ToolCallingAgent, module.CodeAgent)
        if "_step_stream" in vars(kind)
    ]
    if hasattr(base, "_generate_planning_step"):
        undo.append(replace(base, "_generate_planning_step", lambda original: _planning(original, structure)))
    if hasattr(base, "_validate_final_answer"):
        undo.append(replace(base, "_validate_final_answer", lambda original: _checking(original, structure)))
    return undo


def _name(agent: Any) -> str:
    return getattr(agent, "name", None) or type(agent).__name__


def _running(original: Callable[..., Any], structure: Structure) -> Callable[..., Any]:
    def run(self: Any, task: Any, *args: Any, **kwargs: Any) -> Any:
        if args[0] if args else kwargs.get("stream", False):
            return _streamed(self, structure, task, original(self, task, *args, **kwargs))
        key = object()
        structure.begin(key, "agent", _name(self), inputs={"task": task})
        try:
            result = original(self, task, *args, **kwargs)
        except BaseException as error:
            hide_own_frame(error)
            structure.end(key, error=error)
            raise
        structure.end(key, {"result": getattr(result, "output", result)})
        return result

    return run


def _streamed(
    agent: Any, structure: Structure, task: Any, steps: Generator[Any, Any, Any]
) -> Generator[Any, Any, Any]:
    """The steps of a run, which is inside of its span while it works on one."""
    return _followed(
        steps,
        structure,
        lambda key, frame: structure.begin(key, "agent", _name(agent), inputs={"task": task}, frame=frame),
    )


def _stepping(original: Callable[..., Any], structure: Structure) -> Callable[..., Any]:
    def _step_stream(self: Any, memory_step: Any, *args: Any, **kwargs: Any) -> Any:
        turn = getattr(memory_step, "step_number", None)
        return _followed(
            original(self, memory_step, *args, **kwargs),
            structure,
            lambda key, frame: structure.begin(
                key, "agent", _name(self), prefix="agent_turn", metadata={"turn": turn}, frame=frame
            ),
        )

    return _step_stream


def _planning(original: Callable[..., Any], structure: Structure) -> Callable[..., Any]:
    def _generate_planning_step(*args: Any, **kwargs: Any) -> Any:
        return _followed(
            original(*args, **kwargs),
            structure,
            lambda key, frame: structure.begin(key, "chain", "planning", prefix="chain_step", frame=frame),
        )

    return _generate_planning_step


def _followed(
    steps: Generator[Any, Any, Any], structure: Structure, begin: Callable[[object, Any], None]
) -> Generator[Any, Any, Any]:
    """A generator inside a span that begins when it is first asked for something."""
    key = object()
    begin(key, sys._getframe())  # noqa: SLF001  (the frame that is suspended with the generator)
    error: BaseException | None = None
    try:
        return (yield from steps)
    except GeneratorExit:  # nobody wants to hear more
        raise
    except BaseException as raised:
        hide_own_frame(raised)
        error = raised
        raise
    finally:
        structure.end(key, error=error)


def _checking(original: Callable[..., Any], structure: Structure) -> Callable[..., Any]:
    def _validate_final_answer(self: Any, final_answer: Any, *args: Any, **kwargs: Any) -> Any:
        key = object()
        structure.begin(key, "validation", "final_answer_checks", inputs={"answer": final_answer})
        try:
            result = original(self, final_answer, *args, **kwargs)
        except BaseException as error:
            hide_own_frame(error)
            structure.end(key, error=error)
            raise
        structure.end(key, {"passed": True})
        return result

    return _validate_final_answer


def _calling(original: Callable[..., Any], structure: Structure) -> Callable[..., Any]:
    def __call__(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N807  (it stands in the place of one)
        key = object()
        read(structure, runs_as, self.name, getattr(self, "forward", None))
        structure.begin_tool(key, self.name, read(structure, _given, self, args, kwargs))
        try:
            result = original(self, *args, **kwargs)
        except BaseException as error:
            hide_own_frame(error)
            structure.end_tool(key, error=error)
            raise
        structure.end_tool(key, result)
        return result

    return __call__


def _given(tool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a tool by name, as it takes them: one by one, or as one dict."""
    given = {name: value for name, value in kwargs.items() if name != "sanitize_inputs_outputs"}
    if len(args) == 1 and not given and isinstance(args[0], dict):
        return args[0]
    return dict(zip(getattr(tool, "inputs", None) or (), args, strict=False)) | given


def _being_asked(original: Callable[..., Any], structure: Structure) -> Callable[..., Any]:
    """An agent is called by another, as that calls its tools."""

    def __call__(self: Any, task: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N807  (as above)
        key, name, asking = object(), _name(self), _agent_around()
        structure.begin_tool(key, name, {"task": task} | kwargs)
        _say(structure, asking, name, task)
        try:
            result = original(self, task, *args, **kwargs)
        except BaseException as error:
            hide_own_frame(error)
            structure.end_tool(key, error=error)
            raise
        _say(structure, name, asking, result)
        structure.end_tool(key, result)
        return result

    return __call__


def _say(structure: Structure, sender: str | None, receiver: str | None, text: Any) -> None:
    if sender is not None and receiver is not None:
        told = {"framework": structure.framework, "from": sender, "to": receiver, "kind": "message"}
        structure.tell(
            "agent_message", component="agent", component_name=sender, outputs={"text": text}, metadata=told
        )


def _agent_around() -> str | None:
    """The name of the agent that the running code is inside."""
    span = context.current()
    while isinstance(span, Span) and span.component != "agent":
        span = span._parent  # noqa: SLF001  (a span of our own)
    return span.name if isinstance(span, Span) else None


def _asking(original: Callable[..., Any], structure: Structure) -> Callable[..., Any]:
    def generate(self: Any, messages: Any, *args: Any, **kwargs: Any) -> Any:
        key = object()
        model = getattr(self, "model_id", None) or type(self).__name__
        structure.begin_model(key, model, inputs=read(structure, _asked, model, messages))
        try:
            answer = original(self, messages, *args, **kwargs)
        except BaseException as error:
            hide_own_frame(error)
            structure.end_model(key, error=error)
            raise
        usage = read(structure, _used, answer)
        structure.end_model(key, {"text": getattr(answer, "content", None)}, usage=usage)
        return answer

    return generate


def _asked(model: str, messages: Any) -> dict[str, Any]:
    return {"model": model, "messages": [_message(each) for each in messages]}


def _used(answer: Any) -> dict[str, int]:
    used = getattr(answer, "token_usage", None)
    return {} if used is None else {name: getattr(used, name) for name in ("input_tokens", "output_tokens")}


def _message(message: Any) -> dict[str, Any]:
    """A message in the words of OpenTelemetry."""
    told = message if isinstance(message, dict) else vars(message)
    role, content = told.get("role"), told.get("content")
    parts = [{"type": "text", "content": content}] if isinstance(content, str) else content or []
    return {"role": str(getattr(role, "value", role)), "parts": parts}
