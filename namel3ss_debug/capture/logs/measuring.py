"""Decorators and blocks under the names of older guides, over the hooks and the profiler."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, overload

from namel3ss_debug.capture import switch
from namel3ss_debug.capture.hooks import trace_chain_step, trace_error
from namel3ss_debug.capture.profiling import DebugProfiler
from namel3ss_debug.capture.spans import Span

F = TypeVar("F", bound=Callable[..., Any])


def measure_performance(name: str) -> DebugProfiler:
    """Measure a block in a `with` statement, or a function as its decorator: a `performance_marker` tells it."""
    return DebugProfiler(name)


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
    """Record each call of a function as something an agent does; bare, or with a name."""
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
    if callable(name):
        return trace_chain_step(None, metadata=metadata)(name)
    return trace_chain_step(name, metadata=metadata)


@contextmanager
def trace_errors(name: str | None = None) -> Iterator[None]:
    """Record an exception that leaves the block, or the function it decorates, and let it go on its way."""
    try:
        yield
    except Exception as error:
        trace_error(error, name=name, category="errors")
        raise


def trace_context(name: str, component: str = "chain", **inputs: Any) -> Span | switch.OffSpan:
    """A span around a block, for `with` and `async with`; `.set_output(...)` takes what came out.

    Args:
        name: what the block does.
        component: which part of the program it is.
        **inputs: what it is given.
    """
    tracer = switch.ACTIVE
    return switch.OFF_SPAN if tracer is None else tracer.span(component, name, inputs=inputs)
