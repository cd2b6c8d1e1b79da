import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from namel3ss_debug.analysis.computing import analyze_events
from namel3ss_debug.analysis.sections.table import SECTIONS
from namel3ss_debug.errors import WrongUsageError


@settings(max_examples=40)
@given(data=st.data())
def test_time_held_at_a_prompt_counts_nowhere(traces, analysed, data):
    """A run that was held before some events is analysed as if nobody had held it."""
    events = data.draw(traces)
    held, holds = [], 0
    for event in events:
        holds += data.draw(st.sampled_from([0, 0, 3, 7200]))
        later = {"timestamp": event["timestamp"] + holds} if "timestamp" in event else {}
        held.append(event | later | {"paused_before_ms": holds * 1000})
    assert json.dumps(analysed(held)) == json.dumps(analysed(events))


def test_the_critical_path_goes_on_after_a_prompt_as_if_there_was_none(recording, analysed):
    """Wall time, path, idle time and self time are without the ten seconds that a tool was held before it ran."""
    root = recording.start("agent", "root", 0)
    tool = recording.start("tool", "t", 1, root)
    recording.end(tool, 13, duration_ms=2000, paused_before_ms=10_000)
    recording.end(root, 14, duration_ms=4000, paused_before_ms=10_000)
    results = analysed(recording.events)
    assert results["execution_overview"]["duration_ms"] == results["dependencies"]["wall_ms"] == 4000
    listed = results["dependencies"]["critical_path"]["listed"]
    assert [(step["number"], step["begin_ms"], step["ms"]) for step in listed] == [
        (1, 0, 1000),
        (2, 1000, 2000),
        (1, 3000, 1000),
    ]
    assert results["performance"]["concurrency"]["idle_ms"] == 2000
    assert results["component_breakdown"]["agent"]["self_ms"] == 2000


@given(data=st.data())
def test_each_section_is_the_same_alone(traces, analysed, data):
    """Each section asked for alone is the same as beside all others."""
    events = data.draw(traces)
    beside = analysed(events)
    for section in SECTIONS:
        whole = analysed(events, [section])
        assert whole == {section: beside[section]}


@settings(max_examples=40)
@given(data=st.data())
def test_every_result_is_json_without_nan_and_the_same_each_time(traces, analysed, data):
    """The results are plain JSON values and come out byte for byte the same."""
    events = data.draw(traces)
    text = json.dumps(analysed(events), allow_nan=False)
    assert json.dumps(analysed(events), allow_nan=False) == text


def test_no_events_at_all_give_every_section(analysed):
    """An empty trace has zeros and nulls, and no error."""
    results = analysed([])
    assert list(results) == list(SECTIONS)
    overview = results["execution_overview"]
    assert (overview["events"], overview["duration_ms"], overview["success_rate"]) == (0, None, None)
    assert results["errors"]["error_rate"] is None


def test_one_start_is_an_open_span(recording, analysed):
    """A trace of one event shows where the program was."""
    recording.start("tool", "search", 0, call_site="app.py:3")
    results = analysed(recording.events)
    assert results["execution_overview"]["status"] == "open"
    assert results["errors"]["open_spans"] == [
        {
            "number": 1,
            "component": "tool",
            "component_name": "search",
            "started_at": 1_700_000_000,
            "call_site": "app.py:3",
            "innermost": True,
        }
    ]


def test_ten_thousand_parallel_spans_share_the_time_of_their_parent(recording, analysed):
    """Children that all run at once cover their parent once."""
    root = recording.start("agent", "root", 0)
    inner = [recording.start("tool", "t", 1, root) for _ in range(10_000)]
    for start in inner:
        recording.events.append(
            {
                "event_type": "tool_call_end",
                "event_id": f"{start}!",
                "component": "tool",
                "parent_event_id": start,
                "duration_ms": 2000.0,
                "timestamp": 1_700_000_003,
            }
        )
    recording.end(root, 4)
    rows = analysed(recording.events)["component_breakdown"]
    assert rows["agent"]["self_ms"] == 2000
    assert rows["tool"]["total_ms"] == 20_000_000


def test_an_end_without_a_start_counts_with_the_duration_it_tells(recording, analysed):
    """A span whose start was rotated away is a span all the same."""
    recording.end("nowhere", 5, duration_ms=12.5)
    results = analysed(recording.events)
    assert results["execution_overview"]["orphan_ends"] == 1
    assert results["performance"]["tool_performance"]["lost"]["total_ms"] == 12.5


def test_a_clock_that_went_back_makes_no_negative_time(recording, analysed):
    """Without a measured duration, an end before its start took no time."""
    start = recording.start("tool", "t", 10)
    recording.end(start, 3, duration_ms=None)
    results = analysed(recording.events)
    assert results["performance"]["tool_performance"]["t"]["max_ms"] == 0
    assert results["execution_overview"]["duration_ms"] == 7000


def test_a_child_process_takes_time_from_the_span_that_started_it(recording, analysed):
    """A span whose parent is the trace_start of a child process runs inside the span named there."""
    root = recording.start("agent", "root", 0)
    process = recording.add("trace_start", 1, parent_event_id=root, metadata={"process": 1})
    recording.span("tool", "remote", 1, 3, process)
    recording.end(root, 4)
    assert analysed(recording.events)["component_breakdown"]["agent"]["self_ms"] == 2000


def test_a_child_that_began_before_its_parent_is_not_inside_it(recording, analysed):
    """A clock that is wrong in one process does not make the result depend on where the trace is cut."""
    child = recording.start("tool", "early", 1, "e2")
    parent = recording.start("agent", "late", 0.5)
    recording.end(child, 2)
    recording.end(parent, 3)
    assert analysed(recording.events)["component_breakdown"]["agent"]["self_ms"] == 2500


def test_a_section_that_is_not_there_is_a_mistake_of_the_user():
    """The message names the section and those that there are."""
    with pytest.raises(WrongUsageError, match="there is no section 'colour'; there are execution_overview, "):
        analyze_events([], ["colour"])
