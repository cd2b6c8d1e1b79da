"""A running program as a recording and as the program of a walk, without a shell around it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from namel3ss_debug.capture.launch.parent import resolve_target, started
from namel3ss_debug.capture.launch.session import new_session
from namel3ss_debug.config import load_configuration
from namel3ss_debug.errors import MockError
from namel3ss_debug.replay.debugger.interpreter import LiveDebugger
from namel3ss_debug.replay.debugger.live import LiveProgram, starved_seconds
from namel3ss_debug.replay.debugger.results import Detached, Mistake, Stopped
from namel3ss_debug.replay.debugger.step_channel import StepServer
from namel3ss_debug.replay.overrides.faults import parse_fault
from namel3ss_debug.replay.overrides.mocks import parse_mock
from namel3ss_debug.traces.reader import open_trace

SECONDS = 30

CALLS = """
from namel3ss_debug.hooks import trace_llm_call, trace_tool_call

@trace_tool_call
def search(n):
    return n

@trace_llm_call
def ask(prompt):
    return "real"

for n in range(3):
    search(n)
ask("x")
"""


@pytest.fixture
def live(tmp_path):
    """Start a program that waits; gives it with the path of its recording."""

    @contextmanager
    def start(text, **settings):
        (tmp_path / "app.py").write_text(text)
        config = load_configuration(
            tmp_path, {}, {"trace_output_dir": str(tmp_path / "traces")} | settings
        ).config
        target = resolve_target(["app.py"], cwd=tmp_path)
        target = replace(target, value=str(tmp_path / "app.py"))
        session = new_session(config, target=target.text, root=tmp_path)
        with StepServer() as step_server:
            environment = asdict(session) | {"step_socket": step_server.address}
            with started(target, session=environment) as child:
                program = LiveProgram(child, step_server)
                program.trace = Path(session.trace)
                try:
                    yield program
                finally:
                    program.end()

    return start


def types(program):
    """The event types so far."""
    return [event["event_type"] for event in program.events()]


def test_it_runs_from_event_to_event(live):
    """Each time it is let go on it stops at one more event, and at the end there is none."""
    with live(CALLS) as program:
        assert program.count() == 0
        counts = []
        while program.go_on():
            counts.append(program.count())
        assert counts == sorted(set(counts))
        assert program.has_ended()
        assert not program.go_on()
        assert types(program)[0] == "trace_start"
        assert types(program).count("tool_call_start") == 3
        assert types(program)[-1] == "trace_end"


def test_the_recording_it_gives_is_the_one_on_the_disk(live):
    """Its events are those of the recording, in order, by number and as a row from any number on."""
    with live(CALLS) as program:
        while program.go_on():
            pass
        written = list(open_trace(program.trace).events())
        assert list(program.events()) == written
        assert program.event(3) == written[2]
        assert list(program.events(4)) == written[3:]


def test_who_does_not_walk_keeps_ids_alone(live):
    """Of a program that only runs out, the numbers of its events are known, and not what they say."""
    with live(CALLS) as program:
        program.keeps_events = False
        while program.go_on():
            pass
        written = list(open_trace(program.trace).events())
        assert list(program.events()) == [{"event_id": event["event_id"]} for event in written]


def test_what_waits_is_on_the_disk_already(live):
    """At every stop the recording holds the event at which the program waits."""
    with live(CALLS) as program:
        for _ in range(4):
            program.go_on()
            assert program.trace.read_text().count("\n") == program.count()


def test_a_walk_goes_backwards_while_the_program_waits(live):
    """Moves within what is recorded do not let the program go on."""
    with live(CALLS) as program:
        session = LiveDebugger(program, ["tool:2"])
        (stop,) = session.execute("continue")
        assert (stop.reason, stop.waiting) == ("breakpoint", True)
        count = program.count()
        session.execute("reverse-step")
        session.execute("goto 1")
        session.execute(f"goto {count}")
        assert program.count() == count
        assert session.stepper.waiting


def test_a_move_that_ctrl_c_ends_is_a_stop(live, monkeypatch):
    """What is displayed is shown there, and what was chosen before is chosen no longer; where nothing moved, it is none."""
    inside = """
from namel3ss_debug.hooks import trace_agent_execution, trace_tool_call

@trace_tool_call
def search(n):
    return n

@trace_agent_execution("A")
def work():
    search(1)

