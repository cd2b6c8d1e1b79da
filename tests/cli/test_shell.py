"""The debugger's shell on a real terminal: sessions as a person types them, keys, sizes, and text that would harm."""

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

PROGRAMS = Path(__file__).parents[1] / "data" / "programs_sdk"
NEVER = re.compile("[\x00-\x06\x0e-\x1a\x1c-\x1f\x7f-\x9f\u200b\u202e]")
COLLECTING = "\x1b[0;1m>"
"""The prompt while the commands of a breakpoint are typed: bold, as prompts are."""

WHERE = "\x1b[6n"
"""What asks a terminal for the place of its cursor."""

UP, TAB, CTRL_C, CTRL_D, CTRL_R = "\x1b[A", "\t", "\x03", "\x04", "\x12"


class Shell:
    """A session on a pseudo-terminal of its own."""

    def __init__(self, words, environment, size=(24, 80)):
        kept = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}}
        self.child = pexpect.spawn(
            words[0],
            [str(word) for word in words[1:]],
            env=kept | {"TERM": "xterm", "NO_COLOR": "1", "PROMPT_TOOLKIT_NO_CPR": "1"} | environment,
            dimensions=size,
            encoding="utf-8",
            timeout=60,
        )
        self.seen = []

    def wait_for(self, *expected):
        """Wait until each of these has come, one after the other."""
        for words in expected:
            self.child.expect_exact(words)
            self.seen.append(self.child.before + self.child.after)

    def say(self, line, *expected):
        """Type a line and wait for what comes of it, at last for the next prompt."""
        self.child.send(f"{line}\r")
        self.wait_for(*expected)

    def end(self):
        """Wait for the end; gives the exit status."""
        self.child.expect(pexpect.EOF)
        self.seen.append(self.child.before)
        self.child.close()
        return self.child.exitstatus

    @property
    def output(self):
        """All that has come so far."""
        return "".join(self.seen)


@pytest.fixture
def shell(program, workspace):
    """Starts sessions, and ends those that a test has left open."""
    started = []

    def start(*words, size=(24, 80), **environment):
        state = {"XDG_STATE_HOME": str(workspace.parent / "state")}
        started.append(Shell([*program, *words], state | environment, size))
        return started[-1]

    yield start
    for each in started:
        each.child.close(force=True)


@pytest.fixture
def session(shell, trace):
    """A session on the small recording, at its first event."""
    found = shell("replay", trace, "--step")
    found.wait_for("trace_start", "(debug 1/8)")
    return found


def test_moving(session):
    """Into spans, over them, out of them, to a place and back to the start; a blank line repeats and ;; joins."""
    session.say("s", "agent_execution_start Support", "(debug 2/8)")
    session.say("s", "llm_call_start", "(debug 3/8)")
    session.say("n", "llm_call_end", "(debug 4/8)")
    session.say("", "tool_call_start lookup", "(debug 5/8)")
    session.say("r", "tool_call_end lookup", "(debug 6/8)")
    session.say("until", "agent_execution_end", "(debug 7/8)")
    session.say("goto 2 ;; s", "agent_execution_start", "llm_call_start", "(debug 3/8)")
    session.say("search /mail/", "tool_call_start send_mail", "(debug 8/8)")
    session.say("restart", "before the first of 8 events", "(debug 0/8)")
    session.say("q")
    assert session.end() == 0


def test_backwards(session):
    """Every move forwards has one backwards, and the start is where they end."""
    session.say("goto 6", "(debug 6/8)")
    session.say("rs", "tool_call_start lookup", "(debug 5/8)")
    session.say("rn", "llm_call_end", "(debug 4/8)")
    session.say("rf", "llm_call_start", "(debug 3/8)")
    session.say("goto end", "(debug 8/8)")
    session.say("b llm", "breakpoint 1 at llm", "(debug 8/8)")
    session.say("rc", "breakpoint 1, llm", "llm_call_start", "(debug 3/8)")
    session.say("rc", "before the first of 8 events", "(debug 0/8)")


def test_stopping(session):
    """Breakpoints, watches, conditions and commands stop the walk and tell why; the prompt shows that lines are collected."""
    session.say("b tool:lookup", "breakpoint 1 at tool:lookup", "(debug 1/8)")
    session.say("commands 1", "type the commands", COLLECTING)
    session.say("p inputs.arguments.order", COLLECTING)
    session.say("end", "breakpoint 1 has 1 command", "(debug 1/8)")
    session.say("watch totals.tokens", "watch 2 on totals.tokens", "(debug 1/8)")
    session.say("c", "watch 2, totals.tokens: 0 -> 412", "llm_call_end", "(debug 4/8)")
    session.say("c", "breakpoint 1, tool:lookup", '"A-17"', "(debug 5/8)")
    session.say("b", "kind", "tool:lookup", "totals.tokens", "(debug 5/8)")
    session.say("disable 1 ;; cl 2", "deleted watch 2", "(debug 5/8)")
    session.say("b tool:lokup", "did you mean 'lookup'?", "(debug 5/8)")
    session.say("c", "end of the trace", "(debug 8/8)")


