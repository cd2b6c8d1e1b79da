"""Spans for the work that a framework reports, identified by the framework's own ids.

A framework reports that something began and that it ended. Its parent is the innermost span that the running code is
inside, unless the framework names another one that it is not inside. The span of a generator is left while the
generator is suspended, and a span that ended elsewhere (in another task, thread or order) is no parent any more.
Models and tools that are recorded where they are called are not recorded here again (`beneath`). Nothing here raises.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import AsyncGenerator, Callable, Generator, Hashable, Iterator, Mapping
from functools import wraps
from inspect import iscoroutinefunction
from types import FrameType, MappingProxyType
from typing import Any, NamedTuple, ParamSpec, TypeAlias, TypeVar, cast

from namel3ss_debug.capture.core import announced
from namel3ss_debug.capture.core.announced import AnnouncedCall
from namel3ss_debug.capture.core.context import CURRENT, SpanLike
from namel3ss_debug.capture.core.failures import span_failure
from namel3ss_debug.capture.core.patching import hide_own_frame
from namel3ss_debug.capture.core.tracer import ExecutionTracer, OpenSpan, set_result
from namel3ss_debug.capture.frameworks import tasks
from namel3ss_debug.capture.frameworks.current_span import (
    GENERATOR,
    UNCHANGED,
    ContextChange,
    Inside,
    find_open_position,
    find_position,
    is_within,
    skip_left,
)
from namel3ss_debug.capture.seams.functions import rewrite
from namel3ss_debug.capture.seams.functions.requested_calls import ToolCalls
from namel3ss_debug.traces.clocks import perf_counter_ns

F = TypeVar("F", bound=Callable[..., None])
P = ParamSpec("P")
T = TypeVar("T")

Inputs: TypeAlias = Mapping[str, Any] | Callable[[], Mapping[str, Any]]
"""The inputs of a call, or a function that returns them when they are needed."""


class _PendingCall(NamedTuple):
    """An announced call, which is recorded here only if no seam records it."""

    name: str | None
    inputs: Inputs
    metadata: Mapping[str, Any]
    expected: AnnouncedCall
    parent: SpanLike | None
    moved: ContextChange
    timestamp: float
    started: int
    failure: Mapping[str, str | None] = MappingProxyType({})  # set by `mark_failed`

    def get_inputs(self) -> Mapping[str, Any]:
        """Return the inputs."""
        return self.inputs() if callable(self.inputs) else self.inputs

    def is_recorded(self) -> bool:
        """End the call; return whether a seam has recorded it, or may have."""
        self.moved.undo()
        return self.expected.end()


class _Skipped(NamedTuple):
    """Something that is not recorded. What happens inside it belongs to its parent."""

    parent: Hashable
    moved: ContextChange = UNCHANGED


def _never_raises(method: F) -> F:
    """Report an exception in a method as a problem of tracing, instead of raising it into the framework."""

    @wraps(method)
    def safe(self: Structure, *args: Any, **kwargs: Any) -> None:
        before = self.tracer.tracing_ns - perf_counter_ns()
        try:
            method(self, *args, **kwargs)
        except Exception as error:
            self._report_problem(error)
        self._count_time(before)

    return cast("F", safe)


class Structure:
    """The spans of one framework in this process.

    Args:
        tracer: writes the spans.
        calls: the tool calls that models requested.
        framework: its name, for messages and `metadata.framework`.
    """

    def __init__(self, tracer: ExecutionTracer, calls: ToolCalls, framework: str) -> None:
        self.tracer = tracer
        self.framework = framework
        self._calls = calls
        self._open: dict[Hashable, Inside | _PendingCall | _Skipped] = {}
        self._open_spans: set[OpenSpan] = set()

    def begin(  # called so often, like `end`, that `_never_raises` is written out here
        self,
        key: Hashable,
        component: str,
        name: str | None,
        *,
        parent: Hashable = None,
        prefix: str | None = None,
        inputs: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        frame: FrameType | None = None,
        **fields: Any,
    ) -> None:
        """Open a span for something that has begun.

        What runs next in this thread or task, and what that starts, is inside it.

        Args:
            key: the framework's id of it.
            component: as for `ExecutionTracer.span`, and so are the next arguments.
            name: the name of the agent, chain, node, ...
            parent: the framework's id of the parent, if it names one.
            prefix: the event types without `_start` and `_end`.
            inputs: the inputs.
            metadata: further data.
            frame: the framework's frame that runs it from its beginning to its end, if there is one. While the frame is
                a suspended generator, the program is not inside the span. Two spans that one frame began are siblings.
                What runs inside a span of another frame belongs to that span, even if the framework names an outer
                parent.
            **fields: further fields of the start event.
        """
        before = self.tracer.tracing_ns - perf_counter_ns()
        try:
            all_metadata = {"framework": self.framework, **(metadata or {})}
            span = OpenSpan(self.tracer, component, name, inputs, all_metadata, prefix, fields)
            named = self._find_named(parent)
            if named is not None and named.is_here(frame):
                self._open_span(key, span, named.span, named, frame)
            else:
                self._open_span(
                    key, span, self._choose_parent(named, find_position(), frame), find_open_position(), frame
                )
        except Exception as error:
            self._report_problem(error)
        self._count_time(before)

    def end(
        self, key: Hashable, outputs: Any = None, error: BaseException | None = None, **fields: Any
    ) -> None:
        """Close the span of something that has ended.

        Args:
            key: the framework's id of it.
            outputs: the outputs: a mapping, or any other value as its `result`; `None` for no outputs.
            error: the exception that ended it.
            **fields: further fields of the end event, for instance `status` or `usage`.
        """
        before = self.tracer.tracing_ns - perf_counter_ns()
        try:
            place = self._open.pop(key, None)
            if isinstance(place, Inside):
                span = self._leave(place)
                if outputs is not None:
                    span.set_output(outputs)
                if fields:
                    span.set(**fields)
                span.close(error)
            elif isinstance(place, _Skipped):
                place.moved.undo()
        except Exception as problem:
            self._report_problem(problem)
        self._count_time(before)

    def skip(self, key: Hashable, parent: Hashable = None) -> None:
        """Remember something that is not recorded. What names it as its parent belongs to `parent`."""
        self._open[key] = _Skipped(parent)

    @_never_raises
    def enter(self, key: Hashable, parent: Hashable) -> None:
        """Continue an open span, begun in another thread or task, with something that is not recorded itself.

        What runs next in this thread or task, until `end(key)`, is inside the span.
        """
        self._open[key] = _Skipped(parent, self._enter_named(self._find_named(parent), find_position(), None))

    def drop(self, key: Hashable) -> None:
        """Forget something whose end will not be reported: stop waiting for a call; a span stays open in the trace."""
        entry = self._open.get(key)
        if isinstance(entry, Inside):
            return
        self._open.pop(key, None)
        if isinstance(entry, _PendingCall):
            entry.is_recorded()

    @_never_raises
    def begin_model(
        self,
        key: Hashable,
        model: str | None,
        *,
        parent: Hashable = None,
        inputs: Inputs | None = None,
        metadata: Mapping[str, Any] | None = None,
        frame: FrameType | None = None,
    ) -> None:
        """Announce a model call. It is recorded where its request is sent, or else by `end_model`.

        Args:
            key: the framework's id of it.
            model: the name of the model.
            parent: the framework's id of the parent, if it names one.
            inputs: `model`, `messages`, `tools`, `params`, as far as they are known, or a function that returns them.
                It is called only if the call is recorded here.
            metadata: further data.
            frame: as for `begin`.
        """
        all_metadata = {"framework": self.framework, "seen": False, **(metadata or {})}
        self._expect(key, AnnouncedCall(announced.LLM), model, inputs or {}, all_metadata, parent, frame)

    def is_recorded(self, key: Hashable) -> bool:
        """Return whether a seam has recorded the model call that ended. If so, it needs no `end_model`."""
        pending = self._open.get(key)
        if isinstance(pending, _PendingCall) and not pending.is_recorded():
            return False
        self._open.pop(key, None)
        return True

    @_never_raises
    def end_model(
        self,
        key: Hashable,
        outputs: Mapping[str, Any] | None = None,
        error: BaseException | None = None,
        usage: Mapping[str, int] | None = None,
        inputs: Mapping[str, Any] | None = None,
    ) -> None:
        """Record a model call that has returned or failed, unless a seam has recorded it.

        Args:
            key: the framework's id of it.
            outputs: `text`, `tool_calls`, `finish_reason`, as far as they are known.
            error: the exception that ended it.
            usage: `input_tokens`, `output_tokens` and so on, as in an event; nothing if nothing was used.
            inputs: as for `begin_model`, if they are known only at the end.
        """
        pending = self._open.pop(key, None)
        if not isinstance(pending, _PendingCall) or pending.is_recorded():
            return
        fields: dict[str, Any] = {}
        if usage:
            total = usage.get("input_tokens", 0) + usage.get("output_tokens", 0)
            fields = {"usage": dict(usage), "tokens_used": total}
        if inputs:
            pending = pending._replace(inputs={**pending.get_inputs(), **inputs})
        event_id = self._write(pending, outputs, error, fields)
        requested = (outputs or {}).get("tool_calls") or ()
        self._calls.add_requested(requested, event_id, pending.parent.event_id if pending.parent else None)

    @_never_raises
    def begin_tool(
        self,
        key: Hashable,
        name: str,
        arguments: Mapping[str, Any] | None,
        *,
        parent: Hashable = None,
        call_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        frame: FrameType | None = None,
    ) -> None:
        """Announce a tool call. It is recorded here unless a seam records the function or the server's tool.

        Args:
            key: the framework's id of it.
            name: the name of the tool.
            arguments: its arguments by name.
            parent: the framework's id of the parent, if it names one.
            call_id: the model's id of the call, if the framework reports it.
            metadata: further data.
            frame: as for `begin`.
        """
        self._calls.offer({name: None})
        holder = self._parent(parent, frame)
        all_metadata: dict[str, Any] = {"framework": self.framework, "seen": False, **(metadata or {})}
        inputs = {"arguments": arguments, "call_id": call_id}
        if is_recorded_elsewhere(name):
            expected = AnnouncedCall(announced.TOOL, name, call_id, arguments)
            self._expect(key, expected, name, inputs, all_metadata, parent, frame)
            return
        all_metadata |= self._match_model_call(name, inputs, holder)
        suspended = frame if frame is not None and frame.f_code.co_flags & GENERATOR else None
        span = self.tracer.span("tool", name, inputs, all_metadata)
        self._open_span(key, span, holder, find_open_position(), suspended)

    @_never_raises
    def end_tool(
        self,
        key: Hashable,
        result: Any = None,
        error: BaseException | None = None,
        arguments: Mapping[str, Any] | None = None,
    ) -> None:
        """Record a tool call that has returned or failed, unless a seam has recorded it.

        Args:
            key: the framework's id of it.
            result: the value that it returned.
            error: the exception that ended it.
            arguments: as for `begin_tool`, if they are known only at the end.
        """
        entry = self._open.pop(key, None)
        if isinstance(entry, _PendingCall):
            if entry.is_recorded():
                return
            inputs = dict(entry.get_inputs()) | ({"arguments": arguments} if arguments is not None else {})
            all_metadata = dict(entry.metadata) | self._match_model_call(
                str(entry.name), inputs, entry.parent
            )
            outputs = None if entry.failure and result is None else {"result": result}
            self._write(entry._replace(inputs=inputs, metadata=all_metadata), outputs, error, {})
        elif isinstance(entry, Inside):
            span = self._leave(entry)
            if error is None:
                set_result(span, self.tracer, result)
            span.close(error)

    @_never_raises
    def suspend_tool(self, key: Hashable, arguments: Mapping[str, Any] | None) -> None:
        """Forget a tool call that waits for a person, or that a person refused, unless its function ran.

        Args:
            key: the framework's id of it; `end_tool` must be called later all the same.
            arguments: as for `end_tool`.
        """
        pending = self._open.get(key)
        if isinstance(pending, _PendingCall) and not pending.is_recorded():
            del self._open[key]
            self._calls.await_consent(
                str(pending.name), arguments or {}, pending.parent.event_id if pending.parent else None
            )

    @_never_raises
    def record_event(self, event_type: str, *, parent: Hashable = None, **fields: Any) -> None:
        """Record one event, such as an `agent_message`, inside the named parent or else where the program is.

        Args:
            event_type: the type of the event.
            parent: the framework's id of the parent.
            **fields: as for `ExecutionTracer.emit`.
        """
        holder = self._parent(parent, None)
        token = CURRENT.set(holder)
        try:
            self.tracer.emit(event_type, **{"metadata": {"framework": self.framework}} | fields)
        finally:
            CURRENT.reset(token)

    def take_model_call(self, name: str, parent: Hashable = None) -> dict[str, Any]:
        """Return the metadata of the model's call that no tool of the program answers, such as a hand-off.

        Returns:
            `asked_in` and `call_id` for the event; empty if no model requested it.
        """
        holder = self._parent(parent, None)
        requested = self._calls.take(name, {}, holder.event_id if holder is not None else None)
        return {} if requested is None else {"asked_in": requested.asked_in, "call_id": requested.call_id}

    def expect_no_tool(self, name: str) -> None:
        """Let the calls of a tool of this name not be recorded: they are the model's answers, and no function runs."""
        self._calls.ignore(name)

    def mark_failed(self, key: Hashable, kind: str | None, text: str | None) -> None:
        """Mark an open span or call as failed, in the framework's words. Its end is reported separately."""
        entry, failure = self._open.get(key), {"status": "failed", "error_type": kind, "error": text}
        if isinstance(entry, Inside):
            entry.span.set(**failure)
        elif isinstance(entry, _PendingCall):
            self._open[key] = entry._replace(failure=failure)

    def backdate(self, key: Hashable, timestamp: float, started: int) -> None:
        """Note that an open span or call began earlier. The start event of a span has its time already.

        Args:
            key: the framework's id of it.
            timestamp: when it began, in seconds since 1970.
            started: when it began, by the clock for durations, in nanoseconds.
        """
        entry = self._open.get(key)
        if isinstance(entry, Inside):
            entry.span.started = started
        elif isinstance(entry, _PendingCall):
            self._open[key] = entry._replace(timestamp=timestamp, started=started)

    def is_open(self, key: Hashable) -> bool:
        """Return whether something with this id has begun and not ended."""
        return key in self._open

    def parent_of(self, key: Hashable) -> Hashable:
        """Return the id of the open span that stands for `key`: its own, or the parent it was skipped for."""
        entry = self._open.get(key)
        while isinstance(entry, _Skipped):
            key = entry.parent
            entry = self._open.get(key)
        return key if isinstance(entry, Inside) else None

    def _report_problem(self, error: Exception) -> None:
        """Report that something of the framework could not be recorded."""
        self.tracer.problem(f"what {self.framework} reports could not be recorded", error)

    def _count_time(self, before: int) -> None:
        """Add the time since `before` to the time of tracing. No time counts twice: spans add theirs themselves.

        Args:
            before: the time of tracing counted then, minus the clock then.
        """
        tracer, counted = self.tracer, before + perf_counter_ns()
        if counted > tracer.tracing_ns:  # noqa: PLR1730  (`max` costs another call)
            tracer.tracing_ns = counted

    def _expect(
        self,
        key: Hashable,
        expected: AnnouncedCall,
        name: str | None,
        inputs: Inputs,
        metadata: Mapping[str, Any],
        parent: Hashable,
        frame: FrameType | None,
    ) -> None:
        """Wait for a seam to record an announced call."""
        named = self._find_named(parent)
        holder: SpanLike | None
        if named is not None and named.is_here(frame):
            holder, moved = named.span, UNCHANGED
        else:
            before = find_position()
            holder, moved = self._choose_parent(named, before, frame), self._enter_named(named, before, frame)
        self._open[key] = _PendingCall(
            name, inputs, metadata, expected, holder, moved, self.tracer.now(), perf_counter_ns()
        )

    def _match_model_call(self, name: str, inputs: dict[str, Any], parent: SpanLike | None) -> dict[str, Any]:
        """Find the model's call that a tool answers. Complete `inputs` from it, and return metadata for the span."""
        parent_id = parent.event_id if parent is not None else None
        requested = self._calls.take(name, inputs["arguments"] or {}, parent_id, call_id=inputs["call_id"])
        if requested is not None:
            inputs["call_id"] = inputs["call_id"] or requested.call_id
            if inputs["arguments"] is None:
                inputs["arguments"] = requested.arguments
        for missing in [each for each, value in inputs.items() if value in (None, "")]:
            del inputs[missing]
        return {} if requested is None else {"asked_in": requested.asked_in}

    def _open_span(
        self,
        key: Hashable,
        span: OpenSpan,
        parent: SpanLike | None,
        outer: SpanLike | None,
        frame: FrameType | None,
    ) -> None:
        span.open_within(parent)
        if not span.is_open:  # its component is not recorded
            self._open[key] = _Skipped(None if parent is None else self._key_of(parent))
            return
        self._open_spans.add(span)
        self._open[key] = place = Inside(span, outer, frame)
        place.enter()
        if place.generates:
            tasks.follow(self.tracer.problem)

    def _leave(self, place: Inside) -> OpenSpan:
        """Leave the place of a span that has ended, and return the span."""
        place.leave()
        self._open_spans.discard(place.span)
        return place.span

    def _key_of(self, holder: SpanLike) -> Hashable:
        return next(
            (
                key
                for key, entry in list(self._open.items())
                if isinstance(entry, Inside) and entry.span is holder
            ),
            None,
        )

    def _parent(self, key: Hashable, frame: FrameType | None) -> SpanLike | None:
        """Return the parent of what begins now."""
        return self._choose_parent(self._find_named(key), find_position(), frame)

    def _choose_parent(
        self, named: Inside | None, holder: SpanLike | None, frame: FrameType | None
    ) -> SpanLike | None:
        """Return the innermost span of the context if it is inside the named one, else the named one."""
        while isinstance(holder, Inside) and holder.is_beside(frame):
            holder = skip_left(holder.outer)
        here = None if holder is None else holder.here()
        between = self._open_spans if frame is None else ()
        return here if named is None or is_within(here, named.span, between) else named.span

    def _find_named(self, key: Hashable) -> Inside | None:
        """Return the open span that the framework names as a parent."""
        entry = self._open.get(key)
        while isinstance(entry, _Skipped):
            entry = self._open.get(entry.parent)
        return entry if isinstance(entry, Inside) and entry.span.is_open else None

    def _enter_named(
        self, named: Inside | None, before: SpanLike | None, frame: FrameType | None
    ) -> ContextChange:
        """Make the named parent the current span for the next call, unless the running code is inside it already."""
        here = None if before is None else before.here()
        if named is None or is_within(here, named.span, self._open_spans if frame is None else ()):
            return UNCHANGED
        CURRENT.set(named)
        return ContextChange(named, before)

    def _write(
        self,
        pending: _PendingCall,
        outputs: Mapping[str, Any] | None,
        error: BaseException | None,
        fields: Mapping[str, Any],
    ) -> str:
        """Record a whole call after its end, with its real times, and return the id of its start event."""
        ended = perf_counter_ns()
        name, inputs, metadata = pending.name, pending.get_inputs(), pending.metadata
        span = self.tracer.span(pending.expected.kind, name, inputs, metadata, timestamp=pending.timestamp)
        span.open_within(pending.parent)
        if outputs is not None and error is None:
            span.set_output(outputs)
        failure = pending.failure if error is None else span_failure(error, self.tracer.payloads).fields()
        span.set(duration_ms=(ended - pending.started) / 1e6, **fields, **failure)
        span.close()
        return span.event_id


