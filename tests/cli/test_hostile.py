"""Foreign text in every field of a recording, on a real terminal with colours: it shows as text and does nothing."""

import json
import os
import pty
import re
import subprocess
import sys

import pytest
from rich.cells import cell_len

SGR = re.compile(r"\x1b\[[0-9;]*m")
NEVER = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u202e]")

COMMANDS = [
    ["list"],
    ["config"],
    ["clean", "--days", "1", "--dry-run"],
    ["analyze"],
    ["analyze", "debug/traces"],
    ["analyze", "--format", "markdown"],
    ["analyze", "--format", "json"],
    ["inspect"],
    ["inspect", "--tree"],
    ["inspect", "--timeline"],
    *(["inspect", "--event", str(number)] for number in range(1, 9)),
    ["inspect", "--format", "json"],
    ["inspect", "--format", "jsonl"],
    ["inspect", "--tree", "--format", "json"],
    ["suggest"],
    ["replay"],
    ["replay", "--format", "jsonl"],
    [
        "replay",
        "-c",
        "goto 6",
        "-c",
        "w",
        "-c",
        "list",
        "-c",
        "p event",
        "-c",
        "info spans ;; info tools ;; info cost ;; info errors ;; messages ;; messages --diff ;; args ;; longlist",
        "-c",
        "source",
        "-c",
        "b tool ;; commands 1 ;; p name ;; bookmark here ;; bookmark ;; display event ;; next ;; mock llm:1 ;; mock",
        "-c",
        "\x1b[31mfoo",
    ],
    ["inspect", "\x1b]0;x\x07.jsonl"],
    ["inspect", "--where", "\x1b[2J"],
    ["replay", "-b", "tool:\x9b2J"],
    ["\x1b[31mlist"],
    ["trace", "\x1b[31m.py"],
    ["trace", "x.py", "--run-args", "\x1b[31m"],
]


def on_a_terminal(words, **environment):
    """Run a process whose stdout and stderr are one terminal; gives what reached it."""
    parent, child = pty.openpty()
    process = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=child, stderr=child, env=os.environ | environment
    )
    os.close(child)
    pieces = []
    while True:
        try:
            piece = os.read(parent, 65536)
        except OSError:  # the last process that had the terminal open is gone
            break
        if not piece:
            break
        pieces.append(piece)
    os.close(parent)
    process.wait(timeout=60)
    return b"".join(pieces).decode()


ALL_OF_THEM = """
import json, sys
from namel3ss_debug.cli.main import debug
for words in json.loads(sys.argv[1]):
    print("=" * 8, flush=True)
    try:
        debug(words, prog_name="namel3ss debug")
    except SystemExit:
        sys.stdout.flush()
"""


def test_nothing_from_a_recording_reaches_the_terminal_raw(hostile_trace):
    """On a terminal with colours the only controls are line ends and our own SGR sequences."""
    words = [sys.executable, "-c", ALL_OF_THEM, json.dumps(COMMANDS)]
    written = on_a_terminal(words, FORCE_COLOR="1", TERM="xterm-256color").replace("\r\n", "\n")
    outputs = written.split("=" * 8 + "\n")[1:]
    assert len(outputs) == len(COMMANDS)
    for command, output in zip(COMMANDS, outputs, strict=True):
        assert output, command
        assert NEVER.search(SGR.sub("", output)) is None, command
        assert "boundary.py" not in output, command
        assert "bug in the debugger" not in output, command


@pytest.mark.parametrize(
    "words",
    [
        *(["list"], ["analyze"], ["inspect"], ["inspect", "--tree"], ["inspect", "--timeline"], ["replay"]),
        *(["inspect", "--event", "6"], ["explain", "6"]),
    ],
)
def test_hostile_text_breaks_no_line(run, hostile_trace, words):
    """Wide and invisible characters and escapes leave every line within the screen."""
    assert all(cell_len(line) <= 80 for line in run(*words).stdout.splitlines())


