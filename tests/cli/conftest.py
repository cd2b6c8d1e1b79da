"""A small recording, with a hostile twin, and a way to run commands on it."""

import json
import os
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from namel3ss_debug.cli.main import debug

HOSTILE = "\x1b[31m\x1b]0;owned\x07\x9b2J\u202e\u200b[red]x[/] :skull: 漢字\x7f"

EVENTS = [
    {
        "event_type": "trace_start",
        "component": "app",
        "metadata": {
            "format": 2,
            "pid": 1,
            "process": 0,
            "target": "app.py",
            "argv": ["app.py"],
            "python": "3.11.7",
        },
    },
    {
        "event_type": "agent_execution_start",
        "component": "agent",
        "component_name": "Support",
        "inputs": {"question": "Where is A-17?"},
        "call_site": "app.py:40",
    },
    {
        "event_type": "llm_call_start",
        "component": "llm",
        "component_name": "gpt-4o-mini",
        "parent_event_id": "2",
        "inputs": {
            "model": "gpt-4o-mini",
            "messages": [{"role": "user", "parts": [{"type": "text", "content": "Where is A-17?"}]}],
        },
    },
    {
        "event_type": "llm_call_end",
        "component": "llm",
        "component_name": "gpt-4o-mini",
        "parent_event_id": "3",
        "status": "completed",
        "duration_ms": 1240.0,
        "tokens_used": 412,
        "usage": {"input_tokens": 380, "output_tokens": 32},
        "cost_estimate": 0.00021,
        "outputs": {
            "text": "",
            "tool_calls": [{"id": "c1", "name": "lookup", "arguments": {"order": "A-17"}}],
        },
    },
    {
        "event_type": "tool_call_start",
        "component": "tool",
        "component_name": "lookup",
        "parent_event_id": "2",
        "inputs": {"arguments": {"order": "A-17"}},
    },
    {
        "event_type": "tool_call_end",
        "component": "tool",
        "component_name": "lookup",
        "parent_event_id": "5",
        "status": "failed",
        "duration_ms": 35.0,
        "error": "the service is down",
        "error_type": "ConnectionError",
        "stack_trace": 'Traceback (most recent call last):\n  File "app.py", line 3\nConnectionError: down',
    },
    {
        "event_type": "agent_execution_end",
        "component": "agent",
        "component_name": "Support",
        "parent_event_id": "2",
        "status": "completed",
        "duration_ms": 1300.0,
        "outputs": {"answer": "Later."},
    },
    {
        "event_type": "tool_call_start",
        "component": "tool",
        "component_name": "send_mail",
        "inputs": {"arguments": {"to": "a@example.org"}},
    },
]
TIMES = [0.0, 0.01, 0.02, 1.26, 1.27, 1.305, 1.31, 1.32]


def numbered(events):
    """The events with ids, places and times."""
    return [
        {"event_id": str(place + 1), "seq": place, "timestamp": 1763726400.0 + TIMES[place], **event}
        | {"execution_id": "ab12cd34ef567890"}
        for place, event in enumerate(events)
    ]


def poisoned(value):
    """The value with hostile text in every key and string that is not the format's own."""
    if isinstance(value, dict):
        return {key + HOSTILE: poisoned(item) for key, item in value.items()}
    if isinstance(value, list):
        return [poisoned(item) for item in value]
    return value + HOSTILE if isinstance(value, str) else value


def hostile(event):
    """An event whose every free text is hostile."""
    kept = {"event_type", "parent_event_id", "status", "component"}
    changed = {key: item if key in kept else poisoned(item) for key, item in event.items()}
    if event["event_type"] == "trace_start":
        changed["metadata"] = {
            "format": 2,
            "process": 0,
            "target": HOSTILE,
            "argv": [HOSTILE],
            "python": HOSTILE,
        }
    return changed


def write(path, events):
    """Write a trace file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    return path


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    """An empty working directory, caches of its own, 80 columns, no colour, no settings from outside."""
    for name in ("NO_COLOR", "FORCE_COLOR", "NAMEL3SS_DEBUG_ENABLED", "NAMEL3SS_DEBUG_OUTPUT_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def trace(workspace):
    """A small recording under a name of ours."""
    return write(workspace / "debug/traces/trace_20251121_120000_ab12cd34.jsonl", numbered(EVENTS))


def chunk(parent, text):
    """One chunk of a streamed answer, as the tracer records it."""
    sent = f'data: {{"choices": [{{"delta": {{"content": "{text}"}}}}]}}\n\n'
    return {
        "event_type": "stream_chunk",
        "component": "llm",
        "component_name": "m",
        "parent_event_id": parent,
        "outputs": {"text": sent},
    }


@pytest.fixture
def streamed_trace(workspace):
    """A recording of a streamed answer, and of one in whose middle the program died."""
    call = {"component": "llm", "component_name": "m"}
    end = {"status": "completed", "duration_ms": 500.0, "outputs": {"text": "Hello"}}
    events = [
        EVENTS[0],
        {"event_type": "llm_call_start"} | call,
        chunk("2", "He"),
        chunk("2", "l"),
        chunk("2", "lo"),
        {"event_type": "llm_call_end", "parent_event_id": "2", "metadata": {"time_to_first_token_ms": 120.0}}
        | call
        | end,
        {"event_type": "llm_call_start"} | call,
        chunk("7", "Go"),
    ]
    return write(workspace / "debug/traces/trace_20251121_130000_cd34ab12.jsonl", numbered(events))


@pytest.fixture
def hostile_trace(workspace):
    """The same recording with hostile text wherever text is free."""
    events = numbered([hostile(event) for event in EVENTS])
    return write(workspace / "debug/traces/trace_20251121_120000_ab12cd34.jsonl", events)


@pytest.fixture
def run():
    """Run a command line of `debug` in this process; gives exit status, stdout and stderr."""

    def run_command(*words, stdin=None):
        return CliRunner().invoke(
            debug, [str(word) for word in words], prog_name="namel3ss debug", input=stdin
        )

    return run_command


@pytest.fixture
def forbid(monkeypatch):
    """Let a file be one that may not be read, whoever runs the test."""

    def forbid(path):
        opened = os.open

        def refused(name, *more, **kwargs):
            if Path(os.fsdecode(name)).resolve() == path.resolve():
                raise PermissionError(13, "Permission denied", str(name))
            return opened(name, *more, **kwargs)

        monkeypatch.setattr(os, "open", refused)

    return forbid


@pytest.fixture
def program():
    """The words that start the command line as a process of its own."""
    return [
        sys.executable,
        "-c",
        "from namel3ss_debug.cli.main import debug; debug(prog_name='namel3ss debug')",
    ]
