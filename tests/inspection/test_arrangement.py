"""Spans as a tree and over time."""

from __future__ import annotations

import json

import pytest

from namel3ss_debug.expressions import compile_expression
from namel3ss_debug.inspection import Selection, make_rows, select_forest, select_spans, sort_by_start
from namel3ss_debug.traces.reader import open_trace


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Selection(), [4, 5, 8, 2, 3, 13]),
        (Selection(errors_only=True), [5]),
        (Selection(agent="Writer"), [8, 3, 13]),
        (Selection(where=compile_expression("duration_ms > 5 and kind == 'llm'")), [4]),
    ],
)
def test_a_span_is_wanted_when_its_start_or_its_end_is(run, wanted, expected):
    """Spans come as they end, and the open ones at last."""
    assert [span.number for span in select_spans(run, wanted)] == expected


def test_chosen_spans_carry_no_payload(tmp_path, recording):
    """What is kept for a tree does not grow with what the calls said."""
    made = recording
    call = made.start("llm", "m", inputs={"messages": ["long"]})
    made.end(call, outputs={"text": "long"}, metadata={"exchange": "long"})
    path = tmp_path / "trace.jsonl"
    path.write_text("".join(json.dumps(event) + "\n" for event in made.events))
    (span,) = select_spans(open_trace(path))
    assert "long" not in json.dumps([span.start, span.end])


def test_a_span_says_which_recording_it_goes_on_with(tmp_path, recording):
    """A request and a task keep where they come from, and nothing else of their metadata."""
    here = {"execution_id": "c0ffee0123456789", "event_id": "p2.4"}
    for name, metadata in (("from", {"parent": here, "more": 1}), ("odd", {"parent": "x"}), ("none", None)):
        recording.end(recording.start("request", name, metadata=metadata))
    recording.end(recording.start("tool", "t", metadata={"parent": here}))
    path = tmp_path / "trace.jsonl"
    path.write_text("".join(json.dumps(event) + "\n" for event in recording.events))
    found = {span.name: span.start.get("continues") for span in select_spans(open_trace(path))}
    assert found == {"from": here, "odd": None, "none": None, "t": None}


def test_an_http_exchange_says_what_it_asks_for(tmp_path, recording):
    """Its method and its address are kept, and nothing else of the request."""
    asked = {"method": "POST", "url": "http://h/v1/files", "headers": {"a": "b"}, "body": {"long": 1}}
    for inputs in (asked, {"method": 5, "url": None}, None):
        recording.end(recording.start("http", "h", prefix="http_exchange", inputs=inputs))
    path = tmp_path / "trace.jsonl"
    path.write_text("".join(json.dumps(event) + "\n" for event in recording.events))
    found = [
        {name: span.start[name] for name in ("method", "url", "body", "inputs") if name in span.start}
        for span in select_spans(open_trace(path))
    ]
    assert found == [{"method": "POST", "url": "http://h/v1/files"}, {}, {}]


def test_a_forest_of_chosen_spans_has_no_lost_parents(run):
    """A parent that was not wanted is not a parent that is missing."""
    chosen = select_forest(run, Selection(tool="search")).forest
    assert ([node.span.number for node in chosen.roots], chosen.lost_parents) == ([5, 8], 0)


def test_a_forest_may_be_cut_to_the_spans_that_began_first(run):
    """What is cut away leaves no lost parents behind."""
    cut = select_forest(run, limit=3).forest
    assert [(depth, node.span.number) for depth, node in cut.walk()] == [(0, 2), (1, 4), (0, 3)]
    assert (cut.lost_parents, select_forest(run, limit=0).forest.roots) == (0, [])


def test_a_tree_has_parents_before_children(run):
    """Rows say where each span stands, when it began and how it ended."""
    found = make_rows(select_forest(run).forest)
    assert [(row.number, row.depth, row.label, row.status) for row in found] == [
        (2, 0, "agent_execution Researcher", "completed"),
        (4, 1, "llm_call gpt-4o", "completed"),
        (5, 1, "tool_call search", "failed"),
        (3, 0, "agent_execution Writer", "open"),
        (8, 1, "tool_call Search", "completed"),
        (13, 1, "llm_call gpt-4o-mini", "open"),
    ]
    assert [(row.offset_ms, row.track) for row in found[:4]] == [
        (0.0, ""),
        (pytest.approx(200), ""),
        (pytest.approx(300), ""),
        (pytest.approx(100), "worker"),
    ]


def test_a_timeline_is_in_the_order_of_beginning(run):
    """The same rows by their start."""
    assert [row.number for row in sort_by_start(make_rows(select_forest(run).forest))] == [2, 3, 4, 5, 8, 13]


def test_a_forest_counts_what_was_cut_away(run):
    """The number of chosen spans is true whatever the limit."""
    assert [select_forest(run, limit=limit).total for limit in (None, 0, 2, 100)] == [6, 6, 6, 6]
    assert select_forest(run, Selection(tool="search"), limit=1).total == 2


def test_a_long_recording_is_cut_on_the_way(recording, written_events):
    """Many more spans than the limit are let go while reading; those that began first stay."""
    made = recording
    for _ in range(1500):
        made.end(made.start("tool", "t"))
    chosen = select_forest(written_events(made), limit=2)
    assert ([node.span.number for node in chosen.forest.roots], chosen.total) == ([1, 3], 1500)


def test_spans_of_another_process_have_no_lost_parent(recording, written_events):
    """The span a child process was started in may not be wanted; that is no damage."""
    made = recording
    agent = made.start("agent", "A")
    began = made.event("trace_start", agent, component="app")
    made.start("tool", "inner", began)
    chosen = select_forest(written_events(made), Selection(tool="inner")).forest
    assert ([node.span.number for node in chosen.roots], chosen.lost_parents) == ([3], 0)


def test_a_streamed_call_counts_its_chunks(recording, written_events):
    """The end has the chunks and the first token; the start of an open call has its chunks."""
    made = recording
    first, second = made.start("llm", "a"), made.start("llm", "b")
    for call in (first, second, first):
        made.event("stream_chunk", call, component="llm")
    made.end(first, metadata={"time_to_first_token_ms": 7.5})
    found = make_rows(select_forest(written_events(made)).forest)
    assert [(row.number, row.chunks, row.first_token_ms) for row in found] == [(1, 2, 7.5), (2, 1, None)]
