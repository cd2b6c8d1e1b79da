"""`debug trace --step` driven by commands that are given: the program keeps its streams, answers replace calls."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from namel3ss_debug.traces.reader import open_trace

SECONDS = 60
SDK = Path(__file__).parents[1] / "data" / "programs_sdk"

AGENT = """
import sys
from namel3ss_debug.hooks import trace_agent_execution, trace_tool_call

@trace_tool_call
def search(query):
    print("searching for", query)
    return {"found": 1}

@trace_agent_execution
def agent():
    for number in range(2):
        print("found", search(f"q{number}")["found"])

agent()
print("read", sys.stdin.readline().strip())
sys.exit(3)
"""


@pytest.fixture
def debug(program, workspace):
    """Run `debug trace` with words, in a session without a terminal; gives the finished process."""

    def run(*words, stdin="", env=None, timeout=SECONDS):
        return subprocess.run(
            [*program, "trace", *map(str, words)],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=env,
            start_new_session=True,
            check=False,
        )

    return run


@pytest.fixture
def app(workspace):
    """Write a program; gives its path."""

    def write(text, name="app.py"):
        path = workspace / name
        path.write_text(text)
        return path

    return write


def recorded(workspace):
    """The events of the newest recording."""
    return list(open_trace(workspace / "debug/traces/trace_latest.jsonl").events())


def of_type(events, event_type):
    """The events of one type."""
    return [event for event in events if event["event_type"] == event_type]


def test_the_program_keeps_its_streams_and_status_while_commands_step_it(debug, app, workspace):
    """Program output alone is on stdout, its stdin is its own, what commands answer goes to stderr."""
    done = debug("-c", "step", "-c", "step", "-c", "where", "-c", "continue", app(AGENT), stdin="typed\n")
    assert done.stdout == "searching for q0\nfound 1\nsearching for q1\nfound 1\nread typed\n"
    assert done.returncode == 3
    assert "agent_execution_start" in done.stderr
    assert recorded(workspace)[-1]["event_type"] == "trace_end"


def test_a_mock_at_the_pause_answers_in_place_of_the_call(debug, app, workspace):
    """A mock that is given before the call keeps the tool from running, and what it answers is what the program sees."""
    commands = ["-c", "break tool:2", "-c", "continue", "-c", 'mock search@2:{"found": 99}', "-c", "continue"]
    done = debug(*commands, app(AGENT))
    assert done.stdout == "searching for q0\nfound 1\nfound 99\nread \n"
    first, second = of_type(recorded(workspace), "tool_call_end")
    assert "mocked" not in first.get("metadata", {})
    assert second["metadata"]["mocked"] is True
    assert second["outputs"] == {"result": {"found": 99}}


def test_an_answer_that_no_call_got_is_told_at_the_end(debug, app):
    """A mistyped name, and a call that was not made; the program ran, and keeps its status."""
    given = ["--mock", "serch:1", "--mock", 'search@7:{"found": 7}', "--mock", 'search:{"found": 7}']
    done = debug(*given, app(AGENT))
    assert (done.returncode, "found 7" in done.stdout) == (3, True)
    told = [line for line in done.stderr.splitlines() if "never used" in line]
    assert len(told) == 2
    assert told == [
        "namel3ss debug: Mock serch was never used; the program has tool search.",
        "namel3ss debug: Mock search@7 was never used; it was called only 2 times.",
    ]


def test_a_breakpoint_of_a_name_that_was_never_called_is_named_at_the_end(debug, app):
    """With its number and the closest names; one that was hit, one of the settings and one of a condition are not."""
    given = [
        "-b",
        "tool:serch",
        "-b",
        "tool:search",
        "-b",
        "search@9",
        "-b",
        "app.py:7",
        "-b",
        "search if n > 99",
    ]
    commands = ["-c", "continue"] * 3
    done = debug(
        *given, *commands, app(AGENT), env=os.environ | {"NAMEL3SS_DEBUG_AUTO_BREAKPOINTS": "nothere"}
    )
    assert done.returncode == 3
    told = [line for line in done.stderr.splitlines() if "never hit" in line]
    assert told[:2] == [
        "namel3ss debug: Breakpoint 1 (tool:serch) was never hit; the program has tool search.",
        "namel3ss debug: Breakpoint 3 (search@9) was never hit; the program has only 2 of it.",
    ]
    assert told[2].startswith("namel3ss debug: Breakpoint 4 (app.py:7) was never hit; did you mean 'app.py:")
    assert len(told) == 3


def test_nothing_is_said_of_breakpoints_where_the_user_ends_the_program(debug, app):
    """The call might have come."""
    done = debug("-b", "tool:serch", "-c", "step", "-c", "quit", app(AGENT))
    assert "never hit" not in done.stderr


def test_mocks_alone_need_nobody_at_a_terminal(debug, app):
    """`--mock` without commands runs the program to its end with its calls answered, and shows nothing of a session."""
    done = debug("--mock", 'search:{"found": 7}', app(AGENT), stdin="typed\n")
    assert done.stdout == "found 7\nfound 7\nread typed\n"
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 1


def test_a_plain_function_is_answered_by_its_name(debug, app):
    """A function that no model was offered is answered when a mock names it, whether it is async or not."""
    text = """
