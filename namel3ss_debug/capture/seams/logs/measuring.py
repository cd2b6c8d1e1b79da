"""Decorators and context managers with the names of older guides, built on the hooks and the profiler."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from traceback import format_exception
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from namel3ss_debug.capture.core import switch
from namel3ss_debug.capture.core.tracer import OpenSpan
from namel3ss_debug.capture.payloads.texts import format_value
from namel3ss_debug.capture.seams.functions.hooks import trace_chain_step, trace_error
from namel3ss_debug.capture.seams.functions.profiling import Begin, DebugProfiler, Profile
from namel3ss_debug.capture.seams.functions.wrapping import enclose, is_used_bare, name_of
from namel3ss_debug.capture.seams.logs import files
from namel3ss_debug.capture.seams.logs.loggers import AgentLogger, share
from namel3ss_debug.config import enabled_never
from namel3ss_debug.traces.clocks import perf_counter_ns

F = TypeVar("F", bound=Callable[..., Any])


@overload
def measure_performance(function: F, /) -> F: ...
@overload
def measure_performance(name: str) -> DebugProfiler: ...
def measure_performance(name: Any) -> Any:
    """Measure a block in a `with` statement, or a function as its decorator, as a `performance_marker`."""
    return _MeasuredBlock(name_of(name))(name) if is_used_bare(name) else _MeasuredBlock(name)


class _MeasuredBlock(DebugProfiler):
    """A profiler that also writes a line to the log files."""

    def measure_since(self, begin: Begin) -> Profile:
        """Record the figures, and write them to the log `performance`."""
        profile = super().measure_since(begin)
        if files.ACTIVE is not None:
            figures = {"event_type": "performance", "elapsed_ms": profile.duration_ms} | asdict(profile)
            files.ACTIVE.write("performance", "info", "performance", f"performance: {self.name}", figures)
        return profile


@overload
def trace_performance(function: F, /) -> F: ...
@overload
def trace_performance(name: str | None = None, /) -> Callable[[F], F]: ...
def trace_performance(name: Any = None, /) -> Any:
    """Record each call of a function as a step with its time, memory and CPU; bare, or with a name."""
    return _step(name, "performance")


@overload
def trace_agent_action(function: F, /) -> F: ...
@overload
def trace_agent_action(name: str | None = None, /, *, action_type: str | None = None) -> Callable[[F], F]: ...
def trace_agent_action(name: Any = None, /, *, action_type: str | None = None) -> Any:
    """Record each call of a function as an action of an agent; bare, or with a name (also `action_type`)."""
    return _step(action_type if name is None else name, "agents")


@overload
def trace_learning_update(function: F, /) -> F: ...
@overload
def trace_learning_update(
    name: str | None = None, /, *, update_type: str | None = None
) -> Callable[[F], F]: ...
def trace_learning_update(name: Any = None, /, *, update_type: str | None = None) -> Any:
    """Record each call of a function as an update of what an agent has learnt; bare, or with a name (also `update_type`)."""
    return _step(update_type if name is None else name, "learning")


def _step(name: Any, category: str) -> Any:
    is_bare = is_used_bare(name)
    decorate = trace_chain_step(None if is_bare else name, metadata={"category": category})

    def log_and_trace(function: F) -> F:
        if enabled_never():
            return function
        shown = name_of(function) if is_bare or name is None else name
        return decorate(enclose(function, lambda: _write_line(category, shown)))

    return log_and_trace(name) if is_bare else log_and_trace


@contextmanager
def _write_line(category: str, name: str) -> Iterator[None]:
    """Write a line about a block to the log files when it ends, with its time, if log files are written."""
    if files.ACTIVE is None:
        yield
        return
    begun, error = perf_counter_ns(), None
    try:
        yield
    except BaseException as raised:
        error = raised
        raise
    finally:
        fields = {"event_type": category, "elapsed_ms": (perf_counter_ns() - begun) / 1e6}
        if error is not None:
            fields |= {"error_type": type(error).__name__, "error": format_value(error, str)}
        if files.ACTIVE is not None:
            level = "info" if error is None else "error"
            files.ACTIVE.write(category, level, category, f"{category}: {name}", fields)


class ErrorWatch:
    """Records an exception that leaves a block in a `with` statement, or a decorated function.

    Args:
        name: the name in the event; the name of the function if left out.
    """

    def __init__(self, name: str | None = None) -> None:
        self.name = name

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception):
            trace_error(error, name=self.name, category="errors")
            if files.ACTIVE is not None:
                fields = {
                    "event_type": "error",
                    "error_type": type(error).__name__,
                    "exception": "".join(format_exception(error)),
                }
                message = f"{self.name or 'error'}: {format_value(error, str)}"
                files.ACTIVE.write("errors", "error", "errors", message, fields)

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def __call__(self, function: F) -> F:
        """Return the function with its errors recorded.

        Each call is watched until it ends, even if it is awaited or yields items.
        """
        if enabled_never():
            return function
        watch = self if self.name is not None else ErrorWatch(name_of(function))
        return enclose(function, lambda: watch)


@overload
def trace_errors(function: F, /) -> F: ...
@overload
def trace_errors(name: str | None = None) -> ErrorWatch: ...
def trace_errors(name: Any = None) -> Any:
    """Record an exception that leaves the block or the decorated function, and let it propagate."""
    if is_used_bare(name):
        return ErrorWatch()(name)
    return ErrorWatch(name)


@overload
def trace_context(name: str, component: str = "chain", **inputs: Any) -> OpenSpan | switch.OffSpan: ...
@overload
def trace_context(name: AgentLogger, component: str, **inputs: Any) -> LoggedBlock: ...
def trace_context(name: Any, component: str = "chain", **inputs: Any) -> Any:
    """Return a span around a block, for `with` and `async with`; `.set_output(...)` records the result.

    Args:
        name: what the block does. Or an `AgentLogger`, with the name in second place: then each record of the agent's
            loggers inside gets the inputs, and the entry and the exit of the block are logged, with its time.
        component: the component of the program that it belongs to.
        **inputs: the inputs of the block.
    """
    tracer = switch.ACTIVE
    logger, name, component = (
        (name, component, "chain") if isinstance(name, AgentLogger) else (None, name, component)
    )
    span = switch.OFF_SPAN if tracer is None else tracer.span(component, name, inputs=inputs)
    return span if logger is None else LoggedBlock(span, logger, name, inputs)


class LoggedBlock:
    """A span around a block of an agent, whose entry and exit are logged.

    Args:
        span: the span.
        logger: the logger of the agent.
        name: what the block does.
        data: what every record inside gets.
    """

    def __init__(
        self, span: OpenSpan | switch.OffSpan, logger: AgentLogger, name: str, data: Mapping[str, Any]
    ) -> None:
        self.set_output = span.set_output
        self._span = span
        self._logger = logger
        self._name = name
        self._shared = share(data)
        self._begun = 0

    def __enter__(self) -> Self:
        self._span.__enter__()
        self._shared.__enter__()
        self._begun = perf_counter_ns()
        self._logger.debug("entering %s", self._name)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        elapsed = {"elapsed_ms": (perf_counter_ns() - self._begun) / 1e6}
        self._logger.log("debug" if error is None else "error", "leaving %s", self._name, extra=elapsed)
        self._shared.__exit__(None, None, None)
        self._span.__exit__(kind, error, trace)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)
