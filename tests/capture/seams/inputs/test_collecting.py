"""What was read is written in the order in which it was read, whoever writes it."""

from __future__ import annotations

import os
from threading import RLock, Thread

import pytest

from namel3ss_debug.capture.core import task_paths
from namel3ss_debug.capture.launch.start import shutdown_tracing
from namel3ss_debug.capture.seams.inputs.collecting import Inputs
from namel3ss_debug.capture.seams.inputs.read_sites import ReadSites
from namel3ss_debug.traces.inputs import Recorded
from namel3ss_debug.traces.reader import open_trace


@pytest.fixture
def begun(tracing):
    """A function that gives inputs which are written before the events of a tracer, and one that reads the clock."""

    def begin(*, at_once=False):
        tracer = tracing(record_randomness=False)
        task_paths.begin(task_paths.FIRST)
        places = ReadSites(tracer.sites)
        inputs = Inputs(tracer, places, at_once=at_once)
        place = places._place("app.py:run#1", None, by_library=False)
        tracer.writer.ahead = inputs.write_before
        tracer.at_end.append(inputs.finish)

        def read(value):
            inputs.reads.append((task_paths.root().path, place, value))
            inputs.flush_soon()

        return tracer, inputs, read

    yield begin
    shutdown_tracing()
    task_paths.end()


def in_a_thread(function):
    """Call it in another thread, and wait for that."""
    thread = Thread(target=function)
    thread.start()
    thread.join()


def between(inputs, monkeypatch, function):
    """Let something happen once, when what was read has been taken and is not written yet."""
    take, left = inputs._event, [function]

    def taking(*args, **kwargs):
        taken = take(*args, **kwargs)
        if left:
            left.pop()()
        return taken

    monkeypatch.setattr(inputs, "_event", taking)


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("call", [in_a_thread, lambda function: function()], ids=["thread", "signal handler"])
def test_what_is_read_while_reads_are_written_comes_after_them(begun, monkeypatch, at_once, call):
    """Whether another thread reads it, or what interrupts this one; and a place is told before its first read."""
    tracer, inputs, read = begun(at_once=at_once)

    def meanwhile():
        read(20)
        tracer.emit("decision", component="app")

    between(inputs, monkeypatch, lambda: call(meanwhile))
    read(10)
    tracer.emit("decision", component="app")
    read(30)
    recorded = Recorded.of(open_trace(shutdown_tracing()).events())
    assert recorded.clock == {"0": {"app.py:run#1": [10, 20, 30]}}


class Interrupted(type(RLock())):
    """A lock after which Ctrl-C comes: once, as soon as it is taken."""

    done = False

    def acquire(self, *args, **kwargs):
        """Take it, and be interrupted."""
        held = super().acquire(*args, **kwargs)
        if not self.done:
            self.done = True
            raise KeyboardInterrupt
        return held


def test_ctrl_c_while_reads_are_written_does_not_keep_later_ones_from_it(begun, monkeypatch):
    """A program that goes on after it is recorded as before, whichever thread reads."""
    tracer, inputs, read = begun()
    monkeypatch.setattr(inputs, "_writing", Interrupted())
    read(10)
    with pytest.raises(KeyboardInterrupt):
        inputs.write()
    in_a_thread(lambda: tracer.emit("decision", component="app"))
    read(20)
    tracer.emit("decision", component="app")
    assert [event["event_type"] for event in open_trace(tracer.writer.first).events()][1:] == [
        "inputs_read",
        "decision",
    ] * 2


def test_what_is_read_while_reads_are_written_is_written_at_once_where_all_is(begun, monkeypatch):
    """A worker that is killed when it has done its work has written what two of its threads read together."""
    tracer, inputs, read = begun(at_once=True)
    between(inputs, monkeypatch, lambda: in_a_thread(lambda: read(20)))
    read(10)
    assert Recorded.of(open_trace(tracer.writer.first).events()).clock == {"0": {"app.py:run#1": [10, 20]}}


def test_a_forked_process_writes_what_it_reads_while_its_parent_writes(begun, monkeypatch):
    """The thread that was writing is not there in the child."""
    tracer, inputs, read = begun()

    def fork():
        child = os.fork()
        if child == 0:
            task_paths.begin("0/1", forked=True)
            inputs.renew()
            read(20)  # it writes this at once
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0

    between(inputs, monkeypatch, lambda: in_a_thread(fork))
    read(10)
    tracer.emit("decision", component="app")
    recorded = Recorded.of(open_trace(shutdown_tracing()).events())
    assert recorded.clock == {"0": {"app.py:run#1": [10]}, "0/1": {"app.py:run#1": [20]}}
