"""Langfuse: each observation is a span, with and without keys.

Without keys the client makes no spans of OpenTelemetry, so the public methods that start, update and end an observation
are followed; the decorator `observe` uses them too. With keys its spans are left out where those of OpenTelemetry are
followed. A generation is a step, and what it reports of a model call is recorded inside it if no request was seen there.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from namel3ss_debug.capture.core.context import CURRENT, SpanLike
from namel3ss_debug.capture.core.patching import Undo, replace
from namel3ss_debug.capture.frameworks.structure import Structure, observe, read_safely
from namel3ss_debug.wire import lenient, parts

_STEP = ("chain", "chain_step")
_KINDS: dict[str, tuple[str, str | None]] = {
    "agent": ("agent", None),
    "chain": ("chain", None),
    "evaluator": ("validation", None),
    "guardrail": ("validation", None),
}
"""Type of an observation -> component and event types. Any other but a tool is a step."""
_MODELS = {"generation", "embedding"}
_EVENT = "event"
"""The type of observations that end at once."""

_USAGE = {
    "input_tokens": ("input", "input_tokens", "prompt_tokens"),
    "output_tokens": ("output", "output_tokens", "completion_tokens"),
    "cache_read_tokens": ("cache_read_input_tokens", "input_cached_tokens"),
    "cache_write_tokens": ("cache_creation_input_tokens",),
    "reasoning_tokens": ("output_reasoning_tokens", "reasoning_tokens"),
}
"""Count -> its names in the details of the usage."""

_OBSERVERS: WeakKeyDictionary[Structure, _LangfuseObserver] = WeakKeyDictionary()


def follow(module: Any, structure: Structure) -> list[Undo]:
    """Follow the methods of the client, or of observations.

    Raises:
        AttributeError: the module lacks a class or a method that is followed.
    """
    observer = _OBSERVERS.setdefault(structure, _LangfuseObserver(structure))
    is_client = module.__name__.endswith(".client")
    kind = module.Langfuse if is_client else module.LangfuseObservationWrapper

    def follow_start(original: Callable[..., Any]) -> Callable[..., Any]:
        return observe(original, structure, lambda owner, **fields: (owner, fields), observer.started)

    def follow_event(original: Callable[..., Any]) -> Callable[..., Any]:
        return observe(
            original,
            structure,
            lambda owner, **fields: (owner, fields | {"as_type": _EVENT}),
            observer.started,
        )

    def follow_report(report: Callable[..., None]) -> Callable[[Any], Any]:
        return lambda original: observe(original, structure, report, lambda _state, _result: None)

    undo = [
        replace(kind, "start_observation", follow_start),
        replace(kind, "create_event", follow_event),
        replace(
            kind, "start_as_current_observation", lambda original: _wrap_start_as_current(original, observer)
        ),
    ]
    if is_client:
        names = ("update_current_span", "update_current_generation")
        return undo + [replace(kind, name, follow_report(observer.update_current)) for name in names]
    return [
        *undo,
        replace(kind, "update", follow_report(observer.update)),
        replace(kind, "end", follow_report(observer.end)),
    ]


@dataclass(slots=True)
class _Observation:
    """What is known of an observation that has not ended."""

    kind: str
    model: Any = None  # the key of the model call that it reports
    fields: dict[str, Any] = field(default_factory=dict)


class _LangfuseObserver:
    """Reports to a `Structure` what the program tells Langfuse. An observation is its own key."""

    def __init__(self, structure: Structure) -> None:
        self.structure = structure
        self._open: dict[Any, _Observation] = {}
        self._current: ContextVar[Any] = ContextVar("namel3ss_debug_langfuse", default=None)

    def started(self, call: tuple[Any, Mapping[str, Any]], observation: Any) -> None:
        """Record the beginning of an observation that is not the current one."""
        owner, fields = call
        token = CURRENT.set(CURRENT.get())
        try:
            self._begin(observation, owner, fields)
            if fields.get("as_type") == _EVENT:
                self.end(observation)
        finally:
            CURRENT.reset(token)

    def enter(
        self, observation: Any, owner: Any, fields: Mapping[str, Any]
    ) -> tuple[Token[SpanLike | None], Token[Any]]:
        """Record the beginning of an observation that what runs next is inside of."""
        tokens = CURRENT.set(CURRENT.get()), self._current.set(observation)
        self._begin(observation, owner, fields)
        return tokens

    def leave(
        self, observation: Any, tokens: tuple[Token[SpanLike | None], Token[Any]] | None, *, ends: bool
    ) -> None:
        """Leave the current observation. One that stays open belongs to a generator."""
        if ends:
            self.end(observation)
        for variable, token in zip((CURRENT, self._current), tokens or (), strict=False):
            with contextlib.suppress(ValueError):  # it is left in another context
                variable.reset(token)

    def update_current(self, _client: Any, **fields: Any) -> None:
        """Keep what the program adds to the current observation."""
        self.update(self._current.get(), **fields)

    def update(self, observation: Any, **fields: Any) -> None:
        """Keep what the program adds to an observation, and note a failure."""
        known = self._open.get(observation)
        if known is None:
            return
        known.fields |= lenient.drop_none(fields)
        if fields.get("level") == "ERROR":
            raised = sys.exc_info()[1]
            kind = "error" if raised is None else type(raised).__name__
            self._fail(observation, kind, fields.get("status_message"))

    def fail(self, observation: Any, error: BaseException) -> None:
        """Note that an exception leaves an observation."""
        self._fail(observation, type(error).__name__, str(error))

    def end(self, observation: Any, **_fields: Any) -> None:
        """Record the end of an observation."""
        known = self._open.pop(observation, None)
        if known is None:
            return
        output, structure = known.fields.get("output"), self.structure
        if known.kind == "tool":
            structure.end_tool(observation, output)
            return
        if known.model is not None and not structure.is_recorded(known.model):
            outputs = {"text": output} if isinstance(output, str) else {"result": output}
            structure.end_model(
                known.model,
                lenient.drop_none(outputs),
                usage=read_safely(structure, _read_usage, known.fields),
                inputs=read_safely(structure, _format_request, known.fields),
            )
        structure.end(observation, output)

    def _begin(self, observation: Any, owner: Any, fields: Mapping[str, Any]) -> None:
        kind, name, structure = str(fields.get("as_type") or "span"), fields["name"], self.structure
        self._open[observation] = known = _Observation(kind, fields=lenient.drop_none(dict(fields)))
        parent = owner if owner in self._open else None
        value = fields.get("input")
        if kind == "tool":
            structure.begin_tool(observation, name, _read_arguments(value), parent=parent)
            return
        component, prefix = _KINDS.get(kind, _STEP)
        inputs = value if isinstance(value, Mapping) else None if value is None else {"input": value}
        metadata = {"type": kind} if (component, prefix) == _STEP and kind != "span" else None
        structure.begin(
            observation, component, name, parent=parent, prefix=prefix, inputs=inputs, metadata=metadata
        )
        if kind in _MODELS:
            known.model = object()
            structure.begin_model(known.model, fields.get("model") or name, parent=observation)

    def _fail(self, observation: Any, kind: str, text: str | None) -> None:
        known = self._open.get(observation)
        if known is not None:
            self.structure.mark_failed(observation, kind, text)
            if known.model is not None:
                self.structure.mark_failed(known.model, kind, text)


def _wrap_start_as_current(original: Callable[..., Any], observer: _LangfuseObserver) -> Callable[..., Any]:
    # Langfuse uses OpenTelemetry's own version, which can also decorate coroutine functions.
    decorator = sys.modules.get("opentelemetry.util._decorator")
    make = getattr(decorator, "_agnosticcontextmanager", contextlib.contextmanager)

    def start_as_current_observation(self: Any, **fields: Any) -> Iterator[Any]:
        structure = observer.structure
        with original(self, **fields) as observation:
            tokens = read_safely(structure, observer.enter, observation, self, fields)
            try:
                yield observation
            except BaseException as error:
                read_safely(structure, observer.fail, observation, error)
                raise
            finally:
                ends = fields.get("end_on_exit") is not False
                read_safely(structure, observer.leave, observation, tokens, ends=ends)

    followed: Callable[..., Any] = make(start_as_current_observation)
    return followed


def _read_arguments(value: Any) -> dict[str, Any] | None:
    """Return the arguments of a tool. The decorator reports positional arguments and keywords apart."""
    if not isinstance(value, Mapping):
        return None if value is None else {"input": value}
    if value.keys() == {"args", "kwargs"} and not value["args"]:
        return dict(value["kwargs"])
    return dict(value)


def _read_usage(fields: Mapping[str, Any]) -> dict[str, int]:
    details = lenient.mapping(fields.get("usage_details"))
    counts = {
        ours: next(
            (count for name in theirs if (count := lenient.count(details.get(name))) is not None), None
        )
        for ours, theirs in _USAGE.items()
    }
    return lenient.drop_none(counts)


def _format_request(fields: Mapping[str, Any]) -> dict[str, Any]:
    request: dict[str, Any] = {"model": fields.get("model"), "params": fields.get("model_parameters")}
    value = fields.get("input")
    messages = lenient.mappings(value)
    if messages:
        request["messages"] = [_format_message(message) for message in messages]
    elif value is not None:
        request["input"] = value
    return lenient.drop_none(request)


def _format_message(message: dict[str, Any]) -> dict[str, Any]:
    content = message.get("content")
    content_parts = [parts.make_text(content)] if isinstance(content, str) else lenient.mappings(content)
    return parts.make_message(message.get("role") or "user", content_parts)
