"""The events of a recording for library users."""

from __future__ import annotations

import json

import pytest

from namel3ss_debug import TraceFilter, read_trace
from namel3ss_debug.errors import ExpressionError


@pytest.fixture
def path(tmp_path):
    """A recording of two calls, one of which failed, with a field of a newer format."""
    events = [
        {"event_type": "tool_call_start", "event_id": "1", "component": "tool", "component_name": "a"},
        {
            "event_type": "tool_call_end",
            "event_id": "2",
            "parent_event_id": "1",
            "duration_ms": 7.0,
            "own": 1,
        },
        {"event_type": "llm_call_start", "event_id": "3", "component": "llm", "component_name": "m"},
        {"event_type": "llm_call_end", "event_id": "4", "parent_event_id": "3", "status": "failed"},
    ]
    path = tmp_path / "t.jsonl"
    path.write_text("".join(f"{json.dumps(event | {'timestamp': 1.0})}\n" for event in events))
    return path


def test_events_for_library_users_carry_number_and_unknown_fields(path):
    """`read_trace` gives TraceEvents."""
    found = list(read_trace(path))
    assert [event.number for event in found] == [1, 2, 3, 4]
    assert found[1].extra == {"own": 1}
    assert found[1].parent_event_id == "1"


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (TraceFilter(), [1, 2, 3, 4]),
        (TraceFilter(errors_only=True), [4]),
        (TraceFilter(components=["tool", "http"]), [1, 2]),
        (TraceFilter(tool="a"), [1, 2]),
        (TraceFilter(where="duration_ms > 5"), [2]),
        (TraceFilter(tool="a", where="duration_ms > 50"), []),
    ],
)
def test_a_filter_says_which_events_are_read(path, wanted, numbers):
    """They keep the numbers that they have in the recording; an expression may be given as text."""
    assert [event.number for event in read_trace(path, wanted)] == numbers


def test_an_expression_that_does_not_parse_is_told_where_it_is_written():
    """The filter refuses it, before anything is read."""
    with pytest.raises(ExpressionError):
        TraceFilter(where="duration_ms >")
