"""Reading files of other writers in our format, whose events have no ids."""

from __future__ import annotations

import json
from pathlib import Path

import orjson
import pytest

from namel3ss_debug.importers.opening import open_trace
from namel3ss_debug.traces.span_table import read_spans

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    """Keep indexes out of the real home."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def write(path, data):
    """Write bytes to a file and return its path."""
    path.write_bytes(data)
    return path


def test_a_file_of_another_writer_is_paired_by_its_nesting(tmp_path):
    """Without ids, the nesting gives ids, parents and names; two executions in one file stay apart."""
    trace = open_trace(DATA / "namel3ss" / "sample_trace.jsonl")
    events = list(trace.events())
    assert not trace.problems
    parents = [(found["event_id"], found.get("parent_event_id")) for found in events]
    assert parents == [
        ("#1", None),
        ("#2", "#1"),
        ("#3", "#2"),
        ("#4", "#1"),
        ("#5", "#4"),
        ("#6", "#1"),
        ("#7", None),
        ("#8", "#7"),
        ("#9", "#8"),
        ("#10", "#7"),
        ("#11", "#7"),
    ]
    spans = read_spans(events)
    assert [(*spans.operations[spans.operation[row]], spans.failed[row]) for row in range(len(spans))] == [
        ("agent", "ResearchAgent", 0),
        ("llm", "gpt-4", 0),
        ("tool", "search_tool", 0),
        ("chain", "research_and_write", 1),
        ("prompt", "research_query", 0),
    ]
    assert all(spans.end)
    assert events[2]["tokens_used"] == 245
    assert events[2]["cost_estimate"] == 0.0049
    assert events[9]["error_type"] == "ValidationError"
    assert trace.event(5) == events[4]
    assert trace.count() == 11


def test_a_damaged_first_line_does_not_make_a_file_foreign(tmp_path):
    """Where only the first event lost its id, the others stay exactly as they are."""
    rows = [
        {"event_type": "decision", "event_id": str(n + 1), "seq": n, "timestamp": 1.0, "component": "agent"}
        for n in range(4)
    ]
    lines = [orjson.dumps(row) + b"\n" for row in rows]
    lines[0] = lines[0].replace(b"event_id", b"\0vent_id")
    trace = open_trace(write(tmp_path / "t.jsonl", b"".join(lines)))
    assert list(trace.events())[1:] == rows[1:]


def test_calls_side_by_side_in_a_foreign_file_are_told_apart_by_name(tmp_path):
    """An end closes the innermost start of its own name; an end without a start is left to itself."""
    rows = [
        {"event_type": "tool_call_start", "component_name": "a"},
        {"event_type": "tool_call_start", "component_name": "b"},
        {"event_type": "tool_call_end", "component_name": "a"},
        {"event_type": "tool_call_end", "component_name": "b"},
        {"event_type": "tool_call_end", "component_name": "c"},
    ]
    data = b"".join(orjson.dumps(row) + b"\n" for row in rows)
    found = list(open_trace(write(tmp_path / "t.jsonl", data)).events())
    assert [row.get("parent_event_id") for row in found] == [None, "#1", "#1", "#2", None]


@pytest.mark.parametrize("indent", [None, 2])
def test_a_json_document_without_ids_is_imported_too(tmp_path, indent):
    """On one line or on many."""
    rows = [{"event_type": "tool_call_start"}, {"event_type": "decision"}, {"event_type": "tool_call_end"}]
    trace = open_trace(write(tmp_path / "t.json", json.dumps(rows, indent=indent).encode()))
    assert [found.get("parent_event_id") for found in trace.events()] == [None, "#1", "#1"]
    assert trace.event(3)["event_id"] == "#3"


def test_the_processes_of_a_trace_are_merged_by_time(tmp_path):
    """Ids of a further process have its number."""
    for name, times in (("t.jsonl", (1, 3)), ("t.p1.jsonl", (2, 4))):
        rows = [{"event_type": "decision", "timestamp": float(time)} for time in times]
        write(tmp_path / name, b"".join(orjson.dumps(row) + b"\n" for row in rows))
    trace = open_trace(tmp_path / "t.jsonl")
    assert [found["event_id"] for found in trace.events()] == ["#1", "#p1.1", "#2", "#p1.2"]
    assert (trace.count(), trace.event(2)["timestamp"]) == (4, 2.0)


def test_lines_of_one_shape_are_read_alike(tmp_path):
    """Only the first of them is looked at field by field; a value out of range is repaired and reported all the same."""
    line = {
        "event_type": "tool_call_end",
        "timestamp": 1.5,
        "component": "tool",
        "error": None,
        "duration_ms": 2.0,
    }
    bad = line | {"duration_ms": -1.0}
    trace = open_trace(
        write(
            tmp_path / "t.jsonl",
            "".join(json.dumps(each) + "\n" for each in (line, line, bad, line)).encode(),
        )
    )
    first, second, repaired, last = (
        {name: value for name, value in event.items() if name != "event_id"} for event in trace.events()
    )
    assert first == second == last == {name: value for name, value in line.items() if value is not None}
    assert repaired["unreadable"] == {"duration_ms": -1.0}
    assert [problem.line for problem in trace.problems.first] == [3]
