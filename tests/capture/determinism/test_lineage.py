"""Lines of work: jobs of executors have their number from when they are given, and a name when somebody asks."""

from __future__ import annotations

import pytest

from namel3ss_debug.capture.determinism import lineage


@pytest.fixture(autouse=True)
def line_of_work():
    """The running thread is the first of a process."""
    lineage.begin(lineage.FIRST)
    yield
    lineage.end()


def test_a_job_that_nobody_asks_about_takes_its_number_too():
    """The third job is the third, whether the ones before it read anything or not."""
    jobs = [lineage.new_job() for _ in range(3)]
    before = lineage.begin_job(jobs[2])
    assert lineage.current().path == "0:3"
    lineage.end_job(before)
    assert lineage.current().path == "0"


def test_a_job_keeps_its_name_and_its_draws_for_as_long_as_it_runs():
    """Who asks twice gets the same line of work, which goes on counting."""
    before = lineage.begin_job(lineage.new_job())
    here = lineage.current()
    assert [next(here.draws), next(lineage.current().draws)] == [0, 1]
    lineage.end_job(before)
    assert lineage.current() is lineage.root()


@pytest.mark.parametrize("asked", [True, False])
def test_a_job_within_a_job_leaves_the_outer_one_as_it_was(asked):
    """An executor may run a job in a thread that does another, before anybody has asked for that one or after."""
    first, second = lineage.new_job(), lineage.new_job()
    before = lineage.begin_job(first)
    outer = lineage.current() if asked else None
    within = lineage.begin_job(second)
    assert lineage.current().path == "0:2"
    lineage.end_job(within)
    assert lineage.current().path == "0:1"
    assert outer is None or lineage.current() is outer
    lineage.end_job(before)
    assert lineage.current() is lineage.root()


def test_nothing_is_named_while_nothing_is_recorded():
    """After the end of a recording a job is none."""
    lineage.end()
    assert lineage.new_job() is None