def test_a_name_of_a_megabyte_is_cut(run, trace):
    """A huge name costs neither the screen nor much time."""
    events = [json.loads(line) for line in trace.read_text().splitlines()]
    for event in events:
        if "component_name" in event:
            event["component_name"] = "x" * 1_000_000
    trace.write_text("".join(json.dumps(event) + "\n" for event in events))
    whole = (["inspect"], ["inspect", "--tree"], ["inspect", "--timeline"], ["analyze"], ["replay"])
    for words in (*whole, ["inspect", "--event", "6"], ["explain", "6"]):
        assert max(len(line) for line in run(*words).stdout.splitlines()) <= 80


@pytest.mark.parametrize("value", [None, 1, "text", [], [1], {"a": 1}, True])
def test_any_field_may_hold_anything(run, trace, value):
    """A recording whose payloads have other shapes than ours is shown all the same."""
    events = [json.loads(line) for line in trace.read_text().splitlines()]
    for event in events[1:]:
        for key in (
            "inputs",
            "outputs",
            "metadata",
            "usage",
            "component_name",
            "call_site",
            "error",
            "duration_ms",
            "depends_on",
        ):
            event[key] = value
        event["inputs"] = {"messages": [value], "arguments": value, "parts": value}
        event["outputs"] = {"tool_calls": [value], "text": value, "result": value}
    trace.write_text("".join(json.dumps(event) + "\n" for event in events))
    for words in (["inspect"], ["inspect", "--tree"], ["inspect", "--event", "4"], ["analyze"], ["replay"]):
        assert run(*words).exit_code == 0


def test_values_may_be_nested_as_deeply_as_orjson_reads_them(run, trace):
    """Python's own limit of 1,000 calls is below that, and some sections look at values as text."""
    deep = '{"a":' * 1000 + "1" + "}" * 1000
    trace.write_text(trace.read_text().replace('"A-17"', deep))
    for words in (["show"], ["inspect", "--tree"], ["analyze"]):
        assert run(*words).exit_code == 0


@pytest.mark.parametrize("value", [1, [], [1], {"a": 1}, {"$type": "app.Role", "repr": "USER"}])
def test_any_member_of_a_message_may_hold_anything(run, trace, value):
    """Roles, types of parts and the program's arguments are compared and shown, whatever they are."""
    events = [json.loads(line) for line in trace.read_text().splitlines()]
    for told in ("argv", "target", "cwd", "agent_version", "git_commit"):
        events[0]["metadata"][told] = value
    for event in events:
        if event["event_type"] == "llm_call_start":
            parts = [{"type": value, "content": "x"}]
            event["inputs"]["messages"] = [{"role": value, "parts": parts}, {"role": "user", "parts": parts}]
    changed = trace.with_name("changed.jsonl")
    changed.write_text("".join(json.dumps(event) + "\n" for event in events))
    shown = ("replay", changed, "-c", "goto llm ;; messages ;; messages --diff")
    for words in (("analyze", changed), ("report", changed), ("activity", "llm", changed), shown):
        assert "bug in the debugger" not in run(*words).output
    for by in ("agent", "version"):
        assert run("analyze", trace, changed, "--by", by).exit_code == 0
    for words in (("diff", trace, changed), ("diff", changed, trace), ("diff", changed, changed)):
        assert run(*words).exit_code in {0, 1}


def test_the_shell_on_a_terminal(trace, program):
    """On a terminal the debugger prompts, and its answers are drawn there."""
    pexpect = pytest.importorskip("pexpect")
    child = pexpect.spawn(
        program[0], [*program[1:], "replay", "--step"], encoding="utf-8", dimensions=(24, 80), timeout=30
    )
    child.expect(r"\(debug 1/8\)")
    child.sendline("next")
    child.expect("agent_execution_start")
    child.expect(r"\(debug 2/8\)")
    child.sendline("quit")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
