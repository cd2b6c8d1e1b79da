"""Model calls of litellm that send nothing: those answered by its cache, or by an answer that the program gave itself.

Whatever litellm sends is recorded where it leaves. Its callbacks hear of a call in a thread of their own when it is
over, so `completion` and `acompletion` are followed themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from inspect import iscoroutinefunction
from types import TracebackType
from typing import Any, Self

from namel3ss_debug.capture.frameworks.reading import read
from namel3ss_debug.capture.frameworks.structure import Structure
from namel3ss_debug.capture.patching import Undo, hide_own_frame, replace

_WITHIN: ContextVar[bool] = ContextVar("namel3ss_debug_within_litellm", default=False)
"""Whether litellm is at work on a call already: one of its functions calls the other."""

_PARAMS = ("temperature", "top_p", "max_tokens", "max_completion_tokens", "stop", "seed", "response_format")


def follow(module: Any, structure: Structure) -> list[Undo]:
    """Follow the functions that ask a model.

    Raises:
        AttributeError: the module has not what is followed there.
    """
    return [
        replace(module, name, lambda original: _asking(original, structure))
        for name in ("completion", "acompletion")
    ]


def _asking(original: Callable[..., Any], structure: Structure) -> Callable[..., Any]:
    def completion(*args: Any, **kwargs: Any) -> Any:
        with _Call(structure, args, kwargs) as call:
            return call.answered(original(*args, **kwargs))

    async def acompletion(*args: Any, **kwargs: Any) -> Any:
        with _Call(structure, args, kwargs) as call:
            return call.answered(await original(*args, **kwargs))

    return acompletion if iscoroutinefunction(original) else completion


class _Call:
    """One call of a model, while litellm is at work on it; a call within that is none of its own."""

    def __init__(self, structure: Structure, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        self._structure = structure
        self._open = not _WITHIN.get()
        if self._open:
            given = dict(zip(("model", "messages"), args, strict=False)) | dict(kwargs)
            structure.begin_model(
                self, given.get("model"), inputs=lambda: read(structure, _asked, given) or {}
            )
        self._token = _WITHIN.set(True)

    def __enter__(self) -> Self:
        return self

    def answered(self, response: Any) -> Any:
        """The model has answered; a streamed answer is on its way, and what it will say is not known here."""
        if self._open:
            self._open = False
            if not self._structure.is_recorded(self):
                self._structure.end_model(self, read(self._structure, _answered, response))
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


def _asked(given: Mapping[str, Any]) -> dict[str, Any]:
    messages = [_message(each) for each in given.get("messages") or ()]
    params = {name: given[name] for name in _PARAMS if given.get(name) is not None}
    return {"model": given.get("model"), "messages": messages} | ({"params": params} if params else {})


def _message(message: Any) -> Any:
    """A message of OpenAI's form in the words of OpenTelemetry."""
    told = message if isinstance(message, Mapping) else getattr(message, "__dict__", {})
    content = told.get("content")
    if content is not None and not isinstance(content, str):
        return {"role": told.get("role"), "parts": list(content)}
    return {"role": told.get("role"), "parts": [{"type": "text", "content": content}] if content else []}


def _answered(response: Any) -> dict[str, Any]:
    """The outputs of a whole answer. Its token counts are left out: no model was asked."""
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
