"""Spans of OpenTelemetry that frameworks publish of themselves, google-adk among them, as structure of a recording.

A provider of the program's own gets one span processor more, when it is made; what it exports, and where to, stays as
it is. Where the program sets none, OpenTelemetry's own stand-in for a tracer makes spans that nobody sees: these are
seen here, and are to the program what they were, spans that record nothing. No provider is installed and no SDK is
needed. Where a span is made current, by whatever means, the running code is inside the span that stands for it here.

What a span stands for is read from the words of the GenAI conventions, of OpenInference and of OpenLLMetry. Any other
span is a step where the user's own code made it, and is passed over where a library did.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from contextvars import Token
from types import FrameType
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from namel3ss_debug.capture import context
from namel3ss_debug.capture.context import CURRENT, Holder
from namel3ss_debug.capture.frameworks import conventions, tasks
from namel3ss_debug.capture.frameworks.conventions import Meaning
from namel3ss_debug.capture.frameworks.places import Inside
from namel3ss_debug.capture.frameworks.reading import read
from namel3ss_debug.capture.frameworks.structure import Structure
from namel3ss_debug.capture.patching import Undo, hide_own_frame, replace
from namel3ss_debug.capture.spans import Span
from namel3ss_debug.traces.clocks import perf_counter_ns

_COMPONENTS = {"step": ("chain", "chain_step")}
SDK = "opentelemetry.sdk.trace"
_OWN = __name__.partition(".")[0] + "."
_PLUMBING = ("contextlib", "opentelemetry.", __name__)
_STARTING = ("contextlib", "opentelemetry.trace", "opentelemetry.sdk.", "opentelemetry.util._decorator", _OWN)
"""The modules between a span and the code that starts it."""
_DECORATING = ("inner", "async_wrapper")
"""Their functions that start a span for another one, which is their `func`."""
_ENDS = 8
"""The place of `end_on_exit`, which `start_span` does not take, among the arguments of `start_as_current_span`."""


_ENDS_OF_ITERATORS = (StopIteration, StopAsyncIteration)

_FOLLOWED: WeakKeyDictionary[Structure, _Spans] = WeakKeyDictionary()


def follow(module: Any, structure: Structure) -> list[Undo]:
    """Follow the spans that are made through OpenTelemetry's interface, and the providers that its SDK makes.

    The SDK imports the interface, so the interface is followed when the turn of the SDK comes; to be told of both is to
    be told of the SDK when all of it is there.

    Raises:
        AttributeError: the module has not what is followed there.
    """
    if module.__name__ == SDK:
        followed = _FOLLOWED.get(structure)
        return [] if followed is None else followed.follow_providers(module)
    # What `attach` and `detach` ask under whatever name these are known, and under what it keeps a span.
    runtime, word = module.context_api._RUNTIME_CONTEXT, module._SPAN_KEY  # noqa: SLF001
    spans = _Spans(module, structure, word)
    _FOLLOWED[structure] = spans
    structure.tracer.at_end.append(spans.close_left)
    return [
        replace(module.ProxyTracer, "start_span", lambda original: _starting(original, spans)),
        replace(module.ProxyTracer, "start_as_current_span", lambda original: _entering(original, spans)),
        replace(runtime, "attach", lambda original: _attaching(original, spans, runtime, word)),
        replace(runtime, "detach", lambda original: _detaching(original, spans)),
    ]


class _Left(NamedTuple):
    """How a span was left that nobody may ever end."""

    timestamp: float
    at: int
    failure: tuple[str, str] | None


class _Spans:
    """The spans of this process that stand for something, each under its identity in OpenTelemetry."""

    def __init__(self, trace: Any, structure: Structure, word: str) -> None:
        self.trace = trace
        self._word = word
        self.structure = structure
        self.active = True
        self.noted = _noted_class(trace, self)
        self._places: dict[Any, Inside] = {}
        self._kinds: dict[Any, Meaning] = {}
        self.attached: dict[int, tuple[object, Token[Holder | None], Any]] = {}
        # by the identity of a token of OpenTelemetry's: itself, what is left with it, and the span that was entered
        self._left: dict[Any, _Left] = {}
        self._thrown: list[Any] = []  # of these the keys of those that nobody holds any more

    def key(self, span: Any) -> Any:
        """What a span is known by; `None` where it is none that could be."""
        if isinstance(span, self.noted):
            return span.known_as
        known = span.get_span_context()
        return (known.trace_id, known.span_id) if known is not None and known.is_valid else None

    def begin(self, key: Any, parent: Any, scope: str, name: str, attributes: Mapping[str, Any]) -> None:
        """A span has begun; it is not entered yet."""
        with contextlib.suppress(IndexError):
            while self._thrown:
                self._close(self._thrown.pop())
        told = self._means(scope, name, attributes) if self.active else None
        structure = self.structure
        if told is None or self._is_within(parent, told):
            structure.skip(key, parent)
            return
        self._kinds[key] = told
        metadata = {"scope": scope}
        around = self._place(parent)
        if around is not None:
            self._places[key] = around
        if told.kind == "model":
            structure.begin_model(key, told.name, parent=parent, metadata=metadata)
            return
        token = CURRENT.set(CURRENT.get())
        try:
            if told.kind == "tool":
                arguments = conventions.arguments(attributes)
                call_id = attributes.get("gen_ai.tool.call.id")
                structure.begin_tool(
                    key, told.name or name, arguments, parent=parent, call_id=call_id, metadata=metadata
                )
            else:
                component, prefix = _COMPONENTS.get(told.kind, (told.kind, None))
                structure.begin(key, component, told.name, parent=parent, prefix=prefix, metadata=metadata)
            inside = CURRENT.get()
            if isinstance(inside, Inside) and structure.parent_of(key) is key:
                self._places[key] = inside
        finally:
            CURRENT.reset(token)

    def note(self, plain: Any, tracer: Any, name: str, within: Any, attributes: Any) -> Any:
        """A span that is noted, in place of one that a stand-in for a tracer has made."""
        noted = self.noted(plain)
        noted.set_attributes(attributes)
        parent = self.key(self.trace.get_current_span(within))
        scope = tracer._instrumenting_module_name  # noqa: SLF001  (it tells nobody)
        self.begin(noted.known_as, parent, scope, name, noted.noted)
        return noted

    def drop(self, key: Any) -> None:
        """Nobody holds a span any more that has not ended: nobody will end it.

        What it stands for has ended where it was left, if somebody had asked whether it records; else it stays open.
        """
        if key in self._left:
            self._thrown.append(key)  # and no more: this may be in the midst of anything
            return
        self._kinds.pop(key, None)
        self._places.pop(key, None)
        self.structure.drop(key)

    def left(self, span: Any, failure: tuple[str, str] | None = None) -> None:
        """Nobody is inside a span, and somebody has asked whether it records: that may have been its end."""
        told = self._kinds.get(span.known_as)
        if told is not None and told.kind != "model":
            self._left[span.known_as] = _Left(self.structure.tracer.now(), perf_counter_ns(), failure)

    def close_left(self) -> None:
        """End what was left, because the recording ends."""
        for key in list(self._left):
            read(self.structure, self._close, key)

    def _close(self, key: Any) -> None:
        left, structure = self._left.pop(key, None), self.structure
        if left is None:
            return
        place = self._places.pop(key, None)
        self._kinds.pop(key, None)
        structure.drop(key)
        if left.failure is not None:
            structure.failed(key, *left.failure)
        lasted = None if place is None else (left.at - place.span.started) / 1e6
        structure.end(
            key, timestamp=left.timestamp, duration_ms=lasted, cpu_time_ms=None, memory_usage_mb=None
        )

    def end(self, key: Any, attributes: Mapping[str, Any], failure: tuple[str, str] | None) -> None:
        """A span has ended, by an error of this type and text where it failed."""
        told = self._kinds.pop(key, None)
        self._places.pop(key, None)
        self._left.pop(key, None)
        structure = self.structure
        error = None if failure is None else _error(*failure)
        if told is None:
            structure.end(key)
        elif told.kind == "model":
            if not structure.is_recorded(key):
                structure.end_model(key, conventions.answer(attributes), error, conventions.usage(attributes))
        elif told.kind == "tool":
            structure.end_tool(key, conventions.result(attributes), error)
        else:
            if failure is not None:
                structure.failed(key, *failure)
            own = {"attributes": dict(attributes)} if told.kind == "step" and attributes else None
            structure.end(key, conventions.result(attributes), metadata=own)

    def begun(self, span: Any, within: Any) -> None:
        """A span of the SDK has begun."""
        parent = self.key(self.trace.get_current_span(within))
        scope = getattr(span.instrumentation_scope, "name", "")
        self.begin(self.key(span), parent, scope, span.name, dict(span.attributes or {}))

    def ended(self, span: Any) -> None:
        """A span of the SDK has ended."""
        self.end(self.key(span), dict(span.attributes or {}), _failure(span))

    def enter(self, entered: Any, frame: FrameType | None) -> Token[Holder | None] | None:
        """A context becomes current: so does what its span stands for, unless the running code is inside of that already."""
        span = entered.get(self._word)
        place = None if span is None else self._place(self.key(span))
        if place is None or not place.span.is_open or _is_inside(place.span):
            return None
        inside = Inside(place.span, CURRENT.get(), frame)
        if inside.generates:
            tasks.follow(self.structure.tracer.problem)
        if isinstance(span, self.noted):
            span.entered += 1
            self._left.pop(span.known_as, None)
        return CURRENT.set(inside)

    def _place(self, key: Any) -> Inside | None:
        """Where one is inside a span: in what stands for it, or for the nearest span around it that anything does."""
        return self._places.get(key) or self._places.get(self.structure.parent_of(key))

    def leave(self, token: object) -> None:
        """A context is current no more that made something current here."""
        _token, ours, span = self.attached.pop(id(token))
        if isinstance(span, self.noted):
            span.leave()
        with contextlib.suppress(ValueError):  # another context, as OpenTelemetry itself says of it
            CURRENT.reset(ours)

    def follow_providers(self, sdk: Any) -> list[Undo]:
        """Give a processor to each provider that is made from now on, and to the one that is in force."""
        processor = _processor(sdk, self)

        def making(original: Callable[..., None]) -> Callable[..., None]:
            def __init__(provider: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807  (in the place of one)
                original(provider, *args, **kwargs)
                provider.add_span_processor(processor)

            return __init__

        in_force = getattr(self.trace, "_TRACER_PROVIDER", None)
        if isinstance(in_force, sdk.TracerProvider):
            in_force.add_span_processor(processor)
        return [replace(sdk.TracerProvider, "__init__", making), self._stop]

    def _stop(self) -> None:
        self.active = False

    def _is_within(self, parent: Any, told: Meaning) -> bool:
        """Whether the same call is told of already, by a span around this one."""
        around = self._kinds.get(parent)
        if around is None:
            return False
        return told.kind == around.kind == "model" or (told.kind == "tool" and told == around)

    def _means(self, scope: str, name: str, attributes: Mapping[str, Any]) -> Meaning | None:
        """What a span stands for; one that the user's own code makes is a step."""
        found = conventions.meaning(scope, name, attributes)
        return Meaning("step", name) if found is None and self._is_own(scope) else found

    def _is_own(self, scope: str) -> bool:
        """Whether the user's own code makes a span: an instrumentation is named for its module; else where it starts decides."""
        file = getattr(sys.modules.get(scope), "__dict__", {}).get("__file__")
        return self.structure.tracer.sites.shown(file if isinstance(file, str) else _started_in()) is not None


