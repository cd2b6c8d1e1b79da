"""Stacks are sampled beside the spans, in the thread and task that runs, and the program does not notice."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time

import pytest

from namel3ss_debug import shutdown_tracing, trace_tool_call
from namel3ss_debug.capture.core import stacks, switch
from namel3ss_debug.capture.core.stacks import DEEPEST, LEAST_NS, MOST_FUNCTIONS, MOST_STACKS, Stacks
from namel3ss_debug.capture.launch import parent as launch
from namel3ss_debug.errors import MissingExtraError
from namel3ss_debug.traces.reader import open_trace

pytest.importorskip("pyinstrument")


def samples():
    """The samples of the recording, which ends here, by the name of the operation."""
    events = open_trace(shutdown_tracing()).events()
    return {event.get("component_name"): event for event in events if event["event_type"] == "stack_sample"}


def functions(event):
    """The names of the functions that a sample tells, without their module."""
    return {row["function"].rpartition(".")[2] for row in event["metadata"]["functions"]}


def busy(span):
    """Compute until enough has been sampled inside a span."""
    found = switch.ACTIVE.stacks._samples
    while span.event_id not in found or found[span.event_id].sampled_ns < 2 * LEAST_NS:
        sum(range(100))


def test_a_span_tells_where_its_time_went(tracing):
    """The function that ran, the line of the user's code, and the memory meanwhile; before the end of the span."""
    tracer = tracing(profile=True)
    with tracer.span("tool", "search") as span:
        busy(span)
    events = list(open_trace(shutdown_tracing()).events())
    assert sys.getprofile() is None
    start, sample, end = (e for e in events if e.get("component_name") == "search")
    assert [start["event_type"], sample["event_type"], end["event_type"]][1:] == [
        "stack_sample",
        "tool_call_end",
    ]
    assert sample["parent_event_id"] == start["event_id"]
    told = sample["metadata"]
    assert {"busy", "sum"} & functions(sample)
    assert all(row["at"].startswith("tests/capture/core/test_stacks.py:") for row in told["functions"])
    assert LEAST_NS / 1e6 < told["sampled_ms"] <= told["elapsed_ms"]
    assert sum(row["self_ms"] for row in told["functions"]) <= told["sampled_ms"] + 1e-6
    assert told["memory"]["peak_mb"] >= told["memory"]["first_mb"] > 1


def test_threads_and_tasks_are_told_apart(tracing):
    """What runs in the span of one task or thread is not in that of another."""
    tracer = tracing(profile=True)

    async def task(name):
        async with tracer.span("tool", name) as span:
            await asyncio.sleep(0)
            busy(span)

    async def both():
        await asyncio.gather(task("one"), task("two"))

    def thread():
        with tracer.span("tool", "thread") as span:
            busy(span)

    asyncio.run(both())
    running = threading.Thread(target=thread)
    running.start()
    running.join()
    found = samples()
    for name in ("one", "two", "thread"):
        assert "busy" in functions(found[name]) | {"busy"} & functions(found[name]) or "sum" in functions(
            found[name]
        )
        assert found[name]["metadata"]["sampled_ms"] >= LEAST_NS / 1e6


def test_waiting_in_c_is_told_with_the_line_that_waits(tracing):
    """The function of C has no code; the user's line that called it is known."""
    tracer = tracing(profile=True)
    with tracer.span("tool", "nap"):
        time.sleep(2 * LEAST_NS / 1e9)
    (row,) = (row for row in samples()["nap"]["metadata"]["functions"] if row["function"] == "time.sleep")
    assert row["self_ms"] >= LEAST_NS / 1e6
    assert row["at"].startswith("tests/capture/core/test_stacks.py:")


class Span:
    """A span as far as samples need it."""

    component, name, event_id, session_id, may_be_outside = "tool", "t", "7", None, False

    def here(self):
        """It is open."""
        return self


@pytest.fixture
def fed(tracer, monkeypatch):
    """Stacks that are fed by the test, all in one span."""
    monkeypatch.setattr(stacks.context, "current", Span)
    return Stacks(tracer, lambda *_, **__: None)


def test_the_time_before_a_call_is_the_callers(fed):
    """A sample at a call belongs to who calls; at a return, to who returns; of C, to that function."""

    def inner():
        frame = sys._getframe()
        fed.add(frame, "call", None, 3 * LEAST_NS)
        fed.add(frame, "return", None, 2 * LEAST_NS)
        fed.add(frame, "c_return", len, LEAST_NS)

    def outer():
        inner()

    outer()
    told = fed.to_metadata(fed._samples["7"], 10 * LEAST_NS)
    names = [(row["function"].rpartition(".")[2], row["self_ms"]) for row in told["functions"]]
    assert names == [("outer", 30.0), ("inner", 20.0), ("len", 10.0)]
    assert told["left_out_ms"] == 0
    stacks = [[name.rpartition(".")[2] for name in row["functions"]] for row in told["stacks"]]
    test = "test_the_time_before_a_call_is_the_callers"
    assert [stack[stack.index(test) :] for stack in stacks] == [
        [test, "outer"],
        [test, "outer", "inner"],
        [test, "outer", "inner", "len"],
    ]
    assert [row["self_ms"] for row in told["stacks"]] == [30.0, 20.0, 10.0]


