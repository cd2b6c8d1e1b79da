"""Time and memory of a block, measured and recorded."""

from __future__ import annotations

import asyncio
import tracemalloc
from time import perf_counter

import pytest

from namel3ss_debug.capture.launch.start import shutdown_tracing
from namel3ss_debug.capture.seams.functions.profiling import DebugProfiler, MemoryTracker, profile_execution
from namel3ss_debug.traces.reader import open_trace


def recorded(kind):
    """Stop tracing and give the events of one type."""
    return [event for event in open_trace(shutdown_tracing()).events() if event["event_type"] == kind]


def test_a_block_is_measured_and_recorded(tracer):
    """The figures are given to the program and stand in an event."""
    with profile_execution("sum") as profiler:
        sum(range(200_000))
    profile = profiler.profile
    assert profile.duration_ms > 0
    assert profile.cpu_time_ms > 0
    [event] = recorded("performance_marker")
    assert event["component_name"] == "sum"
    assert event["metadata"]["duration_ms"] == profile.duration_ms


def test_a_function_is_measured_each_time_it_is_called(tracer):
    """The same works as a decorator, inside itself too."""

    @profile_execution("fib")
    def fib(n):
        return n if n < 2 else fib(n - 1) + fib(n - 2)

    assert fib(3) == 2
    assert len(recorded("performance_marker")) == 5


def test_what_is_awaited_or_yields_items_is_measured_to_its_end(tracer):
    """The marker of a coroutine function, a generator or an async generator comes after all that its body does."""

    def work(name):
        tracer.emit("decision", component="app", component_name=name)

    @profile_execution("coroutine")
    async def awaited():
        await asyncio.sleep(0)
        work("coroutine")
        return 1

    @profile_execution("generator")
    def items():
        yield 1
        work("generator")

    @profile_execution("async generator")
    async def streamed():
        yield 1
        work("async generator")

    @profile_execution
    def bare(number):
        work("bare")
        return number

    async def consume():
        async with profile_execution("block"):
            work("block")
        return [item async for item in streamed()]

    assert (asyncio.run(awaited()), list(items()), asyncio.run(consume()), bare(2)) == (1, [1], [1], 2)
    events = list(open_trace(shutdown_tracing()).events())
    names = ["coroutine", "generator", "block", "async generator", "bare"]
    assert [
        (event["event_type"], event["component_name"]) for event in events if "component_name" in event
    ] == [(kind, name) for name in names for kind in ("decision", "performance_marker")]


def test_calls_that_overlap_are_measured_each_by_itself():
    """A call that began before another and ends before it has its own time."""
    profiler = DebugProfiler("answer")
    took = []

    @profiler
    async def answer(started, wait_for):
        begin = perf_counter()
        sum(range(200_000))
        started.set()
        await wait_for.wait()
        took.append((perf_counter() - begin) * 1000)

    async def overlapping():
        first, second = asyncio.Event(), asyncio.Event()
        earlier = asyncio.create_task(answer(first, second))
        await first.wait()
        later = asyncio.create_task(answer(second, asyncio.Event()))
        await earlier
        measured = profiler.profile.duration_ms
        later.cancel()
        await asyncio.gather(later, return_exceptions=True)
        return measured

    assert asyncio.run(overlapping()) >= took[0]


def test_measuring_works_while_tracing_is_off():
    """Only the event is missing."""
    profiler = DebugProfiler("x").start()
    assert profiler.stop().name == "x"
    with pytest.raises(RuntimeError, match="'x' was not started"):
        profiler.stop()


def test_memory_is_followed_from_checkpoint_to_checkpoint(tracer):
    """Each checkpoint tells the change since the one before; the report tells the growth."""
    readings = iter([100.0, 112.5, 110.0])
    tracker = MemoryTracker("agent", read=lambda: next(readings))
    assert [tracker.checkpoint(label).delta_mb for label in ("a", "b", "c")] == [0.0, 12.5, -2.5]
    assert tracker.report()["growth_mb"] == 10.0
    samples = recorded("resource_sample")
    assert [event["memory_usage_mb"] for event in samples] == [100.0, 112.5, 110.0]
    assert samples[1]["metadata"]["label"] == "b"


def test_memory_traced_by_python_is_told_where_it_is_traced():
    """With tracemalloc running a checkpoint tells what Python holds."""
    tracker = MemoryTracker()
    assert tracker.checkpoint("off").python_mb is None
    tracemalloc.start()
    try:
        kept = bytearray(3_000_000)
        assert tracker.checkpoint("on").python_mb >= 2.8
        assert len(kept) == 3_000_000
    finally:
        tracemalloc.stop()


def test_an_empty_tracker_reports_nothing():
    """No checkpoint, no growth."""
    assert MemoryTracker().report() == {"checkpoints": [], "growth_mb": None}
