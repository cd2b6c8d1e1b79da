"""Model calls of litellm that send nothing: answered by its cache, or with an answer that the program supplied.

What litellm sends is recorded where it leaves the process. Its callbacks run in a thread of their own when a call is
over, so `completion` and `acompletion` are followed instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from inspect import iscoroutinefunction
from types import TracebackType
from typing import Any, Self

from namel3ss_debug.capture.core.patching import Undo, hide_own_frame, replace
from namel3ss_debug.capture.frameworks.structure import Structure, read_safely

_WITHIN: ContextVar[bool] = ContextVar("namel3ss_debug_within_litellm", default=False)
"""Whether a call of litellm is in progress: one of its functions calls the other."""

_PARAMS = ("temperature", "top_p", "max_tokens", "max_completion_tokens", "stop", "seed", "response_format")


def follow(module: Any, structure: Structure) -> list[Undo]:
    """Follow the functions that call a model.

    Raises:
        AttributeError: the module lacks one of them.
    """
    return [
        replace(module, name, lambda original: _wrap_completion(original, structure))
        for name in ("completion", "acompletion")
    ]


def _wrap_completion(original: Callable[..., Any], structure: Structure) -> Callable[..., Any]:
    def completion(*args: Any, **kwargs: Any) -> Any:
        with _ModelCall(structure, args, kwargs) as call:
            return call.record_answer(original(*args, **kwargs))

    async def acompletion(*args: Any, **kwargs: Any) -> Any:
        with _ModelCall(structure, args, kwargs) as call:
            return call.record_answer(await original(*args, **kwargs))

    return acompletion if iscoroutinefunction(original) else completion


class _ModelCall:
    """One call of a model while it is in progress. A call inside it is not recorded separately."""

    def __init__(self, structure: Structure, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        self._structure = structure
        self._open = not _WITHIN.get()
        if self._open:
            arguments = dict(zip(("model", "messages"), args, strict=False)) | dict(kwargs)
            structure.begin_model(
                self,
                arguments.get("model"),
                inputs=lambda: read_safely(structure, _format_request, arguments) or {},
            )
        self._token = _WITHIN.set(True)

    def __enter__(self) -> Self:
        return self

    def record_answer(self, response: Any) -> Any:
        """Record the answer of the model, and return it. The content of a streamed answer is not known here."""
        if self._open:
            self._open = False
            if not self._structure.is_recorded(self):
                self._structure.end_model(self, read_safely(self._structure, _format_answer, response))
        return response

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            hide_own_frame(error)
        if self._open:
            self._structure.end_model(self, error=error)
        with suppress(ValueError):  # a coroutine that was never finished is closed in another context
            _WITHIN.reset(self._token)


def _format_request(arguments: Mapping[str, Any]) -> dict[str, Any]:
    messages = [_format_message(message) for message in arguments.get("messages") or ()]
    params = {name: arguments[name] for name in _PARAMS if arguments.get(name) is not None}
    return {"model": arguments.get("model"), "messages": messages} | ({"params": params} if params else {})


def _format_message(message: Any) -> Any:
    """Return a message in OpenAI's format in the format of OpenTelemetry."""
    fields = message if isinstance(message, Mapping) else getattr(message, "__dict__", {})
    content = fields.get("content")
    if content is not None and not isinstance(content, str):
        return {"role": fields.get("role"), "parts": list(content)}
    return {"role": fields.get("role"), "parts": [{"type": "text", "content": content}] if content else []}


def _format_answer(response: Any) -> dict[str, Any]:
    """Return the outputs of a complete answer. Its token counts are left out, because no model was called."""
    choices = getattr(response, "choices", None)
    if not isinstance(choices, list) or not choices or not hasattr(choices[0], "message"):
        return {}
    message = choices[0].message
    calls = [
        {"id": call.id, "name": call.function.name, "arguments": call.function.arguments}
        for call in getattr(message, "tool_calls", None) or ()
    ]
    reason = getattr(choices[0], "finish_reason", None)
    return {"text": message.content, "tool_calls": calls, "finish_reason": reason}