def test_looking(session):
    """The stack, values, messages, what is displayed, totals and help are drawn under the line that asked for them."""
    session.say("goto 6", "(debug 6/8)")
    session.say("w", "2  agent_execution_start Support", "->     6", "(debug 6/8)")
    session.say("u", ">      2", "(debug 6/8)")
    session.say("p inputs.question", "Where is A-17?", "(debug 6/8)")
    session.say("d", "->     6", "(debug 6/8)")
    session.say("retval", "ConnectionError", "(debug 6/8)")
    session.say("l", "trace_start", "->     6", "send_mail", "(debug 6/8)")
    session.say("messages", "1 message to gpt-4o-mini, event 3", "user      Where is A-17?", "(debug 6/8)")
    session.say("messages --diff", "event 3, the first call", "+   1 user", "(debug 6/8)")
    session.say("display totals.errors", "1: totals.errors = 1", "(debug 6/8)")
    session.say("rs", "tool_call_start", "1: totals.errors = 0", "(debug 5/8)")
    session.say("info cost", "model", "gpt-4o-mini", "$0.00021", "(debug 5/8)")
    session.say("info errors", "nothing failed up to here", "(debug 5/8)")
    session.say("whatis outputs", "null", "(debug 5/8)")
    session.say("help", "moving", "backwards", "stopping", "answers", "session", "(debug 5/8)")
    session.say("help next", "next [COUNT]", "also: n, step_over", "(debug 5/8)")


def test_answers_and_the_session_itself(session, workspace):
    """A mock is shown marked with what was recorded beside it, a bookmark is gone to, and the transcript is kept."""
    session.say('mock lookup:{"found": 2}', "mock for lookup", "(debug 1/8)")  # fmt: skip
    session.say("goto 6", "tool_call_end lookup  mocked", '{"found": 2}', "(debug 6/8)")
    session.say("p metadata.recorded.error", "the service is down", "(debug 6/8)")
    session.say("mock lookup:{", "(debug 6/8)")
    session.say("unmock", "1 mock removed", "(debug 6/8)")
    session.say("bookmark broken", "bookmark broken at event 6", "(debug 6/8)")
    session.say("goto 1", "(debug 1/8)")
    session.say("goto broken", "ConnectionError", "(debug 6/8)")
    session.say("save seen.txt", "lines in seen.txt", "(debug 6/8)")
    saved = workspace / "seen.txt"
    lines = saved.read_text().splitlines()
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    assert "(debug 1/8) goto broken" in lines
    assert lines[-1] == "(debug 6/8) save seen.txt"
    assert "\x1b" not in saved.read_text()
    session.say("save seen.txt", "lines in seen.txt", "(debug 6/8)")
    (workspace / "mine").write_text("mine")
    session.say("save mine", "mine exists already; give the name of a new file", "(debug 6/8)")


def test_tab_completes(session):
    """A word that can end in one way only is ended; where there are several, they are shown with a few words about each."""
    session.child.send(f"reverse-c{TAB}")
    session.wait_for("ontinue")
    session.say("", "before the first of 8 events", "(debug 0/8)")
    session.say("goto 4", "(debug 4/8)")
    session.child.send(f"p outputs.to{TAB}")
    session.wait_for("ol_calls")
    session.say("[0].name", '"lookup"', "(debug 4/8)")
    session.child.send(f"b tool:{TAB}")
    session.wait_for("tool:lookup", "1 entry", "tool:send_mail")
    session.child.send(f"{TAB}{TAB}\r")
    session.wait_for("breakpoint 1 at tool:send_mail", "(debug 4/8)")


def test_lines_are_kept_for_the_next_session(shell, trace, workspace):
    """The arrows and Ctrl-R find lines of an earlier session, in a file for this user alone and never beside the recording."""
    first = shell("replay", trace, "--step")
    first.wait_for("(debug 1/8)")
    first.say("b tool:lookup", "breakpoint 1", "(debug 1/8)")
    first.say("goto 3", "(debug 3/8)")
    first.child.send(CTRL_D)
    assert first.end() == 0
    second = shell("replay", trace, "--step")
    second.wait_for("(debug 1/8)")
    second.child.send(f"{UP}\r")
    second.wait_for("(debug 3/8)")
    second.child.send(f"{CTRL_R}look\r")
    second.wait_for("breakpoint 1 at tool:lookup", "(debug 3/8)")
    kept = workspace.parent / "state/namel3ss-debug/history"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert [path.name for path in trace.parent.iterdir()] == [trace.name]


