"""Spans of OpenTelemetry that frameworks such as google-adk publish, as structure of a trace.

A provider of the program gets one more span processor when it is created. What it exports, and where to, does not
change. Without a provider, OpenTelemetry's proxy tracer makes spans that record nothing: these are tracked here, and
for the program they still record nothing. No provider is installed, and no SDK is needed. When the program makes a
span current, the code that runs next is inside our span for it.

The meaning of a span is read from its attributes (GenAI conventions, OpenInference, OpenLLMetry, AgentOps). Any other
span is a step if the user's own code made it. If a library did, it is a `span` in a program with a provider, which wants
such spans, and ignored in any other.

Programs often set the attributes right after the start. Such a span is deferred: it begins to be recorded when something
is recorded inside it, or when it ends, with the time of its real start.
"""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Callable, Iterator, Mapping
from contextvars import Token
from functools import lru_cache
from types import CodeType, FrameType
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from namel3ss_debug.capture.core.context import CURRENT, NOWHERE, SpanLike
from namel3ss_debug.capture.core.context import current as current_span
from namel3ss_debug.capture.core.patching import Undo, hide_own_frame, replace
from namel3ss_debug.capture.core.tracer import OpenSpan
from namel3ss_debug.capture.frameworks import tasks
from namel3ss_debug.capture.frameworks.current_span import Inside, is_generator
from namel3ss_debug.capture.frameworks.structure import (
    Structure,
    is_recorded_elsewhere,
    read_safely,
    subclasses_of,
)
from namel3ss_debug.traces.clocks import perf_counter_ns
from namel3ss_debug.traces.span_events import read_span
from namel3ss_debug.wire import conventions
from namel3ss_debug.wire.conventions import Meaning

_LIBRARY_SPAN = "span"
"""The component of spans of libraries that have no meaning here."""
SDK = "opentelemetry.sdk.trace"
_OWN = __name__.partition(".")[0] + "."
_PLUMBING = ("contextlib", "opentelemetry.", __name__)
_STARTING = ("contextlib", "opentelemetry.trace", "opentelemetry.sdk.", "opentelemetry.util._decorator", _OWN)
"""The modules between a span and the code that starts it."""
_DECORATING = ("inner", "async_wrapper")
"""Functions of these modules that start a span for a decorated function, which is their local `func`."""
_FOLLOWED_DIRECTLY = (
    "pydantic-ai", "pydantic_ai", "langchain", "langgraph", "openai_agents", "openai-agents", "smolagents", "crewai",
    "mcp-python-sdk", "langfuse-sdk",
)  # fmt: skip
"""Parts of the names of instrumentations whose frameworks have a seam of their own here."""
_SETTERS = {"set_attribute", "set_attributes"}
_SET_LATER = ("agentops",)
"""Scopes whose spans get attributes in another function than the one that starts them."""
_END_ON_EXIT = 8
"""The index of `end_on_exit`, which `start_span` does not take, in the arguments of `start_as_current_span`."""

_ENDS_OF_ITERATORS = (StopIteration, StopAsyncIteration)

_FOLLOWED: WeakKeyDictionary[Structure, _SpanTracker] = WeakKeyDictionary()


def follow(module: Any, structure: Structure) -> list[Undo]:
    """Follow the spans that are made through OpenTelemetry's interface, and the providers that its SDK makes.

    The SDK imports the interface, so the interface is followed already when the SDK has been imported completely.

    Raises:
        AttributeError: this version of the module lacks a function that is followed.
    """
    if module.__name__ == SDK:
        followed = _FOLLOWED.get(structure)
        return [] if followed is None else followed.follow_providers(module)
    # `attach` and `detach` call this object, under whatever name the program has imported them; and the key of the
    # current span in a context.
    runtime, span_key = module.context_api._RUNTIME_CONTEXT, module._SPAN_KEY
    spans = _SpanTracker(module, structure, span_key)
    _FOLLOWED[structure] = spans
    structure.tracer.at_end.append(spans.end_left)
    return [
        replace(module.ProxyTracer, "start_span", lambda original: _wrap_start_span(original, spans)),
        replace(
            module.ProxyTracer,
            "start_as_current_span",
            lambda original: _wrap_start_as_current_span(original, spans),
        ),
        replace(runtime, "attach", lambda original: _wrap_attach(original, spans, runtime, span_key)),
        replace(runtime, "detach", lambda original: _wrap_detach(original, spans)),
    ]