def _is_inside(span: Span) -> bool:
    """Whether the running code is inside a span already, however deep."""
    around = context.current()
    while isinstance(around, Span) and around is not span:
        around = around._parent  # noqa: SLF001  (a span of our own)
    return around is span


def _noted_class(trace: Any, spans: _Spans) -> type[Any]:
    """The class of spans that record nothing, as they are made where there is no provider, and are noted here."""

    class NotedSpan(trace.NonRecordingSpan):  # type: ignore[misc]  # known where the program runs
        """A span that records nothing for the program; it carries on the trace of the span that it stands in for.

        Whoever asks whether it records may throw it away without an end, as an SDK does that has nothing more to say of
        it.
        """

        def __init__(self, stands_for: Any) -> None:
            super().__init__(stands_for.get_span_context())
            self.known_as = object()
            self.has_ended = False
            self.entered = 0
            self.asked = False
            self.noted: dict[str, Any] = {}
            self.failure: tuple[str, str] | None = None
            self._handled = sys.exc_info()[1]

        def is_recording(self) -> bool:
            self.asked = True
            if not self.entered and not self.has_ended:
                read(spans.structure, spans.left, self, _raised_since(self._handled) or self.failure)
            return False

        def leave(self) -> None:
            """The running code is inside of it no more."""
            self.entered -= 1
            if self.asked and not self.entered:
                spans.left(self, _raised_since(self._handled) or self.failure)

        def set_attribute(self, key: str, value: Any) -> None:
            self.noted[key] = value

        def set_attributes(self, attributes: Any) -> None:
            self.noted.update(attributes or {})

        def record_exception(self, exception: BaseException, *_args: Any, **_kwargs: Any) -> None:
            self.failure = type(exception).__name__, str(exception)

        def end(self, end_time: int | None = None) -> None:  # noqa: ARG002  (the signature of the interface)
            self.failure = _raised_since(self._handled) or self.failure
            self.has_ended = True
            read(spans.structure, spans.end, self.known_as, self.noted, self.failure)

        def __del__(self) -> None:
            try:
                if not self.has_ended:
                    spans.drop(self.known_as)
            except Exception:  # the interpreter ends, and what is used here may be gone
                return

    return NotedSpan


