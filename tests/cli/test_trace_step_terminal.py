"""`debug trace --step` on a pseudo-terminal: the shell and the program share it, each at its time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pexpect
import pytest

from namel3ss_debug.traces.reader import open_trace

CTRL_C, CTRL_D, CTRL_Z = "\x03", "\x04", "\x1a"

AGENT = """
import os, sys
from namel3ss_debug.hooks import trace_agent_execution, trace_tool_call

@trace_tool_call
def search(query):
    print("searching", query, flush=True)
    return {"found": 1}

@trace_agent_execution
def agent():
    for number in range(2):
        print("found", search(f"q{number}")["found"], flush=True)

with open("/dev/tty", "w") as terminal:  # what it prints to stdout would be an event
    print("pid", os.getpid(), file=terminal)
agent()
print("read", input("name? "), flush=True)
sys.exit(3)
"""

LOOP = """
import os, sys
from namel3ss_debug.hooks import performance_marker

count = 0
try:
    while True:
        count += 1
        if count == 20:
            print("pid", os.getpid(), flush=True)
        if not os.path.exists("go"):
            performance_marker("again")
        elif not os.path.exists("silent"):
            print("silent now", flush=True)
            open("silent", "w").close()
except KeyboardInterrupt:
    print("interrupted by the user", flush=True)
    sys.exit(7)
"""


class Shell:
    """A stepped program on a terminal of its own that edits no lines."""

    def __init__(self, words, folder, term="dumb"):
        environment = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}}
        environment |= {"TERM": term, "NO_COLOR": "1", "PROMPT_TOOLKIT_NO_CPR": "1", "PYTHON": sys.executable}
        self.child = pexpect.spawn(
            words[0],
            [str(word) for word in words[1:]],
            env=environment | {"XDG_STATE_HOME": str(folder.parent / "state")},
            cwd=folder,
            encoding="utf-8",
            timeout=30,
            dimensions=(24, 100),
        )

    def wait_for(self, *expected):
        """Wait until each of these has come, one after the other."""
        for words in expected:
            self.child.expect_exact(words)

    def say(self, line, *expected):
        """Type a line and wait for what comes of it."""
        self.child.send(f"{line}\r")
        self.wait_for(*expected)

    def pid(self):
        """The process id that the program prints."""
        self.child.expect(r"pid (\d+)")
        return int(self.child.match[1])

    def end(self):
        """Wait for the end; gives the exit status, or the negative number of the signal."""
        self.child.expect(pexpect.EOF)
        self.child.close()
        return self.child.exitstatus if self.child.signalstatus is None else -self.child.signalstatus


def begun(shell, words):
    """A stepped program stops before its first line, where commands do not say otherwise, and goes on from there."""
    if "--step" in words and "-c" not in words:
        shell.wait_for("trace_start", "(debug 1/1)")
        shell.child.send("step\r")
    return shell


@pytest.fixture
def shell(program, workspace):
    """Starts `debug trace` with words, and ends what a test has left open."""
    started = []

    def start(*words, term="dumb", app=AGENT):
        (workspace / "app.py").write_text(app)
        started.append(Shell([*program, "trace", *words, "app.py"], workspace, term))
        return begun(started[-1], words)

    yield start
    for each in started:
        each.child.close(force=True)


@pytest.fixture
def piped(program, workspace):
    """Starts a shell command line, in which `debug` stands for ours."""
    started = []

    def start(line, app=AGENT):
        (workspace / "app.py").write_text(app)
        script = workspace / "ours"
        script.write_text(f'#!/bin/sh\nexec "{program[0]}" {program[1]} "{program[2]}" "$@"\n')
        script.chmod(0o755)
        started.append(Shell(["/bin/sh", "-c", line.replace("debug ", "./ours ")], workspace))
        return begun(started[-1], line.split())

    yield start
    for each in started:
        each.child.close(force=True)


def events(workspace):
    """The events of the newest recording."""
    return list(open_trace(workspace / "debug/traces/trace_latest.jsonl").events())


@pytest.mark.parametrize("term", ["dumb", "xterm"])
def test_a_session_on_a_running_program(shell, workspace, term):
    """The program waits before a call, is answered, goes backwards in what it did, asks the user, and ends as itself."""
    session = shell("--step", term=term)
    session.wait_for("pid", "agent_execution_start", "(debug 2/2)")
    session.say("step", "waiting before this call", "tool_call_start search", "(debug 3/3)")
    session.say('mock search@1:{"found": 99}', "mock", "(debug 3/3)")
    session.say("next", "tool_call_end", "mocked", "(debug 4/4)")
    session.say("rs", "tool_call_start search", "(debug 3/4)")
    session.say("tbreak trace_end", "(debug 3/4)")
    session.say("continue", "found 99", "searching q1", "found 1", "name? ")
    session.say("Ada", "read Ada", "trace_end", "(debug ")
    session.say("continue", "the program has ended with status 3", "end", "(debug ")
    session.say("quit")
    assert session.end() == 3
    assert [
        event.get("metadata", {}).get("mocked")
        for event in events(workspace)
        if event["event_type"] == "tool_call_end"
    ] == [
        True,
        None,
    ]


def test_a_breakpoint_is_run_to(shell):
    """`-b` runs the program to the place and shows the prompt there."""
    session = shell("-b", "tool")
    session.wait_for("breakpoint 1", "tool_call_start search", "(debug 3/3) ")
    session.say("quit", "end it? (y or n) ")
    session.say("y")
    assert session.end() == -signal.SIGTERM


def test_the_shell_is_on_the_terminal_when_the_streams_are_the_programs(piped, workspace):
    """With stdin and stdout in a pipeline, commands are typed on the terminal, and both streams are the program's."""
    session = piped("echo piped | debug trace --step app.py > out.txt; echo status $?")
    session.wait_for("agent_execution_start", "(debug 2/2) ")
    session.say("tbreak tool:2", "(debug 2/2) ")
    session.say("continue", "breakpoint", "(debug 7/7) ")  # each line printed is an event
    session.say("clear", "(debug 7/7) ")
    session.say("continue", "end of", "(debug ")
    session.say("quit", "status 3")
    session.end()
    printed = (workspace / "out.txt").read_text()
    assert printed == "searching q0\nfound 1\nsearching q1\nfound 1\nname? read piped\n"


