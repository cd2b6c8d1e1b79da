"""A recording made by any released version opens for ever: one of each version is kept here."""

from __future__ import annotations

from pathlib import Path

import pytest

from namel3ss_debug import read_trace
from namel3ss_debug.traces.events import EVENT_TYPES, FIELDS, FORMAT_VERSION
from namel3ss_debug.traces.reader import open_trace
from namel3ss_debug.traces.spans import spans

FORMATS = Path(__file__).parents[1] / "data" / "formats"


def test_there_is_a_recording_of_every_version():
    """Whoever raises the version adds a recording."""
    assert sorted(path.name for path in FORMATS.iterdir()) == [f"v{n}" for n in range(1, FORMAT_VERSION + 1)]


@pytest.mark.parametrize(
    "path", sorted(FORMATS.glob("*/*.jsonl")), ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_every_file_of_a_kept_recording_opens_the_whole_of_it(path):
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