@pytest.mark.parametrize(
    "environment", [{"XDG_STATE_HOME": "/proc/none"}, {"XDG_STATE_HOME": "", "HOME": "/proc"}]
)
def test_without_a_place_for_the_history_the_session_goes_on(shell, trace, environment):
    """Nothing is kept and nothing is said; the arrows still find the lines of this session."""
    found = shell("replay", trace, "--step", **environment)
    found.wait_for("(debug 1/8)")
    found.say("goto 3", "(debug 3/8)")
    found.say("restart", "(debug 0/8)")
    found.child.send(f"{UP}{UP}\r")
    found.wait_for("(debug 3/8)")
    assert "history" not in found.output


def test_nothing_beside_a_recording_is_done(shell, trace):
    """A file of commands in the folder of the recording, or in the working directory, is not run by itself."""
    for folder in (trace.parent, Path.cwd()):
        for name in (".n3debugrc", ".pdbrc", ".gdbinit"):
            (folder / name).write_text("goto 8\n")
    found = shell("replay", trace, "--step")
    found.wait_for("(debug 1/8)")


def test_ctrl_c_clears_the_line_and_ctrl_d_leaves(session):
    """Ctrl-C takes back what is typed; on an empty line it says how to leave; Ctrl-D there is quit."""
    session.child.send("goto 8")
    session.wait_for("goto 8")
    session.child.send(CTRL_C)
    session.wait_for("(debug 1/8)")
    session.child.send(CTRL_C)
    session.wait_for("Ctrl-C again, Ctrl-D or quit leaves the debugger", "(debug 1/8)")
    session.say("n", "(debug 2/8)")
    session.child.send(CTRL_D)
    assert session.end() == 0


def test_ctrl_c_takes_commands_back(session):
    """The breakpoint keeps those that it had, and the session goes on; on a line that was begun it takes back the line."""
    session.say("b error ;; commands 1 p n", "breakpoint 1 has 1 command", "(debug 1/8)")
    session.say("commands", "type the commands", COLLECTING)
    session.say("p name", COLLECTING)
    session.child.send("p ki" + CTRL_C)
    session.wait_for(COLLECTING)
    session.child.send(CTRL_C)
    session.wait_for("the commands of breakpoint 1 stay as they were", "(debug 1/8)")
    session.child.send(CTRL_C)
    session.wait_for("Ctrl-C again, Ctrl-D or quit leaves", "(debug 1/8)")
    session.say("c", "breakpoint 1, error", "\r\n6\r\n", "(debug 6/8)")


def test_ctrl_c_twice_leaves(session):
    """Twice on an empty line is quit as well."""
    session.child.send(CTRL_C)
    session.wait_for("Ctrl-C again, Ctrl-D or quit leaves", "(debug 1/8)")
    session.child.send(CTRL_C)
    assert session.end() == 0


def test_ctrl_c_ends_a_long_command_only(shell, workspace):
    """A walk that would go on for long is given up, and the session goes on where it stands."""
    event = {"event_type": "log_record", "component": "log", "outputs": {"message": "x"}}
    path = workspace / "long.jsonl"
    path.write_text((json.dumps(event) + "\n") * 20_000)
    found = shell("replay", path, "--step")
    found.wait_for("(debug 1/20000)")
    found.say("b log", "breakpoint 1 at log", "(debug 1/20000)")
    found.say("commands p n * 1000003 ;; c", "breakpoint 1 has 2 commands", "(debug 1/20000)")
    found.say("c", "3000009", "4000012")
    found.child.send(CTRL_C)
    found.wait_for("interrupted", "/20000)")
    found.say("p n < 20000", "true", "/20000)")
    found.say("restart", "before the first", "(debug 0/20000)")
    found.say("q")
    assert found.end() == 0


def test_a_paste_of_several_lines_is_done_line_by_line(session):
    """Nothing is done before Enter; then every line is a command, and empty ones repeat nothing."""
    session.child.send("\x1b[200~n\n\nb tool:lookup\nc\n\x1b[201~")
    session.wait_for("tool:lookup")
    session.child.send("\r")
    session.wait_for(
        "agent_execution_start", "breakpoint 1 at tool:lookup", "breakpoint 1, tool:lookup", "(debug 5/8)"
    )


def test_a_text_with_separators_of_unicode_stays_in_its_command(session):
    """A line ends where Enter or a line feed is, and nowhere else."""
    session.say('p len("a\u2028b\x85c")', "5\r\n", "(debug 1/8)")


def test_a_terminal_that_is_resized(session):
    """The next answer and the status line have the new width."""
    session.child.setwinsize(24, 40)
    session.say("goto 6", "tool_call_end lookup …", "(debug 6/8)")
    session.child.setwinsize(24, 200)
    session.say("goto 6", "ConnectionError: the service is down", "(debug 6/8)")


