"""Lines of work: jobs of executors have their number from when they are given, and a name when somebody asks."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial

import pytest

from namel3ss_debug.capture.determinism import lineage


@pytest.fixture(autouse=True)
def line_of_work():
    """The running thread is the first of a process."""
    lineage.begin(lineage.FIRST)
    yield
    lineage.end()


def work():
    """What a job does."""


def path():
    """Where the running code is."""
    return lineage.current().path


def test_a_job_that_nobody_asks_about_takes_its_number_too():
    """The third job is the third, whether the ones before it read anything or not."""
    jobs = [lineage.new_job(work) for _ in range(3)]
    before = lineage.begin_job(jobs[2])
    assert path() == "0:work.3"
    lineage.end_job(before)
    assert path() == "0"


def test_jobs_are_counted_by_what_they_run():
    """What a library lets its executor wait for beside them takes no number of theirs."""
    queue = threading.Event()
    given = [
        lineage.new_job(work),
        lineage.new_job(queue.wait),
        lineage.new_job(partial(copy_context().run, copy_context().run, work)),
        lineage.new_job(copy_context().run, (partial(work),)),
    ]
    assert [lineage.of_job(job).path for job in given] == [
        "0:work.1",
        "0:Event.wait.1",
        "0:work.2",
        "0:work.3",
    ]


def test_a_job_keeps_its_name_and_its_draws_for_as_long_as_it_runs():
    """Who asks twice gets the same line of work, which goes on counting."""
    before = lineage.begin_job(lineage.new_job(work))
    here = lineage.current()
    assert [next(here.draws), next(lineage.current().draws)] == [0, 1]
    lineage.end_job(before)
    assert lineage.current() is lineage.root()


@pytest.mark.parametrize("asked", [True, False])
def test_a_job_within_a_job_leaves_the_outer_one_as_it_was(asked):
    """An executor may run a job in a thread that does another, before anybody has asked for that one or after."""
    first, second = lineage.new_job(work), lineage.new_job(work)
    before = lineage.begin_job(first)
    outer = lineage.current() if asked else None
    within = lineage.begin_job(second)
    assert path() == "0:work.2"
    lineage.end_job(within)
    assert path() == "0:work.1"
    assert outer is None or lineage.current() is outer
    lineage.end_job(before)
    assert lineage.current() is lineage.root()


def test_nothing_is_named_while_nothing_is_recorded():
    """After the end of a recording a job is none, and the call of a tool stands nowhere."""
    lineage.end()
    assert lineage.new_job(work) is None
    before = lineage.current()
    with lineage.Call("search"):
        assert lineage.current() is before


def test_the_call_of_a_tool_is_a_line_of_work_of_its_own():
    """What it reads and starts is its own; it is told as the line of work that it is made in."""
    with lineage.Call("search"):
        assert (path(), lineage.current().told) == ("0(search 1)", "0")
        assert lineage.of_job(lineage.new_job(work)).path == "0(search 1):work.1"
        with lineage.Call("look"):
            assert path() == "0(search 1)(look 1)"
    assert lineage.current() is lineage.root()
    assert lineage.of_job(lineage.new_job(work)).path == "0:work.1"
    with lineage.Call("search"):
        assert path() == "0(search 2)"


def test_tasks_that_a_tool_makes_are_its_own():
    """Those of the program beside them have the names that they have without the tool."""

    async def reader():
        await asyncio.sleep(0)
        return path()

    async def tool():
        with lineage.Call("search"):
            return [*await asyncio.gather(reader(), reader()), path()]

    async def main():
        inside = await asyncio.create_task(tool())
        outside = await asyncio.create_task(reader())
        return [name.rpartition(">.")[2] for name in (*inside, outside)]

    assert asyncio.run(main()) == ["reader.1", "reader.2", "tool.1(search 1)", "reader.1"]


def test_a_task_in_a_thread_that_a_tool_gave_work_is_inside_of_that_work():
    """The context of the tool goes with the work; the innermost of the two counts."""

    async def reader():
        return path()

    def job(name):
        before = lineage.begin_job(name)
        try:
            return asyncio.run(reader())
        finally:
            lineage.end_job(before)

    with lineage.Call("search"), ThreadPoolExecutor(1) as executor:
        found = executor.submit(copy_context().run, job, lineage.new_job(work)).result()
    assert found.startswith("0(search 1):work.1~")
