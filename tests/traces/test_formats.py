"""A trace made by any released version opens for ever: one of each version is kept here."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from namel3ss_debug import read_trace
from namel3ss_debug.expressions import compile_expression
from namel3ss_debug.fields import FIELDS
from namel3ss_debug.traces.events import EVENT_TYPES, FORMAT_VERSION
from namel3ss_debug.traces.reader import open_trace
from namel3ss_debug.traces.spans import spans
from namel3ss_debug.traces.typed_events import TraceEvent

FORMATS = Path(__file__).parents[1] / "data" / "formats"
EXAMPLES = Path(__file__).parents[2] / "examples"


def test_there_is_a_trace_of_every_version():
    """A change of the version needs a trace of it."""
    assert sorted(path.name for path in FORMATS.iterdir()) == [f"v{n}" for n in range(1, FORMAT_VERSION + 1)]


@pytest.mark.parametrize(
    "path", sorted(FORMATS.glob("*/*.jsonl")), ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_every_file_of_a_kept_trace_opens_the_whole_of_it(path):
    """Nothing is skipped, every start has its end, and each field is one the format knows."""
    trace = open_trace(path)
    events = list(trace.events())
    assert not trace.problems
    assert events[0]["event_type"] == "trace_start"
    known = {field.name for field in FIELDS}
    assert all(event.keys() <= known and event["event_type"] in EVENT_TYPES for event in events)
    assert all(span.start and span.end for span in spans(events))


def test_version_1_holds_what_it_held():
    """A support agent with a retry and two tools; two processes and three segments."""
    support = list(read_trace(FORMATS / "v1" / "support_agent.jsonl"))
    calls = [event for event in support if event.event_type == "llm_call_end"]
    assert [event.status for event in calls] == ["failed", "completed", "completed", "completed"]
    assert [event.usage["input_tokens"] for event in calls[1:]] == [156, 233, 297]
    assert [event.component_name for event in support if event.event_type == "tool_call_start"] == [
        "lookup_order",
        "refund_policy",
    ]
    two = list(read_trace(FORMATS / "v1" / "two_processes.p1.jsonl"))
    tool = next(event for event in two if event.component == "tool")
    agent = next(event for event in two if event.component == "agent")
    assert (tool.event_id, tool.parent_event_id) == ("p1.2", agent.event_id)
    assert len(open_trace(FORMATS / "v1" / "two_processes.jsonl").files) == 3


def test_version_2_has_the_present_names():
    """A travel agent that a debugger paused before its calls."""
    events = list(read_trace(FORMATS / "v2" / "stepped_weather_agent.jsonl"))
    assert any(event.paused_before_ms for event in events)
    assert any("paused_ms" in (event.metadata or {}) for event in events)


def write_events(path: Path, *events: dict[str, Any]) -> Path:
    """Write a trace of events that lack only what every event has."""
    path.write_text(
        "".join(
            json.dumps(
                {
                    "event_type": "marker",
                    "event_id": str(seq + 1),
                    "seq": seq,
                    "timestamp": 1.0,
                    "component": "app",
                }
                | event
            )
            + "\n"
            for seq, event in enumerate(events)
        )
    )
    return path


def test_old_names_of_fields_are_read_as_the_present_ones(tmp_path):
    """In a pass, by number, at the start of a file and behind events that are read on the fast path."""
    old = {"held_before_ms": 250.0, "metadata": {"held_ms": 3.5, "x": 1}}
    trace = open_trace(write_events(tmp_path / "t.jsonl", old, *[{}] * 20, old))
    for events in (list(trace.events()), [trace.event(number) for number in range(1, 23)]):
        for event in (events[0], events[-1]):
            assert event["paused_before_ms"] == 250.0
            assert event["metadata"] == {"paused_ms": 3.5, "x": 1}
            assert "held_before_ms" not in event
        assert "paused_before_ms" not in events[1]
    assert not trace.problems


def test_expressions_and_the_library_take_old_names(tmp_path):
    """A breakpoint or a rule of a user keeps working."""
    old = {"held_before_ms": 250.0, "metadata": {"held_ms": 3.5}}
    (event,) = open_trace(write_events(tmp_path / "t.jsonl", old)).events()
    for expression in (
        "held_before_ms == 250",
        "paused_before_ms == 250",
        "event.held_before_ms == 250",
        "metadata.held_ms > 3",
        'metadata["held_ms"] > 3',
        "event.metadata.held_ms > 3",
    ):
        assert compile_expression(expression).matches_event(1, event), expression
    (typed,) = read_trace(tmp_path / "t.jsonl")
    assert (typed.held_before_ms, typed.paused_before_ms) == (250.0, 250.0)
    assert TraceEvent.from_dict(old).paused_before_ms == 250.0
    assert old["metadata"] == {"held_ms": 3.5}
    with pytest.raises(AttributeError, match="'TraceEvent' object has no attribute 'held'"):
        typed.held  # noqa: B018


@pytest.mark.parametrize(("version", "warnings"), [(FORMAT_VERSION, 0), (FORMAT_VERSION + 1, 1)])
def test_a_later_format_is_read_with_one_warning(tmp_path, version, warnings):
    """However many processes and segments wrote it."""
    start = {"event_type": "trace_start", "metadata": {"format": version}, "new_field": 7}
    path = write_events(tmp_path / "t.jsonl", start, {})
    write_events(tmp_path / "t.p1.jsonl", start, {})
    trace = open_trace(path)
    for _ in range(2):
        events = list(trace.events())
        assert [event.get("new_field") for event in events] == [7, None, 7, None]
        assert trace.problems.total == warnings
    if warnings:
        (problem,) = trace.problems.first
        assert f"trace format {version}" in problem.what
        assert "upgrade to read all of it" in problem.what


@pytest.mark.parametrize("name", ["v1/support_agent", "v2/stepped_weather_agent"])
def test_a_trace_of_an_older_version_runs_again(tmp_path, name):
    """With --trust, since another user made it, and with its commands, which it does not hold."""
    for program in EXAMPLES.glob("*.py"):
        shutil.copy(program, tmp_path)
    recorded = (FORMATS / f"{name}.jsonl").read_text().replace("/home/user/shop", str(tmp_path))
    (tmp_path / "old.jsonl").write_text(recorded.replace('"/usr/bin/python3"', json.dumps(sys.executable)))
    options = ["--trust", "--run-tools", "all", "--run-commands", "all"]
    command = [sys.executable, "-m", "namel3ss_debug", "rerun", "old.jsonl", *options]
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert again.returncode == 0, again.stdout + again.stderr
