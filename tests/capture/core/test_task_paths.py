"""Lines of work: jobs of executors have their number from when they are given, and a name when somebody asks."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial

import pytest

from namel3ss_debug.capture.core import task_paths


@pytest.fixture(autouse=True)
def line_of_work():
    """The running thread is the first of a process."""
    task_paths.begin(task_paths.FIRST)
    yield
    task_paths.end()


def work():
    """What a job does."""


def path():
    """Where the running code is."""
    return task_paths.current().path


def test_a_job_that_nobody_asks_about_takes_its_number_too():
    """The third job is the third, whether the ones before it read anything or not."""
    jobs = [task_paths.new_job(work) for _ in range(3)]
    before = task_paths.begin_job(jobs[2])
    assert path() == "0:work.3"
    task_paths.end_job(before)
    assert path() == "0"


def test_jobs_are_counted_by_what_they_run():
    """What a library lets its executor wait for beside them takes no number of theirs."""
    queue = threading.Event()
    given = [
        task_paths.new_job(work),
        task_paths.new_job(queue.wait),
        task_paths.new_job(partial(copy_context().run, copy_context().run, work)),
        task_paths.new_job(copy_context().run, (partial(work),)),
    ]
    assert [task_paths.job_path(job).path for job in given] == [
        "0:work.1",
        "0:Event.wait.1",
        "0:work.2",
        "0:work.3",
    ]


def test_a_job_keeps_its_name_and_its_draws_for_as_long_as_it_runs():
    """Who asks twice gets the same line of work, which goes on counting."""
    before = task_paths.begin_job(task_paths.new_job(work))
    here = task_paths.current()
    assert [next(here.draws), next(task_paths.current().draws)] == [0, 1]
    task_paths.end_job(before)
    assert task_paths.current() is task_paths.root()


@pytest.mark.parametrize("asked", [True, False])
def test_a_job_within_a_job_leaves_the_outer_one_as_it_was(asked):
    """An executor may run a job in a thread that does another, before anybody has asked for that one or after."""
    first, second = task_paths.new_job(work), task_paths.new_job(work)
    before = task_paths.begin_job(first)
    outer = task_paths.current() if asked else None
    within = task_paths.begin_job(second)
    assert path() == "0:work.2"
    task_paths.end_job(within)
    assert path() == "0:work.1"
    assert outer is None or task_paths.current() is outer
    task_paths.end_job(before)
    assert task_paths.current() is task_paths.root()


def test_nothing_is_named_while_nothing_is_recorded():
    """After the end of a recording a job is none, and the call of a tool stands nowhere."""
    task_paths.end()
    assert task_paths.new_job(work) is None
    before = task_paths.current()
    with task_paths.ToolCallScope("search"):
        assert task_paths.current() is before


def test_the_call_of_a_tool_is_a_line_of_work_of_its_own():
    """What it reads and starts is its own; it is told as the line of work that it is made in."""
    with task_paths.ToolCallScope("search"):
        assert (path(), task_paths.current().caller_path) == ("0(search 1)", "0")
        assert task_paths.job_path(task_paths.new_job(work)).path == "0(search 1):work.1"
        with task_paths.ToolCallScope("look"):
            assert path() == "0(search 1)(look 1)"
    assert task_paths.current() is task_paths.root()
    assert task_paths.job_path(task_paths.new_job(work)).path == "0:work.1"
    with task_paths.ToolCallScope("search"):
        assert path() == "0(search 2)"


def test_tasks_that_a_tool_makes_are_its_own():
    """Those of the program beside them have the names that they have without the tool."""

    async def reader():
        await asyncio.sleep(0)
        return path()

    async def tool():
        with task_paths.ToolCallScope("search"):
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
        before = task_paths.begin_job(name)
        try:
            return asyncio.run(reader())
        finally:
            task_paths.end_job(before)

    with task_paths.ToolCallScope("search"), ThreadPoolExecutor(1) as executor:
        found = executor.submit(copy_context().run, job, task_paths.new_job(work)).result()
    assert found.startswith("0(search 1):work.1~")
