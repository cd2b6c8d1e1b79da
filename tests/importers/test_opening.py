"""Tests of opening a recording that has to hold something."""

from __future__ import annotations

import json

import pytest

from namel3ss_debug import ExecutionReplayer, TraceAnalyzer, check_trace, diff_traces
from namel3ss_debug.errors import UnreadableTraceError
from namel3ss_debug.importers.opening import open_nonempty_trace, open_trace


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is empty"),
        ('{"a": 1}\n', "line 1: not an event"),
        ('{"event', "only the beginning of a line"),
    ],
)
@pytest.mark.parametrize(
    "opened_by",
    [
        open_nonempty_trace,
        TraceAnalyzer,
        ExecutionReplayer,
        lambda path: check_trace(path, [{"forbid": "tool:x"}]),
        lambda path: diff_traces(path, path),
    ],
)
def test_a_file_without_an_event_is_refused_with_the_reason(tmp_path, opened_by, text, why):
    """Whoever opens it: nothing in it is not the same as nothing wrong."""
    path = tmp_path / "other.jsonl"
    path.write_text(text)
    with pytest.raises(UnreadableTraceError, match=f"there is no event in it .{why}"):
        opened_by(path)


def test_one_event_is_a_recording(tmp_path):
    """It is the first of its events."""
    path = tmp_path / "one.jsonl"
    path.write_text('{"event_type": "trace_start", "event_id": "1", "timestamp": 1.0}\n')
    assert [event["event_id"] for event in open_nonempty_trace(path).events()] == ["1"]


def test_the_file_of_another_writer_is_read_without_its_secrets(tmp_path):
    """Names and forms count as in a trace of ours; `check` still sees what is there."""
    key = "sk-proj-" + "aB3dE5gH7jK9mN2pQ4sT6vW8xY" * 2
    path = tmp_path / "other.jsonl"
    event = {
        "event_type": "tool_call_start",
        "timestamp": 1.0,
        "component": "tool",
        "inputs": {"arguments": {"password": "hunter2", "token": "USDC", "argv": ["--api-key", "abcdefgh"]}},
        "outputs": {"result": f"use {key} here", "order_id": 7},
    }
    path.write_text(json.dumps(event) + "\n")
    (shown,) = open_trace(path).events()
    assert shown["inputs"]["arguments"] == {
        "password": "[REDACTED:key]",
        "token": "USDC",
        "argv": ["--api-key", "[REDACTED:key]"],
    }
    assert shown["outputs"] == {"result": "use [REDACTED:openai] here", "order_id": 7}
    (whole,) = open_trace(path, redacted=False).events()
    assert whole["inputs"] == event["inputs"]


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ({}, {"badge": "blue", "password": "[REDACTED:key]", "note": "parcel_abc"}),
        ({"redact_keys": ["badge"]}, {"badge": "[REDACTED:key]", "password": "[REDACTED:key]"}),
        ({"redact_patterns": {"parcel": "parcel_[a-z]+"}}, {"note": "[REDACTED:parcel]"}),
        ({"redact": False}, {"badge": "blue", "password": "hunter2", "note": "parcel_abc"}),
    ],
)
def test_the_settings_of_redaction_count_for_the_files_of_other_writers(
    tmp_path, monkeypatch, settings, shown
):
    """As for what is recorded here."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".namel3ss").mkdir()
    (tmp_path / ".namel3ss" / "debug.json").write_text(json.dumps(settings))
    inputs = {"badge": "blue", "password": "hunter2", "note": "parcel_abc"}
    path = tmp_path / "other.jsonl"
    path.write_text(json.dumps({"event_type": "tool_call_start", "timestamp": 1.0, "inputs": inputs}) + "\n")
    (event,) = open_trace(path).events()
    assert event["inputs"] | shown == event["inputs"]
