"""`debug replay`."""

import json
import subprocess
import sys

import pytest


def test_without_options_the_transcript_is_printed(run, trace):
    """It is the one of `show`."""
    assert run("replay", trace).stdout == run("show", trace).stdout


def test_every_event_and_the_statistics(run, trace):
    """With --chunks each event is a line, moved to the right inside its spans, and a summary follows."""
    assert run("replay", trace, "--chunks").stdout.splitlines() == [
        "    1  +0.000  trace_start  app.py",
        '    2  +0.010  agent_execution_start Support  {"question": "Where is A-17?"}',
        "    3  +0.020    llm_call_start gpt-4o-mini  Where is A-17?",
        "    4  +1.260    llm_call_end gpt-4o-mini  1.24 s  412 tokens  $0.00021  lookup…",
        '    5  +1.270    tool_call_start lookup  {"order": "A-17"}',
        "    6  +1.305    tool_call_end lookup  failed  35.0 ms  ConnectionError: the se…",
        '    7  +1.310  agent_execution_end Support  1.30 s  {"answer": "Later."}',
        '    8  +1.320  tool_call_start send_mail  {"to": "a@example.org"}',
        "",
        "8 events replayed",
        "  components  3 tool, 2 agent, 2 llm, 1 app",
        "  took        1.32 s",
        "  tokens      412",
        "  cost        $0.00021",
        "  failures    1",
    ]


def test_a_filter_replays_one_component(run, trace):
    """Only the events of the component are shown and counted; their numbers stay."""
    shown = run("replay", trace, "-f", "llm").stdout.splitlines()
    assert [line.split()[0] for line in shown[:2]] == ["3", "4"]
    assert shown[3] == "2 events replayed"


def test_results_as_json_lines(run, trace):
    """Each event is a result on its line, and the totals come last; `json` means the same."""
    rows = [json.loads(line) for line in run("replay", trace, "--format", "jsonl").stdout.splitlines()]
    assert [row["number"] for row in rows[:-1]] == list(range(1, 9))
    assert rows[3]["event"]["outputs"]["tool_calls"][0]["name"] == "lookup"
    assert rows[-1]["result"] == "statistics"
    assert run("replay", trace, "--format", "json").stdout == run("replay", trace, "--format", "jsonl").stdout


def test_a_walk_by_the_lines_of_stdin(run, trace):
    """Commands on stdin step, stop at breakpoints, look around and quit; a mistake does not end the walk."""
    commands = "n\nb tool:lookup\nc\nw\np inputs\nfoo\nrc\nq\nn\n"
    assert run("replay", trace, "--step", stdin=commands).stdout.splitlines() == [
        "->     1  +0.000  trace_start  app.py",
        '->     2  +0.010  agent_execution_start Support  {"question": "Where is A-17?"}',
        "breakpoint 1 at tool:lookup",
        "breakpoint 1, tool:lookup",
        '->     5  +1.270  tool_call_start lookup  {"order": "A-17"}',
        "       2  agent_execution_start Support",
        '->     5  +1.270  tool_call_start lookup  {"order": "A-17"}',
        '{"arguments": {"order": "A-17"}}',
        "unknown command 'foo'; 'help' lists the commands",
        "before the first of 8 events",
    ]


@pytest.mark.parametrize("place", ["tool_call_start:2", "tool:send_mail", "send_mail", "tool:2"])
def test_a_breakpoint_is_run_to(run, trace, place):
    """With -b the walk goes to the place at once, by type and number, component, or name."""
    shown = run("replay", trace, "-b", place, stdin="").stdout.splitlines()
    assert shown[0] == f"breakpoint 1, {place}"
    assert shown[1].startswith("->     8 ")


def test_commands_given_are_done_and_the_walk_ends(run, trace, workspace):
    """Commands of -x come before those of -c; without --step nothing is read from stdin."""
    (workspace / "commands").write_text("# to the failure\ngoto 6\n\n")
    result = run("replay", trace, "-x", "commands", "-c", "p error", "--format", "jsonl", stdin="goto 1\n")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["result"] for row in rows] == ["stopped", "value"]
    assert (rows[0]["number"], rows[1]["value"]) == (6, "the service is down")


