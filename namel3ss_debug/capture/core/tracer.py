"""The tracer of a process, and its spans: events that are numbered and written by one `TraceWriter`.

Everything that records goes through `ExecutionTracer.emit` or an `OpenSpan`. The hooks, the HTTP seams and the tool seam are
only different ways to open spans. Nothing here raises into the program: an error inside tracing is counted under
`problems`, written to `trace_end` and printed as one line on stderr at the end. What a signal handler of the program
raises meanwhile goes on to the program.

`OpenSpan` is the hot path of capture. Some work is done inline here instead of in a named function, because a call costs as
much as the work; `benchmarks/span_cost.py` measures it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import Token
from sys import _getframe as frame_at
from threading import get_ident
from types import CodeType, FrameType, TracebackType
from typing import Any, Protocol, Self, TypeAlias

from namel3ss_debug.capture.core import context, interruptions
from namel3ss_debug.capture.core.answers import Network, ReplySource
from namel3ss_debug.capture.core.callsite import CallSites, innermost, on_stack
from namel3ss_debug.capture.core.context import CURRENT, MAIN, NOWHERE, SpanLike
from namel3ss_debug.capture.core.details import Sampler
from namel3ss_debug.capture.core.failures import call_site_of, exception_state, span_failure, to_failure
from namel3ss_debug.capture.core.resources import cpu_time_ns, memory_mb_of_span
from namel3ss_debug.capture.core.variables import VariableRecorder, frame_of_failure, user_frame
from namel3ss_debug.capture.payloads import exact
from namel3ss_debug.capture.payloads.conversion import Payloads, Ready
from namel3ss_debug.config import DebugConfiguration
from namel3ss_debug.traces.clocks import perf_counter_ns, time
from namel3ss_debug.traces.events import EXECUTION_PREFIX, Event
from namel3ss_debug.traces.writer import TraceWriter

LEAST_PAUSE_NS = 100_000_000
"""The shortest pause that an event mentions. Shorter ones are mostly the time that a machine needs to reply."""

_LONG_TEXTS = frozenset({"error", "error_type", "stack_trace"})
"""Fields that stay text however long they are; the middle of a long one is left out."""

_GENERATOR_FLAGS = 0x20 | 0x200
"""inspect.CO_GENERATOR and CO_ASYNC_GENERATOR."""

_WITH_EXCEPTION_STATE = frozenset({"tool", "command"})
"""Components whose exceptions a re-run raises again."""

_NO_FIELDS: Mapping[str, Any] = {}
_NO_PAUSE = (0, 0)
_NO_CODE = (0, 0)
_UNKNOWN = (None, None)
_MOST_TEMPLATES = 1024
_FIELDS_OF_LARGER_DICT = 11

Template: TypeAlias = tuple[str | None, Event, Event]
"""The name as it is shown, and a start and an end event without the fields that differ between spans."""


class EventTemplates(dict[tuple[str | None, str, str | None], Template]):
    """The constant part of a span's two events, made once for each `[prefix, component, name]`.

    The prefix is that of the event types; `None` means the execution pair of the component.

    Args:
        execution_id: the run.
        payloads: redacts the names.
    """

    def __init__(self, execution_id: str, payloads: Payloads) -> None:
        self._execution_id = execution_id
        self._payloads = payloads

    def __missing__(self, key: tuple[str | None, str, str | None]) -> Template:
        prefix, component, name = key
        prefix = prefix or EXECUTION_PREFIX.get(component, component)
        shown = None if name is None else self._payloads.text(name)
        template = (
            shown,
            self._make_event(f"{prefix}_start", component, shown, "started"),
            self._make_event(f"{prefix}_end", component, shown, "completed"),
        )
        if len(self) >= _MOST_TEMPLATES:
            self.clear()
        self[key] = template
        return template

    def _make_event(self, event_type: str, component: str, name: str | None, status: str) -> Event:
        """Return the fields in the order in which they are written, with room for those that are set later."""
        event: Event = {
            "event_type": event_type,
            "event_id": None,
            "seq": 0,
            "timestamp": 0.0,
            "parent_event_id": None,
            "execution_id": self._execution_id,
            "component": component,
            "component_name": name,
            "status": status,
        }
        if name is None:
            del event["component_name"]
        # A dict of more than ten keys has a larger table, and keeps it when keys are deleted. A copy has the same
        # table, so that it need not grow.
        spare = [str(number) for number in range(len(event), _FIELDS_OF_LARGER_DICT)]
        event |= dict.fromkeys(spare)
        for key in spare:
            del event[key]
        return event


class StackSampler(Protocol):
    """Samples the stacks of this process beside its spans, see `stacks`."""

    def end_span(self, span: OpenSpan, elapsed_ns: int) -> None:
        """Write what was sampled inside a span that ends now."""


class GuardsLike(Protocol):
    """Decides which calls are made, see `guards.limiting`."""

    def begin(self, span: OpenSpan, event: Event) -> None:
        """Decide about the call that begins with this event, which is written."""

    def end(self, event: Event) -> None:
        """Take what a call has used, from its end event."""


class RetriesLike(Protocol):
    """Decides which requests are sent again, see `guards.retrying`."""

    def pause(
        self,
        targets: Sequence[tuple[str, str]],
        attempt: int,
        failure: int | Exception,
        retry_after: str | None,
        *,
        answered: bool,
    ) -> float | None:
        """Return the seconds before a request that failed is sent again; `None` if it is not."""


class ToolCodeSource(Protocol):
    """Describes the code behind tools, see `seams.functions.codedigest`."""

    def of_call(self, name: str, code: CodeType, receiver: Any) -> dict[str, Any] | None:
        """Return what to record of the code; `None` where the trace holds it already."""

    def new_files(self) -> dict[str, Any]:
        """Return what to record of the user's files that were loaded since."""