import asyncio

async def fetch(city):
    return {"temp_c": 21}

def label(city):
    return city.upper()

print(asyncio.run(fetch("Oslo")), label("oslo"))
"""
    done = debug("--mock", 'fetch:{"temp_c": -30}', "--mock", 'tool:label:"given"', app(text))
    assert done.stdout == "{'temp_c': -30} given\n"


@pytest.mark.parametrize(
    "name",
    [
        "openai_stream_async",
        "anthropic_async",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("openai_chat", "openai_chat_async")),
    ],
)
def test_a_model_is_answered_in_place_of_the_server(
    debug, name, scripted_model, model_environment, workspace
):
    """An unmodified SDK program gets the mocked answer, and the server is not asked."""
    done = debug("--mock", 'llm:{"text": "given in place"}', SDK / f"{name}.py", env=model_environment)
    assert done.returncode == 0, done.stderr
    assert "given in place" in done.stdout.replace("|", "")
    assert not scripted_model.requests
    ends = of_type(recorded(workspace), "llm_call_end")
    assert ends
    assert all(end["metadata"]["mocked"] for end in ends)


def test_a_model_that_calls_a_tool_is_mocked_and_the_program_does_it(debug, model_environment, workspace):
    """A mocked answer that asks for a tool makes the program run that tool, and the next call is the server's."""
    answer = {"text": "Looking.", "tool_calls": [{"name": "get_weather", "arguments": {"city": "Oslo"}}]}
    done = debug(
        "--mock", f"llm@1:{json.dumps(answer)}", SDK / "openai_parallel_tools.py", env=model_environment
    )
    assert "Looking. tool_calls" in done.stdout
    assert "get_weather {'city': 'Oslo', 'temp_c': 12}" in done.stdout
    assert "get_time" not in done.stdout
    first, second = of_type(recorded(workspace), "llm_call_end")
    assert first["metadata"]["mocked"] is True
    assert "mocked" not in second["metadata"]


def test_a_mocked_tool_changes_what_the_model_is_told(debug, model_environment):
    """The answer given for a tool that a model was offered is what the program sends back to the model."""
    done = debug(
        "--mock", 'get_weather:{"temp_c": -30}', SDK / "openai_parallel_tools.py", env=model_environment
    )
    assert done.stdout.count("get_weather {'temp_c': -30}") == 2
    assert '{"temp_c": -30}' in done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    "name",
    [
        "openai_threads",
        "anthropic_tools",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("openai_stream", "openai_responses", "anthropic_stream")
        ),
    ],
)
def test_stepping_changes_nothing(debug, name, model_environment, program):
    """A program that is stepped from end to end prints what it prints when it is only recorded."""
    path = SDK / f"{name}.py"
    plain = debug(path, env=model_environment)
    stepped = debug("-c", "step 10000", path, env=model_environment)
    assert (stepped.stdout, stepped.returncode) == (plain.stdout, plain.returncode)


def test_a_breakpoint_stops_inside_gathered_tasks(debug, app):
    """A breakpoint at a tool stops in one of several tasks; the others stand still, and all finish afterwards."""
    text = """
import asyncio
from namel3ss_debug.hooks import trace_tool_call

@trace_tool_call
async def fetch(name):
    await asyncio.sleep(0)
    return name

async def main():
    print(await asyncio.gather(*(fetch(name) for name in "abc")))

asyncio.run(main())
"""
    commands = [
        "-c",
        'break tool:fetch if inputs.arguments.name == "b"',
        "-c",
        "continue",
        "-c",
        "p inputs",
        "-c",
        "info spans",
    ]
    done = debug(*commands, app(text))
    assert done.stdout == "['a', 'b', 'c']\n"
    assert "breakpoint 1" in done.stderr
    assert done.returncode == 0


