"""Agents of pydantic-ai: their runs, their tools, and models that answer without traffic, such as its test model.

pydantic-ai reports its work only if the program switches its OpenTelemetry spans on, and then to where the program
wants it. So its public methods are followed instead: `Agent.iter`, through which every run goes,
`FunctionToolset.call_tool`, and `request` of the models that answer without traffic.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

from namel3ss_debug.capture.core.patching import Undo, hide_own_frame, replace
from namel3ss_debug.capture.frameworks.structure import Structure, observe, observe_tool, read_safely
from namel3ss_debug.capture.seams.functions.tools import register_functions


def follow(module: Any, structure: Structure) -> list[Undo]:
    """Follow agents, tools or a model, depending on the module.

    Raises:
        AttributeError: the module lacks a class or a method that is followed.
    """
    if module.__name__.endswith(".agent"):
        return [replace(module.Agent, "iter", lambda original: _wrap_iter(original, structure))]
    if module.__name__.endswith(".function") and hasattr(module, "FunctionToolset"):
        return [
            replace(
                module.FunctionToolset, "call_tool", lambda original: _wrap_call_tool(original, structure)
            )
        ]
    kind = getattr(module, "TestModel", None) or module.FunctionModel
    return [
        replace(kind, "request", lambda original: _wrap_request(original, structure)),
        replace(kind, "request_stream", lambda original: _wrap_request_stream(original, structure)),
    ]


def _wrap_iter(original: Callable[..., Any], structure: Structure) -> Callable[..., Any]:
    def iter(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: A001  (it replaces one)
        prompt = args[0] if args else kwargs.get("user_prompt")
        return _AgentRun(original(self, *args, **kwargs), structure, self, prompt)

    return iter


class _AgentRun:
    """A run of an agent, from entering its context manager to leaving it."""

    def __init__(self, manager: Any, structure: Structure, agent: Any, prompt: Any) -> None:
        self._manager = manager
        self._structure = structure
        self._agent = agent
        self._prompt = prompt
        self._run: Any = None

    async def __aenter__(self) -> Any:
        inputs = {} if self._prompt is None else {"prompt": self._prompt}
        self._structure.begin(self, "agent", self._agent.name or "agent", inputs=inputs)
        try:
            self._run = await self._manager.__aenter__()
        except BaseException as error:
            hide_own_frame(error)
            self._structure.end(self, error=error)
            raise
        return self._run

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        final_error = error
        try:
            handled: bool | None = await self._manager.__aexit__(kind, error, trace)
            final_error = None if handled else error
        except BaseException as raised:
            hide_own_frame(raised)
            final_error = raised
            raise
        finally:
            self._structure.end(self, self._result(), final_error)
        return handled

    def _result(self) -> Any:
        """Return the result of the run. A streamed run may have been left before its last step."""
        try:
            return self._run.result.output
        except AttributeError:
            return None


def _wrap_call_tool(original: Callable[..., Any], structure: Structure) -> Callable[..., Any]:
    def begin(toolset: Any, name: str, tool_args: Any, ctx: Any, *_args: Any, **_kwargs: Any) -> object:
        key = object()
        function = getattr(getattr(toolset, "tools", {}).get(name), "function", None)
        read_safely(structure, register_functions, name, function)
        structure.begin_tool(key, name, tool_args, call_id=getattr(ctx, "tool_call_id", None))
        return key

    return observe_tool(original, structure, begin)


def _wrap_request(original: Callable[..., Any], structure: Structure) -> Callable[..., Any]:
    def begin(model: Any, messages: Any, *_args: Any, **_kwargs: Any) -> object:
        key = object()
        inputs = read_safely(structure, _format_request, model, messages)
        structure.begin_model(key, model.model_name, inputs=inputs)
        return key

    return observe(
        original,
        structure,
        begin,
        lambda key, response: structure.end_model(key, read_safely(structure, _format_answer, response)),
        lambda key, error: structure.end_model(key, error=error),
    )


def _wrap_request_stream(original: Callable[..., Any], structure: Structure) -> Callable[..., Any]:
    def request_stream(self: Any, messages: Any, *args: Any, **kwargs: Any) -> Any:
        return _ModelStream(original(self, messages, *args, **kwargs), structure, self, messages)

    return request_stream


class _ModelStream:
    """A streamed answer of a model, from entering its context manager to leaving it."""

    def __init__(self, manager: Any, structure: Structure, model: Any, messages: Any) -> None:
        self._manager = manager
        self._structure = structure
        self._model = model
        self._messages = messages
        self._stream: Any = None

    async def __aenter__(self) -> Any:
        inputs = read_safely(self._structure, _format_request, self._model, self._messages)
        self._structure.begin_model(self, self._model.model_name, inputs=inputs)
        try:
            self._stream = await self._manager.__aenter__()
        except BaseException as error:
            hide_own_frame(error)
            self._structure.end_model(self, error=error)
            raise
        return self._stream

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            handled: bool | None = await self._manager.__aexit__(kind, error, trace)
        except BaseException as raised:
            hide_own_frame(raised)
            raise
        finally:
            outputs = None
            if error is None:
                outputs = read_safely(self._structure, lambda: _format_answer(self._stream.get()))
            self._structure.end_model(self, outputs, error)
        return handled


def _format_request(model: Any, messages: Any) -> dict[str, Any]:
    return {"model": model.model_name, "messages": [_format_message(message) for message in messages]}


def _format_message(message: Any) -> dict[str, Any]:
    """Return a message in the format of OpenTelemetry, without what the framework adds for itself."""
    is_response = message.kind == "response"
    parts = [_format_part(each) for each in message.parts]
    system = bool(parts) and all(each.part_kind == "system-prompt" for each in message.parts)
    role = "assistant" if is_response else "system" if system else "user"
    if not is_response and any(part["type"] == "tool_call_response" for part in parts):
        role = "tool"
    return {"role": role, "parts": parts}


def _format_part(part: Any) -> dict[str, Any]:
    kind = part.part_kind
    if kind == "tool-call":
        arguments = part.args_as_dict()
        return {"type": "tool_call", "id": part.tool_call_id, "name": part.tool_name, "arguments": arguments}
    if kind in {"tool-return", "retry-prompt"} and part.tool_name is not None:
        return {"type": "tool_call_response", "id": part.tool_call_id, "response": part.content}
    content = getattr(part, "content", None)
    if isinstance(content, str):
        return {"type": "reasoning" if kind == "thinking" else "text", "content": content}
    return {"type": kind, "content": content}


def _format_answer(response: Any) -> dict[str, Any]:
    """Return the outputs of a test model. Its token counts are left out, because they are made up."""
    parts = _format_message(response)["parts"]
    calls = [
        {name: part[name] for name in ("id", "name", "arguments")}
        for part in parts
        if part["type"] == "tool_call"
    ]
    text = "".join(part["content"] for part in parts if part["type"] == "text")
    return {
        "text": text or None,
        "tool_calls": calls,
        "finish_reason": getattr(response, "finish_reason", None),
    }