class _Since(NamedTuple):
    """When a deferred span started, by both clocks, and where."""

    timestamp: float
    at: int
    call_site: str | None


class _StartedSpan(NamedTuple):
    """A span that has started.

    Attributes:
        parent: the identity of its parent.
        scope: the name of its tracer.
        name: its name.
        attributes: its attributes at the start, or those it has by now.
        provided: the span of the SDK; `None` if it records nothing for the program.
        is_own: whether the user's own code made it.
        since: its start, if it is deferred.
    """

    parent: Any
    scope: str
    name: str
    attributes: Mapping[str, Any]
    provided: Any
    is_own: bool
    since: _Since | None = None


class _DeferredPlace:
    """A position inside a span that is deferred, as a value of the context. The first question about it ends that."""

    __slots__ = ("_frame", "_inside", "_key", "_outer", "_spans")
    may_be_outside = True

    def __init__(
        self, spans: _SpanTracker, key: Any, outer: SpanLike | None, frame: FrameType | None
    ) -> None:
        self._spans, self._key = spans, key
        self._outer, self._frame = outer, frame
        self._inside: SpanLike | None = None

    def here(self) -> SpanLike | None:
        """Return the span, or the nearest outer one that is recorded."""
        if self._inside is None:
            self._inside = self._spans.find_place(self._key, self._outer, self._frame) or NOWHERE
            self._frame = None  # it would keep the locals of the program alive
        return self._inside.here()

    @property
    def event_id(self) -> str:
        """Return the id of the span."""
        here = self.here()
        return "" if here is None else here.event_id

    @property
    def session_id(self) -> str | None:
        """Return the session of the span."""
        here = self.here()
        return None if here is None else here.session_id


class _LeftSpan(NamedTuple):
    """The state of a span when it was left, in case the program never ends it."""

    timestamp: float
    at: int
    failure: tuple[str, str] | None