def test_threads_are_stepped(debug, app, workspace):
    """Threads that emit at the same time are stepped one event after the other, with nothing lost."""
    text = """
import threading
from namel3ss_debug.hooks import trace_tool_call

@trace_tool_call
def work(n):
    return n

threads = [threading.Thread(target=lambda: [work(n) for n in range(20)]) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print("done")
"""
    done = debug("-c", "step 1000", app(text))
    assert done.stdout == "done\n"
    assert len(of_type(recorded(workspace), "tool_call_end")) == 80


FORKS = """
import os
from namel3ss_debug.hooks import trace_tool_call

@trace_tool_call
def work(name):
    return name

def say(name):  # in one piece, which no other process parts
    os.write(1, f"{{name}} {{work(name)}}\\n".encode())

if __name__ == "__main__":
    {start}
    say("parent")
    {wait}
"""


@pytest.mark.parametrize(
    ("start", "wait"),
    [
        (
            "pid = os.fork()\n    if not pid: say('child'); os._exit(0)",
            "os.waitpid(pid, 0)",
        ),
        (
            "import multiprocessing as mp; p = mp.get_context('spawn').Process(target=work, args=('child',)); p.start()",
            "p.join(); print('status', p.exitcode)",
        ),
        (
            "import multiprocessing as mp; p = mp.get_context('fork').Process(target=work, args=('child',)); p.start()",
            "p.join(); print('status', p.exitcode)",
        ),
    ],
    ids=["fork", "spawn", "multiprocessing fork"],
)
def test_processes_of_the_program_are_stepped_and_answered_too(debug, app, start, wait, workspace):
    """What a child process does is stepped and answered as well, and its words do not mix with its parent's."""
    done = debug("--mock", 'work:"given"', "-c", "step 1000", app(FORKS.format(start=start, wait=wait)))
    assert "parent given" in done.stdout
    assert "child child" not in done.stdout
    ends = of_type(recorded(workspace), "tool_call_end")
    assert len(ends) == 2
    assert all(end["metadata"]["mocked"] for end in ends)
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("last", "status"),
    [
        ("raise ValueError('broken')", 1),
        ("sys.exit(4)", 4),
        ("os._exit(5)", 5),
        ("os.kill(os.getpid(), 9)", -9),
    ],
)
def test_the_exit_status_is_the_programs(debug, app, last, status):
    """However the program ends while it is stepped, its status or signal is that of the command."""
    text = f"import os, sys\nfrom namel3ss_debug.hooks import performance_marker\nperformance_marker('x')\n{last}\n"
    done = debug("-c", "step 1000", app(text))
    assert done.returncode == status
    assert ("ValueError: broken" in done.stderr) == (status == 1)


def test_quit_ends_the_program(debug, app, workspace):
    """`quit` in given commands ends the program by SIGTERM where it waits, and the call is not made; it was stopped, not killed."""
    done = debug("-c", "break tool", "-c", "continue", "-c", "quit", app(AGENT))
    assert done.returncode == -signal.SIGTERM
    assert done.stdout == ""
    begun, end = recorded(workspace)[-2:]
    assert begun["event_type"] == "tool_call_start"
    assert (end["event_type"], end["metadata"]) == ("trace_end", {"stopped_by": "the debugger"})


@pytest.mark.parametrize("commands", [["-c", "step"], ["-c", "step", "-c", "detach", "-c", "step"]])
def test_a_program_runs_on_when_nobody_has_more_to_say(debug, app, commands):
    """When the commands are used up, or one of them is `detach`, the program runs on to its own end."""
    done = debug(*commands, app(AGENT), stdin="typed\n")
    assert done.stdout.splitlines()[-1] == "read typed"
    assert done.returncode == 3