def test_the_status_line(shell, trace):
    """It tells the position, the depth, time, tokens, cost and failures so far, on a terminal that tells where its cursor is."""
    found = shell("replay", trace, "--step", PROMPT_TOOLKIT_NO_CPR="")
    found.wait_for(WHERE)
    found.child.send("\x1b[2;1R")
    found.wait_for("1/8")
    found.child.send("goto 6\r")
    found.wait_for(WHERE)
    found.child.send("\x1b[4;1R")
    found.wait_for("6/8", "depth 2", "1.31 s", "412 tokens", "$0.00021", "1 failure")


def test_a_terminal_without_a_cursor(shell, trace):
    """With TERM=dumb the lines are plain: no control sequence goes out, and all commands work."""
    found = shell("replay", trace, "--step", TERM="dumb")
    found.wait_for("(debug 1/8)")
    found.say("b tool:lookup", "breakpoint 1 at tool:lookup", "(debug 1/8)")
    found.say("c", "breakpoint 1, tool:lookup", "(debug 5/8)")
    found.say("q")
    assert found.end() == 0
    assert "\x1b" not in found.output


@pytest.mark.parametrize("size", [(24, 40), (24, 80), (30, 200)])
def test_foreign_text_shows_as_text(shell, hostile_trace, size):
    """Escape sequences in names, messages and errors reach neither the answers nor the menu of completion nor the status line."""
    found = shell("replay", hostile_trace, "--step", size=size, NO_COLOR="", TERM="xterm-256color")
    found.wait_for("(debug 1/8)")
    found.say("goto 3", "(debug 3/8)")
    for line, shown in (("w", "->"), ("messages", "event 3"), ("messages --diff", "event 3"), ("args", "}"), ("l", "send_")):  # fmt: skip
        found.say(line, shown, "(debug 3/8)")
    found.say("goto 6", "(debug 6/8)")
    for line, shown in (
        ("retval", "failed"),
        ("info tools", "calls"),
        ("info cost", "calls"),
        ("info errors", "+1.305"),
    ):
        found.say(line, shown, "(debug 6/8)")
    found.child.send(f"b tool:{TAB}")
    found.wait_for("lookup?", "send_mail?")
    found.say(TAB, "breakpoint 1 at tool:")
    found.say("rc ;; q")
    found.end()
    for sequence in ("\x1b]0;", "owned\x07", "\x1b[2J", "\x9b", "\u202e", "\u200b"):
        assert sequence not in found.output
    assert "owned" in found.output
    assert not NEVER.search(found.output)


def test_commands_on_stdin_and_as_json(program, trace, workspace):
    """A program drives the same session through pipes: a line goes in, and its results come back at once, one JSON value each."""
    words = [*program, "replay", trace, "--step", "--format", "jsonl"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as driven:
        assert json.loads(driven.stdout.readline())["number"] == 1
        for line, kind, key, value in (
            ("b tool:lookup", "message", "text", "breakpoint 1 at tool:lookup"),
            ("c", "stopped", "number", 5),
            ("p inputs.arguments.order", "value", "value", "A-17"),
            ("frob", "mistake", "text", "unknown command 'frob'; 'help' lists the commands"),
            ("save seen", "message", "text", "saved 11 lines in seen"),
            ("q", "quit", "result", "quit"),
        ):
            driven.stdin.write(f"{line}\n")
            driven.stdin.flush()
            row = json.loads(driven.stdout.readline())
            assert (row["result"], row[key]) == (kind, value)
        assert driven.wait() == 0
    assert json.loads((workspace / "seen").read_text().splitlines()[1])["number"] == 1


@pytest.mark.slow
def test_a_recording_of_a_real_program(shell, program, model_environment, workspace):
    """A recorded run of a program on a provider's SDK is walked through call by call."""
    kept = model_environment | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    words = [*program, "trace", "-o", workspace / "run.jsonl", PROGRAMS / "anthropic_tools.py"]
    subprocess.run(words, env=kept, check=True, capture_output=True)
    found = shell("replay", workspace / "run.jsonl", "-b", "llm")
    found.wait_for("breakpoint 1, llm", "llm_call_start", "(debug ")
    found.say("messages", "1 message to", "(debug ")
    found.say("source", "anthropic_tools.py", " -> ", "(debug ")
    found.say("r", "llm_call_end", "(debug ")
    found.say("c", "breakpoint 1, llm", "(debug ")
    found.say("messages --diff", "1 message as before", "+   2 assistant", "12:00 CET", "(debug ")
    found.say("info cost", "model", "(debug ")
    found.say("rc", "breakpoint 1, llm", "(debug ")
    found.say("q")
    assert found.end() == 0