work()
"""
    with live(inside) as program:
        session = LiveDebugger(program, ["search"])
        for line in ("continue", "clear", "up", "display n"):
            session.execute(line)
        assert session.session.selected
        steps = iter([program.go_on])

        def go_on():
            step = next(steps, None)
            if step is None:
                raise KeyboardInterrupt
            return step()

        monkeypatch.setattr(program, "go_on", go_on)
        (stop,) = session.execute("continue")
        assert (stop.reason, stop.number) == ("interrupt", program.count())
        assert [row.value for row in stop.displayed] == [stop.number]
        assert session.session.selected == 0
        session.execute("goto 1")
        (again,) = session.execute("continue")
        assert (again.reason, again.number) == ("interrupt", stop.number)
        with pytest.raises(KeyboardInterrupt):
            session.execute("continue")


def test_a_mock_of_the_wrong_shape_keeps_the_program_waiting(live):
    """A mock that turns out not to fit the call is a mistake, and the call is not made until it is removed."""
    with live(CALLS) as program:
        session = LiveDebugger(program, ["llm"], [parse_mock("ask:[3]")])
        session.execute("continue")
        count = program.count()
        (mistake,) = session.execute("step")
        assert isinstance(mistake, Mistake)
        assert program.count() == count
        with pytest.raises(MockError):
            program.go_on()
        session.execute("clear ;; goto 2 ;; list 1 ;; continue")
        assert (session.stepper.position, session.session.listed) == (count, 0)
        session.execute("unmock ask")
        (stop,) = session.execute("step")
        assert stop.event.get("outputs") == {"text": "real"}, stop


UNREACHED = """
from namel3ss_debug.capture.core import switch

with switch.ACTIVE.span("tool", "bash", {"arguments": {}}, {"seen": False}) as span:
    span.set_output("real")
"""


def test_a_call_that_was_not_reached_is_not_waited_for_and_its_mock_is_refused(live):
    """Its function has run when it is recorded; without the mock, the program goes on."""
    with live(UNREACHED) as program:
        session = LiveDebugger(program, ["tool"], ["bash:1"])
        (stop,) = session.execute("continue")
        assert (stop.event["component_name"], stop.waiting) == ("bash", False)
        (mistake,) = session.execute("step")
        assert isinstance(mistake, Mistake)
        assert "the function of bash could not be reached" in str(mistake)
        session.execute("unmock bash")
        (stop,) = session.execute("step")
        assert stop.event["outputs"] == {"result": "real"}


def test_an_answer_is_given_once_for_the_call_it_means(live):
    """A mock for the second call answers that one, and the others are made."""
    with live(CALLS) as program:
        session = LiveDebugger(program, [], ['search@2:"given"'])
        session.execute("continue")
        results = [
            event["outputs"]["result"] for event in program.events() if event["event_type"] == "tool_call_end"
        ]
        assert results == [0, "given", 2]


FRAMES = """
import sys
from namel3ss_debug.hooks import trace_agent_execution, trace_tool_call

@trace_tool_call
def search(city, limit=3):
    return [city] * limit

class Agent:
    def __init__(self):
        self.city = "Oslo"

    @trace_agent_execution("Planner")
    def run(self, question):
        plan = question.upper()
        return search(self.city)

def main():
    agent = Agent()
    agent.run("why")
    search("Rome")