def is_recorded_elsewhere(name: str) -> bool:
    """Return whether a seam records the calls of a tool: of the user's function, or of the server that has it."""
    elsewhere = (rewrite.EDITED, announced.NAMED, announced.HOOKED)
    return any(name in names for names in elsewhere) or announced.is_served(name)


def read_safely(structure: Structure, make: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    """Return the result of `make`, or `None` if it fails.

    A failure is reported as a problem of tracing.
    """
    try:
        return make(*args, **kwargs)
    except Exception as error:
        structure.tracer.problem(f"an object of {structure.framework} could not be read", error)
        return None


def observe(
    original: Callable[..., Any],
    structure: Structure,
    begin: Callable[..., Any],
    end: Callable[[Any, Any], object],
    fail: Callable[[Any, BaseException], object] | None = None,
) -> Callable[..., Any]:
    """Return a function like one of a framework, sync or async, that reports its calls.

    Args:
        original: the function.
        structure: receives problems: nothing that an observer raises reaches the program.
        begin: called before each call with its arguments; its result is passed on to the other two.
        end: called with this and the result of a call that has returned.
        fail: called with this and the error of a call that has raised.
    """
    if iscoroutinefunction(original):

        async def call_async(*args: Any, **kwargs: Any) -> Any:
            state = read_safely(structure, begin, *args, **kwargs)
            try:
                result = await original(*args, **kwargs)
            except BaseException as error:
                hide_own_frame(error)
                if fail is not None:
                    read_safely(structure, fail, state, error)
                raise
            read_safely(structure, end, state, result)
            return result

        return call_async

    def call(*args: Any, **kwargs: Any) -> Any:
        state = read_safely(structure, begin, *args, **kwargs)
        try:
            result = original(*args, **kwargs)
        except BaseException as error:
            hide_own_frame(error)
            if fail is not None:
                read_safely(structure, fail, state, error)
            raise
        read_safely(structure, end, state, result)
        return result

    return call


def observe_creation(
    original: Callable[..., Any], structure: Structure, learn: Callable[[Any], object]
) -> Callable[..., Any]:
    """Return a constructor, or a method that returns a copy, after which `learn` gets the new object."""
    return observe(
        original,
        structure,
        lambda created, *_args, **_kwargs: created,
        lambda created, copied: learn(created if copied is None else copied),
    )


def observe_tool(
    original: Callable[..., Any], structure: Structure, begin: Callable[..., Hashable]
) -> Callable[..., Any]:
    """Return a function that calls a tool. `begin` begins the call from the arguments, and returns its key."""
    return observe(
        original,
        structure,
        begin,
        structure.end_tool,
        lambda key, error: structure.end_tool(key, error=error),
    )


def run_in_span(
    steps: Generator[Any, Any, T],
    begin: Callable[[object, FrameType], object],
    end: Callable[[object, BaseException | None], object],
    note: Callable[[Any], object] | None = None,
) -> Generator[Any, Any, T | None]:
    """Return a generator that runs inside a span, which begins when the first item is requested.

    Args:
        steps: the generator of a framework.
        begin: called with a key and the frame that is suspended with the generator.
        end: called with the key and the error that ended the generator, or `None`.
        note: called with each item, if there is one.
    """
    key, error = object(), None
    begin(key, sys._getframe())
    try:
        if note is None:
            return (yield from steps)
        for step in steps:
            note(step)
            yield step
    except GeneratorExit:  # the consumer has stopped, which is not an error
        raise
    except BaseException as raised:
        hide_own_frame(raised)
        error = raised
        raise
    finally:
        if note is not None:  # as `yield from` does
            steps.close()
        end(key, error)
    return None


async def run_async_in_span(
    steps: AsyncGenerator[Any, Any],
    begin: Callable[[object, FrameType], object],
    end: Callable[[object, BaseException | None], object],
    note: Callable[[Any], object],
) -> AsyncGenerator[Any, Any]:
    """Return an asynchronous generator that runs inside a span; the arguments are as for `run_in_span`."""
    key, error = object(), None
    begin(key, sys._getframe())
    try:
        async for step in steps:
            note(step)
            yield step
    except GeneratorExit:  # the consumer has stopped, which is not an error
        raise
    except BaseException as raised:
        hide_own_frame(raised)
        error = raised
        raise
    finally:
        await steps.aclose()
        end(key, error)


def find_existing_tools(kind: type) -> list[Any]:
    """Return the tools of a class and its subclasses that the program made before recording began, as in a test.

    None are searched for if no loaded function can become a seam.
    """
    if rewrite.LOADED is None:
        return []
    return [tool for tool in gc.get_referrers(*subclasses_of(kind)) if kind in type(tool).__mro__]


def subclasses_of(kind: type) -> Iterator[type]:
    """Yield a class and all its subclasses."""
    yield kind
    subclasses: list[type] = type.__subclasses__(kind)
    for subclass in subclasses:
        yield from subclasses_of(subclass)
