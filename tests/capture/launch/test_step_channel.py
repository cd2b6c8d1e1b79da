"""The step channel: events are sent in order, pause the program until the shell replies, and get answers."""

from __future__ import annotations

import asyncio
import ctypes
import functools
import json
import os
import queue
import resource
import signal
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from namel3ss_debug.capture.core import tracer as tracing
from namel3ss_debug.capture.core.answers import CallReply
from namel3ss_debug.capture.core.switch import get_global_tracer
from namel3ss_debug.capture.launch import step_channel as gate
from namel3ss_debug.capture.launch.step_channel import SteppedWriter
from namel3ss_debug.hooks import trace_llm_call, trace_tool_call
from namel3ss_debug.traces.loss_notes import ROOM

SECONDS = 20


def lines(path):
    """The events of a recording."""
    return [json.loads(line) for line in path.read_text().splitlines()]


@trace_tool_call
def search(query):
    """A tool that must not run where it is answered."""
    return {"ran": query}


def test_every_event_is_told_as_it_is_written_and_in_its_order(shell):
    """The shell gets each event of the recording, equal to its line, in the order of the numbers."""
    assert search("a") == {"ran": "a"}
    written = lines(shell.trace)
    told = [shell.told.get(timeout=SECONDS) for _ in written]
    frames = [event.pop("frames", None) for _, event in told]
    assert [event for _, event in told] == written
    assert frames[1][0].startswith("tests/capture/launch/test_step_channel.py:")  # the others are of pytest
    assert [mark for mark, _ in told] == [b"?", b"?", b"?"]


@pytest.mark.parametrize("shell", [{"waits_at_calls": True}], indirect=True)
def test_a_program_that_nobody_steps_waits_at_its_calls_alone(shell):
    """Only what begins a call or the process asks; all is told in its order, the end of a span with what follows it."""
    from namel3ss_debug.capture.core import switch

    with switch.ACTIVE.span("agent", "block"):
        search("a")
    search("b")
    switch.ACTIVE.emit("decision", component="app")
    written = lines(shell.trace)
    told = [shell.told.get(timeout=SECONDS) for _ in written]
    assert [event for _, event in told] == written
    asking = [event["event_type"] for mark, event in told if mark == b"?"]
    assert asking == ["trace_start", "tool_call_start", "tool_call_start"]
    search("c")
    assert shell.told.get(timeout=SECONDS)[0] == b"?"
    assert shell.told.empty()  # its end waits for company


def test_an_answered_tool_is_not_run_and_says_so(shell):
    """A function whose call is answered gives the answer and does not run; its end says `mocked`."""
    shell.answers["search"] = {"found": [1, None]}
    assert search("a") == {"found": [1, None]}
    end = lines(shell.trace)[-1]
    assert end["metadata"]["mocked"] is True
    assert end["outputs"] == {"result": {"found": [1, None]}}


def test_null_is_an_answer_too(shell):
    """An answer of null is given, and is not the same as no answer."""
    shell.answers["search"] = None
    assert search("a") is None


def test_a_coroutine_function_is_answered(shell):
    """An answered coroutine function gives the answer when it is awaited."""

    @trace_tool_call
    async def fetch():
        return "real"

    shell.answers["fetch"] = "given"
    assert asyncio.run(fetch()) == "given"


def test_generators_yield_the_items_of_an_answer(shell):
    """A generator that is answered yields the items of a list, or the one value there is."""

    @trace_tool_call
    def pages():
        yield "real"

    @trace_tool_call
    async def later():
        yield "real"

    async def collect():
        return [item async for item in later()]

    shell.answers |= {"pages": ["a", "b"], "later": {"one": 1}}
    assert list(pages()) == ["a", "b"]
    assert asyncio.run(collect()) == [{"one": 1}]


def test_a_model_function_that_returns_text_is_answered_with_text(shell):
    """The text of an answer is what a hooked model function returns; a larger answer is returned as it is."""

    @trace_llm_call
    def ask():
        return "real"

    shell.answers["ask"] = {"text": "given"}
    assert ask() == "given"
    shell.answers["ask"] = {"text": "given", "finish_reason": "stop"}
    assert ask() == {"text": "given", "finish_reason": "stop"}


def test_an_answer_for_a_span_that_cannot_take_one_is_reported(shell, capsys):
    """An answer given to a block of code is told as a problem, because no seam could give it to the program."""
    from namel3ss_debug.capture.core import switch

    shell.answers["block"] = 1
    with switch.ACTIVE.span("agent", "block"):
        pass
    assert any("block" in problem for problem in switch.ACTIVE.problems)
    switch.ACTIVE.problems.clear()


class Clock:
    """Nanoseconds that pass only when the test says so."""

    now = 0

    def __call__(self):
        """The time."""
        return self.now

    def hold(self, seconds):
        """Let time pass while an event waits."""
        self.now += seconds * 10**9


