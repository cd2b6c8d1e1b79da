"""What a signal handler of the program raises reaches the program, whatever it has interrupted."""

from __future__ import annotations

import os
import signal
from functools import partial

import psutil
import pytest

from namel3ss_debug.capture.core import resources, switch
from namel3ss_debug.capture.core.interruptions import is_from_signal_handler
from namel3ss_debug.capture.launch.start import shutdown_tracing
from namel3ss_debug.capture.seams.inputs import clock, environment_reads
from namel3ss_debug.traces import writer
from namel3ss_debug.traces.reader import open_trace


class Limit:
    """Handlers as they are written: a method, and an object that can be called."""

    def reached(self, _number, _frame):
        """End what runs."""
        raise RuntimeError("too long")

    def __call__(self, number, frame):
        """As the method."""
        self.reached(number, frame)


def reached(_number, *_frame):
    """The same as a function, in the way that most do it."""
    raise TimeoutError("too long")


@pytest.fixture(
    params=[reached, Limit().reached, Limit(), partial(partial(reached), 14)],
    ids=["function", "method", "object", "partial"],
)
def alarm(request):
    """A function during which the alarm comes."""
    before = signal.signal(signal.SIGALRM, request.param)
    yield lambda *_args: signal.raise_signal(signal.SIGALRM)
    signal.signal(signal.SIGALRM, before)


def reaches_the_program():
    """A block that ends with what the handler raises."""
    return pytest.raises((TimeoutError, RuntimeError), match="too long")


def error_of(function, *args):
    """What a call raises."""
    try:
        function(*args)
    except Exception as error:
        return error
    raise AssertionError


def test_it_is_known_by_the_handler_that_raised_it(alarm):
    """Any other exception is one of what was interrupted."""
    assert is_from_signal_handler(error_of(alarm))
    assert not is_from_signal_handler(error_of(int, "one"))
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    assert not is_from_signal_handler(error_of(reached, 1, None))


def test_an_alarm_during_an_event_is_no_problem_of_the_recording(tracing, monkeypatch, alarm):
    """The program is told, and what it does next is recorded."""
    tracer = tracing()
    with monkeypatch.context() as patch:
        patch.setattr(tracer, "now", alarm)
        with reaches_the_program():
            tracer.emit("decision", component="app")
        with reaches_the_program(), tracer.span("tool", "search"):
            pass
    with tracer.span("tool", "later"):
        pass
    shutdown_tracing()
    assert dict(tracer.problems) == {}
    told = [event.get("component_name") for event in open_trace(tracer.writer.first).events()]
    assert told == [None, "later", "later", None]


def test_an_alarm_during_a_write_is_no_failure_of_the_file_system(tracing, monkeypatch, capfd, alarm):
    """A `TimeoutError` is an `OSError`, but one without a number."""
    tracer = tracing()

    def write(descriptor, data):
        written = os.write(descriptor, data)
        alarm()
        return written

    with monkeypatch.context() as patch:
        patch.setattr(writer, "write", write)
        with reaches_the_program():
            tracer.emit("decision", component="app")
    tracer.emit("decision", component="app")
    shutdown_tracing()
    assert [event["seq"] for event in open_trace(tracer.writer.first).events()] == [0, 1, 2, 3]
    assert (tracer.writer.dropped, capfd.readouterr().err) == (0, "")


def test_an_alarm_while_a_segment_begins_reaches_the_program(tracing, monkeypatch, alarm):
    """The writer goes on without a segment only where the file system refuses one."""
    tracer = tracing()
    tracer.writer.close()
    monkeypatch.setattr(writer.folders, "make_trace_folder", alarm)
    with reaches_the_program():
        tracer.emit("decision", component="app")


@pytest.mark.parametrize("shell", [{"offline": True, "randomness": {}}], indirect=True)
def test_an_alarm_while_the_shell_is_told_is_no_loss_of_the_shell(shell, monkeypatch, alarm):
    """The program is told, and goes on with the shell; else one that runs on a recording would be ended."""
    tracer = switch.ACTIVE
    gate = tracer.writer._channel
    with monkeypatch.context() as patch:
        patch.setattr(gate, "_connect", alarm)
        for tell in (
            partial(tracer.emit, "decision", component="app"),
            partial(gate.may_end, "1", 0.0),
        ):
            with reaches_the_program():
                tell()
        with reaches_the_program():
            gate.report_listening(80, None)
    tracer.emit("performance_marker", component="app")
    told = []
    while "performance_marker" not in told:
        told.append(shell.told.get(timeout=20)[1].get("event_type"))
    assert "decision" in told


def test_an_alarm_while_memory_is_read_reaches_the_program(monkeypatch, alarm):
    """It does not look as if the file of that were closed."""
    resources.memory_mb()
    if not resources._kept:
        pytest.skip("the memory is not read from /proc here")
    monkeypatch.setattr(resources.os, "pread", alarm)
    with reaches_the_program():
        resources.memory_mb()


def test_an_alarm_while_memory_is_read_without_proc_reaches_the_program(monkeypatch, alarm):
    """Nor does it look as if psutil had no figure."""
    monkeypatch.setattr(resources, "_kept", [])
    monkeypatch.setattr(resources, "_first_read", list)
    monkeypatch.setattr(psutil, "Process", alarm)
    with reaches_the_program():
        resources.memory_mb()


def test_an_alarm_while_an_input_is_noted_reaches_the_program(monkeypatch, alarm):
    """Variables and the clock, which the program reads in C without us."""
    reads = environment_reads.Reads(alarm, alarm)
    for read in (partial(reads.read, b"HOME", b"/"), reads.list_all):
        with reaches_the_program():
            read()
    pytest.importorskip("_time_machine")

    class Places:
        at = alarm

    with reaches_the_program():
        clock.Clock(Places, None).read()