def test_without_a_terminal_step_says_what_to_do(debug, app):
    """`--step` with nobody to type is one line and status 2, and the program is not started."""
    done = debug("--step", app(AGENT))
    assert done.returncode == 2
    assert done.stdout == ""
    assert "no terminal to type commands on" in done.stderr
    assert "leave out --step" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_without_a_terminal_a_breakpoint_alone_says_nothing_of_step(debug, app):
    """Only what was given can be left out."""
    done = debug("-b", "tool", app(AGENT))
    assert done.returncode == 2
    assert "give them with -c or -x" in done.stderr
    assert "--step" not in done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["-b", "tool:"], "tool:"),
        (["--mock", "search:{"], "not JSON"),
        (["-x", "missing.txt"], "missing.txt"),
    ],
)
def test_what_cannot_be_used_is_one_line_before_the_program_starts(debug, app, words, told):
    """A place, a mock or a file that cannot be used is one line and status 2, and the program is not started."""
    done = debug(*words, "-c", "continue", app(AGENT))
    assert done.returncode == 2
    assert done.stdout == ""
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_options_of_the_program_stay_its_own(debug, app):
    """Behind the program, `-c` and `-x` are its own options, and no debugger starts."""
    done = debug(app("import sys; print(sys.argv[1:])"), "-c", "conf", "-x")
    assert done.stdout == "['-c', 'conf', '-x']\n"


def test_settings_stop_at_errors(debug, app):
    """`break_on_errors` stops a stepped program at the first failure, without a breakpoint on the command line."""
    text = """
from namel3ss_debug.hooks import trace_tool_call

@trace_tool_call
def broken():
    raise ValueError("no")

try:
    broken()
except ValueError:
    print("caught")
"""
    environment = os.environ | {"NAMEL3SS_DEBUG_BREAK_ON_ERRORS": "true"}
    done = debug("-c", "continue", "-c", "p error", app(text), env=environment)
    assert "breakpoint 1" in done.stderr
    assert done.stdout == "caught\n"


def test_recording_alone_has_no_gate(debug, app):
    """A program that is only recorded does not know of stepping at all."""
    done = debug(app("import sys; print('namel3ss_debug.capture.launch.step_channel' in sys.modules)"))
    assert done.stdout == "False\n"


NESTED = """
from namel3ss_debug.hooks import trace_tool_call

@trace_tool_call
def search(query):
    return {"found": len(query)}

def ask(query):
    return search(query)

def main():
    first = ask("abc")
    return ask("abcdef")

main()
"""


def test_a_line_further_out_stops_at_the_call_below_it(debug, app):
    """The call site is in `ask`, and the breakpoint at the second line of `main` that calls it."""
    path = app(NESTED)
    line = NESTED.splitlines().index('    return ask("abcdef")') + 1
    ended = debug("-b", f"{path.name}:{line}", "-c", "continue", "-c", "p inputs.arguments.query", path)
    assert '"abcdef"' in ended.stderr
    assert '"abc"' not in ended.stderr
    assert "never hit" not in ended.stderr
    assert ended.returncode == 0
    trace = Path("debug/traces/trace_latest.jsonl").read_text()
    assert '"frames"' not in trace


def test_a_condition_that_was_never_true_is_explained_at_the_end(debug, app):
    """Once, with the field that does not exist, or the types that differ."""
    path = app(NESTED)
    ended = debug(
        *(
            "-b",
            'tool:search if inputs.argumets.query == "x"',
            "-b",
            "tool:search if inputs.arguments.query > 3",
        ),
        *("-c", "continue", path),
    )
    lines = [
        line.removeprefix("namel3ss debug: ") for line in ended.stderr.splitlines() if "Breakpoint" in line
    ]
    assert lines == [
        "Breakpoint 1 was reached 2 times and its condition never held: `inputs.argumets` does not exist (arguments?).",
        "Breakpoint 2 was reached 2 times and its condition never held.",
        "Breakpoint 2: `inputs.arguments.query > 3` compares a text with a number (2 times), which is always false.",
    ]


@pytest.mark.parametrize("words", [("-c", "nonsense"), ("-c", "goto 99"), ("-x", "commands.txt")])
def test_a_failed_command_makes_the_status_2(debug, app, workspace, words):
    """Whatever the status of the program, which runs to its end."""
    (workspace / "commands.txt").write_text("nonsense\n")
    assert debug(*words, app(NESTED)).returncode == 2
    assert debug("-c", "step", app(NESTED)).returncode == 0
