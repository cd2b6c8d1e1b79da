"""Decorators and context managers with the names of older guides, built on the hooks and the profiler."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar, overload

from namel3ss_debug.capture.core import switch
from namel3ss_debug.capture.core.tracer import Span
from namel3ss_debug.capture.seams.functions.hooks import trace_chain_step, trace_error
from namel3ss_debug.capture.seams.functions.profiling import DebugProfiler, profile_execution
from namel3ss_debug.capture.seams.functions.wrapping import enclose, is_used_bare, name_of
from namel3ss_debug.config import enabled_never

F = TypeVar("F", bound=Callable[..., Any])


@overload
def measure_performance(function: F, /) -> F: ...
@overload
def measure_performance(name: str) -> DebugProfiler: ...
def measure_performance(name: Any) -> Any:
    """Measure a block in a `with` statement, or a function as its decorator, as a `performance_marker`."""
    return profile_execution(name)


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
def trace_agent_action(name: str | None = None, /) -> Callable[[F], F]: ...
def trace_agent_action(name: Any = None, /) -> Any:
    """Record each call of a function as an action of an agent; bare, or with a name."""
    return _step(name, "agents")


@overload
def trace_learning_update(function: F, /) -> F: ...
@overload
def trace_learning_update(name: str | None = None, /) -> Callable[[F], F]: ...
def trace_learning_update(name: Any = None, /) -> Any:
    """Record each call of a function as an update of what an agent has learnt; bare, or with a name."""
    return _step(name, "learning")


def _step(name: Any, category: str) -> Any:
    metadata = {"category": category}
    if name is None or isinstance(name, str):
        return trace_chain_step(name, metadata=metadata)
    return trace_chain_step(None, metadata=metadata)(name)


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


def trace_context(name: str, component: str = "chain", **inputs: Any) -> Span | switch.OffSpan:
    """Return a span around a block, for `with` and `async with`; `.set_output(...)` records the result.

    Args:
        name: what the block does.
        component: the component of the program that it belongs to.
        **inputs: the inputs of the block.
    """
    tracer = switch.ACTIVE
    return switch.OFF_SPAN if tracer is None else tracer.span(component, name, inputs=inputs)