def test_quit_asks_and_no_means_no(shell):
    """`quit` on a running program asks; `n` and Ctrl-C go back to the prompt, the end of the input means yes."""
    session = shell("--step")
    session.wait_for("(debug 2/2) ")
    session.say("quit", "end it? (y or n) ")
    session.say("what", "end it? (y or n) ")
    session.say("n", "(debug 2/2) ")
    session.say("quit", "end it? (y or n) ")
    session.child.send(CTRL_C)
    session.wait_for("(debug 2/2) ")
    session.say("step", "(debug 3/3) ")
    session.child.send(CTRL_D)
    session.wait_for("end it? (y or n) ")
    session.child.send(CTRL_D)
    session.wait_for("\r\n", "namel3ss debug: recorded")  # which begins a line of its own
    assert session.end() == -signal.SIGTERM


def test_detach_gives_the_program_the_terminal(shell):
    """`detach` lets the program run on; it reads what is typed, and Ctrl-C is its own."""
    session = shell("--step")
    session.wait_for("(debug 2/2) ")
    session.say("detach", "runs on by itself", "found 1", "found 1", "name? ")
    session.child.send(CTRL_C)
    session.wait_for("KeyboardInterrupt")
    assert session.end() == -signal.SIGINT


def test_ctrl_c_while_it_runs_stops_at_the_next_event(shell, workspace):
    """Ctrl-C under `continue` stops the walk at the program's next event, and the program does not see it."""
    session = shell("-c", "continue", "--step", app=LOOP)
    session.pid()
    session.child.send(CTRL_C)
    session.wait_for("performance_marker again", "(debug ")
    session.say("quit", "end it? (y or n) ")
    session.say("y")
    assert session.end() == -signal.SIGTERM
    assert all("interrupted" not in str(event) for event in events(workspace))