def test_the_time_at_the_prompt_is_no_time_of_the_tool(shell, monkeypatch):
    """Of each open span the wait is taken away and told; what ran before it, and what a machine took, is not."""
    clock = Clock()
    monkeypatch.setattr(gate, "perf_counter_ns", clock)
    monkeypatch.setattr(tracing, "perf_counter_ns", clock)
    tracer = get_global_tracer()
    passed = tracer.writer._channel.send_event
    waits = {"inner": 5, "custom": 2}

    def waiting(event, line):
        clock.hold(waits.pop(event.get("component_name") or event["event_type"], 0))
        return passed(event, line)

    monkeypatch.setattr(tracer.writer._channel, "send_event", waiting)
    with tracer.span("tool", "outer"):
        clock.hold(1)
        with tracer.span("tool", "inner"):
            tracer.emit("custom", component="app")
        with tracer.span("tool", "after"):
            clock.hold(3)
    inner, after, outer = [each for each in lines(shell.trace) if each["event_type"] == "tool_call_end"]
    assert (inner["duration_ms"], inner["metadata"]) == (0, {"paused_ms": 7000})
    assert (after["duration_ms"], "metadata" in after) == (3000, False)
    assert (outer["duration_ms"], outer["metadata"]) == (4000, {"paused_ms": 7000})


def test_an_event_tells_for_how_long_its_process_was_held_before_it(shell, monkeypatch):
    """Each wait counts from the event after it on; of an event that another thread's wait held up, only what came before."""
    clock = Clock()
    monkeypatch.setattr(gate, "perf_counter_ns", clock)
    tracer = get_global_tracer()
    passed = tracer.writer._channel.send_event
    waits = {"short": 0.05, "long": 7}
    inside, waiting = threading.Event(), threading.Event()

    class Turn:
        """The lock, which says that the other thread waits for it."""

        def __init__(self, lock):
            self.lock = lock

        def __enter__(self):
            waiting.set() if threading.current_thread() is late else None
            self.lock.acquire()

        def __exit__(self, *_):
            self.lock.release()

    def hold(event, line):
        clock.hold(waits.get(event["event_type"], 0) / 2)
        if event["event_type"] == "long":
            inside.set()
            waiting.wait(SECONDS)
        clock.hold(waits.get(event["event_type"], 0) / 2)
        return passed(event, line)

    def emit_late():
        inside.wait(SECONDS)
        tracer.emit("late", component="app")

    late = threading.Thread(target=emit_late)
    late.start()
    monkeypatch.setattr(tracer.writer, "_paused_ns", 0)  # how long the first event of the process waited
    monkeypatch.setattr(tracer.writer, "_send_lock", Turn(tracer.writer._send_lock))
    monkeypatch.setattr(tracer.writer._channel, "send_event", hold)
    for name in ("short", "before", "long"):
        tracer.emit(name, component="app")
    late.join()
    tracer.emit("after", component="app")
    told = {event["event_type"]: event.get("paused_before_ms") for event in lines(shell.trace)[1:]}
    assert told == {"short": None, "before": None, "long": None, "late": 3550, "after": 7050}


def test_a_thread_is_not_charged_for_another(shell):
    """Only what holds the own thread is taken from a span."""
    tracer = get_global_tracer()
    with tracer.span("tool", "here"):
        tracer.paused_ns[threading.get_ident() + 1] += 10**12
    assert "metadata" not in lines(shell.trace)[-1]


