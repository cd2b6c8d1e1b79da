"""Measure time and memory of a block of code for the program, and record the figures as events.

Both measure whether or not tracing is on; the events are written only if it is.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from namel3ss_debug.capture.core import switch
from namel3ss_debug.capture.core.resources import cpu_time_ns, memory_mb
from namel3ss_debug.capture.seams.functions.wrapping import enclose, is_used_bare, name_of
from namel3ss_debug.traces.clocks import perf_counter_ns

F = TypeVar("F", bound=Callable[..., Any])

Begin = tuple[int, int, float | None, int]
"""Wall and CPU time in nanoseconds, memory in MB, garbage collections."""


@dataclass(frozen=True)
class Profile:
    """The figures of a block of code: wall and CPU time in milliseconds, memory in MB, garbage collections."""

    name: str
    duration_ms: float
    cpu_time_ms: float
    memory_mb: float | None
    memory_delta_mb: float | None
    collections: int


class DebugProfiler:
    """Measures one block, as a context manager, a decorator, or with `start()` and `stop()`.

    A call of a coroutine function is measured until it has been awaited. A generator is measured from its first item
    to its end, including the work of its consumer.

    Args:
        name: the name of the block, and of its `performance_marker`.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.profile: Profile | None = None
        self._begin: list[Begin] = []

    def start(self) -> Self:
        """Begin to measure. If the profiler is started again inside, it measures the inner block separately."""
        self._begin.append(_now())
        return self

    def stop(self) -> Profile:
        """Measure up to here, record the figures and return them.

        Raises:
            RuntimeError: the profiler was not started.
        """
        if not self._begin:
            raise RuntimeError(f"the profiler {self.name!r} was not started")
        return self.measure_since(self._begin.pop())

    def measure_since(self, begin: Begin) -> Profile:
        """Record the figures of a block that began then, and return them."""
        wall, cpu, memory, collections = begin
        now = memory_mb()
        self.profile = Profile(
            self.name,
            (perf_counter_ns() - wall) / 1e6,
            (cpu_time_ns() - cpu) / 1e6,
            now,
            round(now - memory, 2) if now is not None and memory is not None else None,
            _collections() - collections,
        )
        switch.get_global_tracer().emit(
            "performance_marker", component="app", component_name=self.name, metadata=asdict(self.profile)
        )
        return self.profile

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __call__(self, function: F) -> F:
        """Return the function with each call measured."""
        return enclose(function, self._one_call)

    @contextmanager
    def _one_call(self) -> Iterator[None]:
        """Measure a call of a decorated function. Calls in other threads and tasks may overlap with it."""
        begin = _now()
        try:
            yield
        finally:
            self.measure_since(begin)


@overload
def profile_execution(function: F, /) -> F: ...
@overload
def profile_execution(name: str) -> DebugProfiler: ...
def profile_execution(name: Any) -> Any:
    """Measure a block in a `with` statement, or a function as its decorator, under this name."""
    return DebugProfiler(name_of(name))(name) if is_used_bare(name) else DebugProfiler(name)


@dataclass(frozen=True)
class Checkpoint:
    """Memory at one moment, in MB: resident, the change since the checkpoint before, and traced by Python."""

    label: str
    memory_mb: float | None
    delta_mb: float | None
    python_mb: float | None


class MemoryTracker:
    """Measures the memory of the process whenever the program calls `checkpoint`.

    Args:
        name: the name of its `resource_sample` events.
        read: returns the memory in MB; for tests.
    """

    def __init__(self, name: str = "memory", read: Callable[[], float | None] = memory_mb) -> None:
        self.name = name
        self.checkpoints: list[Checkpoint] = []
        self._read = read

    def checkpoint(self, label: str) -> Checkpoint:
        """Measure now, record the figures and return them; `python_mb` only while `tracemalloc` runs."""
        memory = self._read()
        before = self.checkpoints[-1].memory_mb if self.checkpoints else memory
        delta = round(memory - before, 2) if memory is not None and before is not None else None
        python = round(tracemalloc.get_traced_memory()[0] / 1048576, 2) if tracemalloc.is_tracing() else None
        made = Checkpoint(label, memory, delta, python)
        self.checkpoints.append(made)
        switch.get_global_tracer().emit(
            "resource_sample",
            component="app",
            component_name=self.name,
            metadata={key: value for key, value in asdict(made).items() if value is not None},
            memory_usage_mb=memory,
        )
        return made

    def report(self) -> dict[str, Any]:
        """Return all checkpoints, and the growth from the first to the last, in MB."""
        known = [made.memory_mb for made in self.checkpoints if made.memory_mb is not None]
        growth = round(known[-1] - known[0], 2) if known else None
        return {"checkpoints": [asdict(made) for made in self.checkpoints], "growth_mb": growth}


def _now() -> Begin:
    return perf_counter_ns(), cpu_time_ns(), memory_mb(), _collections()


def _collections() -> int:
    return sum(generation["collections"] for generation in gc.get_stats())