main()
"""


def test_the_frames_of_the_waiting_program_are_read(live):
    """What the event lacks is evaluated where the program waits; elsewhere, and after the end, nothing is."""
    with live(FRAMES) as program:
        session = LiveDebugger(program, ["tool"])
        session.execute("continue")
        here = session.stepper.position
        (city,) = session.execute("p self.city")
        assert (city.value, city.number, city.frame.function) == ("Oslo", here, "Agent.run")
        assert city.frame.at.endswith("app.py:16")
        (arguments,) = session.execute("p inputs.arguments")
        assert (arguments.value, arguments.frame) == ({"city": "Oslo", "limit": 3}, None)
        assert session.execute("p agent.city")[0].frame.function == "main"  # `agent` is null at a tool
        assert session.execute("pp self")[0].value["fields"] == {"city": "Oslo"}
        assert session.execute("inspect plan")[0].value == "WHY"
        assert session.execute("whatis plan")[0].text == "text of 3 characters"
        (problem,) = session.execute("p self.town")
        assert "no attribute 'town', in Agent.run (" in problem.text
        (stack,) = session.execute("where")
        assert [frame.component for frame in stack.frames] == ["agent", "tool"]
        assert [frame.at.rpartition(":")[2] for frame in stack.code] == ["23", "20", "16"]
        assert stack.code[-1].text == "return search(self.city)"
        (variables,) = session.execute("locals")
        assert [frame.function for frame in variables.frames] == ["Agent.run", "main", "<module>"]
        assert variables.frames[0].values["plan"] == "WHY"
        session.execute("rs")
        (earlier,) = session.execute("p self.city")
        assert earlier.text.endswith("; goto end reads the variables of the waiting program")
        session.execute("clear ;; goto end ;; continue")
        assert isinstance(session.execute("p self.city")[0], Mistake)


def test_what_is_evaluated_is_not_recorded(live):
    """Calls, prints and reads of the clock leave no event, whatever they are, and no gap."""
    with live(FRAMES) as program:
        session = LiveDebugger(program, ["tool"])
        session.execute("continue")
        before = program.count()
        assert session.execute("p search('typed', limit=1)")[0].value == ["typed"]
        session.execute("p print('typed') or __import__('time').time()")
        session.execute("p open('app.py').read()")
        assert program.count() == before
        session.execute("clear ;; continue")
        written = list(open_trace(program.trace).events())
        assert "typed" not in str(written)
        assert [event["seq"] for event in written] == list(range(len(written)))


def test_pdb_needs_a_terminal_and_a_program_that_waits(live):
    """Without them it is a mistake, in one line."""
    with live(FRAMES) as program:
        session = LiveDebugger(program, ["tool"])
        session.execute("continue")
        assert str(session.execute("pdb")[0].text) == "pdb needs a terminal to read its commands from"
        session.execute("rs")
        assert "none waits at event" in session.execute("pdb")[0].text


def test_a_mock_without_a_name_answers_the_call_that_waits(live):
    """That call alone, or with --all every later one of its name; the reply says which."""
    with live(CALLS) as program:
        session = LiveDebugger(program, ["tool"])
        assert "no call waits here" in session.execute('mock "first"')[0].text
        session.execute("continue")
        number = session.stepper.position
        replies = [
            'mock "first"',
            'mock --all "others"',
            "mock --all search:[1]",
            "mock search@3:3",
            "mock llm.text=x",
            "mock --all search@2:1",
        ]
        assert [session.execute(line)[0].text for line in replies] == [
            f"mock for tool:search, this call only (event {number})",
            "mock for tool:search, every later call",
            "mock for search, every later call",
            "mock for search, call 3 only",
            "mock for llm, every later call",
            "--all is for every call: leave out @2",
        ]
        session.execute("clear ;; continue")
        answers = [
            event.get("outputs") for event in program.events() if event["event_type"] == "tool_call_end"
        ]
        assert [each["result"] for each in answers] == ["first", [1], 3]


def test_detach_lets_it_run_on(live):
    """A program that is let go runs to its end by itself; the walk has what it had."""
    with live(CALLS) as program:
        session = LiveDebugger(program)
        session.execute("step 2")
        count = program.count()
        (message,) = session.execute("detach")
        assert isinstance(message, Detached)
        assert program.wait() == 0
        assert program.count() == count
        assert len(list(open_trace(program.trace).events())) > count


def test_detach_is_refused_where_it_makes_no_sense(live):
    """A program that depends on recorded answers cannot be let go, and one that has ended need not be."""
    with live(CALLS) as program:
        session = LiveDebugger(program, ["search@2"])
        session.execute("continue")
        program.answering = object()
        (refused,) = session.execute("detach")
        assert (isinstance(refused, Mistake), session.ended) == (True, False)
        assert "depends on recorded answers" in refused.text
        program.answering = None
        session.execute("continue")
        assert session.execute("detach")[0].text.endswith("and it has ended; quit leaves")


def test_a_breakpoint_may_let_the_program_go(live):
    """`detach` among the commands of a breakpoint is their last one, and is done where it stops."""
    with live(CALLS) as program:
        session = LiveDebugger(program, ["search@2"])
        session.execute("commands 1 p n ;; detach")
        assert isinstance(session.execute("continue")[-1], Detached)
        assert session.ended
        assert program.wait() == 0


def test_the_end_by_a_signal_is_seen(live):
    """A program that kills itself has ended, and says by what."""
    with live("import os, signal; os.kill(os.getpid(), signal.SIGKILL)") as program:
        while program.go_on():
            pass
        assert program.wait() == -signal.SIGKILL


def test_end_is_sigterm_and_then_the_release(live):
    """A program that handles SIGTERM may clean up, with its events no longer held."""
    text = """
import signal, sys
from namel3ss_debug.hooks import performance_marker

def leave(number, frame):
    performance_marker("cleaning up")
    sys.exit(9)

signal.signal(signal.SIGTERM, leave)
while True:
    performance_marker("busy")
"""
    with live(text) as program:
        program.go_on()
        program.go_on()
        assert program.end() == 9
        names = [event.get("component_name") for event in open_trace(program.trace).events()]
        assert "cleaning up" in names


def test_what_outlives_the_first_process_is_let_go(live, tmp_path, until_ended):
    """A process that runs on when the first one has ended is not held any more."""
    text = f"""
import os
from namel3ss_debug.hooks import performance_marker

