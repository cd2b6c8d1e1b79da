"""The tracer: events and spans of this process, numbered and written by one `TraceWriter`.

Everything that records goes through `ExecutionTracer.emit` or a `Span`; the hooks, the transport and the tool
seam are only different ways to open spans. Nothing here raises into the program: what goes wrong inside is
counted under `problems`, stands in `trace_end`, and is one line on stderr at the end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from contextvars import Token
from sys import _getframe as frame_at
from sys import modules
from threading import current_thread, get_ident
from time import perf_counter_ns
from time import time as now
from types import CodeType, FrameType, TracebackType
from typing import Any, Self

from namel3ss_debug.capture import context
from namel3ss_debug.capture.callsite import CallSites, on_stack
from namel3ss_debug.capture.context import CURRENT, Holder, Main
from namel3ss_debug.capture.failures import Failure, describe
from namel3ss_debug.capture.kinds import Kinds
from namel3ss_debug.capture.payloads import Payloads
from namel3ss_debug.capture.resources import cpu_time_ns, memory_mb
from namel3ss_debug.config import DebugConfiguration
from namel3ss_debug.traces.events import EXECUTION_PREFIX, Event
from namel3ss_debug.traces.writer import TraceWriter

_GENERATOR_FLAGS = 0x20 | 0x200
"""inspect.CO_GENERATOR and CO_ASYNC_GENERATOR."""


class ExecutionTracer:
    """Records what happens in this process.

    Args:
        writer: where the events go.
        config: the settings in force.
        execution_id: the run.
        session_id: the conversation or job the run belongs to.
        sites: finds the user's own frames.
        payloads: makes JSON of the program's values.
        parent_id: the span of another process this one was started in.
    """

    enabled = True

    def __init__(
        self,
        writer: TraceWriter,
        config: DebugConfiguration,
        *,
        execution_id: str,
        sites: CallSites,
        payloads: Payloads,
        session_id: str | None = None,
        parent_id: str | None = None,
    ) -> None:
        self.writer = writer
        self.config = config
        self.execution_id = execution_id
        self.session_id = session_id
        self.sites = sites
        self.payloads = payloads
        self.parent_id = parent_id
        self.problems: Counter[str] = Counter()
        self.tracing_ns = 0
        self.exit_status: int | None = None
        self.at_end: list[Callable[[], None]] = []
        self.keeps_payloads = config.level != "basic"
        self.measures_memory = config.capture_memory
        self.measures_cpu = config.capture_performance
        self.components = frozenset(config.default_components)
        self.kinds = Kinds(execution_id, payloads)

    def emit(
        self,
        event_type: str,
        *,
        component: str,
        component_name: str | None = None,
        inputs: Mapping[str, Any] | None = None,
        outputs: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> str | None:
        """Record one event inside the current span.

        Args:
            event_type: one of the event types, or the program's own.
            component: which part of the program it belongs to.
            component_name: the name of that part.
            inputs: what went in.
            outputs: what came out.
            metadata: anything else.
            **fields: further fields of the format by name, JSON values.

        Returns:
            The id of the event, or `None` when its component is not recorded.
        """
        if self.components and component not in self.components:
            return None
        started = perf_counter_ns()
        try:
            return self._write(event_type, component, component_name, inputs, outputs, metadata, fields)
        except Exception as error:
            self.problem("an event could not be recorded", error)
            return None
        finally:
            self.tracing_ns += perf_counter_ns() - started

    async def emit_event(self, event_type: str, **fields: Any) -> str | None:
        """The same as `emit`, for those who await."""
        return self.emit(event_type, **fields)

    def span(
        self,
        component: str,
        name: str | None = None,
        inputs: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        prefix: str | None = None,
        **fields: Any,
    ) -> Span:
        """A span for `with` and `async with`; its start is written on entering, its end on leaving.

        Args:
            component: which part of the program it belongs to.
            name: the name of that part.
            inputs: what goes in.
            metadata: anything else that is known at the start.
            prefix: the event types without `_start` and `_end`; the execution pair of the component if left out.
            **fields: further fields of the start event by name.
        """
        prefix = prefix or EXECUTION_PREFIX.get(component, component)
        return Span(self, component, name, inputs, metadata, prefix, fields)

    def flush(self) -> None:
        """Hand everything that waits in a buffer to the kernel."""
        self.writer.flush()

    def problem(self, what: str, error: BaseException | None = None) -> None:
        """Remember that something went wrong inside tracing; it is told in `trace_end`."""
        text = what if error is None else f"{what}: {type(error).__name__}"
        self.problems[text] += 1

    def adopt(self, parent_id: str) -> None:
        """Take a span of another process as the one this process was started in."""
        self.parent_id = parent_id

    def header(self, metadata: Event) -> Event:
        """A `trace_start` event with this metadata; the writer numbers it."""
        event: Event = {"event_type": "trace_start", "event_id": None, "seq": 0, "timestamp": now()}
        if self.parent_id:
            event["parent_event_id"] = self.parent_id
        event["execution_id"] = self.execution_id
        if self.session_id:
            event["session_id"] = self.session_id
        return event | {"component": "app", "metadata": metadata}

    def finish(self) -> None:
        """Write `trace_end`: what tracing itself cost, and what went wrong inside it."""
        for end in self.at_end:
            end()
        writer = self.writer
        event = self.base("trace_end", "app", None, None)
        event["metadata"] = {
            "events": writer.events,
            "bytes": writer.bytes,
            "tracing_us": round(self.tracing_ns / 1000, 1),
            "dropped": writer.dropped,
            "problems": dict(self.problems),
        }
        if self.exit_status is not None:
            event["metadata"]["exit_status"] = self.exit_status
        writer.append(event)
        writer.flush()

    def _write(
        self,
        event_type: str,
        component: str,
        name: str | None,
        inputs: Mapping[str, Any] | None,
        outputs: Mapping[str, Any] | None,
        metadata: Mapping[str, Any] | None,
        fields: Mapping[str, Any],
    ) -> str:
        parent = context.current()
        event = self.base(event_type, component, None if name is None else self.payloads.text(name), parent)
        if self.keeps_payloads:
            self.add_payloads(event, inputs, outputs, metadata)
        for key, value in fields.items():
            if value is not None:
                event[key] = self.payloads.value(value)
        if "call_site" not in event and (site := self.sites.find(2)):
            event["call_site"] = site
        return self.writer.append(event)

    def base(self, event_type: str, component: str, name: str | None, parent: Holder | None) -> Event:
        """The fields that every event has, with room for the number the writer gives."""
        event: Event = {"event_type": event_type, "event_id": None, "seq": 0, "timestamp": now()}
        session_id = self.session_id
        if parent is not None:
            event["parent_event_id"] = parent.event_id
            session_id = parent.session_id or session_id
        elif self.parent_id is not None:
            event["parent_event_id"] = self.parent_id
        event["execution_id"] = self.execution_id
        if session_id is not None:
            event["session_id"] = session_id
        event["component"] = component
        if name is not None:
            event["component_name"] = name
        self.place(event)
        return event

    def place(self, event: Event) -> None:
        """Say in which thread and task an event happens, where not in the main ones."""
        if get_ident() != Main.ident:
            event["thread"] = current_thread().name
        loops = modules.get("asyncio.events")
        if loops is not None and loops._get_running_loop() is not None:  # noqa: SLF001  (as in `context`)
            task = context.task_name()
            if task is not None:
                event["task"] = task

    def add_payloads(
        self,
        event: Event,
        inputs: Mapping[str, Any] | None,
        outputs: Mapping[str, Any] | None,
        metadata: Mapping[str, Any] | None,
    ) -> None:
        """Put the payloads into the event, as JSON and redacted."""
        if inputs:
            event["inputs"] = self.payloads.mapping(inputs)
        if outputs:
            event["outputs"] = self.payloads.mapping(outputs)
        if metadata:
            event["metadata"] = self.payloads.mapping(metadata)


class Span:
    """Something that takes time: a start event on entering, an end event on leaving.

    While it is open, events and spans of the same thread, task and what they start are recorded inside it. A
    span whose component is not recorded writes nothing, and its children take the nearest recorded ancestor.
    """

    __slots__ = (
        "_cpu", "_fields", "_frame", "_inputs", "_kind", "_metadata", "_parent", "_prefix", "_reported", "_started",
        "_tracer", "_writer", "component", "end_fields", "event_id", "is_open", "name", "outputs", "session_id", "token",
        "totals",
    )  # fmt: skip

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
        self.event_id = ""
        self.is_open = False
        self.outputs: Mapping[str, Any] | None = None
        self.session_id: str | None = None
        self.totals: Counter[str] | None = None
        self.end_fields: dict[str, Any] = {}
        self.token: Token[Holder | None] | None = None
        self._inputs = inputs
        self._metadata = metadata
        self._fields = fields
        self._prefix = prefix
        self._parent: Holder | None = None
        self._reported = 0
        self._frame: tuple[int, CodeType, object] | None = None

    def set_output(self, output: Any) -> None:
        """What came out: a mapping becomes `outputs` itself, any other value its `result`."""
        is_mapping = type(output) is not str and isinstance(output, Mapping)  # asking a str takes a while
        self.outputs = output if is_mapping else {"result": output}

    def set(self, **fields: Any) -> None:
        """Further fields of the end event by name, `usage` or `status` for instance; `None` leaves one out."""
        self.end_fields.update(fields)

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
        return describe(error, tracer.payloads, with_trace=with_trace)

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
