"""Agents of pydantic-ai: their runs, the tools that run in them, and models that ask nobody, such as its test model.

pydantic-ai tells of its work only where the program switches its OpenTelemetry spans on, and what it tells then goes
where the program wants it. So its public methods are followed instead: `Agent.iter`, through which every run goes,
`FunctionToolset.call_tool`, and `request` of the models that answer without any traffic.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

from namel3ss_debug.capture.frameworks.reading import read
from namel3ss_debug.capture.frameworks.structure import Structure
from namel3ss_debug.capture.patching import Undo, hide_own_frame, replace
from namel3ss_debug.capture.tools import runs_as


def follow(module: Any, structure: Structure) -> list[Undo]:
    """Follow agents, tools or a model, whichever the module has.

    Raises:
        AttributeError: the module has not what is followed there.
    """
    if module.__name__.endswith(".agent"):
        return [replace(module.Agent, "iter", lambda original: _running(original, structure))]
    if module.__name__.endswith(".function") and hasattr(module, "FunctionToolset"):
        return [replace(module.FunctionToolset, "call_tool", lambda original: _calling(original, structure))]
    kind = getattr(module, "TestModel", None) or module.FunctionModel
    return [
        replace(kind, "request", lambda original: _asking(original, structure)),
        replace(kind, "request_stream", lambda original: _streaming(original, structure)),
    ]


def _running(original: Callable[..., Any], structure: Structure) -> Callable[..., Any]:
    def iter(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: A001  (it stands in the place of one)
        prompt = args[0] if args else kwargs.get("user_prompt")
        return _Run(original(self, *args, **kwargs), structure, self, prompt)

    return iter


class _Run:
    """A run of an agent, from when it is entered to when it is left."""

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
        left = error
        try:
            handled: bool | None = await self._manager.__aexit__(kind, error, trace)
            left = None if handled else error
        except BaseException as raised:
            hide_own_frame(raised)
            left = raised
            raise
        finally:
            self._structure.end(self, self._result(), left)
        return handled

    def _result(self) -> Any:
        """What came of the run; a streamed one may have ended before its last step."""
        try:
            return self._run.result.output
        except AttributeError:
            return None


def _calling(original: Callable[..., Any], structure: Structure) -> Callable[..., Any]:
    async def call_tool(self: Any, name: str, tool_args: Any, ctx: Any, *args: Any, **kwargs: Any) -> Any:
        key = object()
        read(structure, runs_as, name, getattr(getattr(self, "tools", {}).get(name), "function", None))
        structure.begin_tool(key, name, tool_args, call_id=getattr(ctx, "tool_call_id", None))
        try:
            result = await original(self, name, tool_args, ctx, *args, **kwargs)
        except BaseException as error:
            hide_own_frame(error)
            structure.end_tool(key, error=error)
            raise
        structure.end_tool(key, result)
        return result

    return call_tool


def _asking(original: Callable[..., Any], structure: Structure) -> Callable[..., Any]:
    async def request(self: Any, messages: Any, *args: Any, **kwargs: Any) -> Any:
        key = object()
        structure.begin_model(key, self.model_name, inputs=read(structure, _asked, self, messages))
        try:
            response = await original(self, messages, *args, **kwargs)
        except BaseException as error:
            hide_own_frame(error)
            structure.end_model(key, error=error)
            raise
        structure.end_model(key, read(structure, _answered, response))
        return response

    return request


def _streaming(original: Callable[..., Any], structure: Structure) -> Callable[..., Any]:
    def request_stream(self: Any, messages: Any, *args: Any, **kwargs: Any) -> Any:
        return _Stream(original(self, messages, *args, **kwargs), structure, self, messages)

    return request_stream


class _Stream:
    """A streamed answer of a model, from when it is asked for to when it is left."""

    def __init__(self, manager: Any, structure: Structure, model: Any, messages: Any) -> None:
        self._manager = manager
        self._structure = structure
        self._model = model
        self._messages = messages
        self._stream: Any = None

    async def __aenter__(self) -> Any:
        inputs = read(self._structure, _asked, self._model, self._messages)
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
                outputs = read(self._structure, lambda: _answered(self._stream.get()))
            self._structure.end_model(self, outputs, error)
        return handled


def _asked(model: Any, messages: Any) -> dict[str, Any]:
    return {"model": model.model_name, "messages": [_message(each) for each in messages]}


def _message(message: Any) -> dict[str, Any]:
    """A message in the words of OpenTelemetry; what the framework adds for itself is left out."""
    said = message.kind == "response"
    parts = [_part(each) for each in message.parts]
    system = bool(parts) and all(each.part_kind == "system-prompt" for each in message.parts)
    role = "assistant" if said else "system" if system else "user"
    if not said and any(part["type"] == "tool_call_response" for part in parts):
        role = "tool"
    return {"role": role, "parts": parts}


def _part(part: Any) -> dict[str, Any]:
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


def _answered(response: Any) -> dict[str, Any]:
    """The outputs of a test model. Its token counts are left out: they are made up."""
    parts = _message(response)["parts"]
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