class OpenSpan:
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
        "_inputs",
        "_metadata",
        "_parent",
        "_paused_at_start",
        "_prefix",
        "_reported",
        "_text",
        "_tracer",
        "_writer",
        "component",
        "end_fields",
        "event_id",
        "is_open",
        "may_be_outside",
        "name",
        "outputs",
        "session_id",
        "started",
        "token",
        "totals",
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
        self.token: Token[SpanLike | None] | None = None
        self.may_be_outside = False
        self._frame: tuple[int, CodeType, object] | None = None
        self._parent: SpanLike | None = None
        self._reported = 0
        self._text: str | None = None

    def set_output(self, output: Any) -> None:
        """Set what came out: a mapping or a `Ready` becomes `outputs` itself, any other value its `result`."""
        if type(output) is str:  # the most frequent case; the check for a mapping is slow
            self._text, self.outputs = output, {"result": output}
        elif type(output) is dict or isinstance(output, (Ready, Mapping)):
            self._text, self.outputs = None, output
        else:
            self._text, self.outputs = None, {"result": output}

    def set(self, **fields: Any) -> None:
        """Set further fields of the end event by name, such as `usage` or `status`; `None` leaves one out."""
        self.end_fields = {**self.end_fields, **fields}

    def emit(self, event_type: str, outputs: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
        """Record an event inside this span, wherever the running code is."""
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
            if not self.may_be_outside or self._is_in_context():
                try:
                    CURRENT.reset(token)
                except ValueError:  # another task has closed an async generator: its context is gone
                    pass
        tracer = self._tracer
        if not self.is_open or self._writer != tracer.writer.generation:
            return
        self.is_open = False
        try:
            if tracer.stacks is not None:
                tracer.stacks.end_span(self, ended - self.started)
            event = self._end.copy()
            event["timestamp"] = tracer.now()
            event["parent_event_id"] = self.event_id
            session_id = self.session_id or tracer.session_id
            if session_id is not None:
                event["session_id"] = session_id
            if (loop := context.running_loop()) is not None or get_ident() != MAIN.ident:
                tracer.place(event, loop)
            paused = 0 if tracer.paused_ns is None else self._paused_ns(tracer.paused_ns, ended)
            event["duration_ms"] = (ended - self.started - paused) / 1e6
            failed = None if error is None else self._add_failure(event, error)
            outputs = self.outputs
            if outputs and tracer.keeps_payloads:
                payloads = tracer.payloads
                if self._text not in payloads.clear_texts or "result" not in payloads.clear_names:
                    outputs = payloads.mapping(outputs)
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
            if paused >= LEAST_PAUSE_NS and tracer.keeps_payloads:
                event["metadata"] = {**event.get("metadata", {}), "paused_ms": round(paused / 1e6, 3)}
            self.outputs = self._text = None
            # A conditional, because a call for each span costs more than the check.
            tracer.writer.append(event) if failed is None else tracer.append_with_variables(event, failed)
            tracer.guards.end(event) if tracer.guards is not None else None
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

    def open_within(self, outer: SpanLike | None) -> Self:
        """Write the start event inside another span than the current one, which stays current."""
        return self._begin(None, False, outer or NOWHERE)

    def _begin(self, frame: FrameType | None, enter: bool, holder: SpanLike | None) -> Self:
        started = self.started = perf_counter_ns()
        tracer = self._tracer
        if tracer.components and self.component not in tracer.components:
            return self
        try:
            holder = holder or CURRENT.get()
            parent = (
                context.current() if holder is None else holder.here() if holder.may_be_outside else holder
            )
            self._parent = parent
            self.name, start, self._end = tracer.templates[self._prefix, self.component, self.name]
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
                event["inputs"] = payloads.mapping(self._inputs)
            if self._metadata or self._fields:
                self._add_start_fields(event)
            self._inputs = self._metadata = None
            if "call_site" not in event:
                place = _NO_CODE if frame is None else (id(frame.f_code), frame.f_lasti)
                code, site = tracer.sites.known.get(place, _UNKNOWN)
                if site is None or frame is None or code is not frame.f_code:
                    site = tracer.sites.at(frame or frame_at(2))
                if site is not None:
                    event["call_site"] = site
            self._paused_at_start = _NO_PAUSE if tracer.paused_ns is None else tracer.pause_here()
            self._writer = tracer.writer.generation
            self.event_id = (
                tracer.writer.append(event)
                if tracer.variables is None
                else tracer.append_with_variables(event, user_frame(innermost(2), tracer.sites))
            )
            self.is_open = True
            tracer.guards.begin(self, event) if tracer.guards is not None else None
        except Exception as error:
            tracer.problem("the start of a span could not be recorded", error)
        if enter and self.event_id:
            if frame is not None and frame.f_code.co_flags & _GENERATOR_FLAGS:
                self.may_be_outside, self._frame = (
                    True,
                    (id(frame), frame.f_code, context.task_or_thread_id()),
                )
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
        if token is None or (self.may_be_outside and not self._is_in_context()):
            return
        try:
            CURRENT.reset(token)
        except ValueError:  # another task has closed an async generator: its context is gone
            pass

    def outer_spans(self) -> Iterator[OpenSpan]:
        """Yield the spans around this one in this process, the innermost first."""
        holder: Any = self._parent
        while holder is not None:  # what a framework puts into the context has its span as an attribute
            span = getattr(holder, "span", holder)
            if isinstance(span, OpenSpan):
                yield span
            holder = getattr(span, "_parent", None)

    def here(self) -> SpanLike | None:
        """Return this span; the one outside of it if it belongs to a generator that is suspended or has left it."""
        if self._frame is not None:
            frame_id, code, task = self._frame
            if task == context.task_or_thread_id() and not (self.is_open and on_stack(frame_id, code)):
                return self._parent.here() if self._parent is not None else None
        return self

    def _is_in_context(self) -> bool:
        """Return whether the context holds this span or one inside it.

        It holds another one where the generator goes on in that one's block.
        """
        holder: Any = CURRENT.get()
        while (
            holder is not None and holder is not self
        ):  # what a framework puts there has its span as an attribute
            holder = getattr(getattr(holder, "span", holder), "_parent", None)
        return holder is self

    def close(self, error: BaseException | None = None) -> None:
        """Write the end event; once, and only in the process that wrote the start."""
        self.__exit__(None, error, None)

    def _paused_ns(self, paused_ns: Mapping[int, int], ended: int) -> int:
        """Return for how many nanoseconds of this span the debugger paused the thread that began it."""
        thread, before = self._paused_at_start
        return max(0, min(paused_ns[thread] - before, ended - self.started))

    def _add_failure(self, event: Event, error: BaseException) -> FrameType | None:
        """Add the failure to the end event, and return the frame whose variables belong to it."""
        tracer = self._tracer
        if isinstance(self._parent, OpenSpan):
            self._parent._reported = id(error)
        # The innermost span that an exception leaves has its stack trace; the outer ones need not repeat it.
        with_trace = tracer.keeps_payloads and self._reported != id(error)
        event.update(span_failure(error, tracer.payloads, with_trace=with_trace).fields())
        if self.component in _WITH_EXCEPTION_STATE and tracer.keeps_payloads:
            self._keep_exception_state(error)
        if tracer.variables is not None and with_trace:
            return frame_of_failure(error, tracer.sites)
        return None

    def _keep_exception_state(self, error: BaseException) -> None:
        """Record what the exception of a tool contains, for a re-run to raise it again."""
        try:
            state = exception_state(error, self._tracer.payloads, self._tracer.sites)
        except Exception as problem:  # an exception may have anything in it
            self._tracer.problem("the contents of a tool's exception could not be recorded", problem)
            return
        if state:
            self.set(metadata={**self.end_fields.get("metadata", {}), "raised": state})

    def _add_start_fields(self, event: Event) -> None:
        payloads = self._tracer.payloads
        if self._metadata and self._tracer.keeps_payloads:
            event["metadata"] = payloads.mapping(self._metadata)
        for key, value in self._fields.items():
            if value is not None:
                event[key] = payloads.value(value)
        if self._tracer.sources and self.component == "tool" and "metadata" in event:
            # Not redacted: they hold names of definitions and digests only, which rules for secrets may take for some.
            event["metadata"]["sources"], self._tracer.sources = self._tracer.sources, {}

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
        """Add the usage of this call to the outer spans that keep totals. Prices are not known while recording."""
        outer = self._parent
        while isinstance(outer, OpenSpan):
            if outer.totals is not None:
                outer.totals["llm_calls"] += 1
                outer.totals["tokens_used"] += event.get("tokens_used") or 0
                if "cost_estimate" in event:
                    outer.totals["cost_estimate"] += event["cost_estimate"] or 0
                elif event.get("status") != "failed":
                    outer.totals["calls_without_cost"] += 1
            outer = outer._parent


class ExecutionTracer:
    """Records what happens in this process.

    Args:
        writer: where the events go.
        config: the settings in force.
        execution_id: the run.
        session_id: the conversation or job the run belongs to.
        sites: finds the user's own frames.
        payloads: makes JSON of the program's values.
        parent_id: the span of another process that started this one.
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
        self.stopped_by = ""  # the signal that shut down a server gracefully
        self.described: Event = {}
        self.answers: ReplySource | None = None
        self.guards: GuardsLike | None = None
        self.retries: RetriesLike | None = None
        self.paused_ns: Counter[int] | None = None  # by thread: for how long the debugger paused it
        self.network: Network | None = None
        self.now: Callable[[], float] = time  # replaced where the program's reads of the clock are recorded
        self.at_end: list[Callable[[], None]] = []
        self.end_metadata: Event = {}  # what the functions in `at_end` add to the metadata of `trace_end`
        self.keeps_payloads = config.level != "basic"
        self.measures_memory = config.capture_memory
        self.measures_cpu = config.capture_performance
        self.components = frozenset(
            form for name in config.default_components for form in (name, name.lower())
        )
        self.templates = EventTemplates(execution_id, payloads)
        is_comprehensive = config.level == "comprehensive"
        self.sampler = Sampler() if is_comprehensive else None
        self.variables = VariableRecorder(payloads, writer, config) if is_comprehensive else None
        self.stacks: StackSampler | None = None
        self.load_tool_code: Callable[[CallSites], ToolCodeSource] | None = None
        self._tool_code: ToolCodeSource | None = None
        self.sources: dict[str, Any] = {}  # source files to describe in the next start event of a tool

    def __repr__(self) -> str:
        return f"<ExecutionTracer recording to {self.writer.first}>"

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
            name = None if component_name is None else self.payloads.text(component_name)
            event = self.base(event_type, component, name, context.current())
            if self.keeps_payloads:
                self.add_payloads(event, inputs, outputs, metadata)
            for key, value in fields.items():
                if value is not None:
                    is_text = key in _LONG_TEXTS and isinstance(value, str)
                    event[key] = self.payloads.text(value) if is_text else self.payloads.value(value)
            if event.setdefault("call_site", None) is None:
                event["call_site"] = self.sites.find(1)
            if not event["call_site"]:
                del event["call_site"]
            return self.writer.append(event)
        except Exception as error:
            self.problem("an event could not be recorded", error)
            return None
        finally:
            self.tracing_ns += perf_counter_ns() - started

    async def emit_event(self, event_type: str, **fields: Any) -> str | None:
        """Record one event as `emit` does, for programs that await."""
        return self.emit(event_type, **fields)

    def span(
        self,
        component: str,
        name: str | None = None,
        inputs: Mapping[str, Any] | Ready | None = None,
        metadata: Mapping[str, Any] | None = None,
        prefix: str | None = None,
        **fields: Any,
    ) -> OpenSpan:
        """Return a span for `with` and `async with`; its start is written on entering, its end on leaving.

        Args:
            component: which part of the program it belongs to.
            name: the name of that part.
            inputs: what goes in.
            metadata: anything else that is known at the start.
            prefix: the event types without `_start` and `_end`; the execution pair of the component if left out.
            **fields: further fields of the start event by name.
        """
        return OpenSpan(self, component, name, inputs, metadata, prefix, fields)

    def flush(self) -> None:
        """Hand all buffered events to the kernel."""
        self.writer.flush()

    def problem(self, what: str, error: BaseException | None = None) -> None:
        """Count an error inside tracing, which is reported in `trace_end`.

        Raises:
            BaseException: `error` itself, if a signal handler of the program has raised it: nothing went wrong here then.
        """
        if error is not None and interruptions.is_from_signal_handler(error):
            raise error
        text = what if error is None else f"{what}: {type(error).__name__}"
        self.problems[text] += 1

    def code_of_call(self, name: str, code: CodeType, receiver: Any = None) -> dict[str, Any] | None:
        """Return what to record of the code behind a tool at one of its calls; None where the trace holds it already.

        Args:
            name: the name of the tool.
            code: the code of its function.
            receiver: the object or class that the function is a method of.
        """
        if not self.keeps_payloads or self.load_tool_code is None:
            return None
        started = perf_counter_ns()
        try:
            if self._tool_code is None:
                self._tool_code = self.load_tool_code(self.sites)
            self.sources |= self._tool_code.new_files()
            return self._tool_code.of_call(name, code, receiver)
        except Exception as error:
            self.problem("the code of a tool could not be read", error)
            return None
        finally:
            self.tracing_ns += perf_counter_ns() - started

    def unrecorded(self, what: str) -> None:
        """Count, once, that the program used the network in a way that is not recorded."""
        self.report_once(f"{what} was used, but it is not recorded")

    def uncounted(self, what: str) -> None:
        """Count, once, that the program made a request whose tokens and cost are in no event."""
        self.report_once(f"{what} was requested, but its tokens and cost are not counted")

    def report_once(self, what: str) -> None:
        """Count a problem once, however often it occurs."""
        if what not in self.problems:
            self.problem(what)

    def record_uncaught(self, error: BaseException) -> None:
        """Record an exception that the program did not catch."""
        fields = to_failure(error, self.payloads).fields()
        site, function, line = call_site_of(error, self.sites)
        metadata = {"uncaught": True, "function": function, "line": line}
        self.emit("error_occurred", component="app", call_site=site, metadata=metadata, **fields)

    def pause_here(self) -> tuple[int, int]:
        """Return the running thread, and for how many nanoseconds the debugger has paused it so far."""
        thread = get_ident()
        return thread, 0 if self.paused_ns is None else self.paused_ns[thread]

    def header(self, metadata: Event) -> Event:
        """Return a `trace_start` event with this metadata; the writer numbers it."""
        event: Event = {"event_type": "trace_start", "event_id": None, "seq": 0, "timestamp": self.now()}
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
        if self._tool_code is not None:
            self.sources |= self._tool_code.new_files()  # what the last tools have imported themselves
        if self.sources:
            self.end_metadata["sources"] = self.sources
        event["metadata"] = {
            "events": writer.events,
            "bytes": writer.size,
            "tracing_us": round(self.tracing_ns / 1000, 1),
            "dropped": writer.dropped,
            "problems": dict(self.problems),
            **self.end_metadata,
        }
        if self.exit_status is not None:
            event["metadata"]["exit_status"] = self.exit_status
        if self.stopped_by:
            event["metadata"]["stopped_by"] = self.stopped_by
        writer.end(event, self.exit_status)

    def base(self, event_type: str, component: str, name: str | None, parent: SpanLike | None) -> Event:
        """Return the fields that every event has, with room for the number that the writer gives."""
        event: Event = {"event_type": event_type, "event_id": None, "seq": 0, "timestamp": self.now()}
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
        self.place(event, context.running_loop())
        return event

    def place(self, event: Event, loop: object) -> None:
        """Add the thread and the task of an event, unless they are the main ones; the loop is the running one."""
        if get_ident() != MAIN.ident:
            thread = context.this_thread()
            event["thread"] = f"thread {get_ident()}" if thread is None else self.payloads.text(thread.name)
        task = None if loop is None else context.task_on(loop)
        if task is not None:
            name = task.get_name()
            # asyncio's own names hold no secret, and each is another text to redact.
            plain = name[:5] == "Task-" and name[5:].isdecimal()
            event["task"] = name if plain else self.payloads.text(name)

    def append_with_variables(self, event: Event, frame: FrameType | None) -> str:
        """Write an event with the variables of a frame in its metadata, and return its id."""
        if self.variables is None or frame is None:
            return self.writer.append(event)
        try:
            changes = self.variables.compare_frame(frame, self.sites)
        except Exception as error:  # the event itself is worth more than its variables
            self.problem("the variables at an event could not be recorded", error)
            return self.writer.append(event)
        event["metadata"] = {**event.get("metadata", {}), **changes.metadata}
        event_id = self.writer.append(event)
        self.variables.commit(changes, event_id)
        return event_id

    def sample_when_due(self) -> None:
        """Record the resources of the process if a sample is due."""
        if self.sampler is not None and self.sampler.due():
            fields = self.sampler.sample()
            self.emit("resource_sample", component="app", call_site="", **fields)

    def add_payloads(
        self,
        event: Event,
        inputs: Mapping[str, Any] | None,
        outputs: Mapping[str, Any] | None,
        metadata: Mapping[str, Any] | None,
    ) -> None:
        """Add the payloads to an event, as redacted JSON."""
        if inputs:
            event["inputs"] = self.payloads.mapping(inputs)
        if outputs:
            event["outputs"] = self.payloads.mapping(outputs)
        if metadata:
            event["metadata"] = self.payloads.mapping(metadata)


def is_in_tool(name: str) -> bool:
    """Return whether the running code belongs to a recorded call of this tool, which is the innermost span."""
    span = context.current()
    return isinstance(span, OpenSpan) and span.component == "tool" and span.name == name


_PLAIN_TYPES = frozenset({int, float, bool, type(None)})


def set_result(span: OpenSpan, tracer: ExecutionTracer, value: Any) -> None:
    """Record the value that a tool returned. `metadata.inexact` names what JSON cannot hold of it.

    Args:
        span: the span of the call.
        tracer: the tracer of the span.
        value: the returned value. It is read now, and not kept.
    """
    kind = type(value)
    if kind in _PLAIN_TYPES or (kind is str and value.isascii()):
        span.set_output({"result": value})
        return
    if not span.is_open or not tracer.keeps_payloads:
        return
    started = perf_counter_ns()
    result = exact(tracer.payloads, value)
    span.set_output({"result": result})
    if result.inexact:
        add_metadata(span, {"inexact": list(result.inexact)})
    tracer.tracing_ns += perf_counter_ns() - started


def add_metadata(span: OpenSpan, metadata: dict[str, Any]) -> None:
    """Add to the metadata of the end event."""
    span.set(metadata={**span.end_fields.get("metadata", {}), **metadata})
