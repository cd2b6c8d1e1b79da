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
from sys import modules
from threading import get_ident
from time import perf_counter_ns
from time import time as now
from types import CodeType, FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Self

from namel3ss_debug.capture import context
from namel3ss_debug.capture.callsite import innermost, on_stack
from namel3ss_debug.capture.context import CURRENT, Holder, Main
from namel3ss_debug.capture.details import variables_at, variables_of_failure
from namel3ss_debug.capture.failures import Failure, describe
from namel3ss_debug.capture.kinds import Kind
from namel3ss_debug.capture.resources import cpu_time_ns, memory_mb
from namel3ss_debug.traces.events import Event

if TYPE_CHECKING:  # the tracer makes spans, and a span only needs to know its type
    from namel3ss_debug.capture.tracer import ExecutionTracer

_GENERATOR_FLAGS = 0x20 | 0x200
"""inspect.CO_GENERATOR and CO_ASYNC_GENERATOR."""


class Span:
    """Something that takes time: a start event on entering, an end event on leaving.

    While it is open, events and spans of the same thread, task and what they start are recorded inside it. A
    span whose component is not recorded writes nothing, and its children take the nearest recorded ancestor.
    """

    # defaults for most spans; an instance sets only what differs
    event_id = ""
    is_open = False
    outputs: Mapping[str, Any] | None = None
    end_fields: Mapping[str, Any] = {}
    session_id: str | None = None
    totals: Counter[str] | None = None
    token: Token[Holder | None] | None = None
    _cpu = 0
    _frame: tuple[int, CodeType, object] | None = None
    _parent: Holder | None = None
    _reported = 0
    _kind: Kind

    def __init__(
        self,
        tracer: ExecutionTracer,
        component: str,
        name: str | None,
        inputs: Mapping[str, Any] | None,
        metadata: Mapping[str, Any] | None,
        prefix: str,
        fields: Mapping[str, Any],
    ) -> None:
        self._tracer = tracer
        self.component = component
        self.name = name
        self._inputs = inputs
        self._metadata = metadata
        self._fields = fields
        self._prefix = prefix

    def set_output(self, output: Any) -> None:
        """What came out: a mapping becomes `outputs` itself, any other value its `result`."""
        is_mapping = type(output) is not str and isinstance(output, Mapping)  # asking a str takes a while
        self.outputs = output if is_mapping else {"result": output}

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
        return self.open(frame_at(1))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()
        self.close(error)

    async def __aenter__(self) -> Self:
        return self.open(frame_at(1))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()
        self.close(error)

    def open(self, frame: FrameType | None = None, *, enter: bool = True) -> Self:
        """Write the start event, and make this the current span where `enter` says so.

        Args:
            frame: the frame that holds the `with` statement, when there is one.
            enter: whether what runs next is inside the span.
        """
        started = self._started = perf_counter_ns()
        tracer = self._tracer
        if tracer.components and self.component not in tracer.components:
            return self
        try:
            self._write_start(tracer, frame)
        except Exception as error:
            tracer.problem("the start of a span could not be recorded", error)
        if enter and self.event_id:
            if frame is not None and frame.f_code.co_flags & _GENERATOR_FLAGS:
                self._frame = (id(frame), frame.f_code, context.strand())
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
        if token is None:
            return
        try:
            CURRENT.reset(token)
        except ValueError:  # an async generator closed by another task: that context is gone
            pass

    def here(self) -> Holder | None:
        """This span, unless it belongs to a suspended generator: then the one outside of it."""
        if self._frame is not None:
            frame_id, code, strand = self._frame
            if strand == context.strand() and not on_stack(frame_id, code):
                return self._parent.here() if self._parent is not None else None
        return self

    def close(self, error: BaseException | None = None) -> None:
        """Write the end event; once, and only in the process that wrote the start."""
        ended = perf_counter_ns()
        tracer = self._tracer
        if not self.is_open or self._writer != tracer.writer.generation:
            return
        self.is_open = False
        try:
            self._write_end(tracer, ended, None if error is None else self._failure(tracer, error))
        except Exception as problem:
            tracer.problem("the end of a span could not be recorded", problem)
        tracer.tracing_ns += perf_counter_ns() - ended

    def _failure(self, tracer: ExecutionTracer, error: BaseException) -> Failure:
        """Put the exception into words; its stack trace only where no inner span has told it."""
        if isinstance(self._parent, Span):
            self._parent._reported = id(error)  # noqa: SLF001  (a span of our own)
        with_trace = tracer.keeps_payloads and self._reported != id(error)
        failure = describe(error, tracer.payloads, with_trace=with_trace)
        if tracer.sampler is not None and with_trace:
            return replace(failure, variables=variables_of_failure(error, tracer.sites))
        return failure

    def _write_start(self, tracer: ExecutionTracer, frame: FrameType | None) -> None:
        holder = CURRENT.get()
        self._parent = parent = context.current() if holder is None else holder.here()
        payloads, writer = tracer.payloads, tracer.writer
        self._kind = kind = tracer.kinds[self._prefix, self.component, self.name]
        self.name = kind.name
        event = kind.start.copy()
        event["timestamp"] = now()
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
        loops = modules.get("asyncio.events")
        if get_ident() != Main.ident or (loops is not None and loops._get_running_loop() is not None):  # noqa: SLF001
            tracer.place(event)
        if tracer.keeps_payloads:
            if self._inputs:
                event["inputs"] = payloads.flat(self._inputs) or payloads.mapping(self._inputs)
            if self._metadata:
                event["metadata"] = payloads.flat(self._metadata) or payloads.mapping(self._metadata)
        self._inputs = self._metadata = None
        if self._fields:
            for key, value in self._fields.items():
                if value is not None:
                    event[key] = payloads.value(value)
        if "call_site" not in event:
            site = tracer.sites.find(2) if frame is None else tracer.sites.at(frame)
            if site is not None:
                event["call_site"] = site
        if tracer.sampler is not None:
            tracer.add_variables(event, variables_at(innermost(2), tracer.sites))
        self._writer = writer.generation
        self.event_id = writer.append(event)
        self.is_open = True

    def _write_end(self, tracer: ExecutionTracer, ended: int, failure: Failure | None) -> None:
        event = self._kind.end.copy()
        event["timestamp"] = now()
        event["parent_event_id"] = self.event_id
        session_id = self.session_id or tracer.session_id
        if session_id is not None:
            event["session_id"] = session_id
        loops = modules.get("asyncio.events")
        if get_ident() != Main.ident or (loops is not None and loops._get_running_loop() is not None):  # noqa: SLF001
            tracer.place(event)
        event["duration_ms"] = (ended - self._started) / 1e6
        if failure is not None:
            event.update(failure.fields())
            if tracer.sampler is not None:
                tracer.add_variables(event, failure.variables)
        if self.outputs and tracer.keeps_payloads:
            payloads = tracer.payloads
            event["outputs"] = payloads.flat(self.outputs) or payloads.mapping(self.outputs)
        if self.totals:
            event["tokens_used"] = self.totals["tokens_used"]
            event["metadata"] = {"totals": dict(self.totals)}
        if self.end_fields:
            for key, value in self.end_fields.items():
                if value is None:
                    event.pop(key, None)
                elif key != "metadata" or tracer.keeps_payloads:
                    event[key] = tracer.payloads.value(value)
        if tracer.measures_memory and (memory := memory_mb()) is not None:
            event["memory_usage_mb"] = memory
        if tracer.measures_cpu:
            event["cpu_time_ms"] = (cpu_time_ns() - self._cpu) / 1e6
        self.outputs = None
        tracer.writer.append(event)
        if tracer.sampler is not None:
            tracer.sample_when_due()
        if self.component == "llm":
            self._add_to_totals(event)

    def _add_to_totals(self, event: Event) -> None:
        """Tell the outer spans that keep totals what this call used."""
        outer = self._parent
        while isinstance(outer, Span):
            if outer.totals is not None:
                outer.totals["llm_calls"] += 1
                outer.totals["tokens_used"] += event.get("tokens_used") or 0
                outer.totals["cost_estimate"] += event.get("cost_estimate") or 0
            outer = outer._parent  # noqa: SLF001  (a span of our own)
