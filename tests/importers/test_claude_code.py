"""Sessions of Claude Code: the numbers are counted from the files, tokens by the id of the message."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from namel3ss_debug.importers.opening import load_spans, open_trace

DATA = Path(__file__).parent.parent / "data/imports/claude-code"


def spans_of(path):
    """Return the table of spans, and how many spans each component has without turns."""
    table = load_spans(path)
    rows = [row for row in range(len(table)) if not table.turn[row]]
    return table, Counter(map(table.component, rows))


def row_of(kind, number, content, parent=None, **more):
    """Return a row of a session as Claude Code writes it."""
    message = {"role": kind, "content": content}
    if kind == "assistant":
        message |= {
            "id": f"msg_{number}",
            "model": "claude-sonnet-4-5",
            "usage": {"input_tokens": 10, "output_tokens": 5},
        }
    return {
        "type": kind, "uuid": f"u{number}", "parentUuid": parent, "sessionId": "s1", "isSidechain": False,
        "timestamp": f"2026-11-25T10:00:{number:02}.000Z", "message": message, **more,
    }  # fmt: skip


def write(path, rows):
    """Write rows as a session."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


TASK = {
    "type": "tool_use",
    "id": "t1",
    "name": "Task",
    "input": {"prompt": "look", "subagent_type": "Explore"},
}
RESULT = [{"type": "tool_result", "tool_use_id": "t1", "content": "found"}]
SUB = {"agentId": "abc", "isSidechain": True}


@pytest.mark.parametrize("place", ["s1/subagents/agent-abc.jsonl", "agent-abc.jsonl"])
def test_the_file_of_a_subagent_joins_below_the_call_that_started_it(tmp_path, place):
    """In either place, under the type of the agent."""
    rows = [
        row_of("user", 1, "do it"),
        row_of("assistant", 2, [TASK], "u1"),
        row_of("user", 9, RESULT, "u2", toolUseResult={"agentId": "abc", "totalTokens": 99}),
    ]
    session = write(tmp_path / "s1.jsonl", rows)
    write(
        tmp_path / place,
        [
            row_of("user", 3, "look", **SUB),
            row_of("assistant", 4, [{"type": "text", "text": "here"}], "u3", **SUB),
        ],
    )
    table, components = spans_of(session)
    assert components == {"agent": 2, "llm": 2, "tool": 1}
    (sub,) = (row for row in table.of("agent") if table.name(row) == "Explore" and not table.turn[row])
    assert table.name(table.parent[sub]) == "Task"
    assert sum(table.tokens) == 30


def test_a_sidechain_in_the_session_joins_below_the_call_with_its_prompt(tmp_path):
    """As versions before 2 write it, without ids of agents."""
    side = {"isSidechain": True}
    rows = [
        row_of("user", 1, "do it"),
        row_of("assistant", 2, [TASK], "u1"),
        row_of("user", 3, "look", **side),
        row_of("assistant", 4, [{"type": "text", "text": "here"}], "u3", **side),
        row_of("user", 5, RESULT, "u2"),
        row_of("assistant", 6, [{"type": "text", "text": "done"}], "u5"),
    ]
    table, components = spans_of(write(tmp_path / "s1.jsonl", rows))
    assert components == {"agent": 2, "llm": 3, "tool": 1}
    parents = [table.name(table.parent[row]) for row in table.of("agent") if table.name(row) == "Explore"]
    assert parents == ["Task", "Explore"]


def test_a_compaction_is_an_event_and_the_next_call_reads_the_summary_only(tmp_path):
    """The call after it does not go on with the conversation before."""
    rows = [
        row_of("user", 1, "do it"),
        row_of("assistant", 2, [{"type": "text", "text": "long"}], "u1"),
        {
            **row_of("system", 3, ""),
            "subtype": "compact_boundary",
            "compactMetadata": {"trigger": "auto", "preTokens": 7},
        },
        row_of("user", 4, "summary of before", "u3", isCompactSummary=True),
        row_of("user", 5, "go on", "u4"),
        row_of("assistant", 6, [{"type": "text", "text": "ok"}], "u5"),
    ]
    events = list(open_trace(write(tmp_path / "s1.jsonl", rows)).events())
    (compaction,) = (event for event in events if event["event_type"] == "memory_summarization")
    assert compaction["metadata"]["source"] == {"trigger": "auto", "preTokens": 7}
    last = [event for event in events if event["event_type"] == "llm_call_start"][-1]
    assert [message["parts"][0]["content"] for message in last["inputs"]["messages"]] == [
        "summary of before",
        "go on",
    ]
    assert "params" not in last["inputs"]


def test_requests_of_a_session_are_turns_and_its_title_is_the_source(tmp_path):
    """An interrupted turn is partial, an error of the API is the failure of the call, a recorded cost is taken."""
    rows = [
        row_of("user", 1, "first"),
        row_of("assistant", 2, [{"type": "text", "text": "a"}], "u1", costUSD=0.25, durationMs=900),
        row_of("user", 3, [{"type": "text", "text": "[Request interrupted by user]"}], "u2"),
        row_of("user", 4, "second", "u3"),
        row_of("assistant", 5, [{"type": "text", "text": "API Error: 529"}], "u4", isApiErrorMessage=True),
        {"type": "summary", "summary": "A title", "leafUuid": "u5"},
    ]
    events = list(open_trace(write(tmp_path / "s1.jsonl", rows)).events())
    turns = [event for event in events if event["event_type"] == "agent_turn_end"]
    assert [turn["status"] for turn in turns] == ["partial", "completed"]
    first, second = (event for event in events if event["event_type"] == "llm_call_end")
    assert (first["cost_estimate"], first["duration_ms"]) == (0.25, 900)
    assert second["error"] == "API Error: 529"
    assert events[0]["metadata"]["source"] == {"format": "claude-code", "title": "A title"}


def test_rows_that_repeat_an_earlier_one_count_once(tmp_path):
    """A resumed session repeats them."""
    session = tmp_path / "s1.jsonl"
    shutil.copy(DATA / "short.jsonl", session)
    session.write_text(session.read_text() * 2)
    table, components = spans_of(session)
    assert components == {"agent": 1, "llm": 1, "tool": 2}
    assert sum(table.output_tokens) == 13
    assert table.traces[0].problems.left_out["rows that repeat an earlier one"] == 14


def test_calls_run_after_the_model_asked_for_them_and_side_by_side():
    """The call of the model ends before its first tool begins."""
    table, _ = spans_of(DATA / "short.jsonl")
    (model,), tools = table.of("llm"), list(table.of("tool"))
    assert all(table.began[tool] >= table.ended[model] for tool in tools)
    assert table.began[tools[1]] < table.ended[tools[0]]