class _SpanTracker:
    """The spans of this process that have a meaning, each under its identity in OpenTelemetry."""

    def __init__(self, trace: Any, structure: Structure, span_key: str) -> None:
        self.trace = trace
        self._span_key = span_key
        self.structure = structure
        self.active = True
        self.noted_class = _make_noted_class(trace, self)
        self._places: dict[Any, Inside] = {}
        self._kinds: dict[Any, Meaning] = {}
        self.attached: dict[int, tuple[object, Token[SpanLike | None], Any]] = {}
        # id of a token of OpenTelemetry -> the token itself, our token to reset, and the span that was entered
        self._deferred: dict[Any, _StartedSpan] = {}
        self._left: dict[Any, _LeftSpan] = {}
        self._collected: list[Any] = []  # keys of left spans that were garbage-collected

    def key(self, span: Any) -> Any:
        """Return the identity of a span, or `None` if it is invalid."""
        if isinstance(span, self.noted_class):
            return span.tracking_key
        span_context = span.get_span_context()
        if span_context is None or not span_context.is_valid:
            return None
        return span_context.trace_id, span_context.span_id

    def begin(
        self,
        key: Any,
        parent: Any,
        scope: str,
        name: str,
        attributes: Mapping[str, Any],
        provided: Any = None,
    ) -> None:
        """Begin to record a span, which is not entered yet.

        Args:
            key: its identity.
            parent: that of its parent.
            scope: the name of its tracer.
            name: its name.
            attributes: its attributes.
            provided: the span of the SDK; `None` for a span that records nothing for the program.
        """
        with contextlib.suppress(IndexError):
            while self._collected:
                left = self._collected.pop()
                self.decide(left)
                self._end_left_span(left)
        code = _starting_code()
        started = _StartedSpan(parent, scope, name, attributes, provided, self._is_own(scope, code))
        if self._is_deferred(started, code):
            site = self.structure.tracer.sites.at(sys._getframe(1))
            since = _Since(self.structure.tracer.now(), perf_counter_ns(), site)
            self._deferred[key] = started._replace(since=since)
        else:
            self._record(key, started)

    def decide(self, key: Any, *, is_over: bool = False) -> None:
        """Begin to record a span that is deferred.

        Args:
            key: its identity; nothing happens if it is not deferred.
            is_over: whether it has ended, so that nothing was recorded inside it.
        """
        started = self._deferred.pop(key, None)
        if started is not None:
            if started.provided is not None:
                started = started._replace(attributes=dict(started.provided.attributes or {}))
            self._record(key, started, is_over=is_over)

    def _is_deferred(self, started: _StartedSpan, code: CodeType | None) -> bool:
        """Return whether a span that is going to be recorded may get attributes after its start."""
        if code is None or not (_SETTERS.intersection(code.co_names) or started.scope in _SET_LATER):
            return False
        meaning = self._interpret(started)
        is_candidate = started.is_own or started.provided is not None
        return is_candidate and meaning is not None and meaning.kind not in {"model", "tool"}

    def _record(self, key: Any, started: _StartedSpan, *, is_over: bool = False) -> None:
        meaning = self._interpret(started)
        is_late = started.since is not None and not is_over
        # When something inside it is recorded, that may be this very call.
        if (
            meaning is None
            or self._repeats_outer(started.parent, meaning)
            or (is_late and meaning.kind == "model")
            or (is_late and meaning.kind == "tool" and is_recorded_elsewhere(meaning.name or started.name))
        ):
            self.decide(started.parent)
            self.structure.skip(key, started.parent)
            return
        parent, attributes, structure = started.parent, started.attributes, self.structure
        self.decide(parent)
        self._kinds[key] = meaning
        metadata = {"scope": started.scope}
        outer = self._place(parent)
        if outer is not None:
            self._places[key] = outer
        if meaning.kind == "model":
            structure.begin_model(key, meaning.name, parent=parent, metadata=metadata)
        else:
            token = CURRENT.set(CURRENT.get())
            try:
                facts = read_span(meaning, attributes)
                if meaning.kind == "tool":
                    arguments, call_id = facts.inputs.get("arguments"), facts.inputs.get("call_id")
                    name = facts.name or started.name
                    structure.begin_tool(
                        key, name, arguments, parent=parent, call_id=call_id, metadata=metadata
                    )
                else:
                    since = started.since
                    structure.begin(
                        key,
                        facts.component,
                        facts.name,
                        parent=parent,
                        prefix=facts.prefix,
                        inputs=facts.inputs,
                        metadata=metadata,
                        timestamp=None if since is None else since.timestamp,
                        call_site=None if since is None else since.call_site,
                    )
                inside = CURRENT.get()
                if isinstance(inside, Inside) and structure.parent_of(key) is key:
                    self._places[key] = inside
            finally:
                CURRENT.reset(token)
        if started.since is not None:
            structure.backdate(key, started.since.timestamp, started.since.at)

    def make_noted_span(
        self, plain: Any, tracer: Any, name: str, context_of_parent: Any, attributes: Any
    ) -> Any:
        """Return a noted span in place of one that a proxy tracer has made."""
        noted = self.noted_class(plain)
        noted.set_attributes(attributes)
        parent = self.key(self.trace.get_current_span(context_of_parent))
        scope = tracer._instrumenting_module_name  # nothing public shows it
        self.begin(noted.tracking_key, parent, scope, name, noted.noted_attributes)
        return noted

    def drop(self, key: Any) -> None:
        """Handle a span that was garbage-collected without having ended.

        Our span ended when it was left, if the program had asked whether it records. Otherwise it stays open.
        """
        if key in self._left or key in self._deferred:
            self._collected.append(key)  # nothing else, because garbage collection may run at any point
            return
        self._kinds.pop(key, None)
        self._places.pop(key, None)
        self.structure.drop(key)

    def note_left(self, span: Any, failure: tuple[str, str] | None = None) -> None:
        """Remember when a span was left, if the program asked whether it records. That may have been its end."""
        meaning = self._kinds.get(span.tracking_key)
        if span.tracking_key in self._deferred or (meaning is not None and meaning.kind != "model"):
            self._left[span.tracking_key] = _LeftSpan(self.structure.tracer.now(), perf_counter_ns(), failure)

    def end_left(self) -> None:
        """Record the spans that are deferred, and end those that were left, because recording ends."""
        for key in list(self._deferred):
            read_safely(self.structure, self.decide, key)
        for key in list(self._left):
            read_safely(self.structure, self._end_left_span, key)

    def _end_left_span(self, key: Any) -> None:
        left, structure = self._left.pop(key, None), self.structure
        if left is None:
            return
        place = self._places.pop(key, None)
        self._kinds.pop(key, None)
        structure.drop(key)
        if left.failure is not None:
            structure.mark_failed(key, *left.failure)
        duration_ms = None if place is None else (left.at - place.span.started) / 1e6
        structure.end(
            key, timestamp=left.timestamp, duration_ms=duration_ms, cpu_time_ms=None, memory_usage_mb=None
        )

    def end(self, key: Any, attributes: Mapping[str, Any], failure: tuple[str, str] | None) -> None:
        """Record the end of a span. `failure` is the type and the text of its error."""
        self.decide(key, is_over=True)
        meaning = self._kinds.pop(key, None)
        self._places.pop(key, None)
        self._left.pop(key, None)
        structure = self.structure
        error = None if failure is None else _make_error(*failure)
        if meaning is None:
            structure.end(key)
        elif meaning.kind == "model":
            if not structure.is_recorded(key):
                facts = read_span(meaning, attributes)
                structure.end_model(key, facts.outputs, error, facts.usage, facts.inputs)
        elif meaning.kind == "tool":
            structure.end_tool(key, read_span(meaning, attributes).outputs.get("result"), error)
        else:
            if failure is not None:
                structure.mark_failed(key, *failure)
            is_described = meaning.kind in {"step", _LIBRARY_SPAN} and bool(attributes)
            own = {"attributes": dict(attributes)} if is_described else None
            structure.end(key, read_span(meaning, attributes).outputs or None, metadata=own)

    def on_sdk_start(self, span: Any, context_of_parent: Any) -> None:
        """Record the beginning of a span of the SDK."""
        parent = self.key(self.trace.get_current_span(context_of_parent))
        scope = getattr(span.instrumentation_scope, "name", "")
        self.begin(self.key(span), parent, scope, span.name, dict(span.attributes or {}), span)

    def on_sdk_end(self, span: Any) -> None:
        """Record the end of a span of the SDK."""
        self.end(self.key(span), dict(span.attributes or {}), _failure(span))

    def enter(self, entered: Any, frame: FrameType | None) -> Token[SpanLike | None] | None:
        """Make our span current when a context becomes current, unless the running code is inside it already."""
        span = entered.get(self._span_key)
        key = None if span is None else self.key(span)
        holder: SpanLike
        if key in self._deferred and not is_generator(frame):
            holder = _DeferredPlace(self, key, CURRENT.get(), frame)
        else:
            self.decide(key)
            place = self._place(key)
            if place is None or not place.span.is_open or _is_inside(place.span):
                return None
            holder = inside = Inside(place.span, CURRENT.get(), frame)
            if inside.generates:
                tasks.follow(self.structure.tracer.problem)
        if isinstance(span, self.noted_class):
            span.entered += 1
            self._left.pop(span.tracking_key, None)
        return CURRENT.set(holder)

    def find_place(self, key: Any, outer: SpanLike | None, frame: FrameType | None) -> SpanLike | None:
        """Return the position inside a span that was entered while it was deferred, and record it by now.

        Args:
            key: its identity.
            outer: the position that it was entered from; it is returned if the span is not recorded.
            frame: the frame that entered it.
        """
        token = CURRENT.set(outer)
        try:
            read_safely(self.structure, self.decide, key)
        finally:
            CURRENT.reset(token)
        place = self._place(key)
        return outer if place is None or not place.span.is_open else Inside(place.span, outer, frame)

    def _place(self, key: Any) -> Inside | None:
        """Return the place of our span, or of our span for the nearest outer span that has a meaning."""
        return self._places.get(key) or self._places.get(self.structure.parent_of(key))

    def leave(self, token: object) -> None:
        """Restore the context when a context that made our span current is detached."""
        _token, our_token, span = self.attached.pop(id(token))
        if isinstance(span, self.noted_class):
            span.leave()
        # The context may be detached in another one, which OpenTelemetry reports itself.
        with contextlib.suppress(ValueError):
            CURRENT.reset(our_token)

    def follow_providers(self, sdk: Any) -> list[Undo]:
        """Add a processor to each provider that is created from now on, and to those that exist."""
        processor = _make_processor(sdk, self)

        def wrap_init(original: Callable[..., None]) -> Callable[..., None]:
            def __init__(provider: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807  (it replaces one)
                original(provider, *args, **kwargs)
                provider.add_span_processor(processor)

            return __init__

        # If one is set, the program ran before recording began.
        if getattr(self.trace, "_TRACER_PROVIDER", None) is not None:
            for provider in gc.get_referrers(*subclasses_of(sdk.TracerProvider)):
                if sdk.TracerProvider in type(provider).__mro__:
                    provider.add_span_processor(processor)
        return [replace(sdk.TracerProvider, "__init__", wrap_init), self._stop]

    def _stop(self) -> None:
        self.active = False

    def _repeats_outer(self, parent: Any, meaning: Meaning) -> bool:
        """Return whether a span around this one reports the same call already."""
        outer = self._kinds.get(parent)
        if outer is None:
            return False
        return meaning.kind == outer.kind == "model" or (meaning.kind == "tool" and meaning == outer)

    def _interpret(self, started: _StartedSpan) -> Meaning | None:
        """Return the meaning of a span; `None` if it is left out."""
        if not self.active:
            return None
        is_followed = _is_followed_directly(started.scope)
        meaning = None if is_followed else conventions.interpret(started.name, started.attributes)
        if meaning is not None:
            return meaning
        if started.is_own:
            return Meaning("step", started.name)
        if started.provided is None or is_followed or conventions.NO_CALL in started.name:
            return None
        return Meaning(_LIBRARY_SPAN, started.name)

    def _is_own(self, scope: str, code: CodeType | None) -> bool:
        """Return whether the user's own code makes a span.

        An instrumentation is usually named after its module; otherwise the code that starts the span decides.
        """
        file = getattr(sys.modules.get(scope), "__dict__", {}).get("__file__")
        if not isinstance(file, str):
            file = "" if code is None else code.co_filename
        return self.structure.tracer.sites.shown(file) is not None


@lru_cache(maxsize=256)  # a program has few of them
def _is_followed_directly(scope: str) -> bool:
    """Return whether the framework of an instrumentation has a seam of its own here."""
    return any(part in scope for part in _FOLLOWED_DIRECTLY)


def _is_inside(span: OpenSpan) -> bool:
    """Return whether the running code is inside a span already, however deep."""
    current = current_span()
    while isinstance(current, OpenSpan) and current is not span:
        current = current._parent
    return current is span


def _make_noted_class(trace: Any, spans: _SpanTracker) -> type[Any]:
    """Return the class of the noted spans: they record nothing for the program, but are recorded here."""

    class NotedSpan(trace.NonRecordingSpan):  # type: ignore[misc]  # the base is only known at run time
        """A span that records nothing for the program, and continues the trace of the span that it replaces.

        A caller that asks whether the span records may drop it without ending it, as an SDK does.
        """

        def __init__(self, replaced: Any) -> None:
            super().__init__(replaced.get_span_context())
            self.tracking_key = object()
            self.has_ended = False
            self.entered = 0
            self.was_asked = False
            self.noted_attributes: dict[str, Any] = {}
            self.failure: tuple[str, str] | None = None
            self._handled = sys.exc_info()[1]

        def is_recording(self) -> bool:
            self.was_asked = True
            if not self.entered and not self.has_ended:
                read_safely(
                    spans.structure, spans.note_left, self, _raised_since(self._handled) or self.failure
                )
            return False

        def leave(self) -> None:
            """Note that the running code has left the span."""
            self.entered -= 1
            if self.was_asked and not self.entered:
                spans.note_left(self, _raised_since(self._handled) or self.failure)

        def set_attribute(self, key: str, value: Any) -> None:
            self.noted_attributes[key] = value

        def set_attributes(self, attributes: Any) -> None:
            self.noted_attributes.update(attributes or {})

        def record_exception(self, exception: BaseException, *_args: Any, **_kwargs: Any) -> None:
            self.failure = type(exception).__name__, str(exception)

        def end(self, end_time: int | None = None) -> None:  # noqa: ARG002  (the signature of the interface)
            self.failure = _raised_since(self._handled) or self.failure
            self.has_ended = True
            read_safely(spans.structure, spans.end, self.tracking_key, self.noted_attributes, self.failure)

        def __del__(self) -> None:
            try:
                if not self.has_ended:
                    spans.drop(self.tracking_key)
            except Exception:  # the interpreter is shutting down, and what is used here may be gone
                return

    return NotedSpan


def _raised_since(handled: BaseException | None) -> tuple[str, str] | None:
    """Return the type and the text of the exception that is being raised, unless it is `handled`.

    The end of an iterator does not count.
    """
    raised = sys.exc_info()[1]
    if raised is handled or not isinstance(raised, Exception) or isinstance(raised, _ENDS_OF_ITERATORS):
        return None
    return type(raised).__name__, str(raised)


def _wrap_start_span(original: Callable[..., Any], spans: _SpanTracker) -> Callable[..., Any]:
    def start_span(self: Any, name: str, context: Any = None, *args: Any, **kwargs: Any) -> Any:
        span = original(self, name, context, *args, **kwargs)
        if not spans.active or not _has_no_provider(self):
            return span
        attributes = args[1] if len(args) > 1 else kwargs.get("attributes")
        noted = read_safely(spans.structure, spans.make_noted_span, span, self, name, context, attributes)
        return span if noted is None else noted

    return start_span


def _wrap_start_as_current_span(original: Callable[..., Any], spans: _SpanTracker) -> Callable[..., Any]:
    # OpenTelemetry's own version can also decorate coroutine functions; older releases do not have it.
    make = getattr(spans.trace, "_agnosticcontextmanager", contextlib.contextmanager)

    def start_as_current_span(self: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        if not spans.active or not _has_no_provider(self):
            with original(self, *args, **kwargs) as span:
                yield span
            return
        ends = args[_END_ON_EXIT] if len(args) > _END_ON_EXIT else kwargs.pop("end_on_exit", True)
        with spans.trace.use_span(self.start_span(*args[:_END_ON_EXIT], **kwargs), end_on_exit=ends) as span:
            yield span

    followed: Callable[..., Any] = make(start_as_current_span)
    return followed


def _has_no_provider(tracer: Any) -> bool:
    """Return whether a tracer is a proxy without a provider."""
    none = getattr(tracer, "_noop_tracer", None)
    return none is not None and getattr(tracer, "_tracer", None) is none


def _wrap_attach(
    original: Callable[..., Any], spans: _SpanTracker, runtime: Any, span_key: str
) -> Callable[..., Any]:
    def attach(context: Any) -> Any:
        changes_span = context.get(span_key) is not runtime.get_current().get(span_key)
        token = original(context)
        if changes_span and spans.active:
            our_token = read_safely(spans.structure, spans.enter, context, _caller())
            if our_token is not None:
                spans.attached[id(token)] = token, our_token, context.get(span_key)
        return token

    return attach


def _wrap_detach(original: Callable[..., None], spans: _SpanTracker) -> Callable[..., None]:
    def detach(token: Any) -> None:
        if id(token) in spans.attached:
            read_safely(spans.structure, spans.leave, token)
        try:
            original(token)
        except BaseException as error:
            hide_own_frame(error)
            raise

    return detach


def _caller() -> FrameType | None:
    """Return the frame that makes a span current, behind the frames of context managers and decorators."""
    frame = sys._getframe(2)  # the frame that calls `attach`
    module = str(frame.f_globals.get("__name__"))
    while (outer := frame.f_back) is not None:
        outer_module = str(outer.f_globals.get("__name__"))
        if not module.startswith(_PLUMBING) and not outer_module.startswith("contextlib"):
            return frame
        frame, module = outer, outer_module
    return None if module.startswith(_PLUMBING) else frame


def _starting_code() -> CodeType | None:
    """Return the code that starts a span, or that of the function that a tracer decorates."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and str(frame.f_globals.get("__name__")).startswith(_STARTING):
        if frame.f_code.co_name in _DECORATING:
            decorated = getattr(frame.f_locals.get("func"), "__code__", None)
            if isinstance(decorated, CodeType):
                return decorated
        frame = frame.f_back
    return None if frame is None else frame.f_code


def _make_processor(sdk: Any, spans: _SpanTracker) -> Any:
    class Processor(sdk.SpanProcessor):  # type: ignore[misc]  # the base is only known at run time
        """Reports each span that a provider of the program begins and ends."""

        def on_start(self, span: Any, parent_context: Any = None) -> None:
            read_safely(spans.structure, spans.on_sdk_start, span, parent_context)

        def on_end(self, span: Any) -> None:
            read_safely(spans.structure, spans.on_sdk_end, span)

    return Processor()


def _failure(span: Any) -> tuple[str, str] | None:
    """Return the type and the text of the error of a span of the SDK, or `None` if it did not fail."""
    if span.status.is_ok or span.status.status_code.name != "ERROR":
        return None
    for event in reversed(span.events):
        if event.name == "exception":
            attributes = event.attributes or {}
            return str(attributes.get("exception.type")), str(attributes.get("exception.message"))
    kind = (span.attributes or {}).get("error.type", "error")
    return str(kind), span.status.description or str(kind)


def _make_error(kind: str, text: str) -> Exception:
    """Return an exception that is described like the error of the span."""
    name = kind.rpartition(".")[2]
    return type(name, (Exception,), {"__module__": "builtins"})(text)  # type: ignore[no-any-return]
