"""What the consumer of a suspended generator starts, and what the generator itself starts."""

from __future__ import annotations

import asyncio
import sys
import traceback

import pytest

from namel3ss_debug.capture.frameworks import tasks


@pytest.fixture
def tool(tracer):
    """A function that records a tool of this name, where it is called."""

    def record(name):
        with tracer.span("tool", name):
            pass

    return record


@pytest.fixture(autouse=True)
def put_back():
    """Nothing of asyncio stays edited."""
    yield
    tasks.stop()


async def in_a_task(tool, name):
    """Record a tool."""
    tool(name)


def test_what_a_consumer_starts_between_two_items_is_not_inside(structure, tool, tree):
    """Its tasks, the threads it asks for, and what these start; what the generator starts is inside, and so is what goes on."""

    async def stream():
        structure.begin(1, "chain", "stream", frame=sys._getframe())
        await asyncio.gather(in_a_task(tool, "made in a task"))
        yield
        await asyncio.create_task(in_a_task(tool, "made later"))
        await asyncio.to_thread(tool, "made in a thread")
        structure.end(1)

    async def deeper():
        await asyncio.create_task(in_a_task(tool, "used by a task"))
        await asyncio.to_thread(tool, "used by a thread of it")

    async def main():
        async for _ in stream():
            await asyncio.gather(deeper())
            await asyncio.to_thread(tool, "used in a thread")
            async with asyncio.TaskGroup() as group:
                group.create_task(in_a_task(tool, "used in a group"))
        await asyncio.create_task(in_a_task(tool, "after"))

    asyncio.run(main())
    assert tree() == [
        "chain_execution stream",
        "  tool_call made in a task",
        "  tool_call made later",
        "  tool_call made in a thread",
        "tool_call used by a task",
        "tool_call used by a thread of it",
        "tool_call used in a thread",
        "tool_call used in a group",
        "tool_call after",
    ]


def test_a_generator_that_a_task_of_the_consumer_drives_is_inside(structure, tool, tree):
    """As `wait_for(anext(stream))` makes one for each item: what the generator does there, and starts there, is its own."""

    async def stream():
        structure.begin(1, "chain", "stream", frame=sys._getframe())
        yield
        tool("made")
        await asyncio.create_task(in_a_task(tool, "made in a task"))
        await asyncio.to_thread(tool, "made in a thread")
        yield
        structure.end(1)

    async def one(items):
        tool("used before")
        await anext(items)
        tool("used behind")

    async def main():
        items = stream()
        await anext(items)
        await asyncio.create_task(one(items))
        await items.aclose()

    asyncio.run(main())
    assert tree() == [
        "chain_execution stream",
        "  tool_call made",
        "  tool_call made in a task",
        "  tool_call made in a thread",
        "tool_call used before",
        "tool_call used behind",
    ]


def test_a_generator_that_a_thread_of_the_consumer_drives_is_inside(structure, tool, tree):
    """As a program does that reads a plain stream beside its event loop."""

    def stream():
        structure.begin(1, "chain", "stream", frame=sys._getframe())
        yield
        tool("made")
        yield
        structure.end(1)

    async def main():
        items = stream()
        next(items)
        await asyncio.to_thread(next, items)
        await asyncio.to_thread(tool, "used")
        items.close()

    asyncio.run(main())
    assert tree() == ["chain_execution stream", "  tool_call made", "tool_call used"]


def test_a_consumer_of_streams_in_a_stream_is_inside_of_none(structure, tool, tree):
    """Two that are suspended at once; and one in the other is inside of that."""

    async def inner():
        structure.begin(2, "chain", "inner", prefix="chain_step", frame=sys._getframe())
        yield
        structure.end(2)

    async def outer():
        structure.begin(1, "chain", "outer", frame=sys._getframe())
        async for _ in inner():
            await asyncio.create_task(in_a_task(tool, "between"))
            yield
        structure.end(1)

    async def main():
        async for _ in outer():
            await asyncio.create_task(in_a_task(tool, "used"))

    asyncio.run(main())
    assert tree() == ["chain_execution outer", "  chain_step inner", "  tool_call between", "tool_call used"]


def test_what_was_started_before_goes_on_inside(structure, tool, tree):
    """A task that the generator made outlives it, while the consumer is at work and afterwards."""

    async def main():
        ended = asyncio.Event()

        async def left_running():
            await ended.wait()
            tool("late")

        async def stream():
            structure.begin(1, "chain", "stream", frame=sys._getframe())
            yield asyncio.create_task(left_running())
            structure.end(1)

        items = stream()
        left = await anext(items)
        await asyncio.create_task(in_a_task(tool, "used"))
        await anext(items, None)
        ended.set()
        await left

    asyncio.run(main())
    assert tree() == ["chain_execution stream", "  tool_call late", "tool_call used"]


def test_a_task_that_cannot_be_made_fails_as_without_us(structure):
    """The same frames, lines and all; and when tracing is over, the functions are as they were."""
    loop = asyncio.new_event_loop()
    loop.close()
    plain = [asyncio.BaseEventLoop.create_task.__code__, asyncio.to_thread.__code__]

    def failure():
        waiting = in_a_task(None, "")
        try:
            return loop.create_task(waiting)
        except RuntimeError as error:
            return [(frame.name, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
        finally:
            waiting.close()

    def stream():
        structure.begin(1, "chain", "stream", frame=sys._getframe())
        yield

    before = failure()
    for _ in stream():
        assert failure() == before
        assert asyncio.BaseEventLoop.create_task.__code__ is not plain[0]
    tasks.stop()
    assert [asyncio.BaseEventLoop.create_task.__code__, asyncio.to_thread.__code__] == plain