def test_a_second_ctrl_c_reaches_the_program(shell, workspace):
    """A program that has no events any more is interrupted by the second Ctrl-C, as if it ran without the shell."""
    session = shell("--step", "-c", "continue", app=LOOP)
    session.pid()
    (workspace / "go").touch()
    session.wait_for("silent now")
    session.child.send(CTRL_C)
    session.wait_for("Ctrl-C again interrupts the program")
    session.child.send(CTRL_C)
    session.wait_for("interrupted by the user", "(debug ")
    session.say("continue", "trace_end", "(debug ")
    session.say("continue", "end", "(debug ")
    session.say("quit")
    assert session.end() == 7


def test_a_third_ctrl_c_gives_the_prompt_back(shell, workspace):
    """A program that takes no notice of Ctrl-C does not keep the user from the prompt."""
    ignoring = LOOP.replace("except KeyboardInterrupt", "except ZeroDivisionError").replace(
        "import os, sys",
        "import os, signal, sys; signal.signal(signal.SIGINT, lambda *_: print('ignored', flush=True))",
    )
    session = shell("--step", "-c", "continue", app=ignoring)
    session.pid()
    (workspace / "go").touch()
    session.wait_for("silent now")
    session.child.send(CTRL_C)
    session.wait_for("Ctrl-C again")
    session.child.send(CTRL_C)
    session.wait_for("ignored")
    session.child.send(CTRL_C)
    session.wait_for("interrupted", "(debug ")
    session.say("quit", "end it? (y or n) ")
    session.say("y")
    assert session.end() == -signal.SIGTERM


def test_ctrl_c_at_the_prompt_leaves_the_program_alone(shell):
    """Ctrl-C while the program waits is the shell's alone."""
    session = shell("--step")
    session.wait_for("(debug 2/2) ")
    session.child.send(CTRL_C)
    session.wait_for("(debug 2/2) ")
    session.say("step", "tool_call_start", "(debug 3/3) ")
    session.say("quit", "end it?")
    session.say("y")
    assert session.end() == -signal.SIGTERM


def test_a_program_that_is_killed_while_it_waits(shell):
    """A program that dies at a pause has ended for the shell, which stays for a look around and ends as it did."""
    session = shell("--step")
    pid = session.pid()
    session.wait_for("(debug 2/2) ")
    os.kill(pid, signal.SIGKILL)
    session.say("step", "end", "(debug 2/2) ")
    session.say("where", "agent_execution_start", "(debug 2/2) ")
    session.say("quit")
    assert session.end() == -signal.SIGKILL


def test_the_program_goes_on_when_the_shell_is_killed(shell, workspace, until_ended):
    """A shell that dies by SIGKILL leaves a program that runs on to its end, recorded as if nothing had been."""
    session = shell("--step", app=AGENT.replace('input("name? ")', "0"))
    pid = session.pid()
    session.wait_for("(debug 2/2) ")
    session.child.kill(signal.SIGKILL)
    until_ended(pid)
    assert events(workspace)[-1]["event_type"] == "trace_end"
    assert events(workspace)[-1]["metadata"]["exit_status"] == 3


def test_a_terminated_shell_ends_its_program(shell, workspace, until_ended):
    """SIGTERM to the shell ends the program that waits."""
    session = shell("--step")
    pid = session.pid()
    session.wait_for("(debug 2/2) ")
    session.child.kill(signal.SIGTERM)
    assert session.end() == 128 + signal.SIGTERM
    until_ended(pid)