def test_threads_are_held_one_after_the_other(shell):
    """While one thread is held, another that emits is held too; each gets the answer to its own call."""
    shell.held = queue.Queue()
    results = {}
    shell.answers |= {"one": 1, "two": 2}

    def call(name):
        results[name] = trace_tool_call(name)(lambda: "real")()

    threads = [threading.Thread(target=call, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    seen = []
    for _ in range(4):
        connection, event = shell.held.get(timeout=SECONDS)
        assert shell.held.empty()
        seen.append(event)
        shell.go(connection, event)
    for thread in threads:
        thread.join(SECONDS)
    assert results == {"one": 1, "two": 2}
    assert [event["seq"] for event in seen] == [1, 2, 3, 4]


def test_the_program_goes_on_by_itself_when_the_shell_is_gone(shell):
    """A program that waits when the shell goes away goes on, and is recorded as before."""
    shell.held = queue.Queue()
    done = queue.Queue()
    thread = threading.Thread(target=lambda: done.put(search("a")))
    thread.start()
    shell.held.get(timeout=SECONDS)
    shell.close()
    assert done.get(timeout=SECONDS) == {"ran": "a"}
    thread.join(SECONDS)
    assert search("b") == {"ran": "b"}
    assert [event["event_type"] for event in lines(shell.trace)].count("tool_call_end") == 2


def test_a_forked_child_asks_for_itself(shell):
    """A forked child has a connection of its own, and its answers do not mix with those of its parent."""
    shell.answers["search"] = "given"
    pid = os.fork()
    if not pid:
        os._exit(0 if search("a") == "given" else 1)
    assert search("a") == "given"
    assert os.waitpid(pid, 0)[1] == 0
    assert len(shell.connections) == 2


def test_a_handler_that_emits_while_its_thread_is_held_is_only_told(shell):
    """An event of a signal handler that runs while its thread waits does not take the word that is meant for the other."""
    from namel3ss_debug.hooks import performance_marker

    shell.held = queue.Queue()
    shell.answers["search"] = "given"
    told = threading.Event()

    def handler(_number, _frame):
        performance_marker("from the handler")
        told.set()

    def drive():
        connection, event = shell.held.get(timeout=SECONDS)
        os.kill(os.getpid(), signal.SIGUSR1)
        told.wait(SECONDS)
        shell.go(connection, event)
        shell.go(*shell.held.get(timeout=SECONDS))

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        thread = threading.Thread(target=drive)
        thread.start()
        assert search("a") == "given"
        thread.join(SECONDS)
    finally:
        signal.signal(signal.SIGUSR1, before)
    marks = {event["event_type"]: mark for mark, event in shell.told.queue}
    assert marks["performance_marker"] == b"."


def test_an_exit_while_held_reaches_the_program_and_later_waits_stay_in_step(shell):
    """SystemExit of a signal handler ends the wait; the word that comes later is not taken for another event's."""
    shell.held = queue.Queue()
    shell.answers["second"] = "given"

    def leave(_number, _frame):
        raise SystemExit(5)

    def drive():
        first = shell.held.get(timeout=SECONDS)
        os.kill(os.getpid(), signal.SIGUSR1)
        second = shell.held.get(timeout=SECONDS)
        shell.go(*first)
        shell.go(*second)
        shell.go(*shell.held.get(timeout=SECONDS))

    before = signal.signal(signal.SIGUSR1, leave)
    thread = threading.Thread(target=drive)
    try:
        thread.start()
        with pytest.raises(SystemExit):
            search("a")
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert trace_tool_call("second")(lambda: "real")() == "given"
    thread.join(SECONDS)


def test_a_word_is_not_lost_where_a_signal_handler_raises_as_it_comes():
    """The signal comes while the word is taken from the socket, so that its handler runs when that is done."""
    words, problems = [b"wo", b"rd\n"], []
    kill = ctypes.PyDLL(None).kill
    kill.restype = words.pop  # called with what `kill` gives, which is 0

    def late(_number, _frame):
        raise TimeoutError

    held = gate.SocketStepChannel("", on_tools=pytest.fail, on_problem=problems.append)
    held._connection = SimpleNamespace(recv=functools.partial(kill, os.getpid(), signal.SIGUSR1))
    before = signal.signal(signal.SIGUSR1, late)
    try:
        assert held._read_line() == b"word"
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert problems == ["TimeoutError of a signal handler was lost while the program was paused"] * 2


class Recorder:
    """A gate that notes what passes."""

    def __init__(self):
        self.passed_events = []

    def send_event(self, event, line):
        """Note it."""
        self.passed_events.append((event["event_type"], line))

    def may_end(self, event_id, waited):
        """Nothing waits."""
        return True

    def renew(self):
        """Nothing to renew."""

    def close(self):
        """Nothing to close."""


def test_what_passes_is_what_is_written_byte_for_byte(tmp_path):
    """Headers of segments and events pass as the lines of the files, rotation included, without the room for a note."""
    gate = Recorder()
    writer = SteppedWriter(
        gate,
        lambda _ns: None,
        lambda _text: None,
        lambda: None,
        tmp_path / "t.jsonl",
        frames=None,
        first_process=True,
        header=lambda process, segment, seq: {"event_type": "trace_start", "event_id": None, "seq": seq},
        rotate_max_bytes=200,
        link_latest=False,
    )
    writer.begin()
    for number in range(10):
        writer.append({"event_type": "x", "event_id": None, "seq": 0, "outputs": {"n": number}})
    writer.close()
    files = sorted(tmp_path.glob("*.jsonl"), key=lambda path: (len(path.name), path.name))
    assert len(files) > 1
    written = b"".join(path.read_bytes() for path in files).replace(b" " * ROOM, b"")
    assert b"".join(line for _, line in gate.passed_events) == written


LONG_WORD = """
import socket, threading
from namel3ss_debug.capture.launch.step_channel import SocketStepChannel
gate = SocketStepChannel("", on_tools=print, on_problem=print)
gate._connection, shell = socket.socketpair()
word = b'{"at": "1", "answer": "' + b"w" * 60_000_000 + b'"}'
threading.Thread(target=shell.sendall, args=(word + b"\\n{}\\n",)).start()
assert gate._read_line() == word
assert gate._read_line() == b"{}"
"""


@pytest.mark.slow
def test_a_long_answer_is_looked_through_once():
    """A word of 60 MB comes in many blocks: 5 s of processor time are more than enough."""

    def limit():
        resource.setrlimit(resource.RLIMIT_CPU, (5, 5))

    ended = subprocess.run(
        [sys.executable, "-c", LONG_WORD], preexec_fn=limit, capture_output=True, check=False
    )
    assert ended.returncode == 0, ended.stderr


def test_given_is_plain_data():
    """An answer is its value and the outputs it makes."""
    assert CallReply(1, {"result": 1}).outputs == {"result": 1}