@pytest.mark.parametrize(
    "command",
    [
        "help",
        "help next",
        "list",
        "info totals",
        "info spans",
        "info tools",
        "longlist",
        "source",
        "b tool ;; b",
    ],
)
def test_every_result_is_drawn(run, trace, command):
    """What each command answers is text within the screen."""
    shown = run("replay", trace, "-c", "goto 5", "-c", command).stdout.splitlines()
    assert len(shown) > 1
    assert all(len(line) <= 80 for line in shown)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-b", "tool:lokup"], "(see namel3ss debug help bad-place)"),
        (["-b", "llm if durtion_ms > 5"], "(see namel3ss debug help bad-expression)"),
        (["-x", "missing"], "cannot read commands from missing: No such file or directory; give a text file (see namel3ss debug help wrong-usage)"),
        (["-f", "llm", "--step"], "--filter is for a replay without --step; in the debugger use a breakpoint: -b llm (see namel3ss debug replay --help)"),
        (["-f", "llm", "-x", "commands.txt"], "--filter is for a replay without --step; in the debugger use a breakpoint: -b llm (see namel3ss debug replay --help)"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(run, trace, options, message):
    """What cannot be done is said in one line, with status 2."""
    result = run("replay", trace, *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("namel3ss debug: ")
    assert result.stderr.endswith(f"{message}\n")
    assert result.stderr.count("\n") == 1


def test_chunks_stand_in_the_line_of_their_call(run, streamed_trace):
    """A streamed answer is one line with the number of its chunks; --chunks shows each, and JSON always does."""
    assert run("replay", streamed_trace, "-f", "llm").stdout.splitlines() == [
        "    2  +0.000  llm_call_start m",
        "    6  +1.295  llm_call_end m  500 ms  3 chunks  Hello",
        "    7  +1.300  llm_call_start m",
        "… 1 stream chunk of calls whose end is not here; --chunks shows them",
        "",
        "7 events replayed",
        "  components  7 llm",
        "  took        1.31 s",
        "  cost        not known  (1 call of unknown cost)",
    ]
    shown = run("replay", streamed_trace, "--chunks").stdout.splitlines()
    assert shown[2] == '    3  +0.020    stream_chunk m  "He"'
    assert len(shown) == 8 + 1 + 4
    rows = run("replay", streamed_trace, "--format", "jsonl").stdout.splitlines()
    assert sum("stream_chunk" in row for row in rows[:-1]) == 4


def test_a_command_that_cannot_be_done_is_status_2(run, trace):
    """Nobody is there to type another one: the mistake is said in one line, the others are done, and the status tells."""
    result = run("replay", trace, "-c", "goto 99", "-c", "goto 2", "-c", "frob")
    assert result.exit_code == 2
    lines = result.stdout.splitlines()
    assert lines[0] == "there is no event 99; the trace has 8 events, numbered from 1"
    assert lines[1].startswith("->     2 ")
    assert lines[2] == "unknown command 'frob'; 'help' lists the commands"
    assert run("replay", trace, "--step", stdin="frob\n").exit_code == 0


def test_the_lines_of_stdin_as_a_file_of_commands(trace):
    """With `-x /dev/stdin` a job fails where one of the lines could not be done."""
    command = [sys.executable, "-m", "namel3ss_debug", "replay", str(trace), "-x", "/dev/stdin"]
    ended = subprocess.run(command, input="goto 2\nfrob\n", capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stdout.splitlines()[1] == "unknown command 'frob'; 'help' lists the commands"


@pytest.mark.parametrize("given", [["-f", "llm,tool"], ["-f", "LLM", "-f", "Tool"]])
def test_components_are_given_as_people_write_them(run, trace, given):
    """One option may name several components, and capitals do not matter."""
    assert run("replay", trace, *given).stdout == run("replay", trace, "-f", "llm", "-f", "tool").stdout


def test_a_component_that_is_not_there_is_said(run, trace):
    """Nothing is replayed, and the nearest component is suggested."""
    result = run("replay", trace, "-f", "tol")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "namel3ss debug: no event of the trace is of tol; did you mean 'tool'?\n"


def test_a_mocked_answer_is_shown_in_place_and_marked(run, trace):
    """What was recorded stands beneath it, the statistics count it, and a model's answer is one of its shape."""
    result = run("replay", trace, "-m", 'lookup:{"found": 2}', "--mock", 'llm@1:"Sent."')
    assert result.stdout.splitlines()[3:9] == [
        "    4  +1.260    llm_call_end gpt-4o-mini  mocked  1.24 s  412 tokens  $0.00021…",
        '               recorded  lookup(order="A-17")',
        "  the events after it are as recorded, not recomputed: rerun --mock",
        '    5  +1.270    tool_call_start lookup  as recorded  {"order": "A-17"}',
        '    6  +1.305    tool_call_end lookup  mocked  35.0 ms  {"found": 2}',
        "               recorded  failed  ConnectionError: the service is down",
    ]
    assert result.stdout.splitlines()[-1] == "  mocked      2"
    assert "failures" not in result.stdout


def test_mocks_of_a_walk(run, trace, workspace):
    """The answers of -m are those of the mock command, read from a file too, and can be removed."""
    (workspace / "answer.json").write_text('{"found": 3}')
    shown = run(
        "replay", trace, "-m", "lookup:@answer.json", "-c", "goto 6", "-c", "unmock", "-c", "goto 6"
    ).stdout.splitlines()
    assert shown == [
        '->     6  +1.305  tool_call_end lookup  mocked  35.0 ms  {"found": 3}',
        "                  recorded  failed  ConnectionError: the service is down",
        "1 mock removed",
        "->     6  +1.305  tool_call_end lookup  failed  35.0 ms  ConnectionError: the s…",
    ]


@pytest.mark.parametrize("more", [[], ["--step"]])
@pytest.mark.parametrize(
    ("mock", "said"),
    [
        ('lookup:{"found"', "not JSON at column"),
        ("lokup:1", "did you mean 'lookup'?"),
        ("lookup:@missing.json", "missing.json"),
        ("lookup", "lookup"),
    ],
)
def test_a_mock_that_cannot_be_given_is_one_line(run, trace, more, mock, said):
    """It is told before anything is replayed, with status 2."""
    result = run("replay", trace, "-m", mock, *more, stdin="")
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert "namel3ss debug help mock" in result.stderr
    assert result.stderr.count("\n") == 1


def test_breakpoints_of_the_settings(run, trace, monkeypatch):
    """A walk stops where the settings say, after what is given, and passes over what this recording does not hold."""
    monkeypatch.setenv("NAMEL3SS_DEBUG_AUTO_BREAKPOINTS", '["tool:search", "tool:send_mail", "llm"]')
    monkeypatch.setenv("NAMEL3SS_DEBUG_BREAK_ON_ERRORS", "true")
    shown = run("replay", trace, "--step", stdin="c\nc\nc\nc\n").stdout.splitlines()
    assert [line for line in shown if line.startswith("breakpoint")] == [
        "breakpoint 2, llm",
        "breakpoint 3, error",
        "breakpoint 1, tool:send_mail",
    ]
    assert run("replay", trace, "-b", "llm", "-c", "b").stdout.splitlines()[1].split()[:3] == [
        "1",
        "break",
        "llm",
    ]
    assert run("replay", trace).stdout == run("show", trace).stdout
    monkeypatch.setenv("NAMEL3SS_DEBUG_AUTO_BREAKPOINTS", "llm if durtion_ms > 5")
    result = run("replay", trace, "--step", stdin="")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "durtion_ms" in result.stderr


def test_a_transcript_of_commands_that_were_given(run, trace, workspace):
    """Save writes what was asked and shown; a file that is there is left alone and makes the status 2."""
    result = run("replay", trace, "-c", "goto 3", "-c", "p name", "-c", "save seen.txt")
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "saved 5 lines in seen.txt")
    assert (workspace / "seen.txt").read_text().splitlines() == [
        "(debug 0/8) goto 3",
        "->     3  +0.020  llm_call_start gpt-4o-mini  Where is A-17?",
        "(debug 3/8) p name",
        '"gpt-4o-mini"',
        "(debug 3/8) save seen.txt",
    ]
    result = run("replay", trace, "-c", "save seen.txt")
    assert (result.exit_code, result.stdout) == (
        2,
        "seen.txt exists already; give the name of a new file\n",
    )
