"""A span: something that takes time, written as a start event on entering and an end event on leaving.

This is the hot path of capture. What is done inline here, and not by a function with a name, is so because a
call costs as much as the work; `benchmarks/span_cost.py` measures it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextvars import Token
from dataclasses import replace
from sys import _getframe as frame_at
from threading import get_ident
from types import CodeType, FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Self

from namel3ss_debug.capture import context
from namel3ss_debug.capture.callsite import innermost, on_stack
from namel3ss_debug.capture.context import CURRENT, MAIN, NOWHERE, Holder
from namel3ss_debug.capture.details import variables_at, variables_of_failure
from namel3ss_debug.capture.failures import Failure, ending, state_of
from namel3ss_debug.capture.payloads import Ready
from namel3ss_debug.capture.resources import cpu_time_ns, memory_mb_of_span
from namel3ss_debug.traces.clocks import perf_counter_ns
from namel3ss_debug.traces.events import Event

if TYPE_CHECKING:  # the tracer makes spans, and a span only needs to know its type
    from namel3ss_debug.capture.tracer import ExecutionTracer

_GENERATOR_FLAGS = 0x20 | 0x200
"""inspect.CO_GENERATOR and CO_ASYNC_GENERATOR."""


_NO_FIELDS: Mapping[str, Any] = {}
_NOWHERE = (0, 0)
HELD_TOLD_NS = 100_000_000
"""For how long a program has to be held in a span before its end says so: what a machine answers takes a little, too."""
_UNKNOWN = (None, None)


class Span:
    """Something that takes time: a start event on entering, an end event on leaving.

    While it is open, events and spans of the same thread, task and what they start are recorded inside it. A
    span whose component is not recorded writes nothing, and its children take the nearest recorded ancestor.
    """

    __slots__ = (
        "__weakref__",
        "_cpu",
        "_end",
        "_fields",
        "_frame",
        "_held",
        "_inputs",
        "_metadata",
        "_parent",
        "_prefix",
        "_reported",
        "_text",
        "_tracer",
        "_writer",
        "component",
        "end_fields",
        "event_id",
        "is_open",
        "name",
        "outputs",
        "session_id",
        "started",
        "token",
        "totals",
        "wanders",
    )

    def __init__(
        self,
        tracer: ExecutionTracer,
        component: str,
        name: str | None,
        inputs: Mapping[str, Any] | Ready | None,
        metadata: Mapping[str, Any] | None,
        prefix: str | None,
        fields: Mapping[str, Any],
    ) -> None:
        self._tracer = tracer
        self.component = component
        self.name = name
        self._inputs = inputs
        self._metadata = metadata
        self._fields = fields
        self._prefix = prefix
        self.event_id = ""
        self.is_open = False
        self.outputs: Mapping[str, Any] | Ready | None = None
        self.end_fields: Mapping[str, Any] = _NO_FIELDS
        self.session_id: str | None = None
        self.totals: Counter[str] | None = None
        self.token: Token[Holder | None] | None = None
        self.wanders = False
        self._frame: tuple[int, CodeType, object] | None = None
        self._parent: Holder | None = None
        self._reported = 0
        self._text: str | None = None

    def set_output(self, output: Any) -> None:
        """What came out: a mapping, or one that is ready, becomes `outputs` itself, any other value its `result`."""
        if type(output) is str:  # the most frequent, and asking whether it is a mapping takes a while
            self._text, self.outputs = output, {"result": output}
        elif type(output) is dict or isinstance(output, (Ready, Mapping)):
            self._text, self.outputs = None, output
        else:
            self._text, self.outputs = None, {"result": output}

    def set(self, **fields: Any) -> None:
        """Further fields of the end event by name, `usage` or `status` for instance; `None` leaves one out."""
        self.end_fields = {**self.end_fields, **fields}

    def emit(self, event_type: str, outputs: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
        """Record an event of this span's own, inside it, whatever the running code is inside."""
        if not self.is_open:
            return
        tracer = self._tracer
        started = perf_counter_ns()
        try:
            event = tracer.base(event_type, self.component, self.name, self)
            if tracer.keeps_payloads:
                tracer.add_payloads(event, None, outputs, metadata)
            tracer.writer.append(event)
        except Exception as error:
            tracer.problem("an event of a span could not be recorded", error)
        tracer.tracing_ns += perf_counter_ns() - started

    def __enter__(self) -> Self:
        return self._begin(frame_at(1), True, None)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        ended = perf_counter_ns()
        token = self.token
        if token is not None:
            self.token = None
            if not self.wanders or self._stands():
                try:
                    CURRENT.reset(token)
                except ValueError:  # an async generator closed by another task: that context is gone
                    pass
        tracer = self._tracer
        if not self.is_open or self._writer != tracer.writer.generation:
            return
        self.is_open = False
        try:
            if tracer.stacks is not None:
                tracer.stacks.ended(self, ended - self.started)
            event = self._end.copy()
            event["timestamp"] = tracer.now()
            event["parent_event_id"] = self.event_id
            session_id = self.session_id or tracer.session_id
            if session_id is not None:
                event["session_id"] = session_id
            if (loop := context.running_loop()) is not None or get_ident() != MAIN.ident:
                tracer.place(event, loop)
            held = 0 if tracer.held is None else self._held_since_start(tracer.held, ended)
            event["duration_ms"] = (ended - self.started - held) / 1e6
            if error is not None:
                self._add_failure(event, error)
            outputs = self.outputs
            if outputs and tracer.keeps_payloads:
                payloads = tracer.payloads
                if self._text not in payloads.clear_texts or "result" not in payloads.clear_names:
                    outputs = payloads.flat(outputs) or payloads.mapping(outputs)
                event["outputs"] = outputs
            if (
                tracer.measures_memory
                and (memory := memory_mb_of_span(ended, ended - self.started)) is not None
            ):
                event["memory_usage_mb"] = memory
            if tracer.measures_cpu:
                event["cpu_time_ms"] = (cpu_time_ns() - self._cpu) / 1e6
            if self.totals or self.end_fields:
                self._add_end_fields(event)
            if held >= HELD_TOLD_NS and tracer.keeps_payloads:
                event["metadata"] = {**event.get("metadata", {}), "held_ms": round(held / 1e6, 3)}
            self.outputs = self._text = None
            tracer.writer.append(event)
            if tracer.sampler is not None:
                tracer.sample_when_due()
            if self._parent is not None and self.component == "llm":
                self._add_to_totals(event)
        except Exception as problem:
            tracer.problem("the end of a span could not be recorded", problem)
        tracer.tracing_ns += perf_counter_ns() - ended

    async def __aenter__(self) -> Self:
        return self._begin(frame_at(1), True, None)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def open(self, frame: FrameType | None = None, *, enter: bool = True) -> Self:
        """Write the start event, and make this the current span where `enter` says so.

        Args:
            frame: the frame that holds the `with` statement, when there is one.
            enter: whether what runs next is inside the span.
        """
        return self._begin(frame, enter, None)

    def open_within(self, outer: Holder | None) -> Self:
        """Write the start event, inside of another span than the running code may be; the current one stays."""
        return self._begin(None, False, outer or NOWHERE)

    def _begin(self, frame: FrameType | None, enter: bool, holder: Holder | None) -> Self:
        started = self.started = perf_counter_ns()
        tracer = self._tracer
        if tracer.components and self.component not in tracer.components:
            return self
        try:
            holder = holder or CURRENT.get()
            parent = context.current() if holder is None else holder.here() if holder.wanders else holder
            self._parent = parent
            self.name, start, self._end = tracer.kinds[self._prefix, self.component, self.name]
            event = start.copy()
            event["timestamp"] = tracer.now()
            session_id = self.session_id
            if parent is not None:
                event["parent_event_id"] = parent.event_id
                if session_id is None:
                    session_id = self.session_id = parent.session_id
            elif tracer.parent_id is not None:
                event["parent_event_id"] = tracer.parent_id
            else:
                del event["parent_event_id"]
            if session_id is not None or tracer.session_id is not None:
                event["session_id"] = session_id or tracer.session_id
            if (loop := context.running_loop()) is not None or get_ident() != MAIN.ident:
                tracer.place(event, loop)
            if self._inputs and tracer.keeps_payloads:
                payloads = tracer.payloads
                event["inputs"] = payloads.flat(self._inputs) or payloads.mapping(self._inputs)
            if self._metadata or self._fields:
                self._add_start_fields(event)
            self._inputs = self._metadata = None
            if "call_site" not in event:
                place = _NOWHERE if frame is None else (id(frame.f_code), frame.f_lasti)
                code, site = tracer.sites.known.get(place, _UNKNOWN)
                if site is None or frame is None or code is not frame.f_code:
                    site = tracer.sites.at(frame or frame_at(2))
                if site is not None:
                    event["call_site"] = site
            if tracer.sampler is not None:
                tracer.add_variables(event, variables_at(innermost(2), tracer.sites))
            self._writer, self._held = (
                tracer.writer.generation,
                _NOWHERE if tracer.held is None else _held_here(tracer.held),
            )
            self.event_id = tracer.writer.append(event)
            self.is_open = True
        except Exception as error:
            tracer.problem("the start of a span could not be recorded", error)
        if enter and self.event_id:
            if frame is not None and frame.f_code.co_flags & _GENERATOR_FLAGS:
                self.wanders, self._frame = True, (id(frame), frame.f_code, context.strand())
            self.token = CURRENT.set(self)
        if tracer.measures_cpu:
            self._cpu = cpu_time_ns()
        tracer.tracing_ns += perf_counter_ns() - started
        return self

    def enter(self) -> None:
        """Make this the current span."""
        if self.is_open:
            self.token = CURRENT.set(self)

    def leave(self) -> None:
        """Make the span that was current before it current again."""
        token, self.token = self.token, None
        if token is None or (self.wanders and not self._stands()):
            return
        try:
            CURRENT.reset(token)
        except ValueError:  # an async generator closed by another task: that context is gone
            pass

    def here(self) -> Holder | None:
        """This span, unless it belongs to a generator that is suspended or has left it: then the one outside of it."""
        if self._frame is not None:
            frame_id, code, strand = self._frame
            if strand == context.strand() and not (self.is_open and on_stack(frame_id, code)):
                return self._parent.here() if self._parent is not None else None
        return self

    def _stands(self) -> bool:
        """Whether the context holds this span, or one inside it: another where the generator goes on in that one's block."""
        holder: Any = CURRENT.get()
        while holder is not None and holder is not self:  # a place of a framework's stands for its span
            holder = getattr(getattr(holder, "span", holder), "_parent", None)
        return holder is self

    def close(self, error: BaseException | None = None) -> None:
        """Write the end event; once, and only in the process that wrote the start."""
        self.__exit__(None, error, None)

    def _held_since_start(self, held: Mapping[int, int], ended: int) -> int:
        """Nanoseconds of this span for which the debugger held the thread that began it."""
        thread, before = self._held
        return max(0, min(held[thread] - before, ended - self.started))

    def _failure(self, tracer: ExecutionTracer, error: BaseException) -> Failure:
        """Put the exception into words; its stack trace only where no inner span has told it."""
        if isinstance(self._parent, Span):
            self._parent._reported = id(error)  # noqa: SLF001  (a span of our own)
        with_trace = tracer.keeps_payloads and self._reported != id(error)
        failure = ending(error, tracer.payloads, with_trace=with_trace)
        if tracer.sampler is not None and with_trace:
            return replace(failure, variables=variables_of_failure(error, tracer.sites))
        return failure

    def _add_failure(self, event: Event, error: BaseException) -> None:
        failure = self._failure(self._tracer, error)
        event.update(failure.fields())
        if self.component == "tool" and self._tracer.keeps_payloads:
            self._keep_state(error)
        if self._tracer.sampler is not None:
            self._tracer.add_variables(event, failure.variables)

    def _keep_state(self, error: BaseException) -> None:
        """Tell what the exception of a tool holds, for a re-run to raise it again."""
        try:
            state = state_of(error, self._tracer.payloads, self._tracer.sites)
        except Exception as problem:  # an exception may have anything in it
            self._tracer.problem("what an exception of a tool holds could not be recorded", problem)
            return
        if state:
            self.set(metadata={**self.end_fields.get("metadata", {}), "raised": state})

    def _add_start_fields(self, event: Event) -> None:
        payloads = self._tracer.payloads
        if self._metadata and self._tracer.keeps_payloads:
            event["metadata"] = payloads.flat(self._metadata) or payloads.mapping(self._metadata)
        for key, value in self._fields.items():
            if value is not None:
                event[key] = payloads.value(value)

    def _add_end_fields(self, event: Event) -> None:
        if self.totals:
            event["tokens_used"] = self.totals["tokens_used"]
            event["metadata"] = {"totals": dict(self.totals)}
        for key, value in self.end_fields.items():
            if value is None:
                event.pop(key, None)
            elif key != "metadata" or self._tracer.keeps_payloads:
                event[key] = self._tracer.payloads.value(value)

    def _add_to_totals(self, event: Event) -> None:
        """Tell the outer spans that keep totals what this call used; while recording, prices are not known."""
        outer = self._parent
        while isinstance(outer, Span):
            if outer.totals is not None:
                outer.totals["llm_calls"] += 1
                outer.totals["tokens_used"] += event.get("tokens_used") or 0
                if "cost_estimate" in event:
                    outer.totals["cost_estimate"] += event["cost_estimate"] or 0
                elif event.get("status") != "failed":
                    outer.totals["calls_without_cost"] += 1
            outer = outer._parent  # noqa: SLF001  (a span of our own)


def is_in_tool(name: str) -> bool:
    """Whether the running code is the work of a recorded call of this tool: the innermost span is that call."""
    span = context.current()
    return isinstance(span, Span) and span.component == "tool" and span.name == name


def _held_here(held: Mapping[int, int]) -> tuple[int, int]:
    """This thread, and the nanoseconds for which it has been held."""
    thread = get_ident()
    return thread, held[thread]