def test_events_are_followed_beside_the_shell(shell):
    """`--live` and `--memory` work beside `--step`."""
    session = shell("--live", "--memory", "--step")
    session.wait_for("agent_execution_start", "(debug 2/2) ")
    session.say("detach", "name? ")
    session.say("Ada", "read Ada")
    assert session.end() == 3


def test_ctrl_z_in_the_program_stops_both_and_fg_brings_both_back(program, workspace):
    """Ctrl-Z while the program has the terminal is a stop of the whole job, as in any shell; `fg` goes on where it was."""
    (workspace / "app.py").write_text(AGENT)
    bash = Shell(["/bin/bash", "--norc", "--noprofile", "-i"], workspace)
    try:
        ours = f"'{program[0]}' {program[1]} \"{program[2]}\""
        bash.say("PS1='sh'; PS1=$PS1'> '", "sh> ")
        bash.say(f"{ours} trace -b agent app.py", "(debug 2/2) ")
        bash.say("continue", "name? ")
        bash.child.send(CTRL_Z)
        bash.wait_for("Stopped", "sh> ")
        bash.say("fg", "app.py")
        bash.say("Ada", "read Ada", "has ended with status 3", "(debug ")
        bash.say("quit", "sh> ")
        bash.say("exit $?")
        assert bash.end() == 3
    finally:
        bash.child.close(force=True)


THREAD = """
import sys, threading
from namel3ss_debug.hooks import trace_tool_call

@trace_tool_call
def search(city):
    print("searching", city, flush=True)
    return len(city)

def work(city):
    local = city.upper()
    found = search(local)
    print("found", found, flush=True)

if __name__ == "__main__":
    thread = threading.Thread(target=work, args=("Oslo",))
    thread.start()
    thread.join()
    sys.exit(4)
"""

TASK = """
import asyncio, sys
from namel3ss_debug.hooks import trace_tool_call

@trace_tool_call
async def search(city):
    await asyncio.sleep(0)
    print("searching", city, flush=True)
    return len(city)

async def work(city):
    local = city.upper()
    found = await search(local)
    print("found", found, flush=True)

async def main():
    await asyncio.gather(work("Oslo"), asyncio.sleep(0))

asyncio.run(main())
sys.exit(5)
"""

CHILD = """
import subprocess, sys
done = subprocess.run([sys.executable, "work.py"])
print("child", done.returncode, flush=True)
sys.exit(6)
"""

POOL = """
import multiprocessing, sys
import work

if __name__ == "__main__":
    process = multiprocessing.get_context("fork").Process(target=work.work, args=("Oslo",))
    process.start()
    process.join()
    print("child", process.exitcode, flush=True)
    sys.exit(7)
"""

SESSION = CHILD.replace('"work.py"]', '"work.py"], start_new_session=True')


@pytest.mark.parametrize(
    "app",
    [
        pytest.param(THREAD, id="thread"),
        pytest.param(TASK, id="task"),
        pytest.param(CHILD, id="process"),
        pytest.param(POOL, id="fork", marks=pytest.mark.slow),
        pytest.param(SESSION, id="session", marks=pytest.mark.slow),
    ],
)
def test_pdb_runs_where_the_program_waits(piped, workspace, app):
    """It reads the terminal, Ctrl-C is its own, and output, status and recorded events are those without it."""
    (workspace / "work.py").write_text(THREAD)
    (workspace / "plain.py").write_text(app)
    plain = subprocess.run(
        [sys.executable, "plain.py"], cwd=workspace, capture_output=True, text=True, check=False
    )
    session = piped("debug trace -b tool app.py > out.txt; echo status $?", app)
    session.wait_for("waiting before this call", "(debug ")
    session.say("pdb", "work()", "-> found = ", "(Pdb) ")
    session.say("p local", "'OSLO'", "(Pdb) ")
    session.child.send("p 1")
    session.child.send(CTRL_C)
    session.wait_for("--KeyboardInterrupt--", "(Pdb) ")
    session.say("search('typed')", "(Pdb) ")
    session.say("continue", "waiting before this call", "(debug ")
    session.say("pdb", "(Pdb) ")
    session.say("next", '-> print("found"', "(Pdb) ")
    session.say("p found", "4", "(Pdb) ")
    session.say("quit", "(debug ")
    session.say("clear", "(debug ")
    session.say("continue", f"has ended with status {plain.returncode}", "(debug ")
    session.say("quit", f"status {plain.returncode}")
    session.end()
    printed = (workspace / "out.txt").read_text()
    assert printed.replace("searching typed\n", "") == plain.stdout
    cities = [event["inputs"]["arguments"]["city"] for event in events(workspace) if is_search(event)]
    assert cities == ["OSLO"]
    assert "typed" not in str(events(workspace))