read, write = os.pipe()
if os.fork():
    os.close(write)
    os.read(read, 1)
    os._exit(0)
for n in range(3):
    performance_marker("before")
os.write(write, b"x")
os.setsid()
for n in range(50):
    performance_marker("after")
open({str(tmp_path / "done")!r}, "w").write(str(os.getpid()))
"""
    with live(text) as program:
        while program.go_on():
            pass
        assert program.wait() == 0
        survivors = [
            event["metadata"]["pid"] for event in program.events() if event["event_type"] == "trace_start"
        ]
        until_ended(survivors[-1], SECONDS)
        assert (tmp_path / "done").exists()


def test_streams_of_a_model_do_not_hold_the_program(live, model_environment, monkeypatch):
    """Chunks of a stream come all at once, and the walk goes on through them."""
    for name, value in model_environment.items():
        monkeypatch.setenv(name, value)
    path = Path(__file__).parents[2] / "data" / "programs_sdk" / "openai_stream.py"
    with live(path.read_text()) as program:
        session = LiveDebugger(program, ["llm_call_end"])
        (stop,) = session.execute("continue")
        assert isinstance(stop, Stopped)
        assert types(program).count("stream_chunk") > 2
        assert stop.event["event_type"] == "llm_call_end"


def test_the_folder_of_the_socket_is_private_and_goes():
    """The socket stands in a folder of the user's own, which is removed."""
    with StepServer() as step_server:
        folder = Path(step_server.address).parent
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()


def test_a_long_temporary_folder_is_no_hindrance(tmp_path, monkeypatch):
    """Where the path of the socket would be too long for one, it stands elsewhere."""
    folder = tmp_path / ("x" * 90)
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    with StepServer() as step_server:
        assert len(step_server.address) < 100


def test_a_process_without_the_gate_is_not_held(live):
    """A process that cannot reach the shell, such as one in isolated mode, runs as it does without."""
    text = f"""
import subprocess
print(subprocess.run([{sys.executable!r}, "-I", "-c", "print(1)"], check=True))
"""
    with live(text) as program:
        while program.go_on():
            pass
        assert program.wait() == 0


def test_the_terminal_is_given_and_taken_back():
    """A foreground lends the terminal to a group and takes it back, and is not stopped for it."""
    import pexpect

    code = """
import os, subprocess, sys
from namel3ss_debug.capture.launch.foreground import Foreground, controlling_terminal
keys = Foreground(controlling_terminal())
child = subprocess.Popen([sys.executable, "-c", "input()"], process_group=0)
keys.lend(child.pid)
print("lent", os.tcgetpgrp(0) == child.pid, flush=True)
keys.take_back()
keys.take_back()
print("back", os.tcgetpgrp(0) == os.getpgrp(), flush=True)
child.kill()
child.wait()
keys.lend(child.pid)
keys.take_back()
print("gone", os.tcgetpgrp(0) == os.getpgrp(), flush=True)
"""
    session = pexpect.spawn(sys.executable, ["-c", code], encoding="utf-8", timeout=SECONDS)
    session.expect_exact("lent True")
    session.expect_exact("back True")
    session.expect_exact("gone True")
    session.expect(pexpect.EOF)
    session.close()
    assert session.exitstatus == 0


def test_without_a_terminal_there_is_none():
    """A process in a session without a terminal finds none."""
    code = "from namel3ss_debug.capture.launch.foreground import controlling_terminal; print(controlling_terminal())"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, start_new_session=True, check=True
    )
    assert done.stdout == "None\n"


def test_a_fault_comes_in_place_of_the_call_it_means(live):
    """The second call of a tool fails as asked, with its end marked; the program does with it what it does."""
    text = CALLS.replace("    search(n)", "    try:\n        search(n)\n    except KeyError:\n        pass")
    with live(text) as program:
        session = LiveDebugger(program, [])
        session.stepper.overrides.add(parse_fault("search@2:error:KeyError:no"))
        session.execute("continue")
        ends = [event for event in program.events() if event["event_type"] == "tool_call_end"]
    assert [end["status"] for end in ends] == ["completed", "failed", "completed"]
    assert ends[1]["error_type"] == "KeyError"
    assert ends[1]["metadata"] == {"mocked": True, "fault": "error"}


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="only Linux tells")
def test_a_program_that_waits_for_a_processor_is_starved():
    """Of two that compute on one processor, each waits while the other runs."""
    processor = min(os.sched_getaffinity(0))
    code = f"import os; os.sched_setaffinity(0, {{{processor}}})\nwhile True: pass"
    running = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    try:
        while not all(starved_seconds(each.pid) > 0.01 for each in running):
            pass
    finally:
        for each in running:
            each.kill()
            each.wait()
