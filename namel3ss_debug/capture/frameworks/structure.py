"""Spans for the work that a framework reports, each known by the framework's own id.

A framework reports that something began and that it ended. Its parent is the innermost span that the running code is
inside, unless the framework names another one that it is not inside. The span of a generator is left while the
generator is suspended, and a span that ended elsewhere (in another task, thread or order) is no parent any more.
Models and tools that are recorded where they are called are not recorded here again (`beneath`). Nothing here raises.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from functools import wraps
from types import FrameType, MappingProxyType
from typing import Any, NamedTuple, TypeAlias, TypeVar, cast

from namel3ss_debug.capture import beneath, rewrite
from namel3ss_debug.capture.beneath import Expected
from namel3ss_debug.capture.calls import ToolCalls
from namel3ss_debug.capture.context import CURRENT, Holder
from namel3ss_debug.capture.failures import ending
from namel3ss_debug.capture.frameworks import tasks
from namel3ss_debug.capture.frameworks.places import (
    STAYED,
    Inside,
    Moved,
    is_within,
    left_standing,
    standing,
    valid,
)
from namel3ss_debug.capture.results import set_result
from namel3ss_debug.capture.spans import Span
from namel3ss_debug.capture.tracer import ExecutionTracer
from namel3ss_debug.traces.clocks import perf_counter_ns

F = TypeVar("F", bound=Callable[..., None])

Inputs: TypeAlias = Mapping[str, Any] | Callable[[], Mapping[str, Any]]
"""The inputs of a call, or a function that gives them where they are needed."""


class _Pending(NamedTuple):
    """An announced call, which is recorded here only where no seam records it."""

    name: str | None
    inputs: Inputs
    metadata: Mapping[str, Any]
    expected: Expected
    parent: Holder | None
    moved: Moved
    timestamp: float
    started: int
    failure: Mapping[str, str | None] = MappingProxyType({})  # as `failed` was told of it

    def told(self) -> Mapping[str, Any]:
        """The inputs."""
        return self.inputs() if callable(self.inputs) else self.inputs

    def is_recorded(self) -> bool:
        """End the call; return whether a seam has recorded it, or may have."""
        self.moved.back()
        return self.expected.over()


class _Skipped(NamedTuple):
    """Something that is not recorded; what happens inside it belongs to its parent."""

    parent: Hashable


def _never_raises(method: F) -> F:
    """Report what goes wrong in a method as a problem of tracing, instead of raising it into the framework."""

    @wraps(method)
    def safe(self: Structure, *args: Any, **kwargs: Any) -> None:
        before = self.tracer.tracing_ns - perf_counter_ns()
        try:
            method(self, *args, **kwargs)
        except Exception as error:
            self._lost(error)
        self._count_time(before)

    return cast("F", safe)


class Structure:
    """The spans of one framework in this process.

    Args:
        tracer: where the spans go.
        calls: the tool calls that models asked for.
        framework: its name, for messages and `metadata.framework`.
    """

    def __init__(self, tracer: ExecutionTracer, calls: ToolCalls, framework: str) -> None:
        self.tracer = tracer
        self.framework = framework
        self._calls = calls
        self._open: dict[Hashable, Inside | _Pending | _Skipped] = {}
        self._own: set[Span] = set()  # those that are open

    def begin(  # with `end` the most frequent: what `_never_raises` does is written out
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
        """Something has begun: what runs next in this thread or task, and what that starts, is inside it.

        Args:
            key: the framework's id of it.
            component: as for `ExecutionTracer.span`, and so are the next.
            name: the name of the agent, chain, node, ...
            parent: the framework's id of what it belongs to, where it says so.
            prefix: the event types without `_start` and `_end`.
            inputs: what goes in.
            metadata: anything else.
            frame: the framework's frame that runs it from its beginning to its end, if there is one: while that is a
                suspended generator, the program is not inside; two that one frame began are siblings; and what runs in
                something that another frame began is inside of that, though the framework may name an outer parent.
            **fields: further fields of the start event.
        """
        before = self.tracer.tracing_ns - perf_counter_ns()
        try:
            told = {"framework": self.framework, **(metadata or {})}
            span = Span(self.tracer, component, name, inputs, told, prefix, fields)
            found = self._found(parent)
            if found is not None and found.is_here(frame):
                self._open_span(key, span, found.span, found, frame)
            else:
                self._open_span(key, span, self._inside(found, standing(), frame), left_standing(), frame)
        except Exception as error:
            self._lost(error)
        self._count_time(before)

    def end(
        self, key: Hashable, outputs: Any = None, error: BaseException | None = None, **fields: Any
    ) -> None:
        """It has ended.

        Args:
            key: the framework's id of it.
            outputs: what came out: a mapping, or any other value as its `result`; `None`: nothing is told.
            error: the exception it ended by.
            **fields: further fields of the end event, `status` or `usage` for instance.
        """
        before = self.tracer.tracing_ns - perf_counter_ns()
        try:
            inside = self._open.pop(key, None)
            if isinstance(inside, Inside):
                span = self._leave(inside)
                if outputs is not None:
                    span.set_output(outputs)
                if fields:
                    span.set(**fields)
                span.close(error)
        except Exception as problem:
            self._lost(problem)
        self._count_time(before)

    def skip(self, key: Hashable, parent: Hashable = None) -> None:
        """Something that is not recorded has begun: what names it as its parent belongs to `parent`."""
        self._open[key] = _Skipped(parent)

    def drop(self, key: Hashable) -> None:
        """Its end will not be reported: stop waiting for a call; a span stays open in the recording."""
        found = self._open.get(key)
        if isinstance(found, Inside):
            return
        self._open.pop(key, None)
        if isinstance(found, _Pending):
            found.is_recorded()

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
        """A model is about to be called. The call is recorded where its request is sent, or else by `end_model`.

        Args:
            key: the framework's id of it.
            model: the name of the model.
            parent: the framework's id of what it belongs to, where it says so.
            inputs: `model`, `messages`, `tools`, `params`, as far as they are told, or what gives them: that is asked
                when they are recorded here.
            metadata: anything else.
            frame: as for `begin`.
        """
        told = {"framework": self.framework, "seen": False, **(metadata or {})}
        self._expect(key, Expected(beneath.LLM), model, inputs or {}, told, parent, frame)

    def is_recorded(self, key: Hashable) -> bool:
        """Whether the model call that has ended under this id was recorded by a seam; then it needs no `end_model`."""
        pending = self._open.get(key)
        if isinstance(pending, _Pending) and not pending.is_recorded():
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
        """The model has answered, or failed.

        Args:
            key: the framework's id of it.
            outputs: `text`, `tool_calls`, `finish_reason`, as far as they are told.
            error: the exception it ended by.
            usage: `input_tokens`, `output_tokens` and so on, as in an event; nothing where nothing was used.
            inputs: as for `begin_model`, where they are told at the end.
        """
        pending = self._open.pop(key, None)
        if not isinstance(pending, _Pending) or pending.is_recorded():
            return
        fields: dict[str, Any] = {}
        if usage:
            total = usage.get("input_tokens", 0) + usage.get("output_tokens", 0)
            fields = {"usage": dict(usage), "tokens_used": total}
        if inputs:
            pending = pending._replace(inputs={**pending.told(), **inputs})
        event_id = self._write(pending, outputs, error, fields)
        asked = (outputs or {}).get("tool_calls") or ()
        self._calls.asked(asked, event_id, pending.parent.event_id if pending.parent else None)

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
        """A tool is about to run. The call is recorded here, unless a seam records the function or the server's tool.

        Args:
            key: the framework's id of it.
            name: the name of the tool.
            arguments: what it is called with, by name.
            parent: the framework's id of what it belongs to, where it says so.
            call_id: the id under which a model asked for the call, where the framework says so.
            metadata: anything else.
            frame: as for `begin`.
        """
        self._calls.offer((name,))
        at = self._parent(parent, frame)
        told: dict[str, Any] = {"framework": self.framework, "seen": False, **(metadata or {})}
        inputs = {"arguments": arguments, "call_id": call_id}
        elsewhere = (rewrite.EDITED, beneath.NAMED, beneath.HOOKED)
        if any(name in names for names in elsewhere) or beneath.is_served(name):
            expected = Expected(beneath.TOOL, name, call_id, arguments)
            self._expect(key, expected, name, inputs, told, parent, frame)
            return
        told |= self._take(name, inputs, at)
        self._open_span(key, self.tracer.span("tool", name, inputs, told), at, left_standing(), None)

    @_never_raises
    def end_tool(
        self,
        key: Hashable,
        result: Any = None,
        error: BaseException | None = None,
        arguments: Mapping[str, Any] | None = None,
    ) -> None:
        """The tool has returned, or failed.

        Args:
            key: the framework's id of it.
            result: what it returned.
            error: the exception it ended by.
            arguments: as for `begin_tool`, where they are told at the end.
        """
        found = self._open.pop(key, None)
        if isinstance(found, _Pending):
            if found.is_recorded():
                return
            inputs = dict(found.told()) | ({"arguments": arguments} if arguments is not None else {})
            told = dict(found.metadata) | self._take(str(found.name), inputs, found.parent)
            outputs = None if found.failure and result is None else {"result": result}
            self._write(found._replace(inputs=inputs, metadata=told), outputs, error, {})
        elif isinstance(found, Inside):
            span = self._leave(found)
            if error is None:
                set_result(span, self.tracer, result)
            span.close(error)

    @_never_raises
    def hold_tool(self, key: Hashable, arguments: Mapping[str, Any] | None) -> None:
        """A person may have to allow the tool, or has refused it: nothing is recorded where its function did not run.

        Args:
            key: the framework's id of it; `end_tool` still has to be told.
            arguments: as for `end_tool`.
        """
        found = self._open.get(key)
        if isinstance(found, _Pending) and not found.is_recorded():
            del self._open[key]
            self._calls.hold(
                str(found.name), arguments or {}, found.parent.event_id if found.parent else None
            )

    @_never_raises
    def tell(self, event_type: str, *, parent: Hashable = None, **fields: Any) -> None:
        """Record one event, such as an `agent_message`, inside what the framework names, else where the program is.

        Args:
            event_type: the type of the event.
            parent: the framework's id of what it belongs to.
            **fields: as for `ExecutionTracer.emit`.
        """
        at = self._parent(parent, None)
        token = CURRENT.set(at)
        try:
            self.tracer.emit(event_type, **{"metadata": {"framework": self.framework}} | fields)
        finally:
            CURRENT.reset(token)

    def answer(self, name: str, parent: Hashable = None) -> dict[str, Any]:
        """Find the call of a model that is answered by no tool of the program, such as a hand-off.

        Returns:
            The metadata of the event: `asked_in` and `call_id`; empty where no model asked.
        """
        at = self._parent(parent, None)
        asked = self._calls.take(name, {}, at.event_id if at is not None else None)
        return {} if asked is None else {"asked_in": asked.asked_in, "call_id": asked.call_id}

    def failed(self, key: Hashable, kind: str | None, text: str | None) -> None:
        """What is open under this id has failed, in the framework's words; its end is reported separately."""
        found, failure = self._open.get(key), {"status": "failed", "error_type": kind, "error": text}
        if isinstance(found, Inside):
            found.span.set(**failure)
        elif isinstance(found, _Pending):
            self._open[key] = found._replace(failure=failure)

    def is_open(self, key: Hashable) -> bool:
        """Whether something has begun under this id and has not ended."""
        return key in self._open

    def parent_of(self, key: Hashable) -> Hashable:
        """The id of the open span that stands for `key`: its own, or that of the parent it was skipped for."""
        found = self._open.get(key)
        while isinstance(found, _Skipped):
            key = found.parent
            found = self._open.get(key)
        return key if isinstance(found, Inside) else None

    def _lost(self, error: Exception) -> None:
        """Report that something of the framework could not be recorded."""
        self.tracer.problem(f"what {self.framework} tells could not be recorded", error)

    def _count_time(self, before: int) -> None:
        """Count the time since then as that of tracing; spans have counted theirs, and no time counts twice.

        Args:
            before: what had been counted then, less the time that it was.
        """
        tracer, counted = self.tracer, before + perf_counter_ns()
        if counted > tracer.tracing_ns:  # noqa: PLR1730  (`max` is a call more)
            tracer.tracing_ns = counted

    def _expect(
        self,
        key: Hashable,
        expected: Expected,
        name: str | None,
        inputs: Inputs,
        metadata: Mapping[str, Any],
        parent: Hashable,
        frame: FrameType | None,
    ) -> None:
        """Wait for a call to be recorded where it is made."""
        found = self._found(parent)
        at: Holder | None
        if found is not None and found.is_here(frame):
            at, moved = found.span, STAYED
        else:
            before = standing()
            at, moved = self._inside(found, before, frame), self._move(found, before, frame)
        self._open[key] = _Pending(
            name, inputs, metadata, expected, at, moved, self.tracer.now(), perf_counter_ns()
        )

    def _take(self, name: str, inputs: dict[str, Any], at: Holder | None) -> dict[str, Any]:
        """Find the call of a model that a tool answers; complete `inputs` from it, and return metadata for the span."""
        inside = at.event_id if at is not None else None
        asked = self._calls.take(name, inputs["arguments"] or {}, inside, call_id=inputs["call_id"])
        if asked is not None:
            inputs["call_id"] = inputs["call_id"] or asked.call_id
            if inputs["arguments"] is None:
                inputs["arguments"] = asked.arguments
        for missing in [each for each, value in inputs.items() if value in (None, "")]:
            del inputs[missing]
        return {} if asked is None else {"asked_in": asked.asked_in}

    def _open_span(
        self, key: Hashable, span: Span, parent: Holder | None, outer: Holder | None, frame: FrameType | None
    ) -> None:
        span.open_within(parent)
        if not span.is_open:  # its component is not recorded
            self._open[key] = _Skipped(None if parent is None else self._key_of(parent))
            return
        self._own.add(span)
        self._open[key] = inside = Inside(span, outer, frame)
        inside.enter()
        if inside.generates:
            tasks.follow(self.tracer.problem)

    def _leave(self, inside: Inside) -> Span:
        """Leave a place, and return its span, which has ended."""
        inside.leave()
        self._own.discard(inside.span)
        return inside.span

    def _key_of(self, holder: Holder) -> Hashable:
        return next(
            (
                key
                for key, each in list(self._open.items())
                if isinstance(each, Inside) and each.span is holder
            ),
            None,
        )

    def _parent(self, key: Hashable, frame: FrameType | None) -> Holder | None:
        """The parent of what begins now."""
        return self._inside(self._found(key), standing(), frame)

    def _inside(self, found: Inside | None, holder: Holder | None, frame: FrameType | None) -> Holder | None:
        """The parent, given the span that the framework names and the value of the context."""
        while isinstance(holder, Inside) and holder.is_beside(frame):
            holder = valid(holder.outer)
        here = None if holder is None else holder.here()
        between = self._own if frame is None else ()
        return here if found is None or is_within(here, found.span, between) else found.span

    def _found(self, key: Hashable) -> Inside | None:
        """The open span that the framework names as a parent."""
        found = self._open.get(key)
        while isinstance(found, _Skipped):
            found = self._open.get(found.parent)
        return found if isinstance(found, Inside) and found.span.is_open else None

    def _move(self, found: Inside | None, before: Holder | None, frame: FrameType | None) -> Moved:
        """Set the context to the parent that is named, where it says otherwise, for the call that comes next."""
        here = None if before is None else before.here()
        if found is None or is_within(here, found.span, self._own if frame is None else ()):
            return STAYED
        CURRENT.set(found)
        return Moved(found, before)

    def _write(
        self,
        pending: _Pending,
        outputs: Mapping[str, Any] | None,
        error: BaseException | None,
        fields: Mapping[str, Any],
    ) -> str:
        """Record a whole call after it has ended, with the times it had; the id of its start."""
        ended = perf_counter_ns()
        name, inputs, metadata = pending.name, pending.told(), pending.metadata
        span = self.tracer.span(pending.expected.kind, name, inputs, metadata, timestamp=pending.timestamp)
        span.open_within(pending.parent)
        if outputs is not None and error is None:
            span.set_output(outputs)
        failure = pending.failure if error is None else ending(error, self.tracer.payloads).fields()
        span.set(duration_ms=(ended - pending.started) / 1e6, **fields, **failure)
        span.close()
        return span.event_id