def is_search(event):
    """Whether a call of the tool begins here."""
    return event["event_type"] == "tool_call_start"


def test_the_terminal_comes_back_from_a_pdb_that_dies(piped, workspace):
    """A program that is killed while it has the terminal, with the echo off, leaves it as it was."""
    session = piped("stty -a > before.txt; debug trace -b tool app.py; stty -a > after.txt; echo over")
    pid = session.pid()
    session.wait_for("waiting before this call", "(debug ")
    session.say("pdb", "(Pdb) ")
    session.say("import getpass; getpass.getpass()", "Password: ")
    os.kill(pid, signal.SIGKILL)
    session.wait_for("has ended by SIGKILL", "(debug ")
    session.say("where", "agent_execution_start", "search", "(debug ")
    session.say("pdb", "pdb needs a running program", "(debug ")
    session.say("quit", "over")
    session.end()
    assert (workspace / "before.txt").read_text() == (workspace / "after.txt").read_text()


def test_ctrl_c_in_an_event_loop_ends_the_expression_and_no_task(shell):
    """The handler of `asyncio.run` would cancel the main task; the program goes on, with its status."""
    slow = TASK.replace(
        "async def work",
        "def slow(): import time; print('slow', flush=True); time.sleep(60)\n\nasync def work",
    )
    session = shell("-b", "tool", app=slow)
    session.wait_for("waiting before this call", "(debug ")
    session.say("p slow()", "slow", "slow")
    session.child.send(CTRL_C)
    session.wait_for("KeyboardInterrupt, in work", "(debug ")
    session.say("clear", "(debug ")
    session.say("continue", "found 4", "has ended with status 5", "(debug ")
    session.say("quit")
    assert session.end() == 5


def test_ctrl_c_interrupts_what_is_evaluated_in_the_program(shell):
    """The expression ends, and the program still waits; so does a command of pdb."""
    slow = AGENT.replace(
        "@trace_tool_call",
        "def slow(): import time; print('slow', flush=True); time.sleep(60)\n\n@trace_tool_call",
    )
    line = slow[: slow.index('print("searching"')].count("\n") + 1
    session = shell("-b", "tool", app=slow)
    session.wait_for("(debug 3/3) ")
    session.say("p slow()", "slow", "slow")
    session.child.send(CTRL_C)
    session.wait_for("KeyboardInterrupt, in agent (app.py:", "(debug 3/3) ")
    session.say("pdb", "(Pdb) ")
    session.say("slow()", "slow", "slow")
    session.child.send(CTRL_C)
    session.wait_for("*** KeyboardInterrupt", "(Pdb) ")
    session.say(f"break {line}", "Breakpoint 1", "(Pdb) ")
    session.say("continue", "search()", "(Pdb) ")
    session.say("p query", "'q0'", "(Pdb) ")
    session.child.send(CTRL_D)
    session.wait_for("tool_call_end search", "(debug ")
    session.say("quit", "end it? (y or n) ")
    session.say("y")
    assert session.end() == -signal.SIGTERM