def _raised_since(handled: BaseException | None) -> tuple[str, str] | None:
    """Type and text of the exception that goes through here and that is not this one; that an iterator has come to its end is none."""
    raised = sys.exc_info()[1]
    if raised is handled or not isinstance(raised, Exception) or isinstance(raised, _ENDS_OF_ITERATORS):
        return None
    return type(raised).__name__, str(raised)


def _starting(original: Callable[..., Any], spans: _Spans) -> Callable[..., Any]:
    def start_span(self: Any, name: str, context: Any = None, *args: Any, **kwargs: Any) -> Any:
        plain = original(self, name, context, *args, **kwargs)
        if not spans.active or not _stands_in(self):
            return plain
        attributes = args[1] if len(args) > 1 else kwargs.get("attributes")
        noted = read(spans.structure, spans.note, plain, self, name, context, attributes)
        return plain if noted is None else noted

    return start_span


def _entering(original: Callable[..., Any], spans: _Spans) -> Callable[..., Any]:
    make = getattr(spans.trace, "_agnosticcontextmanager", contextlib.contextmanager)

    def start_as_current_span(self: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        if not spans.active or not _stands_in(self):
            with original(self, *args, **kwargs) as span:
                yield span
            return
        ends = args[_ENDS] if len(args) > _ENDS else kwargs.pop("end_on_exit", True)
        with spans.trace.use_span(self.start_span(*args[:_ENDS], **kwargs), end_on_exit=ends) as span:
            yield span

    followed: Callable[..., Any] = make(start_as_current_span)
    return followed


def _stands_in(tracer: Any) -> bool:
    """Whether a tracer stands in for one that nobody has provided."""
    none = getattr(tracer, "_noop_tracer", None)
    return none is not None and getattr(tracer, "_tracer", None) is none


def _attaching(original: Callable[..., Any], spans: _Spans, runtime: Any, word: str) -> Callable[..., Any]:
    def attach(context: Any) -> Any:
        moves = context.get(word) is not runtime.get_current().get(word)
        token = original(context)
        if moves and spans.active:
            ours = read(spans.structure, spans.enter, context, _caller())
            if ours is not None:
                spans.attached[id(token)] = token, ours, context.get(word)
        return token

    return attach


def _detaching(original: Callable[..., None], spans: _Spans) -> Callable[..., None]:
    def detach(token: Any) -> None:
        if id(token) in spans.attached:
            read(spans.structure, spans.leave, token)
        try:
            original(token)
        except BaseException as error:
            hide_own_frame(error)
            raise

    return detach


def _caller() -> FrameType | None:
    """The frame that makes a span current, behind those that do it for it, as a function made a context manager does."""
    frame = sys._getframe(2)  # noqa: SLF001  (the frame that calls `attach`)
    module = str(frame.f_globals.get("__name__"))
    while (outer := frame.f_back) is not None:
        outer_module = str(outer.f_globals.get("__name__"))
        if not module.startswith(_PLUMBING) and not outer_module.startswith("contextlib"):
            return frame
        frame, module = outer, outer_module
    return None if module.startswith(_PLUMBING) else frame


def _started_in() -> str:
    """The file of the code that starts a span, or that a tracer decorates for it."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  (the documented way to a frame)
    while frame is not None and str(frame.f_globals.get("__name__")).startswith(_STARTING):
        if frame.f_code.co_name in _DECORATING:
            decorated = getattr(frame.f_locals.get("func"), "__code__", None)
            if decorated is not None:
                return str(decorated.co_filename)
        frame = frame.f_back
    return "" if frame is None else frame.f_code.co_filename


def _processor(sdk: Any, spans: _Spans) -> Any:
    class Processor(sdk.SpanProcessor):  # type: ignore[misc]  # known where the program runs
        """Tells of each span that a provider of the program's begins and ends."""

        def on_start(self, span: Any, parent_context: Any = None) -> None:
            read(spans.structure, spans.begun, span, parent_context)

        def on_end(self, span: Any) -> None:
            read(spans.structure, spans.ended, span)

    return Processor()


def _failure(span: Any) -> tuple[str, str] | None:
    """How a span of the SDK failed, in its words; `None` where it did not."""
    if span.status.is_ok or span.status.status_code.name != "ERROR":
        return None
    for event in reversed(span.events):
        if event.name == "exception":
            told = event.attributes or {}
            return str(told.get("exception.type")), str(told.get("exception.message"))
    kind = (span.attributes or {}).get("error.type", "error")
    return str(kind), span.status.description or str(kind)


def _error(kind: str, text: str) -> Exception:
    """An exception that is described as the one that the span tells of."""
    name = kind.rpartition(".")[2]
    return type(name, (Exception,), {"__module__": "builtins"})(text)  # type: ignore[no-any-return]