def test_a_stack_is_that_of_the_span(tracing):
    """It begins below the debugger's own code that began the span; of a deep recursion it has the innermost functions."""
    tracing(profile=True)

    @trace_tool_call
    def search():
        descend(2 * DEEPEST)

    def descend(depth):
        if depth:
            descend(depth - 1)
        else:
            time.sleep(2 * LEAST_NS / 1e9)

    @trace_tool_call
    def nap():
        time.sleep(2 * LEAST_NS / 1e9)

    search()
    nap()
    found = {name: event["metadata"]["stacks"][0]["functions"] for name, event in samples().items()}
    assert [name.rpartition(".")[2] for name in found["nap"]] == ["nap", "sleep"]
    assert len(found["search"]) == DEEPEST
    assert found["search"][-1] == "time.sleep"


def test_what_takes_little_is_not_written(fed):
    """A span without samples worth telling has no event of them."""
    fed.add(sys._getframe(), "return", None, LEAST_NS - 1)
    fed.end_span(Span(), LEAST_NS)
    assert samples() == {}


def test_what_is_kept_is_bounded(fed):
    """The functions that took longest are named, and the others are added up."""
    for number in range(600):

        def named():
            """Of C."""

        named.__qualname__ = f"f{number}"
        fed.add(sys._getframe(), "c_return", named, LEAST_NS + number)
    told = fed.to_metadata(fed._samples["7"], 0)
    assert len(told["functions"]) == MOST_FUNCTIONS
    assert len(told["stacks"]) == MOST_STACKS
    sums = sum(row["self_ms"] for row in told["functions"]) + told["left_out_ms"]
    assert sums == pytest.approx(told["sampled_ms"])


def test_after_tracing_has_ended_nothing_is_sampled(fed):
    """A thread that still has the sampler is told so."""
    fed.stop()
    assert not fed.add(sys._getframe(), "return", None, 1)
    assert fed._samples == {}


def test_a_profiler_of_the_program_stays(tracing):
    """Whoever profiles already goes on to, and is not replaced."""
    seen = []

    def theirs(frame, event, argument):
        seen.append(event)

    sys.setprofile(theirs)
    try:
        tracing(profile=True)
        assert sys.getprofile() is theirs
        shutdown_tracing()
        assert sys.getprofile() is theirs
    finally:
        sys.setprofile(None)
    assert seen


def test_a_profiler_of_the_program_that_has_ended_is_told(tracing):
    """Its thread is not sampled any more, which is noted once for each such thread, and for no other."""
    tracer = tracing(profile=True)

    def work():
        for name in ("one", "two"):
            with tracer.span("tool", name):
                pass

    def profiled():
        sys.setprofile(lambda *_: None)
        sys.setprofile(None)
        work()

    for target in (work, profiled):
        thread = threading.Thread(target=target)
        thread.start()
        thread.join()
    assert tracer.problems.total() == 1
    profiled()
    *_, last = open_trace(shutdown_tracing()).events()
    ((told, times),) = last["metadata"]["problems"].items()
    assert told.startswith("stacks are no longer sampled in a thread in which the program used a profiler")
    assert times == 2


def test_without_the_extra_the_program_runs_and_is_recorded(tracing, monkeypatch):
    """What is missing stands in the recording, with what to do."""
    monkeypatch.setitem(sys.modules, "pyinstrument.low_level.stat_profile", None)
    tracer = tracing(profile=True)
    assert tracer.stacks is None
    assert list(tracer.problems) == ["stacks are not sampled: pip install 'namel3ss-debug[profile]'"]


def test_the_command_says_what_to_install(monkeypatch, tmp_path):
    """Before the program runs, for our own interpreter and for another."""
    monkeypatch.setattr(stacks.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'namel3ss-debug\[profile\]'"):
        stacks.check(sys.executable)
    other = tmp_path / "python"
    other.write_text("#!/bin/sh\nexit 1\n")
    other.chmod(0o700)
    with pytest.raises(MissingExtraError, match="profiling needs pyinstrument"):
        stacks.check(str(other))


PROGRAM = """
import os, sys, threading
def deep(n):
    return deep(n - 1) if n else "deep"  # not to the limit: there the sampler cannot be called
print(deep(900))
def work():
    os.write(1, b"%d\\n" % sum(i * i for i in range(200000)))
thread = threading.Thread(target=work)
thread.start()
thread.join()
sys.stdout.flush()
pid = os.fork()
work()
if pid:
    print(os.waitpid(pid, 0)[1])
    [].missing
"""


def test_the_program_is_the_same_while_it_is_sampled(tmp_path):
    """Output, traceback and exit status, with deep recursion, a thread and a fork."""
    (tmp_path / "app.py").write_text(PROGRAM)
    paths = [str(launch.BOOT.parents[2]), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PYTHONWARNINGS": "ignore",
    }
    results = []
    for words in (["app.py"], ["-m", "namel3ss_debug", "trace", "--profile", "-o", "t.jsonl", "app.py"]):
        done = subprocess.run(
            [sys.executable, *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        errors = [line for line in done.stderr.splitlines() if not line.startswith("namel3ss debug:")]
        results.append((done.returncode, sorted(done.stdout.splitlines()), errors))
    assert results[0] == results[1]
    assert results[0][0] == 1
