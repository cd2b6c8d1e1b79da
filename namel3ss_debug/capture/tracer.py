"""The tracer: events and spans of this process, numbered and written by one `TraceWriter`.

Everything that records goes through `ExecutionTracer.emit` or a `Span`; the hooks, the transport and the tool
seam are only different ways to open spans. Nothing here raises into the program: what goes wrong inside is
counted under `problems`, stands in `trace_end`, and is one line on stderr at the end; what a signal handler of the
program raises meanwhile goes on to the program.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from threading import get_ident
from typing import TYPE_CHECKING, Any

from namel3ss_debug.capture import context, interruptions
from namel3ss_debug.capture.answers import Answers, Network
from namel3ss_debug.capture.callsite import CallSites
from namel3ss_debug.capture.context import MAIN, Holder
from namel3ss_debug.capture.details import Sampler
from namel3ss_debug.capture.kinds import Kinds
from namel3ss_debug.capture.payloads import Payloads, Ready
from namel3ss_debug.capture.spans import Span
from namel3ss_debug.config import DebugConfiguration
from namel3ss_debug.traces.clocks import perf_counter_ns, time
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.writer import TraceWriter

if TYPE_CHECKING:  # imported where stacks are sampled
    from types import CodeType

    from namel3ss_debug.capture.codedigest import ToolCode
    from namel3ss_debug.capture.stacks import Stacks

_TEXTS = frozenset({"error", "error_type", "stack_trace"})
"""Fields that are texts however long they are: of a long one the middle is left out."""


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
        self.described: Event = {}
        self.answers: Answers | None = None
        self.held: Counter[int] | None = (
            None  # by thread: the nanoseconds for which its events waited at a gate
        )
        self.network: Network | None = None
        self.now: Callable[[], float] = time  # another one, where reads of the clock are recorded
        self.at_end: list[Callable[[], None]] = []
        self.keeps_payloads = config.level != "basic"
        self.measures_memory = config.capture_memory
        self.measures_cpu = config.capture_performance
        self.components = frozenset(
            form for name in config.default_components for form in (name, name.lower())
        )
        self.kinds = Kinds(execution_id, payloads)
        self.sampler = Sampler() if config.level == "comprehensive" else None
        self.stacks: Stacks | None = None
        self._tool_code: ToolCode | None = None

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
        inputs: Mapping[str, Any] | Ready | None = None,
        metadata: Mapping[str, Any] | None = None,
        prefix: str | None = None,
        **fields: Any,
    ) -> Span:
        """A span for `with` and `async with`; its start is written on entering, its end on leaving.

        Args:
            component: which part of the program it belongs to.
            name: the name of that part.
            inputs: what goes in; a mapping may be ready.
            metadata: anything else that is known at the start.
            prefix: the event types without `_start` and `_end`; the execution pair of the component if left out.
            **fields: further fields of the start event by name.
        """
        return Span(self, component, name, inputs, metadata, prefix, fields)

    def flush(self) -> None:
        """Hand everything that waits in a buffer to the kernel."""
        self.writer.flush()

    def problem(self, what: str, error: BaseException | None = None) -> None:
        """Remember that something went wrong inside tracing; it is told in `trace_end`.

        Raises:
            BaseException: `error` itself, where nothing went wrong, and a signal handler of the program has raised it.
        """
        if error is not None and interruptions.is_of_the_program(error):
            raise error
        text = what if error is None else f"{what}: {type(error).__name__}"
        self.problems[text] += 1

    def code_of_call(
        self, name: str, code: CodeType, receiver: Any = None, variables: Mapping[str, Any] | None = None
    ) -> dict[str, Any] | None:
        """Return what to record of the code behind a tool at one of its calls; None where the trace holds it already.

        Args:
            name: the name of the tool.
            code: the code of its function.
            receiver: the object or class that the function is a method of.
            variables: the globals of the function; taken from its running frame if left out.
        """
        if not self.keeps_payloads:
            return None
        started = perf_counter_ns()
        try:
            if self._tool_code is None:
                from namel3ss_debug.capture.codedigest import ToolCode  # noqa: PLC0415  (most programs start without it)

                self._tool_code = ToolCode(self.sites)
            return self._tool_code.of_call(name, code, receiver, variables)
        except Exception as error:
            self.problem("the code of a tool could not be read", error)
            return None
        finally:
            self.tracing_ns += perf_counter_ns() - started

    def unrecorded(self, what: str) -> None:
        """Remember, once, that the program went to the network in a way that is not recorded."""
        self._tell_once(f"{what} was used, which is not recorded")

    def uncounted(self, what: str) -> None:
        """Remember, once, that the program asked for something whose tokens and cost no event tells."""
        self._tell_once(f"{what} was asked for, whose tokens and cost are not counted")

    def _tell_once(self, what: str) -> None:
        if what not in self.problems:
            self.problem(what)

    def adopt(self, parent_id: str) -> None:
        """Take a span of another process as the one this process was started in."""
        self.parent_id = parent_id

    def header(self, metadata: Event) -> Event:
        """A `trace_start` event with this metadata; the writer numbers it."""
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
        event["metadata"] = {
            "events": writer.events,
            "bytes": writer.size,
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
        """Write an event that is no part of a span; values of None are left out."""
        parent = context.current()
        event = self.base(event_type, component, None if name is None else self.payloads.text(name), parent)
        if self.keeps_payloads:
            self.add_payloads(event, inputs, outputs, metadata)
        for key, value in fields.items():
            if value is not None:
                is_text = key in _TEXTS and isinstance(value, str)
                event[key] = self.payloads.text(value) if is_text else self.payloads.value(value)
        if event.setdefault("call_site", None) is None:
            event["call_site"] = self.sites.find(2)
        if not event["call_site"]:
            del event["call_site"]
        return self.writer.append(event)

    def base(self, event_type: str, component: str, name: str | None, parent: Holder | None) -> Event:
        """The fields that every event has, with room for the number the writer gives."""
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
        """Say in which thread and task an event happens, where not in the main ones; the loop is the running one."""
        if get_ident() != MAIN.ident:
            thread = context.this_thread()
            event["thread"] = f"thread {get_ident()}" if thread is None else self.payloads.text(thread.name)
        task = None if loop is None else context.task_on(loop)
        if task is not None:
            name = task.get_name()
            # As asyncio itself names them, each otherwise.
            plain = name[:5] == "Task-" and name[5:].isdecimal()
            event["task"] = name if plain else self.payloads.text(name)

    def add_variables(self, event: Event, variables: dict[str, Any] | None) -> None:
        """Put the variables of the user's code into the event's metadata."""
        if variables:
            event["metadata"] = {**event.get("metadata", {}), "locals": self.payloads.mapping(variables)}

    def sample_when_due(self) -> None:
        """Record what the process uses, at most once in a while."""
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
        """Put the payloads into the event, as JSON and redacted."""
        if inputs:
            event["inputs"] = self.payloads.mapping(inputs)
        if outputs:
            event["outputs"] = self.payloads.mapping(outputs)
        if metadata:
            event["metadata"] = self.payloads.mapping(metadata)
